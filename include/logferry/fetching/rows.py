"""The rows of one slice on their way to its file: cut to the slice, sorted by time then id, each once.

A source that answers in ascending time never needs more than its last tick in memory: everything before is final
and goes on. One that answers in no order is held until its span is complete.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.window import Window


class OutOfOrder(Exception):
    """A row came whose time lies before rows that are already final."""


class SliceRows:
    """Collects the batches of one slice. ``unique_ids``: a repeated (time, id) is the same row again."""

    def __init__(self, slice_: Window, *, unique_ids: bool) -> None:
        self._unique_ids = unique_ids
        self._held: list[pa.Table] = []
        self._final_before = slice_.start
        self._final_rows = 0

    @property
    def final_before(self) -> int:
        """All rows before this tick have gone on; where a broken chain starts again."""
        return self._final_before

    def add(self, batch: pa.RecordBatch, span: Window) -> None:
        """Take a page's rows; those outside ``span`` (a part of the slice) are dropped. Raises OutOfOrder."""
        if batch.num_rows == 0:
            return
        table = pa.Table.from_batches([batch])
        ticks = table[TICK_COLUMN]
        bounds = pc.min_max(ticks).as_py()
        if bounds["min"] < span.start or bounds["max"] >= span.end:
            table = table.filter(pc.and_(pc.greater_equal(ticks, span.start), pc.less(ticks, span.end)))
            if table.num_rows == 0:
                return
            bounds = pc.min_max(table[TICK_COLUMN]).as_py()
        if bounds["min"] < self._final_before:
            raise OutOfOrder
        self._held.append(table)

    def newest(self) -> int | None:
        """The latest tick held, None when nothing is."""
        if not self._held:
            return None
        newest: int = max(pc.max(table[TICK_COLUMN]).as_py() for table in self._held)
        return newest

    def rows(self) -> int:
        """Distinct rows seen so far."""
        return self._final_rows + (self._sorted().num_rows if self._held else 0)

    def drop_held(self) -> None:
        """Forget what is not final yet."""
        self._held = []

    def finish_before(self, tick: int) -> pa.Table | None:
        """Make every row before ``tick`` final and hand it on, sorted; None when there is none."""
        self._final_before = max(self._final_before, tick)
        if not self._held:
            return None
        table = self._sorted()
        done = pc.sum(pc.less(table[TICK_COLUMN], tick)).as_py() or 0
        self._held = [table.slice(done)] if done < table.num_rows else []
        if not done:
            return None
        self._final_rows += done
        return table.slice(0, done)

    def _sorted(self) -> pa.Table:
        table = pa.concat_tables(self._held).combine_chunks()
        if not _is_sorted(table):
            table = table.sort_by([(TICK_COLUMN, "ascending"), (ID_COLUMN, "ascending")])
        table = self._settle_ties(table)
        self._held = [table]
        return table

    def _settle_ties(self, table: pa.Table) -> pa.Table:
        """Drop repeats, or give rows of equal time and id an order that does not depend on the answer's."""
        same = _same_as_previous(table)
        if not pc.any(same).as_py():
            return table
        if self._unique_ids:
            repeats = pc.and_(same, pc.is_valid(table[ID_COLUMN].combine_chunks()))
            table = table.filter(pc.invert(repeats))
            same = _same_as_previous(table)
            if not pc.any(same).as_py():
                return table
        return _order_ties(table, same)


def _is_sorted(table: pa.Table) -> bool:
    """Strictly ascending time: ties need the id, so they count as unsorted."""
    ticks = table[TICK_COLUMN].combine_chunks()
    return bool(pc.all(pc.less(ticks[:-1], ticks[1:])).as_py()) if len(ticks) > 1 else True


def _same_as_previous(table: pa.Table) -> pa.BooleanArray:
    ticks, ids = table[TICK_COLUMN].combine_chunks(), pc.fill_null(table[ID_COLUMN].combine_chunks(), "")
    same = pc.and_(pc.equal(ticks[1:], ticks[:-1]), pc.equal(ids[1:], ids[:-1]))
    return pa.concat_arrays([pa.array([False]), same])


def _order_ties(table: pa.Table, same: pa.BooleanArray) -> pa.Table:
    """Sort the runs of rows that share time and id by their whole content."""
    flags = same.to_pylist()
    order = list(range(table.num_rows))
    start = 0
    while start < len(flags):
        end = start + 1
        while end < len(flags) and flags[end]:
            end += 1
        if end - start > 1:
            texts = [
                repr(sorted(row.items(), key=lambda item: item[0]))
                for row in table.slice(start, end - start).to_pylist()
            ]
            order[start:end] = [start + at for at in sorted(range(end - start), key=texts.__getitem__)]
        start = end
    return table.take(pa.array(order))
