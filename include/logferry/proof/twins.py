"""Twins: rows of one tick that agree in everything but their identity.

Real ones are common (a line logged twice within a millisecond). But a source that loses one row and gives another
a second time under a new identity leaves every count equal, and twins behind. So every tick with twins is asked for
again, in spans that lie otherwise than the pages that were written, and the rows of each must have the times and
identities that were written.

A fault that depends on the rows themselves, and not on where a page begins, would repeat itself: nothing but the
source could tell of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.window import Window
from logferry.writing.row_hash import RowHash

CHECKED_NOTE = "twins_checked"
"""Note of a slice: ticks with twins that were asked for again, which is all of them."""
DIFFER_NOTE = "twins_differ"
"""Note of a slice: ticks with twins in the parts that came with other identities each time they were asked for."""
_CONTENT = "__content_"
_IDENTITY = pa.schema([(TICK_COLUMN, pa.int64()), (ID_COLUMN, pa.string())])


class TwinSpan(msgspec.Struct, frozen=True, array_like=True):
    """A span from its first twin tick to its last one, and the rows that were written for it."""

    start: int
    end: int
    rows: int

    def window(self) -> Window:
        return Window(self.start, self.end)


class Twins(msgspec.Struct, frozen=True, array_like=True):
    """How many ``ticks`` hold twins, the spans they lie in, and the digest of the times and identities of all rows
    in these."""

    ticks: int
    spans: tuple[TwinSpan, ...]
    digest: str


class IdentityDigest:
    """Of the times and identities of rows; feed it sorted tables, however they are cut."""

    def __init__(self) -> None:
        self._rows = RowHash(_IDENTITY)

    def add(self, table: pa.Table) -> None:
        self._rows.update(table)

    def copy(self) -> IdentityDigest:
        other = IdentityDigest()
        other._rows = self._rows.copy()
        return other

    def digest(self) -> str:
        return self._rows.digest().removeprefix("sha256:")[:32]


class TwinWatch:
    """Finds the twins of one part. Feed it the tables in order; rows of one tick lie in one table.

    ``tick`` is the source's: spans lie on it. Neighbouring twin ticks share a span where that takes no more pages of
    ``page_rows`` rows than asking for each alone. So all spans together take at most as many pages as the part's own
    rows, and one more: the first span never exceeds half a page, so that those after it begin within other rows
    than the part's own pages did.
    """

    def __init__(self, tick: int, page_rows: int) -> None:
        self._tick = tick
        self._page = page_rows
        self._found = 0
        self._spans: list[TwinSpan] = []
        self._open: TwinSpan | None = None
        self._since = 0
        """Rows that came after the open span's last twin tick."""
        self._digest = IdentityDigest()
        """Up to the open span's last twin tick."""
        self._ahead = IdentityDigest()
        """Up to the newest row, should the open span go on."""

    def look(self, table: pa.Table) -> None:
        if table.num_rows == 0:
            return
        found = twin_ticks(table)
        if not found and self._open is None:
            return
        ticks = _numbers(table[TICK_COLUMN])
        at = settled = 0
        for unit in sorted({tick // self._tick for tick in found}):
            first = bisect_left(ticks, unit * self._tick)
            end = bisect_left(ticks, (unit + 1) * self._tick)
            if not self._joins(first - at, end - first):
                self._settle(table.slice(settled, at - settled))
                self._close()
                at = settled = first
            self._extend(unit, end - at)
            at = end
        self._settle(table.slice(settled, at - settled))
        self._found += len(found)
        self._wait(table.slice(at))

    @property
    def twins(self) -> tuple[Twins, ...]:
        """What was found so far, as one, or nothing."""
        if not self._found:
            return ()
        spans = self._spans if self._open is None else [*self._spans, self._open]
        return (Twins(self._found, tuple(spans), self._digest.digest()),)

    def _joins(self, before: int, rows: int) -> bool:
        """Whether a twin tick of ``rows`` rows, ``before`` rows further on, is better had with the open span."""
        if self._open is None:
            return False
        together = self._open.rows + self._since + before + rows
        if not self._spans and together > max(1, self._page // 2):
            return False
        return self._pages(together) <= self._pages(self._open.rows) + self._pages(rows)

    def _extend(self, unit: int, rows: int) -> None:
        """The open span, or a new one, now ends with this twin tick, ``rows`` rows further on."""
        end = (unit + 1) * self._tick
        if self._open is None:
            self._open = TwinSpan(unit * self._tick, end, rows)
        else:
            self._open = TwinSpan(self._open.start, end, self._open.rows + self._since + rows)
        self._since = 0

    def _settle(self, rows: pa.Table) -> None:
        """These rows are the open span's last ones so far."""
        if rows.num_rows:
            self._ahead.add(rows)
            self._digest = self._ahead.copy()

    def _wait(self, rows: pa.Table) -> None:
        """Rows after the last twin tick: they belong to the open span if another twin tick joins it."""
        if self._open is None:
            return
        self._since += rows.num_rows
        if self._pages(self._open.rows + self._since) > self._pages(self._open.rows) + 1:
            self._close()
        else:
            self._ahead.add(rows)

    def _close(self) -> None:
        if self._open is not None:
            self._spans.append(self._open)
        self._open = None
        self._since = 0
        self._ahead = self._digest.copy()

    def _pages(self, rows: int) -> int:
        return -(-rows // self._page)


def twin_ticks(table: pa.Table) -> list[int]:
    """The ticks with twins, ascending. ``table`` is sorted by time."""
    tied = _tied(table)
    if tied.num_rows < 2:
        return []
    ids = tied[ID_COLUMN].combine_chunks()
    keys = {TICK_COLUMN: tied[TICK_COLUMN].combine_chunks()}
    for name in tied.column_names:
        if name not in (TICK_COLUMN, ID_COLUMN):
            column = tied[name].combine_chunks()
            # The column that holds the identity itself is the one thing in which twins differ.
            if not (pa.types.is_string(column.type) and column.equals(ids)):
                keys[_CONTENT + name] = _comparable(column)
    columns = pa.table({**keys, "id": ids})
    groups = columns.group_by(list(keys), use_threads=False).aggregate(
        [("id", "count_distinct", pc.CountOptions(mode="only_valid"))]
    )
    # Rows of one identity are one row that a query has multiplied; rows without any cannot be told apart.
    several = pc.greater(groups["id_count_distinct"], 1)
    found: list[int] = pc.unique(groups.filter(several)[TICK_COLUMN]).to_pylist()
    return sorted(found)


def _numbers(column: pa.ChunkedArray) -> Sequence[int]:
    """An int64 column without nulls as it lies in memory."""
    array = pa.concat_arrays(column.chunks)
    numbers = memoryview(array.buffers()[1]).cast("B").cast("q")
    return numbers[array.offset : array.offset + len(array)]


def _tied(table: pa.Table) -> pa.Table:
    """The rows that share their tick with a neighbour."""
    if table.num_rows < 2:
        return table.slice(0, 0)
    ticks = table[TICK_COLUMN].combine_chunks()
    same = pc.equal(ticks[1:], ticks[:-1])
    if not pc.any(same).as_py():
        return table.slice(0, 0)
    none = pa.array([False])
    return table.filter(pc.or_(pa.concat_arrays([none, same]), pa.concat_arrays([same, none])))


def _comparable(column: pa.Array) -> pa.Array:
    """The column as one that can be grouped by and in which equal values, NaN included, are equal."""
    if pa.types.is_list(column.type):
        # The lengths keep ["a", "b"] and ["a\x1fb"] apart.
        joined = pc.binary_join(pc.fill_null(column, pa.scalar([], column.type)), "\x1f")
        lengths = pc.list_value_length(column).cast(pa.string())
        return pc.binary_join_element_wise(
            pc.fill_null(lengths, "-"), pc.fill_null(joined, "\x1e"), "\x1f", null_handling="replace"
        )
    if pa.types.is_floating(column.type):
        return column.view(pa.int64())
    return column
