"""The plan of a window: its slices with their counts, what fetching them will cost, and the chunks of work."""

from __future__ import annotations

import logging
import math
from collections.abc import Generator
from typing import Any, Self

import msgspec

from logferry.budget import Forecast
from logferry.errors import CountUnavailable
from logferry.fetching.answer_size import AnswerSize
from logferry.fetching.pieces import coarsened, merged
from logferry.http import Client
from logferry.records.manifest import FileEntry, Span
from logferry.sources.base import LogSource, Request, Response, SizedCount, Sizing, SourceSchema
from logferry.window import Window

log = logging.getLogger(__name__)

MOST_CHUNKS = 24
ROWS_PER_CHUNK = 250_000
SLICES_PER_CHUNK = 96
"""Keeps what a chunk and its result say of their slices to some ten kilobytes."""
_WORTH_BINS = 1_000
"""Rows of a slice that is fetched at once, of which it is worth knowing where they lie."""
_FEW_BINS = 12
"""Of such a slice, which make some seventy bytes of JSON."""


class SlicePlan(Span, frozen=True, kw_only=True, omit_defaults=True):
    """One slice and the rows the source counts in it; None where it cannot count.

    ``bins``: its rows per equal bin, where it may have to be cut. ``row_bytes``: what a row is reckoned to
    make of an answer, None where that is not known. ``kept``: the published file, proven and in place, that already
    holds as many rows: it is counted again and not fetched; ``kept_notes`` are its notes.
    """

    rows: int | None
    bins: list[int] | None = None
    row_bytes: int | None = None
    kept: FileEntry | None = None
    kept_notes: dict[str, int] = msgspec.field(default_factory=dict)

    @property
    def to_fetch(self) -> int | None:
        """Rows that the plan expects to fetch; None when unknown."""
        return 0 if self.kept is not None else self.rows


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """What one task hands to the next: plain JSON values, nothing else."""

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return result

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return msgspec.convert(data, cls)


class Chunk(Handed, frozen=True, kw_only=True):
    """A contiguous run of slices for one worker. Small JSON, never rows.

    ``requests`` are those the plan itself spent; only a plan's first chunk carries them. ``fingerprint`` is
    of the definition that was planned.
    """

    window: Span
    started_at: str
    slices: list[SlicePlan]
    schema: SourceSchema
    requests: dict[str, int]
    fingerprint: str

    @property
    def label(self) -> str:
        """``2026-11-20T03:00:00Z/2026-11-20T06:00:00Z``: the range of its slices."""
        return f"{self.slices[0].start}/{self.slices[-1].end}"


class Plan(Handed, frozen=True, kw_only=True):
    """What a window will take: ``rows`` (None when the source cannot count), search ``requests``, answer
    ``bytes`` (a guess before the first fetch) and ``eta_s`` by the learned allowance, whose ``forecast`` of the moment
    of planning goes with it (both None while no answer to a search of this credential was seen)."""

    export: str
    window: Span
    started_at: str
    counted_at: str
    rows: int | None
    requests: int
    bytes: int | None
    eta_s: float | None
    slices: list[SlicePlan]
    schema: SourceSchema
    spent: dict[str, int]
    fingerprint: str
    forecast: Forecast | None = None

    def chunks(self, most: int = MOST_CHUNKS, rows_per_chunk: int = ROWS_PER_CHUNK) -> list[Chunk]:
        """At least one chunk; contiguous, of about equal rows, together exactly the window's slices.

        At most ``most``, except that no chunk gets more than SLICES_PER_CHUNK slices.
        """
        if self.rows is None:
            wanted = min(most, len(self.slices))
            target = -(-len(self.slices) // wanted)
            weights = [1] * len(self.slices)
        else:
            weights = [planned.to_fetch or 0 for planned in self.slices]
            wanted = max(1, min(most, len(self.slices), -(-sum(weights) // rows_per_chunk)))
            target = max(1, -(-sum(weights) // wanted))
        groups: list[list[SlicePlan]] = [[]]
        weight = 0
        for planned, size in zip(self.slices, weights, strict=True):
            full = len(groups[-1]) >= SLICES_PER_CHUNK
            if groups[-1] and (full or (len(groups) < wanted and weight >= target)):
                groups.append([])
                weight = 0
            groups[-1].append(planned)
            weight += size
        return [
            Chunk(
                window=self.window,
                started_at=self.started_at,
                slices=group,
                schema=self.schema,
                requests=self.spent if index == 0 else {},
                fingerprint=self.fingerprint,
            )
            for index, group in enumerate(groups)
        ]


def estimate_requests(source: LogSource, slices: list[SlicePlan]) -> int:
    """Search requests of a healthy pass: full answers for every slice that holds rows; one where unknown."""
    size = AnswerSize(source)
    return sum(
        1 if planned.to_fetch is None else -(-planned.to_fetch // size.full_answer(planned.row_bytes))
        for planned in slices
    )


def eta_s(forecast: Forecast | None, requests: int, *, at_once: int) -> float | None:
    """Seconds until the last of so many answers, to a tenth; None without a ``forecast``."""
    return None if forecast is None else round(forecast.seconds_for(requests, at_once=at_once), 1)


def with_part_of_rows(slices: list[SlicePlan], part: float) -> list[SlicePlan]:
    """The plan of a narrower query: each slice with ``part`` of its rows, rounded up."""
    return [
        msgspec.structs.replace(one, rows=None if one.rows is None else math.ceil(one.rows * part))
        for one in slices
    ]


def estimate_bytes(slices: list[SlicePlan], row_bytes: float) -> int:
    """Bytes of answers of the rows to fetch, at ``row_bytes`` each where the source reckoned none."""
    return round(sum((planned.to_fetch or 0) * (planned.row_bytes or row_bytes) for planned in slices))


def sized_count(
    client: Client, source: LogSource, window: Window, bin_ticks: int, schema: SourceSchema
) -> SizedCount | None:
    """Rows per bin of the window, with sizes where the source reckons them; None when it cannot count."""

    def exchange() -> Generator[Request, Response, SizedCount]:
        if isinstance(source, Sizing):
            found = yield from source.sized_count(window, bin_ticks, schema)
            return found
        rows = yield from source.count(window, bin_ticks)
        return SizedCount(rows)

    try:
        return client.run(exchange)
    except CountUnavailable as error:
        log.warning("%s: the window can only be unproven", error)
        return None


def slice_plans(
    window: Window, grid: int, counted: SizedCount | None, *, bin_ticks: int, size: AnswerSize
) -> list[SlicePlan]:
    """The window's slices with their rows, ``counted`` by bins of ``bin_ticks`` (a divisor of ``grid``); None: nothing
    is known. Slices of more rows than a full answer by ``size`` keep their bins, others a few."""
    if counted is None:
        return [_planned(slice_, None) for slice_ in window.slices(grid)]
    plans = []
    for slice_ in window.slices(grid):
        starts = range(slice_.start, slice_.end, bin_ticks)
        bins = [counted.rows.get(start, 0) for start in starts]
        rows = sum(bins)
        reckoned = sum(counted.bytes.get(start, 0) for start in starts)
        row_bytes = -(-reckoned // rows) if rows and reckoned else None
        plans.append(_planned(slice_, rows, _kept(bins, size, row_bytes), row_bytes))
    return plans


def _kept(bins: list[int], size: AnswerSize, row_bytes: int | None) -> list[int] | None:
    rows, most = sum(bins), size.full_answer(row_bytes)
    if len(bins) < 2:
        return None
    if rows > most:
        return coarsened(bins, most)
    if rows < _WORTH_BINS or size.has_cursors:
        return None
    # Should an answer hold less than it was taken to, every slice would have to be counted again to be cut.
    few = merged(bins, _FEW_BINS)
    return few if len(few) > 1 else None


def _planned(
    slice_: Window, rows: int | None, bins: list[int] | None = None, row_bytes: int | None = None
) -> SlicePlan:
    span = Span.of(slice_)
    return SlicePlan(start=span.start, end=span.end, rows=rows, bins=bins, row_bytes=row_bytes)
