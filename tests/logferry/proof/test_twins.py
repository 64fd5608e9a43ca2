"""Twins: rows of one instant that differ in nothing but their identity."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from logferry.proof.twins import IdentityDigest, Twins, TwinWatch, twin_ticks
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
            if (tick, value) == (other_tick, other_value) and None not in (id_, other_id) and id_ != other_id:
                found.add(tick)
    return sorted(found)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.none() | st.sampled_from("abc"), st.none() | st.sampled_from("xy"))
    )
)
def test_twins_are_rows_of_one_tick_and_content_with_several_identities(rows: list[Row]) -> None:
    assert twin_ticks(table(rows)) == slowly(rows)


def test_rows_without_identities_are_no_twins() -> None:
    assert twin_ticks(table([(1, None, "x"), (1, None, "x"), (1, "a", "x")])) == []


def test_every_kind_of_column_is_compared() -> None:
    texts = pa.list_(pa.string())
    assert twin_ticks(table([(1, "a", ["x", "y"]), (1, "b", ["x", "y"])], texts)) == [1]
    assert twin_ticks(table([(1, "a", ["x", "y"]), (1, "b", ["x\x1fy"])], texts)) == []
    assert twin_ticks(table([(1, "a", []), (1, "b", None)], texts)) == []
    assert twin_ticks(table([(1, "a", float("nan")), (1, "b", float("nan"))], pa.float64())) == [1]
    assert twin_ticks(table([(1, "a", 0.5), (1, "b", 0.25)], pa.float64())) == []
    assert twin_ticks(table([(1, "a", True), (1, "b", True), (1, "c", None)], pa.bool_())) == [1]


def watched(rows: list[Row], *, page: int, tick: int = 1, cuts: Sequence[int] = ()) -> Twins | None:
    """What is found in the rows, handed on up to each of the ticks ``cuts`` at a time."""
    watch = TwinWatch(tick, page)
    edges = [0, *sorted({cut // tick * tick for cut in cuts}), 1 << 40]
    for start, end in pairwise(edges):
        watch.look(table([row for row in rows if start <= row[0] < end]))
    return watch.twins[0] if watch.twins else None


def digest_of(rows: list[Row]) -> str:
    digest = IdentityDigest()
    digest.add(table(rows))
    return digest.digest()


# Ticks of one row or several, and pairs of twins, as dense or sparse as they come.
rows_at = st.tuples(st.integers(0, 400), st.sampled_from([1, 1, 1, 1, 5, 30]), st.booleans())


@given(
    st.lists(rows_at, max_size=120),
    st.integers(1, 40),
    st.sampled_from([1, 10]),
    st.lists(st.integers(0, 400), max_size=9),
)
def test_all_twins_are_looked_at_again_for_no_more_pages_than_their_part_and_one(
    found: list[tuple[int, int, bool]], page: int, tick: int, cuts: list[int]
) -> None:
    rows: list[Row] = []
    for number, (at, count, twins) in enumerate(found):
        rows += [(at, f"{number:03}-{row:03}", f"{number}-{row}") for row in range(count)]
        rows += [(at, f"{number:03}-{side}", f"twin {number}") for side in "ab" if twins]
    rows.sort()
    twins_ = watched(rows, page=page, tick=tick, cuts=cuts)
    at_ticks = twin_ticks(table(rows))
    if twins_ is None:
        assert at_ticks == []
        return
    assert twins_.ticks == len(at_ticks)
    spans = [span.window() for span in twins_.spans]
    assert all(sum(at in span for span in spans) == 1 for at in at_ticks)
    assert all(one.end <= two.start for one, two in pairwise(spans))
    assert all(edge % tick == 0 for span in spans for edge in (span.start, span.end))
    inside = [[row for row in rows if row[0] in span] for span in spans]
    assert [span.rows for span in twins_.spans] == [len(some) for some in inside]
    assert sum(-(-len(some) // page) for some in inside) <= -(-len(rows) // page) + 1
    assert twins_.digest == digest_of([row for some in inside for row in some])
    assert twins_ == watched(rows, page=page, tick=tick)


def test_the_spans_begin_elsewhere_than_the_pages_did() -> None:
    rows: list[Row] = [(at, f"{at:04}-{side}", "x") for at in range(50) for side in "ab"]
    twins = watched(rows, page=10)
    assert twins is not None
    assert [(span.start, span.end, span.rows) for span in twins.spans] == [(0, 2, 4), (2, 50, 96)]


def test_the_digest_is_of_times_and_identities_and_not_of_what_else_the_rows_hold() -> None:
    rows: list[Row] = [(1, "a", "x"), (1, "b", "x"), (2, "c", "y")]
    assert digest_of(rows) == digest_of([(at, id_, "z") for at, id_, _ in rows])
    assert digest_of(rows) != digest_of([(1, "a", "x"), (1, "b", "x"), (1, "c", "y")])
    assert digest_of(rows) != digest_of([(1, "a", "x"), (1, "B", "x"), (2, "c", "y")])
    assert digest_of([(1, None, "x")]) != digest_of([(1, "", "x")])
