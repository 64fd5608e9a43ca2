"""Twins: rows of one instant that differ in nothing but their identity."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from logferry.proof.twins import MOST_CHECKED, Twin, TwinWatch, chosen, ids_digest, twin_ticks
from logferry.sources.base import ID_COLUMN, TICK_COLUMN

Row = tuple[int, str | None, Any]


def table(rows: list[Row], kind: pa.DataType | None = None) -> pa.Table:
    ordered = sorted(rows, key=lambda row: row[0])
    ids = pa.array([row[1] for row in ordered], pa.string())
    return pa.table(
        {
            "id": ids,
            "value": pa.array([row[2] for row in ordered], kind or pa.string()),
            TICK_COLUMN: pa.array([row[0] for row in ordered], pa.int64()),
            ID_COLUMN: ids,
        }
    )


def slowly(rows: list[Row]) -> list[int]:
    found = set()
    for at, (tick, id_, value) in enumerate(rows):
        for other_tick, other_id, other_value in rows[at + 1 :]:
            if (tick, value) == (other_tick, other_value) and (id_ != other_id or id_ is None):
                found.add(tick)
    return sorted(found)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.none() | st.sampled_from("abc"), st.none() | st.sampled_from("xy"))
    )
)
def test_twins_are_rows_of_one_tick_and_content_with_several_identities_or_none(rows: list[Row]) -> None:
    assert twin_ticks(table(rows)) == slowly(rows)


def test_every_kind_of_column_is_compared() -> None:
    texts = pa.list_(pa.string())
    assert twin_ticks(table([(1, "a", ["x", "y"]), (1, "b", ["x", "y"])], texts)) == [1]
    assert twin_ticks(table([(1, "a", ["x", "y"]), (1, "b", ["x\x1fy"])], texts)) == []
    assert twin_ticks(table([(1, "a", []), (1, "b", None)], texts)) == []
    assert twin_ticks(table([(1, "a", float("nan")), (1, "b", float("nan"))], pa.float64())) == [1]
    assert twin_ticks(table([(1, "a", 0.5), (1, "b", 0.25)], pa.float64())) == []
    assert twin_ticks(table([(1, "a", True), (1, "b", True), (1, "c", None)], pa.bool_())) == [1]


def test_the_digest_is_of_all_identities_of_a_tick_in_any_order() -> None:
    rows: list[Row] = [(1, "a", "x"), (1, "b", "x"), (1, "c", "y"), (2, "d", "x")]
    mixed = random.Random(1).sample(rows, len(rows))
    assert ids_digest(table(rows), 1) == ids_digest(table(mixed), 1)
    assert ids_digest(table(rows), 1) != ids_digest(table(rows[:2]), 1)
    assert ids_digest(table([(1, None, "x")]), 1) != ids_digest(table([(1, "", "x")]), 1)
    assert ids_digest(None, 1) == ids_digest(table(rows), 9)


def test_the_sample_of_many_twins_is_bounded_and_the_same_every_time() -> None:
    def watched(step: int) -> TwinWatch:
        watch = TwinWatch(seed=7)
        rows: list[Row] = [(tick, id_, "x") for tick in range(200) for id_ in "ab"]
        for at in range(0, len(rows), step):
            watch.look(table(rows[at : at + step]))
        return watch

    one, other = watched(400), watched(20)
    assert one.found == other.found == 200
    assert one.sample == other.sample
    assert len(one.sample) == MOST_CHECKED
    assert chosen(one.sample, 3) == sorted(one.sample, key=lambda twin: twin.tick)
    many = [Twin(tick, "") for tick in range(99)]
    assert len(chosen(many, 3)) == MOST_CHECKED
    assert chosen(many, 3) == chosen(reversed(many), 3)
