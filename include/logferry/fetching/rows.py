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
    """Collects the batches of one slice. ``unique_ids``: a repeated (time, id) is the same row again.

    Batches that come sorted, as those of a source in ascending time do, are cut and handed on as they are.
    """

    def __init__(self, slice_: Window, *, unique_ids: bool) -> None:
        self._unique_ids = unique_ids
        self._held: list[pa.Table] = []
        self._in_order = True
        """Whether the rows held are sorted already, from table to table too."""
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
        ticks = batch.column(TICK_COLUMN)
        earliest, latest = _bounds(ticks)
        if earliest < span.start or latest >= span.end:
            batch = batch.filter(pc.and_(pc.greater_equal(ticks, span.start), pc.less(ticks, span.end)))
            if batch.num_rows == 0:
                return
            earliest, _ = _bounds(batch.column(TICK_COLUMN))
        if earliest < self._final_before:
            raise OutOfOrder
        table = pa.Table.from_batches([batch])
        self._in_order = (
            (self._in_order or not self._held)
            and (not self._held or _follows(self._held[-1], table))
            and _is_ascending(batch)
        )
        self._held.append(table)

    def newest(self) -> int | None:
        """The latest tick held, None when nothing is."""
        if not self._held:
            return None
        if self._in_order:
            return int(self._held[-1][TICK_COLUMN][-1].as_py())
        return max(int(pc.max(table[TICK_COLUMN]).as_py()) for table in self._held)

    def rows(self) -> int:
        """Distinct rows seen so far."""
        self._sort()
        held: int = sum(table.num_rows for table in self._held)
        return self._final_rows + held

    def drop_held(self) -> None:
        """Forget what is not final yet."""
        self._held = []

    def finish_before(self, tick: int) -> pa.Table | None:
        """Make every row before ``tick`` final and hand it on, sorted; None when there is none."""
        self._final_before = max(self._final_before, tick)
        self._sort()
        done: list[pa.Table] = []
        rest: list[pa.Table] = []
        for table in self._held:
            ticks = table[TICK_COLUMN]
            before = table.num_rows if ticks[-1].as_py() < tick else pc.sum(pc.less(ticks, tick)).as_py()
            if before:
                done.append(table.slice(0, before))
            if before < table.num_rows:
                rest.append(table.slice(before))
        self._held = rest
        if not done:
            return None
        self._final_rows += sum(table.num_rows for table in done)
        return pa.concat_tables(done)

    def _sort(self) -> None:
        """Bring the rows held into order, each once; rows of equal time and id may still follow each other."""
        if self._in_order or not self._held:
            return
        table = pa.concat_tables(self._held).combine_chunks()
        self._held = [
            self._settle_ties(table.sort_by([(TICK_COLUMN, "ascending"), (ID_COLUMN, "ascending")]))
        ]
        self._in_order = True

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


def _bounds(ticks: pa.Int64Array) -> tuple[int, int]:
    bounds: dict[str, int] = pc.min_max(ticks).as_py()
    return bounds["min"], bounds["max"]


def _follows(table: pa.Table, after: pa.Table) -> bool:
    """Whether the first row of ``after`` comes after the last of ``table`` by time, or else by id."""
    last, first = table[TICK_COLUMN][-1].as_py(), after[TICK_COLUMN][0].as_py()
    if last != first:
        return bool(last < first)
    ids = table[ID_COLUMN][-1].as_py(), after[ID_COLUMN][0].as_py()
    return None not in ids and bool(ids[0] < ids[1])


def _is_ascending(batch: pa.RecordBatch) -> bool:
    """Whether time and id strictly ascend; rows of one time without an id do not."""
    if batch.num_rows < 2:
        return True
    ticks = batch.column(TICK_COLUMN)
    before, after = ticks[:-1], ticks[1:]
    if not pc.all(pc.less_equal(before, after)).as_py():
        return False
    tied = pc.equal(before, after)
    if not pc.any(tied).as_py():
        return True
    ids = batch.column(ID_COLUMN)
    ascending = pc.less(ids[:-1].filter(tied), ids[1:].filter(tied))
    return ascending.null_count == 0 and bool(pc.all(ascending).as_py())


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
