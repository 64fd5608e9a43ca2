"""The plan of a window: its slices with their counts, what fetching them will cost, and the chunks of work."""

from __future__ import annotations

from typing import Any, Self

import msgspec

from logferry.manifest import Span
from logferry.sources.base import LogSource, SourceSchema
from logferry.window import Window

MOST_CHUNKS = 24
ROWS_PER_CHUNK = 250_000
SLICES_PER_CHUNK = 96
"""Keeps what a chunk and its result say of their slices to some ten kilobytes."""
ROW_BYTES_GUESS = 1_000
"""Bytes of answer per row assumed before any was seen; only estimates rest on it."""


class SlicePlan(Span, frozen=True, kw_only=True):
    """One slice and the rows the source counts in it; None where it cannot count."""

    rows: int | None


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
    ``bytes`` (a guess before the first fetch) and ``eta_s`` by the learned allowance (None while unknown)."""

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

    def chunks(self, most: int = MOST_CHUNKS, rows_per_chunk: int = ROWS_PER_CHUNK) -> list[Chunk]:
        """At least one chunk; contiguous, of about equal rows, together exactly the window's slices.

        At most ``most``, except that no chunk gets more than SLICES_PER_CHUNK slices.
        """
        if self.rows is None:
            wanted = min(most, len(self.slices))
            target = -(-len(self.slices) // wanted)
            weights = [1] * len(self.slices)
        else:
            wanted = max(1, min(most, len(self.slices), -(-self.rows // rows_per_chunk)))
            target = max(1, -(-self.rows // wanted))
            weights = [planned.rows or 0 for planned in self.slices]
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
    """Search requests of a healthy pass: full pages of every slice that holds rows; one where unknown."""
    return sum(1 if planned.rows is None else -(-planned.rows // source.page_rows) for planned in slices)


def slice_plans(window: Window, grid: int, counts: dict[int, int] | None) -> list[SlicePlan]:
    """The window's slices with their rows; ``counts`` by slice start, absent is 0; None: nothing is known."""
    return [
        _planned(slice_, None if counts is None else counts.get(slice_.start, 0))
        for slice_ in window.slices(grid)
    ]


def _planned(slice_: Window, rows: int | None) -> SlicePlan:
    span = Span.of(slice_)
    return SlicePlan(start=span.start, end=span.end, rows=rows)
