"""One table of a Log Analytics workspace, read by KQL.

Every query is the table, an exact half-open filter in 7-decimal ticks, the row's time and ``_ItemId`` under
reserved names, then the user's pipeline: so a pipeline may drop or rename any column and each row still says
where it belongs. The API gives a whole result or cuts it (500,000 rows, 64,000,000 bytes,
https://learn.microsoft.com/azure/azure-monitor/service-limits): there are no pages and no cursors.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal

import msgspec

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
from logferry.sources.azure_query import (
    BUCKET,
    QueryAnswer,
    Workspace,
    check_columns,
    timespan_hint,
)
from logferry.sources.azure_reading import AzureReading
from logferry.sources.base import Page, Purpose, Request, Response, Share, SizedCount, SourceSchema
from logferry.sources.reading import read_page
from logferry.spec import AzureMonitorSourceSpec
from logferry.window import Window, parse_instant

_ANSWER_ROWS = 500_000
_LEAST_NAMED = 100
"""Fewer rows than these are not believed to be the most of an answer, whatever an error says."""
_MOST_BINS = 4_000
"""Bins asked of one count: an hour by seconds, a day by half minutes. Each is one short row of the answer."""
_MOST_PARTS = 4
"""Parts of a count that was too much: many of its bins may be empty."""
_MOST_SHARES = 1_024
"""Shares of one tick: even 500 million rows in it would fit."""
_COUNT_COLUMNS = [("_lf_bin", "datetime"), ("_lf_rows", "long"), ("_lf_total", "long")]
_SIZED_COLUMNS = [
    ("_lf_bin", "datetime"),
    ("_lf_rows", "long"),
    ("_lf_bytes", "long"),
    ("_lf_total", "long"),
]
_JSON_BYTES = {
    "string": 3,
    "dynamic": 3,
    "datetime": 23,
    "guid": 23,
    "timespan": 11,
    "bool": 5,
    "real": 4,
    "decimal": 4,
    "int": 2,
    "long": 0,
}
"""Bytes of a cell in an answer beyond its estimate, by the column's type: quotes, a comma, digits."""
_TOTAL_COLUMNS = [("_lf_rows", "long")]
_WITH_TOTAL = """sort by _lf_bin asc
| extend _lf_total = row_cumsum(_lf_rows)
| sort by _lf_bin desc
| extend _lf_total = _lf_total + row_cumsum(_lf_rows) - _lf_rows"""
"""Writes into every bin's row the total of all: the rows up to it and the rows from it on."""
_LAST_COLUMN = "_lf_last"
_decode_row = msgspec.json.Decoder(list[Any]).decode


class _Contradiction(FailedAnswer):
    """A count whose bins are not all there: counted again in halves."""


class AzureMonitorSource:
    """One export's view of one table. ``query_endpoint``: scheme and host of the cloud's query API."""

    kind: Literal["azure_monitor"] = "azure_monitor"
    tick = 1
    most_shares = _MOST_SHARES
    most_in_flight = 4
    """The service takes 5 of one principal (https://learn.microsoft.com/azure/azure-monitor/service-limits)."""
    search_bucket = BUCKET
    ordered = False
    unique_ids = False
    """Ranges are disjoint, and ``mv-expand`` repeats ``_ItemId``: nothing is ever de-duplicated."""

    def __init__(self, spec: AzureMonitorSourceSpec, *, query_endpoint: str) -> None:
        self._spec = spec
        self._workspace = Workspace(query_endpoint, spec.workspace)
        self._pipeline = spec.parsed_pipeline()
        self._named_rows = _ANSWER_ROWS
        """The fewest rows that the service named as the most of an answer, until a larger one comes whole. Threads may
        overwrite each other's."""

    @property
    def answer_rows(self) -> int | None:
        """As documented, or as few as the service said when it cut an answer."""
        return self._named_rows

    @property
    def page_rows(self) -> int:
        return self._named_rows

    @property
    def most_bins(self) -> int:
        return min(_MOST_BINS, self._named_rows)

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

        Bins without rows are left out of an answer, so each bin that comes also tells the total of all, and an
        answer without any bin is confirmed by a plain total. A window that is too much to count at once, or whose
        numbers contradict each other, is counted by halves. Raises TooMuch or FailedAnswer when a single bin is.
        """
        counts = yield from self._counted([window], bin_ticks)
        return counts

    def _counted(
        self, spans: Sequence[Window], bin_ticks: int
    ) -> Generator[Request, Response, dict[int, int]]:
        counts: dict[int, int] = {}
        waiting = list(reversed(spans))
        while waiting:
            span = waiting.pop()
            bins = span.ticks // bin_ticks
            try:
                counted = yield from self._count_at_once(span, bin_ticks)
                counts.update(counted)
            except (TooMuch, _Contradiction) as error:
                if bins < 2 and isinstance(error, TooMuch):
                    raise TooMuch(
                        f"the rows of {span} are too much to be counted; choose a shorter slice: {error}"
                    ) from error
                if bins < 2:
                    raise
                waiting += reversed(self._parts(span, bin_ticks))
        return counts

    def _parts(self, span: Window, bin_ticks: int) -> list[Window]:
        """Halves of a span whose count was too much; more where it has many more bins than an answer has rows."""
        bins = span.ticks // bin_ticks
        parts = min(max(2, -(-bins // self._named_rows)), _MOST_PARTS, bins)
        edges = [span.start + bins * part // parts * bin_ticks for part in range(parts + 1)]
        return [Window(start, end) for start, end in pairwise(edges)]

    def _count_at_once(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        anchor = kql_text.instant(window.start)
        size = kql_text.duration(bin_ticks)
        bins = f"summarize _lf_rows = count() by _lf_bin = bin_at({QUERY_TIME}, {size}, {anchor})"
        query = self._query(window, [QUERY_TIME], f"{bins}\n| {_WITH_TOTAL}")
        answer = yield from self._ask(query, window, "count")
        check_columns(answer, _COUNT_COLUMNS)
        counts = yield from self._whole_bins([_cells(raw) for raw in answer.rows], window, bin_ticks)
        return counts

    def _whole_bins(
        self, bins: Sequence[Sequence[Any]], window: Window, bin_ticks: int
    ) -> Generator[Request, Response, dict[int, int]]:
        """Rows by start of ``(start, rows, total)``. Raises FailedAnswer unless that is all the window holds."""
        counts: dict[int, int] = {}
        totals: set[int] = set()
        for cells in bins:
            start, rows, total = _bin(cells)
            if start not in window or (start - window.start) % bin_ticks or start in counts:
                raise FailedAnswer(f"Log Analytics counted a bin that is not one of {window}'s, or one twice")
            counts[start] = rows
            totals.add(total)
        if not counts:
            total = yield from self._total(window)
            totals.add(total)
        if totals != {sum(counts.values())}:
            raise _Contradiction(
                f"Log Analytics' counts contradict each other for {window}: the bins hold "
                f"{sum(counts.values()):,} rows, the total is {max(totals):,}"
            )
        return counts

    def sized_count(
        self, window: Window, bin_ticks: int, schema: SourceSchema
    ) -> Generator[Request, Response, SizedCount]:
        """``count`` in one query with ``estimate_data_size``; without it where that query does not come through.

        https://learn.microsoft.com/kusto/query/estimate-data-size-function: an estimate by types and values, to which
        is added what JSON writes around a value of each type. It reads every column, which a count does not.
        """
        try:
            found = yield from self._count_sized(window, bin_ticks, schema)
        except (TooMuch, FailedAnswer, QueryRejected) as error:
            many_rows = isinstance(error, TooMuch) and error.most_rows is not None
            spans = self._parts(window, bin_ticks) if many_rows else [window]
            rows = yield from self._counted(spans, bin_ticks)
            return SizedCount(rows)
        return found

    def _count_sized(
        self, window: Window, bin_ticks: int, schema: SourceSchema
    ) -> Generator[Request, Response, SizedCount]:
        columns = query_columns(schema)
        bins = f"bin_at({QUERY_TIME}, {kql_text.duration(bin_ticks)}, {kql_text.instant(window.start)})"
        last = [
            "project " + ", ".join(kql_text.name(name) for name, _ in columns),
            f"summarize _lf_rows = count(), _lf_bytes = sum(estimate_data_size(*)) by _lf_bin = {bins}",
            _WITH_TOTAL,
        ]
        reserved = [QUERY_TIME, QUERY_ITEM] if schema.has_id else [QUERY_TIME]
        query = self._query(window, reserved, "\n| ".join(last))
        answer = yield from self._ask(query, window, "count", patient=False)
        check_columns(answer, _SIZED_COLUMNS)
        around = sum(_JSON_BYTES.get(kind, _JSON_BYTES["string"]) for _, kind in columns)
        cells = [_cells(raw) for raw in answer.rows]
        if any(len(row) != len(_SIZED_COLUMNS) for row in cells):
            raise FailedAnswer("Log Analytics' count holds a row that is not as long as its columns")
        counts = yield from self._whole_bins(
            [(start, rows, total) for start, rows, _, total in cells], window, bin_ticks
        )
        sizes = {
            parse_instant(start): size + rows * around
            for start, rows, size, _ in cells
            if type(size) is int and size >= 0
        }
        return SizedCount(counts, sizes)

    def _total(self, window: Window) -> Generator[Request, Response, int]:
        query = self._query(window, [QUERY_TIME], "summarize _lf_rows = count()")
        answer = yield from self._ask(query, window, "count")
        check_columns(answer, _TOTAL_COLUMNS)
        match [_cells(raw) for raw in answer.rows]:
            case [[int(rows)]] if type(rows) is int and rows >= 0:
                return rows
        raise FailedAnswer(f"Log Analytics' total for {window} is no single whole number")

    def page(
        self,
        span: Window,
        cursor: str | None,
        schema: SourceSchema,
        *,
        limit: int | None = None,
        share: Share | None = None,
    ) -> Generator[Request, Response, Page]:
        """All rows of the span, or of a share of it. Raises TooMuch when they exceed one answer.

        Rows are told apart by their ``_ItemId``, or where a table has none by all they hold; rows that agree in
        that cannot be divided. An answer is never cut by a ``limit``: there is no cursor to go on from.
        """
        columns = query_columns(schema)
        reserved = [QUERY_TIME, QUERY_ITEM] if schema.has_id else [QUERY_TIME]
        # Pinned names: a column that appears in the table mid-run must not appear in some slices only.
        query = self._query(
            span,
            reserved,
            "project " + ", ".join(kql_text.name(name) for name, _ in columns),
            share=share,
        )
        hint = timespan_hint(span, self._spec.time_column)
        with self._minding_most_rows():
            body = yield from self._workspace.send(query, hint, purpose="search", table=self._spec.table)
            page = read_page(AzureReading(schema, span), body)
        self._came(page.rows.num_rows)
        return page

    def _ask(
        self, query: str, span: Window, purpose: Purpose, *, patient: bool = True
    ) -> Generator[Request, Response, QueryAnswer]:
        hint = timespan_hint(span, self._spec.time_column)
        with self._minding_most_rows():
            answer = yield from self._workspace.ask(
                query, hint, purpose=purpose, table=self._spec.table, patient=patient
            )
        self._came(len(answer.rows))
        return answer

    def _came(self, rows: int) -> None:
        if rows > self._named_rows:
            # What was named is not the limit, or not any more; one that holds after all is named again.
            self._named_rows = _ANSWER_ROWS

    @contextmanager
    def _minding_most_rows(self) -> Iterator[None]:
        try:
            yield
        except TooMuch as error:
            if error.most_rows is not None:
                self._named_rows = max(_LEAST_NAMED, min(self._named_rows, error.most_rows))
            raise

    def _query(self, span: Window, reserved: Sequence[str], last: str, *, share: Share | None = None) -> str:
        time = kql_text.name(self._spec.time_column)
        carried = {QUERY_TIME: time, QUERY_ITEM: ITEM_COLUMN}
        lines = [
            kql_text.name(self._spec.table),
            f"| where {time} >= {kql_text.instant(span.start)} and {time} < {kql_text.instant(span.end)}",
            _where_share(share, ITEM_COLUMN if QUERY_ITEM in reserved else "tostring(pack_all())"),
            "| extend " + ", ".join(f"{name} = {carried[name]}" for name in reserved),
            self._pipeline.render(reserved),
            f"| {last}",
        ]
        return "\n".join(line for line in lines if line)

    def _getschema(
        self, window: Window, reserved: Sequence[str]
    ) -> Generator[Request, Response, list[tuple[str, str]]]:
        """The columns of the query's rows in order: all of them, as their ordinals and a last one of our own tell."""
        query = self._query(window, reserved, f"extend {_LAST_COLUMN} = true\n| getschema")
        try:
            answer = yield from self._ask(query, window, "schema")
        except TooMuch as error:
            # Some forty rows: asking for less is no remedy, asking again is.
            raise FailedAnswer(f"Log Analytics did not give a whole getschema: {error}") from error
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
        if (
            [ordinal for ordinal, _, _ in found] != list(range(len(found)))
            or not found
            or found[-1][1] != _LAST_COLUMN
        ):
            raise FailedAnswer("Log Analytics' getschema is not whole: columns are missing or there twice")
        return [(name, kind) for _, name, kind in found[:-1]]


def _where_share(share: Share | None, key: str) -> str:
    """https://learn.microsoft.com/kusto/query/hash-function: ``hash(key, n)`` is the remainder, 0 to n - 1."""
    return "" if share is None else f"| where hash({key}, {share.of}) == {share.index}"


def _cells(raw: msgspec.Raw) -> list[Any]:
    try:
        return _decode_row(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FailedAnswer("Log Analytics sent a row that is no list of values") from None


def _bin(cells: Sequence[Any]) -> tuple[int, int, int]:
    try:
        start, rows, total = cells
        if any(type(number) is not int or number < 0 for number in (rows, total)):
            raise ValueError
        return parse_instant(start), rows, total
    except (ValueError, TypeError, AttributeError):
        raise FailedAnswer("Log Analytics' count holds a bin that is no time and whole numbers") from None
