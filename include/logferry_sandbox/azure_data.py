"""The tables of the Azure sandbox: rows made from a seed, hour by hour, the same for the same (seed, table,
day).

Every day has uneven hours and one empty hour. Every filled hour of two rows or more has one exactly on its
first and one on its last tick of 100 ns, and some ticks carry three rows.
"""

from __future__ import annotations

import random
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any

from logferry_sandbox.kql_frame import Batch, Column, Vector
from logferry_sandbox.kql_values import TICKS_PER_DAY, encode_cells

TICKS_PER_HOUR = TICKS_PER_DAY // 24
EMPTY_HOUR = 4
"""The hour of every day that has no rows."""
FIRST_DAY = date(2024, 1, 1).toordinal() - 1
LAST_DAY = date(2035, 12, 31).toordinal() - 1
"""Days (since 0001-01-01) the tables cover: a query without any time filter sees all of them."""
_CACHED_ROWS = 150_000


@dataclass(frozen=True, slots=True)
class HourSeeds:
    """What the columns of one hour are made of: exact ticks in order, and 64 random bits per row."""

    day: int
    hour: int
    ticks: list[int]
    noise: list[int]


ColumnMaker = Callable[[HourSeeds], Vector]


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A table: its columns and how to make each, its usual number of rows a day, how often three share a
    tick, and the first and last day (since 0001-01-01) that have rows.
    """

    name: str
    columns: tuple[tuple[Column, ColumnMaker], ...]
    rows_per_day: int
    tied_every: int = 40
    days: tuple[int, int] = (FIRST_DAY, LAST_DAY)


def same_everywhere(kind: str, value: Any) -> ColumnMaker:
    """A column with one value."""
    cell = encode_cells(kind, [value])[0]

    def make(seeds: HourSeeds) -> Vector:
        size = len(seeds.ticks)
        return Vector(kind, make=lambda: [value] * size, make_cells=lambda: [cell] * size)

    return make


def one_of(kind: str, values: list[Any], shift: int = 0) -> ColumnMaker:
    """A column with few distinct values; columns with the same `shift` and length go together."""
    cells = encode_cells(kind, values)
    count = len(values)

    def make(seeds: HourSeeds) -> Vector:
        return Vector(
            kind,
            make=lambda: [values[(bits >> shift) % count] for bits in seeds.noise],
            make_cells=lambda: [cells[(bits >> shift) % count] for bits in seeds.noise],
        )

    return make


def in_turn(kind: str, values: list[Any], *, noon: Any = None) -> ColumnMaker:
    """A column that goes through `values` row by row, another start every hour.

    `noon`: what the first row of hour 12 holds instead.
    """
    count = len(values)

    def make(seeds: HourSeeds) -> Vector:
        def turn() -> list[Any]:
            start = seeds.day + seeds.hour
            made = [values[(start + row) % count] for row in range(len(seeds.ticks))]
            if noon is not None and seeds.hour == 12 and made:
                made[0] = noon
            return made

        return Vector(kind, make=turn)

    return make


def computed(kind: str, compute: Callable[[int], Any]) -> ColumnMaker:
    """A column computed from the row's random bits."""
    return lambda seeds: Vector(kind, make=lambda: [compute(bits) for bits in seeds.noise])


def event_time() -> ColumnMaker:
    """The time column."""
    return lambda seeds: Vector("datetime", seeds.ticks)


def earlier(most: int) -> ColumnMaker:
    """A time up to `most` ticks before the time column's."""
    return lambda seeds: Vector(
        "datetime",
        make=lambda: [
            tick - (bits >> 9) % (most + 1) for tick, bits in zip(seeds.ticks, seeds.noise, strict=True)
        ],
    )


def item_id(table_number: int) -> ColumnMaker:
    """A unique record id per row."""

    def make(seeds: HourSeeds) -> Vector:
        middle = (
            f"-{table_number:04x}-4{seeds.hour:03x}-8{seeds.day & 0xFFF:03x}-{seeds.day:05x}{seeds.hour:02x}"
        )

        def ids() -> list[str]:
            return [f"{bits & 0xFFFFFFFF:08x}{middle}{row:05x}" for row, bits in enumerate(seeds.noise)]

        return Vector("string", make=ids, make_cells=lambda: [f'"{name}"' for name in ids()])

    return make


@lru_cache(maxsize=4096)
def hour_sizes(seed: int, table: str, day: int, rows: int) -> tuple[int, ...]:
    """How many of a day's `rows` fall into each of its 24 hours; their sum is exactly `rows`."""
    choose = random.Random(f"hours:{seed}:{table}:{day}")
    weights = [0.0 if hour == EMPTY_HOUR else 0.2 + choose.random() ** 2 * 2 for hour in range(24)]
    scale = rows / sum(weights)
    sizes = [int(weight * scale) for weight in weights]
    for hour in choose.sample([hour for hour in range(24) if hour != EMPTY_HOUR], rows - sum(sizes)):
        sizes[hour] += 1
    return tuple(sizes)


@dataclass(slots=True)
class TableState:
    """What may change while the sandbox runs: rows that arrive late, a column that appears."""

    late_every: int = 0
    added_column: str | None = None


@dataclass
class DayTable:
    """A table over all days, made on demand. Times are ticks since 0001-01-01, ranges half-open.

    `hot_ticks`: extra rows at single ticks, {tick: rows}.
    """

    definition: TableDefinition
    seed: int
    rows_per_day: int
    hot_ticks: Mapping[int, int] = field(default_factory=dict)
    state: TableState = field(default_factory=TableState)
    time_column: str = "TimeGenerated"

    def __post_init__(self) -> None:
        self._hours: OrderedDict[tuple[int, int], tuple[HourSeeds, Batch]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def schema(self) -> tuple[Column, ...]:
        columns = tuple(column for column, _ in self.definition.columns)
        added = self.state.added_column
        return (*columns, Column(added, "string")) if added else columns

    @property
    def has_item_id(self) -> bool:
        return any(column.name == "_ItemId" for column, _ in self.definition.columns)

    def rows_between(self, start: int, stop: int) -> int:
        """Rows of the hours the range touches (late ones included)."""
        total = sum(rows for tick, rows in self.hot_ticks.items() if start <= tick < stop)
        for day, first, last in _hours_of(start, stop, self.definition.days):
            sizes = hour_sizes(self.seed, self.name, day, self.rows_per_day)
            total += self.rows_per_day if (first, last) == (0, 23) else sum(sizes[first : last + 1])
        return total

    def scan(self, start: int, stop: int) -> Iterator[Batch]:
        """The visible rows of the range, an hour at a time."""
        if not self.rows_per_day and not self.hot_ticks:
            return
        for day, first, last in _hours_of(start, stop, self.definition.days):
            for hour in range(first, last + 1):
                seeds, batch = self._hour(day, hour)
                low, high = bisect_left(seeds.ticks, start), bisect_left(seeds.ticks, stop)
                if low < high:
                    yield self._visible(seeds, batch, low, high)

    def _visible(self, seeds: HourSeeds, batch: Batch, low: int, high: int) -> Batch:
        added, late = self.state.added_column, self.state.late_every
        if added:
            column = same_everywhere("string", "added later")(seeds)
            batch = Batch(batch.size, batch.columns | {added: column})
        if not late:
            return batch.cut(low, high)
        return batch.pick([row for row in range(low, high) if row % late])

    def _hour(self, day: int, hour: int) -> tuple[HourSeeds, Batch]:
        with self._lock:
            cached = self._hours.get((day, hour))
            if cached is not None:
                self._hours.move_to_end((day, hour))
                return cached
            seeds = self._seeds(day, hour)
            columns = {column.name: make(seeds) for column, make in self.definition.columns}
            cached = self._hours[day, hour] = (seeds, Batch(len(seeds.ticks), columns))
            held = sum(batch.size for _, batch in self._hours.values())
            while held > _CACHED_ROWS and len(self._hours) > 1:
                held -= self._hours.popitem(last=False)[1][1].size
            return cached

    def _seeds(self, day: int, hour: int) -> HourSeeds:
        size = hour_sizes(self.seed, self.name, day, self.rows_per_day)[hour]
        begin = day * TICKS_PER_DAY + hour * TICKS_PER_HOUR
        choose = random.Random(f"rows:{self.seed}:{self.name}:{day}:{hour}")
        ticks = [begin + int(choose.random() * TICKS_PER_HOUR) for _ in range(size)]
        ticks.sort()
        every = self.definition.tied_every
        for row in range(every, size - 2, every):
            ticks[row + 1] = ticks[row - 1] = ticks[row]
        if size > 1:
            ticks[0], ticks[-1] = begin, begin + TICKS_PER_HOUR - 1
        for tick, rows in self.hot_ticks.items():
            if begin <= tick < begin + TICKS_PER_HOUR:
                ticks = sorted([*ticks, *[tick] * rows])
        return HourSeeds(day, hour, ticks, [choose.getrandbits(64) for _ in ticks])


def _hours_of(start: int, stop: int, days: tuple[int, int]) -> Iterator[tuple[int, int, int]]:
    """Each of the `days` (first and last) that the half-open range touches, with its first and last hour."""
    start, stop = max(start, days[0] * TICKS_PER_DAY), min(stop, (days[1] + 1) * TICKS_PER_DAY)
    if start >= stop:
        return
    for day in range(start // TICKS_PER_DAY, (stop - 1) // TICKS_PER_DAY + 1):
        begin = day * TICKS_PER_DAY
        first = max(0, (start - begin) // TICKS_PER_HOUR)
        yield day, first, min(23, (stop - 1 - begin) // TICKS_PER_HOUR)
