"""The rows of one slice on their way to its file: cut to the slice, sorted by time then id, each once.

A source that answers in ascending time never needs more than its last tick in memory: everything before is final
and goes on. One that answers in no order is held until its span is complete.
"""

from __future__ import annotations

from bisect import bisect_left

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
        self._held: list[pa.RecordBatch] = []
        self._in_order = True
        """Whether the rows held are sorted already, from table to table too."""
        self._final_before = slice_.start
        self._final_rows = 0

    @property
    def final_before(self) -> int:
        """All rows before this tick have gone on; where a broken chain starts again."""
        return self._final_before

    @property
    def in_order(self) -> bool:
        """Whether what is held needs no sorting: making it final only cuts it then."""
        return self._in_order

    def add(self, batch: pa.RecordBatch, span: Window) -> None:
        """Take a page's rows; those outside ``span`` (a part of the slice) are dropped. Raises OutOfOrder."""
        if batch.num_rows == 0:
            return
        ticks = batch.column(TICK_COLUMN)
        least_step = _least_step(ticks)
        earliest, latest = _bounds(ticks, least_step)
        if earliest < span.start or latest >= span.end:
            batch = batch.filter(pc.and_(pc.greater_equal(ticks, span.start), pc.less(ticks, span.end)))
            if batch.num_rows == 0:
                return
            earliest, _ = _bounds(batch.column(TICK_COLUMN), least_step)
        if earliest < self._final_before:
            raise OutOfOrder
        self._in_order = (
            (self._in_order or not self._held)
            and (not self._held or _follows(self._held[-1], batch))
            and (least_step > 0 or (least_step == 0 and _ties_ascend(batch)))
        )
        self._held.append(batch)

    def newest(self) -> int | None:
        """The latest tick held, None when nothing is."""
        if not self._held:
            return None
        if self._in_order:
            return int(self._held[-1][TICK_COLUMN][-1].as_py())
        return max(int(pc.max(batch.column(TICK_COLUMN)).as_py()) for batch in self._held)

    def rows(self) -> int:
        """Distinct rows seen so far."""
        self._sort()
        held: int = sum(batch.num_rows for batch in self._held)
        return self._final_rows + held

    def drop_held(self) -> None:
        """Forget what is not final yet."""
        self._held = []

    def finish_before(self, tick: int) -> pa.Table | None:
        """Make every row before ``tick`` final and hand it on, sorted; None when there is none."""
        self._final_before = max(self._final_before, tick)
        self._sort()
        done: list[pa.RecordBatch] = []
        rest: list[pa.RecordBatch] = []
        for batch in self._held:
            before = _rows_before(batch, tick)
            if before == batch.num_rows:
                done.append(batch)
            elif before == 0:
                rest.append(batch)
            else:
                done.append(batch.slice(0, before))
                rest.append(batch.slice(before))
        self._held = rest
        if not done:
            return None
        self._final_rows += sum(batch.num_rows for batch in done)
        return pa.Table.from_batches(done)

    def _sort(self) -> None:
        """Bring the rows held into order, each once; rows of equal time and id may still follow each other."""
        if self._in_order or not self._held:
            return
        table = pa.Table.from_batches(self._held).combine_chunks()
        ordered = table.sort_by([(TICK_COLUMN, "ascending"), (ID_COLUMN, "ascending")])
        self._held = self._settle_ties(ordered).to_batches()
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


def _least_step(ticks: pa.Int64Array) -> int:
    """The least difference of a tick and the one before: negative where they do not ascend, 0 where some are tied."""
    if len(ticks) < 2:
        return 1
    try:
        return int(pc.min(pc.pairwise_diff_checked(ticks)).as_py())
    except pa.ArrowInvalid:  # farther apart than an int64 can tell: at least one lies outside every slice
        return -1


def _bounds(ticks: pa.Int64Array, least_step: int) -> tuple[int, int]:
    if least_step >= 0:
        return ticks[0].as_py(), ticks[-1].as_py()
    bounds: dict[str, int] = pc.min_max(ticks).as_py()
    return bounds["min"], bounds["max"]


def _rows_before(batch: pa.RecordBatch, tick: int) -> int:
    """How many rows of a batch in ascending time lie before the tick."""
    ticks = batch.column(TICK_COLUMN)
    if ticks[-1].as_py() < tick:
        return int(batch.num_rows)
    return bisect_left(range(batch.num_rows), tick, key=lambda row: int(ticks[row].as_py()))


def _follows(batch: pa.RecordBatch, after: pa.RecordBatch) -> bool:
    """Whether the first row of ``after`` comes after the last of ``batch`` by time, or else by id."""
    last, first = batch.column(TICK_COLUMN)[-1].as_py(), after.column(TICK_COLUMN)[0].as_py()
    if last != first:
        return bool(last < first)
    ids = batch.column(ID_COLUMN)[-1].as_py(), after.column(ID_COLUMN)[0].as_py()
    return None not in ids and bool(ids[0] < ids[1])


def _ties_ascend(batch: pa.RecordBatch) -> bool:
    """Whether the ids of rows with one time strictly ascend; without an id they do not."""
    ticks, ids = batch.column(TICK_COLUMN), batch.column(ID_COLUMN)
    tied = pc.equal(ticks[:-1], ticks[1:])
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
