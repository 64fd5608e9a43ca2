"""One table of a Log Analytics workspace, read by KQL.

Every query is the table, an exact half-open filter in 7-decimal ticks, the row's time and ``_ItemId`` under
reserved names, then the user's pipeline: so a pipeline may drop or rename any column and each row still says
where it belongs. The API gives a whole result or cuts it (500,000 rows, 64,000,000 bytes,
https://learn.microsoft.com/azure/azure-monitor/service-limits): there are no pages and no cursors.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Literal

import msgspec

from logferry.convert.azure_monitor import read_rows
from logferry.convert.kql_types import (
    ITEM_COLUMN,
    QUERY_ITEM,
    QUERY_TIME,
    canonical,
    output_schema,
    query_columns,
)
from logferry.errors import FailedAnswer, QueryRejected, TooMuch
from logferry.sources import kql_text
from logferry.sources.azure_errors import UnknownName
from logferry.sources.azure_query import BUCKET, QueryAnswer, Workspace, check_columns, timespan_hint
from logferry.sources.base import Page, Purpose, Request, Response, SourceSchema
from logferry.spec import AzureMonitorSourceSpec
from logferry.window import Window, parse_instant

_ANSWER_ROWS = 500_000
_COUNT_COLUMNS = [("_lf_bin", "datetime"), ("_lf_rows", "long")]
_decode_row = msgspec.json.Decoder(list[Any]).decode


class AzureMonitorSource:
    """One export's view of one table. ``query_endpoint``: scheme and host of the cloud's query API."""

    kind: Literal["azure_monitor"] = "azure_monitor"
    tick = 1
    answer_rows: int | None = _ANSWER_ROWS
    page_rows = _ANSWER_ROWS
    search_bucket = BUCKET
    ordered = False
    unique_ids = False
    """Ranges are disjoint, and ``mv-expand`` repeats ``_ItemId``: nothing is ever de-duplicated."""

    def __init__(self, spec: AzureMonitorSourceSpec, *, query_endpoint: str) -> None:
        self._spec = spec
        self._workspace = Workspace(query_endpoint, spec.workspace)
        self._pipeline = spec.parsed_pipeline()

    def identity(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "endpoint": self._workspace.endpoint.rstrip("/"),
            "workspace": self._spec.workspace,
            "table": self._spec.table,
            "time_column": self._spec.time_column,
            "pipeline": self._spec.pipeline,
        }

    def schema(self, window: Window) -> Generator[Request, Response, SourceSchema]:
        """The columns by ``getschema``; asked once more without ``_ItemId`` where the table has none.

        Raises QueryRejected when the table was never filled in this workspace (the service answers SEM0100,
        as for a misspelt name) or the pipeline does not fit it.
        """
        has_id = True
        try:
            found = yield from self._getschema(window, [QUERY_TIME, QUERY_ITEM])
        except UnknownName as error:
            if error.name != ITEM_COLUMN:
                raise
            has_id = False
            found = yield from self._getschema(window, [QUERY_TIME])
        if dict(found).get(QUERY_TIME) != "datetime":
            raise QueryRejected(
                f"`time_column` {self._spec.time_column} of {self._spec.table} is no datetime"
            )
        return output_schema(found, has_id=has_id)

    def count(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        """Rows per bin, through the same pipeline as the rows: in one query, or in as many as it takes.

        A window that is too much to count at once is counted by halves. Raises TooMuch when a single bin is.
        """
        counts: dict[int, int] = {}
        waiting = [window]
        while waiting:
            span = waiting.pop()
            try:
                counted = yield from self._count_at_once(span, bin_ticks)
                counts.update(counted)
            except TooMuch as error:
                bins = span.ticks // bin_ticks
                if bins < 2:
                    raise TooMuch(
                        f"the rows of {span} are too much to be counted; choose a shorter slice: {error}"
                    ) from error
                middle = span.start + bins // 2 * bin_ticks
                waiting += [Window(middle, span.end), Window(span.start, middle)]
        return counts

    def _count_at_once(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        anchor = kql_text.instant(window.start)
        size = kql_text.duration(bin_ticks)
        query = self._query(
            window,
            [QUERY_TIME],
            f"summarize _lf_rows = count() by _lf_bin = bin_at({QUERY_TIME}, {size}, {anchor})",
        )
        answer = yield from self._ask(query, window, "count")
        check_columns(answer, _COUNT_COLUMNS)
        counts: dict[int, int] = {}
        for raw in answer.rows:
            start, rows = _bin(raw)
            if start not in window or (start - window.start) % bin_ticks or start in counts:
                raise FailedAnswer(f"Log Analytics counted a bin that is not one of {window}'s, or one twice")
            counts[start] = rows
        return counts

    def page(
        self, span: Window, cursor: str | None, schema: SourceSchema
    ) -> Generator[Request, Response, Page]:
        """All rows of the span. Raises TooMuch when they exceed one answer."""
        columns = query_columns(schema)
        reserved = [QUERY_TIME, QUERY_ITEM] if schema.has_id else [QUERY_TIME]
        # Pinned names: a column that appears in the table mid-run must not appear in some slices only.
        query = self._query(
            span, reserved, "project " + ", ".join(kql_text.name(name) for name, _ in columns)
        )
        answer = yield from self._ask(query, span, "search")
        check_columns(answer, columns)
        batch, notes = read_rows(answer.rows, schema, span)
        if answer.repaired:
            notes = {**notes, "invalid_text": notes.get("invalid_text", 0) + answer.repaired}
        return Page(batch, None, answer.body_bytes, notes)

    def _ask(self, query: str, span: Window, purpose: Purpose) -> Generator[Request, Response, QueryAnswer]:
        hint = timespan_hint(span, self._spec.time_column)
        return self._workspace.ask(query, hint, purpose=purpose, table=self._spec.table)

    def _query(self, span: Window, reserved: Sequence[str], last: str) -> str:
        time = kql_text.name(self._spec.time_column)
        carried = {QUERY_TIME: time, QUERY_ITEM: ITEM_COLUMN}
        lines = [
            kql_text.name(self._spec.table),
            f"| where {time} >= {kql_text.instant(span.start)} and {time} < {kql_text.instant(span.end)}",
            "| extend " + ", ".join(f"{name} = {carried[name]}" for name in reserved),
            self._pipeline.render(reserved),
            f"| {last}",
        ]
        return "\n".join(line for line in lines if line)

    def _getschema(
        self, window: Window, reserved: Sequence[str]
    ) -> Generator[Request, Response, list[tuple[str, str]]]:
        query = self._query(window, reserved, "getschema")
        answer = yield from self._ask(query, window, "schema")
        names = [name for name, _ in answer.columns]
        found = []
        for raw in answer.rows:
            match dict(zip(names, _cells(raw), strict=False)):
                case {"ColumnName": str(name), "ColumnOrdinal": int(ordinal), "ColumnType": str(kind)}:
                    found.append((ordinal, name, canonical(kind)))
                case _:
                    raise FailedAnswer(
                        f"Log Analytics' getschema is not readable: its columns are {', '.join(names)}"
                    )
        found.sort()
        return [(name, kind) for _, name, kind in found]


def _cells(raw: msgspec.Raw) -> list[Any]:
    try:
        return _decode_row(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FailedAnswer("Log Analytics sent a row that is no list of values") from None


def _bin(raw: msgspec.Raw) -> tuple[int, int]:
    try:
        start, rows = _cells(raw)
        if type(rows) is not int or rows < 0:
            raise ValueError
        return parse_instant(start), rows
    except (ValueError, TypeError, AttributeError):
        raise FailedAnswer("Log Analytics' count holds a bin that is no time and whole number") from None
