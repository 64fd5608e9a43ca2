"""Late rows: every sixth row of some hours stays away until the run lets it arrive.

What a source shows of an hour only grows, so there are two truths per slice, the early and the whole one, and the
harness knows when the one became the other.
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from logferry_sandbox.azure_data import TICKS_PER_HOUR, DayTable
from logferry_sandbox.datadog_data import GeneratedDays
from logferry_sandbox.datadog_query import Query
from logferry_sandbox.datadog_store import Chunk, matching_rows
from logferry_sandbox.http_server import Piece
from logferry_sandbox.kql_frame import Batch
from logferry_sandbox.kql_values import UNIX_EPOCH_TICKS

_LATE_EVERY = 6


def is_late(row_id: bytes) -> bool:
    """Whether the row arrives late in an hour that is held back."""
    return zlib.crc32(row_id) % _LATE_EVERY == 0


class HeldBack:
    """The hours (since the Unix epoch) whose late rows have not arrived. One process writes, its threads read."""

    def __init__(self, hours: Iterable[int]) -> None:
        self._hours = frozenset(hours)

    def __contains__(self, hour: object) -> bool:
        return hour in self._hours

    def release(self, hours: Iterable[int]) -> None:
        self._hours -= frozenset(hours)


class ArrivingDays:
    """The sandbox's made-up Datadog days (``datadog_store.Source``) without what has not arrived."""

    def __init__(self, days: GeneratedDays, held_back: HeldBack) -> None:
        self.indexes, self.flex_only = days.indexes, days.flex_only
        self._days = days
        self._held_back = held_back
        self._early: dict[int, Chunk] = {}

    def hours(self, from_ms: int, to_ms: int) -> range:
        return self._days.hours(from_ms, to_ms)

    def chunk(self, hour: int) -> Chunk:
        if hour not in self._held_back:
            return self._days.chunk(hour)
        # The same object each time: the store rebuilds its view of an hour when the chunk is another one.
        if hour not in self._early:
            self._early[hour] = _EarlyChunk(self._days.chunk(hour))
        return self._early[hour]


class _EarlyChunk:
    def __init__(self, whole: Chunk) -> None:
        ids, bodies = whole.ids(), whole.bodies()
        self._whole = whole
        self._rows = [row for row, row_id in enumerate(ids) if not is_late(row_id)]
        self._ids = [ids[row] for row in self._rows]
        self._bodies = [bodies[row] for row in self._rows]
        self.times = array("q", (whole.times[row] for row in self._rows))

    def rows_before(self, at_ms: int) -> int:
        return bisect_left(self.times, at_ms)

    def ids(self) -> Sequence[bytes]:
        return self._ids

    def bodies(self) -> Sequence[bytes]:
        return self._bodies

    def joined(self, start: int, end: int) -> Piece:
        return b",".join(self._bodies[start:end])

    def index_of(self, row: int) -> str:
        return self._whole.index_of(self._rows[row])

    def matching(self, query: Query) -> Iterable[int] | None:
        return matching_rows(query, self._bodies)

    def has_index_other_than(self, indexes: frozenset[str]) -> bool:
        return self._whole.has_index_other_than(indexes)


class ArrivingTable(DayTable):
    """A table of the Azure sandbox without what has not arrived."""

    held_back = HeldBack(())

    def scan(self, start: int, stop: int) -> Iterator[Batch]:
        for batch in super().scan(start, stop):
            first = batch.columns[self.time_column].values()[0]
            if (first - UNIX_EPOCH_TICKS) // TICKS_PER_HOUR not in self.held_back:
                yield batch
                continue
            ids = batch.columns["_ItemId"].values()
            early = batch.pick([row for row, row_id in enumerate(ids) if not is_late(row_id.encode())])
            if early.size:
                yield early


def arriving(table: DayTable, held_back: HeldBack) -> ArrivingTable:
    """The same table, whose late rows arrive when ``held_back`` lets them."""
    made = ArrivingTable(table.definition, table.seed, table.rows_per_day, table.hot_ticks, table.state)
    made.held_back = held_back
    return made
