"""Log Analytics' first search API, in its legacy language (``Type=Event``): retired in the public cloud.

It answers 410 there; ``azure_monitor`` is its successor. A truncated answer shows only by ``total`` being
more than the rows; there is no ``skip`` and no cursor, so a range that holds too much is cut by the ferry.

Whether a row exactly on a bound belongs to a search is not documented, for either end. Pages ask one
millisecond wider on both sides and the ferry drops what lies outside. How a count stays exact all the same:
see ``AzureLogSearchSource.count``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import pyarrow as pa

from logferry.convert.azure_log_search import OUTPUT_FIELDS, read_rows
from logferry.errors import CountUnavailable, TooMuch
from logferry.sources.azure_search_job import BUCKET, LegacyWorkspace, SearchAnswer
from logferry.sources.base import (
    TICK_COLUMN,
    Page,
    Purpose,
    Request,
    Response,
    Share,
    SourceColumn,
    SourceSchema,
)
from logferry.spec import AzureLogSearchSourceSpec
from logferry.window import TICK_PER_MS, Window, format_instant

MOST_ROWS = 5000
"""The documented most of ``top`` for a search that does not aggregate."""
_LOOK_AROUND = (2 * TICK_PER_MS, 50 * TICK_PER_MS)
"""How far around an edge a quiet instant is looked for, in ticks; the second only when the first has none."""
_SOURCE_NAMES = {"id": "id", "type": "Type", "time": "TimeGenerated", "row": "value[]"}


@dataclass(frozen=True, slots=True)
class _Edge:
    """A quiet instant near a bin's edge; ``shift``: rows in [edge, quiet), minus those in [quiet, edge)."""

    quiet: int
    shift: int


class AzureLogSearchSource:
    """One export's legacy search in one workspace. ``arm_endpoint``: scheme and host of Resource Manager."""

    kind: Literal["azure_log_search"] = "azure_log_search"
    tick = TICK_PER_MS
    most_bins = 0
    """A count costs two searches a bin: slices are bins enough."""
    most_shares = 1
    """The legacy language has no hash, and a search no ``skip``."""
    most_in_flight = 1
    search_bucket = BUCKET
    ordered = False
    unique_ids = False
    """Ranges are disjoint, and no page says that ``id`` is unique."""

    def __init__(self, spec: AzureLogSearchSourceSpec, *, arm_endpoint: str) -> None:
        self._spec = spec
        self._workspace = LegacyWorkspace(
            arm_endpoint, spec.subscription, spec.resource_group, spec.workspace
        )
        self.answer_rows: int | None = spec.top
        self.page_rows = spec.top

    def identity(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "endpoint": self._workspace.endpoint.rstrip("/"),
            "subscription": self._spec.subscription,
            "resource_group": self._spec.resource_group,
            "workspace": self._spec.workspace,
            "query": self._spec.query,
        }

    def schema(self, window: Window) -> Generator[Request, Response, SourceSchema]:
        """The four fixed columns; nothing is asked."""
        columns = tuple(
            SourceColumn(name, str(kind), _SOURCE_NAMES[name], "json") for name, kind in OUTPUT_FIELDS
        )
        return SourceSchema(columns, has_id=True)
        yield  # type: ignore[unreachable]  # makes this a generator, as the contract asks

    def page(
        self,
        span: Window,
        cursor: str | None,
        schema: SourceSchema,
        *,
        limit: int | None = None,
        share: Share | None = None,
    ) -> Generator[Request, Response, Page]:
        """All rows of the span and of a millisecond around it. Raises TooMuch when ``top`` cut them.

        An answer is never cut by a ``limit``: there is no cursor to go on from. There are no shares: ValueError.
        """
        if share is not None:
            raise ValueError("the Log Search API's rows cannot be divided into shares")
        start, end = span.start - TICK_PER_MS, span.end + TICK_PER_MS
        answer = yield from self._search(start, end, self._spec.top, "search")
        if answer.total > len(answer.rows):
            raise TooMuch(
                f"the Log Search API holds {answer.total:,} rows around {span} and gave {len(answer.rows):,}"
            )
        batch, notes = read_rows(answer.rows)
        return Page(pa.Table.from_batches([batch]), None, answer.body_bytes, notes)

    def count(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        """Exact rows per bin, whatever the API does with rows on its bounds.

        A window whose rows one answer can hold is counted from a fresh answer itself: one request. Else
        each bin is counted by ``total``: around every edge of a bin the rows are fetched (a range that surely
        contains the few milliseconds there), and a quiet instant is chosen: one without a row less than a
        millisecond away, the edge itself if possible. The ``total`` of a ``top: 1`` search between two quiet
        instants is the same whether bounds are inclusive or exclusive, and whether they or the rows' times
        are cut to milliseconds; the rows seen between each edge and its quiet instant are added or taken off.
        Two requests per bin. Raises CountUnavailable where no quiet instant is within 50 ms of an edge, or
        bins are shorter than that.
        """
        start, end = window.start - TICK_PER_MS, window.end + TICK_PER_MS
        answer = yield from self._search(start, end, MOST_ROWS, "count")
        if answer.total == len(answer.rows):
            return _binned(answer, window, bin_ticks)
        counts = yield from self._totals(window, bin_ticks)
        return counts

    def _totals(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        edges: list[_Edge] = []
        for at in range(window.start, window.end + 1, bin_ticks):
            edge = yield from self._edge(at)
            edges.append(edge)
        counts: dict[int, int] = {}
        for index, (before, after) in enumerate(pairwise(edges)):
            start = window.start + index * bin_ticks
            if before.quiet >= after.quiet:
                raise CountUnavailable(f"bins of {bin_ticks} ticks are too short for an exact count")
            answer = yield from self._search(before.quiet, after.quiet, 1, "count")
            rows = answer.total + before.shift - after.shift
            if rows < 0:
                raise CountUnavailable(f"rows moved during the count at {format_instant(start)}")
            if rows:
                counts[start] = rows
        return counts

    def _edge(self, at: int) -> Generator[Request, Response, _Edge]:
        for reach in _LOOK_AROUND:
            answer = yield from self._search(at - reach, at + reach, MOST_ROWS, "count")
            if answer.total > len(answer.rows):
                break
            ticks = _ticks(answer)
            inside = reach // TICK_PER_MS
            for distance in sorted(range(1 - inside, inside), key=abs):
                quiet = at + distance * TICK_PER_MS
                if all(abs(tick - quiet) >= TICK_PER_MS for tick in ticks):
                    low, high = min(at, quiet), max(at, quiet)
                    between = sum(low <= tick < high for tick in ticks)
                    return _Edge(quiet, between if quiet >= at else -between)
        raise CountUnavailable(
            f"too many rows lie around {format_instant(at)} to place a bound between them, and the Log "
            "Search API does not say whether bounds are inclusive"
        )

    def _search(
        self, start: int, end: int, top: int, purpose: Purpose
    ) -> Generator[Request, Response, SearchAnswer]:
        return self._workspace.search(self._spec.query, top=top, start=start, end=end, purpose=purpose)


def _binned(answer: SearchAnswer, window: Window, bin_ticks: int) -> dict[int, int]:
    inside = (tick for tick in _ticks(answer) if tick in window)
    return dict(Counter(tick - (tick - window.start) % bin_ticks for tick in inside))


def _ticks(answer: SearchAnswer) -> list[int]:
    batch, _ = read_rows(answer.rows)
    ticks: list[Any] = batch.column(TICK_COLUMN).to_pylist()
    return ticks
