"""The rows of a slice on their way: cut, sorted, each once."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.fetching.rows import OutOfOrder, SliceRows
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.window import Window

SLICE = Window(100, 200)
Row = tuple[int, str | None, str]
some_rows = st.lists(
    st.tuples(st.integers(95, 205), st.none() | st.sampled_from("abc"), st.sampled_from("xy")), max_size=25
)


def batch(rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.array([row[2] for row in rows], pa.string()),
            pa.array([row[0] for row in rows], pa.int64()),
            pa.array([row[1] for row in rows], pa.string()),
        ],
        names=["value", TICK_COLUMN, ID_COLUMN],
    )


def drained(rows: SliceRows, tick: int = SLICE.end) -> list[Row]:
    table = rows.finish_before(tick)
    records: list[dict[str, Any]] = [] if table is None else table.to_pylist()
    return [(row[TICK_COLUMN], row[ID_COLUMN], row["value"]) for row in records]


@given(some_rows, st.randoms(use_true_random=False), st.integers(1, 7))
def test_the_order_of_arrival_leaves_no_trace(rows: list[Row], dice: random.Random, size: int) -> None:
    def through(arriving: list[Row]) -> list[Row]:
        collected = SliceRows(SLICE, unique_ids=False)
        for at in range(0, len(arriving), size):
            collected.add(batch(arriving[at : at + size]), SLICE)
        return drained(collected)

    shuffled = dice.sample(rows, len(rows))
    assert through(shuffled) == through(rows)
    assert sorted(through(rows), key=str) == sorted((row for row in rows if row[0] in SLICE), key=str)


@given(some_rows)
def test_a_repeated_id_is_the_same_row_where_ids_are_unique(rows: list[Row]) -> None:
    collected = SliceRows(SLICE, unique_ids=True)
    collected.add(batch(rows), SLICE)
    collected.add(batch(rows), SLICE)
    kept = drained(collected)
    named = [(tick, id_) for tick, id_, _ in kept if id_ is not None]
    assert sorted(named) == sorted(
        {(row[0], row[1]) for row in rows if row[0] in SLICE and row[1] is not None}
    )
    assert sum(id_ is None for _, id_, _ in kept) == 2 * sum(
        row[1] is None and row[0] in SLICE for row in rows
    )


def test_rows_before_a_finished_tick_are_out_of_order() -> None:
    rows = SliceRows(SLICE, unique_ids=True)
    rows.add(batch([(110, "a", ""), (120, "b", "")]), SLICE)
    assert [row[0] for row in drained(rows, 120)] == [110]
    rows.add(batch([(120, "c", "")]), SLICE)
    with pytest.raises(OutOfOrder):
        rows.add(batch([(119, "d", "")]), SLICE)


def test_rows_are_counted_once_before_and_after_they_are_final() -> None:
    rows = SliceRows(SLICE, unique_ids=True)
    rows.add(batch([(110, "a", ""), (110, "a", ""), (130, "b", "")]), SLICE)
    assert rows.rows() == 2
    assert len(drained(rows, 120)) == 1
    assert rows.rows() == 2
    assert rows.newest() == 130


def test_dropping_what_is_held_keeps_what_is_final() -> None:
    rows = SliceRows(SLICE, unique_ids=True)
    rows.add(batch([(110, "a", ""), (130, "b", "")]), SLICE)
    drained(rows, 120)
    rows.drop_held()
    assert (rows.rows(), rows.newest(), rows.final_before) == (1, None, 120)
