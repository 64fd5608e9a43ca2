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


ids = st.none() | st.sampled_from("abcdef")
pages = st.lists(
    st.lists(st.tuples(st.integers(100, 112), ids, st.sampled_from("xy")), max_size=6), max_size=6
)


def by_time_then_id(row: Row) -> tuple[int, bool, str, str]:
    return row[0], row[1] is None, row[1] or "", row[2]


def as_plain_python(rows: list[Row]) -> list[Row]:
    """The rows sorted by time, then id, those without one last; a repeated (time, id) once, as it came first."""
    seen: dict[tuple[int, str], Row] = {}
    nameless = []
    for row in rows:
        if row[1] is None:
            nameless.append(row)
        else:
            seen.setdefault((row[0], row[1]), row)
    return sorted([*seen.values(), *nameless], key=by_time_then_id)


@given(pages, st.booleans())
def test_pages_in_ascending_time_give_what_plain_python_gives(
    arriving: list[list[Row]], sort_ids: bool
) -> None:
    every = sorted((row for page in arriving for row in page), key=lambda row: row[0])
    if sort_ids:
        every = sorted(every, key=by_time_then_id)
    collected = SliceRows(SLICE, unique_ids=True)
    kept: list[Row] = []
    for page in arriving:
        part, every = every[: len(page)], every[len(page) :]
        collected.add(batch(part), SLICE)
        newest = collected.newest()
        if newest is not None:
            kept += drained(collected, newest)
            assert collected.newest() == newest
        assert collected.rows() == len(as_plain_python([*kept, *held(collected)]))
    kept += drained(collected)
    # Which of two rows with one time and id stays is not said: a source with unique ids has no such two.
    assert [row[:2] for row in kept] == [
        row[:2] for row in as_plain_python([row for page in arriving for row in page])
    ]


def held(rows: SliceRows) -> list[Row]:
    tables = [table.to_pylist() for table in rows._held]
    return [(row[TICK_COLUMN], row[ID_COLUMN], row["value"]) for table in tables for row in table]


def test_sorted_pages_are_handed_on_without_being_copied() -> None:
    pages = [batch([(110, "a", ""), (120, "b", ""), (120, "c", "")]), batch([(120, "d", ""), (130, "a", "")])]
    rows = SliceRows(SLICE, unique_ids=True)
    for page in pages:
        rows.add(page, SLICE)
    table = rows.finish_before(SLICE.end)
    assert table is not None
    mine = [page.column(TICK_COLUMN).buffers()[1].address for page in pages]
    assert [chunk.buffers()[1].address for chunk in table[TICK_COLUMN].chunks] == mine


def test_times_too_far_apart_for_their_difference_to_be_told_do_not_pass_for_ascending() -> None:
    far, year_one = 9_223_372_036_854_770_000, -621_355_968_000_000_000
    rows = SliceRows(SLICE, unique_ids=True)
    rows.add(batch([(far, "far", "x"), (year_one, "year one", "x"), (110, "a", "x"), (120, "b", "x")]), SLICE)
    assert drained(rows) == [(110, "a", "x"), (120, "b", "x")]
