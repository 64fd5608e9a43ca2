"""Plans: slices with their counts, cut into chunks that are exactly the window again."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from logferry.fetching.answer_size import ANSWER_BYTES, AnswerSize
from logferry.plan import Chunk, Plan, SlicePlan, estimate_bytes, estimate_requests, slice_plans
from logferry.records.manifest import FileEntry, Span
from logferry.sources.base import LogSource, SizedCount, SourceColumn, SourceSchema
from logferry.window import TICK_PER_HOUR, Window, parse_instant

START = parse_instant("2026-11-20T00:00:00Z")
SCHEMA = SourceSchema((SourceColumn("id", "string", "id", "json"),), has_id=True)


def size_of(rows: int) -> AnswerSize:
    """Of answers that hold so many rows."""
    size = AnswerSize(cast(LogSource, SimpleNamespace(answer_rows=10**9)))
    size.came(1, int(ANSWER_BYTES * 0.9) // rows)
    assert size.rows_of(None) == rows
    return size


def plan_of(counts: list[int] | None, slices: int) -> Plan:
    window = Window(START, START + slices * TICK_PER_HOUR)
    by_bin = (
        None
        if counts is None
        else SizedCount({START + at * TICK_PER_HOUR: rows for at, rows in enumerate(counts) if rows})
    )
    planned = slice_plans(window, TICK_PER_HOUR, by_bin, bin_ticks=TICK_PER_HOUR, size=size_of(50_000))
    return Plan(
        export="web",
        window=Span.of(window),
        started_at="2026-11-22T00:00:00Z",
        counted_at="2026-11-22T00:00:00Z",
        rows=None if counts is None else sum(counts),
        requests=0,
        bytes=None,
        eta_s=None,
        slices=planned,
        schema=SCHEMA,
        spent={"count": 1},
        fingerprint="sha256:f",
    )


@given(
    st.lists(st.one_of(st.just(0), st.integers(0, 10), st.integers(0, 2_000_000)), min_size=1, max_size=60),
    st.booleans(),
    st.integers(1, 30),
    st.integers(1, 500_000),
)
def test_chunks_are_exactly_the_windows_slices_in_order(
    counts: list[int], counted: bool, most: int, rows_per_chunk: int
) -> None:
    plan = plan_of(counts if counted else None, len(counts))
    chunks = plan.chunks(most, rows_per_chunk)
    assert [planned for chunk in chunks for planned in chunk.slices] == plan.slices
    assert 1 <= len(chunks) <= most
    assert all(chunk.slices for chunk in chunks)
    assert [chunk.requests for chunk in chunks] == [{"count": 1}] + [{}] * (len(chunks) - 1)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30) | st.none())
def test_plans_and_chunks_survive_json(counts: list[int] | None) -> None:
    plan = plan_of(counts, len(counts) if counts else 3)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    for chunk in plan.chunks(4, 2):
        assert Chunk.from_json(json.loads(json.dumps(chunk.to_json()))) == chunk


def test_an_empty_window_still_has_a_chunk_with_all_its_slices() -> None:
    (chunk,) = plan_of([0] * 24, 24).chunks()
    assert len(chunk.slices) == 24
    assert chunk.label == "2026-11-20T00:00:00Z/2026-11-21T00:00:00Z"


def planned_by(
    counts: dict[int, int] | None,
    bin_ticks: int,
    piece_rows: int = 100,
    sizes: dict[int, int] | None = None,
) -> list[SlicePlan]:
    window = Window(START, START + 2 * TICK_PER_HOUR)
    counted = None if counts is None else SizedCount(counts, sizes or {})
    return slice_plans(window, TICK_PER_HOUR, counted, bin_ticks=bin_ticks, size=size_of(piece_rows))


def test_a_slice_that_is_not_counted_is_empty_and_one_of_no_count_is_unknown() -> None:
    assert [planned.rows for planned in planned_by({START: 3}, TICK_PER_HOUR)] == [3, 0]
    assert [planned.rows for planned in planned_by(None, TICK_PER_HOUR)] == [None, None]


def test_only_slices_denser_than_a_piece_keep_their_bins() -> None:
    quarter = TICK_PER_HOUR // 4
    counts = {START: 60, START + 3 * quarter: 40, START + 4 * quarter: 60, START + 7 * quarter: 41}
    first, second = planned_by(counts, quarter)
    assert (first.rows, first.bins) == (100, None)
    assert (second.rows, second.bins) == (101, [60, 0, 0, 41])
    assert "bins" not in Plan.to_json(plan_of([1], 1))["slices"][0]


def test_rows_that_are_reckoned_large_keep_their_bins_and_small_ones_need_none() -> None:
    quarter = TICK_PER_HOUR // 4
    counts = {START: 40, START + quarter: 20, START + 4 * quarter: 900}
    sizes = {START: 40_000_000, START + quarter: 26_000_000, START + 4 * quarter: 900_000}
    first, second = planned_by(counts, quarter, sizes=sizes)
    assert (first.rows, first.row_bytes, first.bins) == (60, 1_100_000, [40, 20, 0, 0])
    assert (second.rows, second.row_bytes, second.bins) == (900, 1_000, None)
    capped = cast(LogSource, SimpleNamespace(page_rows=500_000, answer_rows=500_000))
    assert estimate_requests(capped, [first, second]) == 2 + 1
    assert estimate_bytes([first, second], row_bytes=5.0) == 66_900_000


def test_where_a_cursor_goes_on_slices_of_more_than_a_page_keep_their_bins() -> None:
    sixth = TICK_PER_HOUR // 6
    counts = {START + at * sixth: 347 for at in range(6)} | {START + 6 * sixth: 1_000}
    paged = AnswerSize(cast(LogSource, SimpleNamespace(answer_rows=None, page_rows=1_000)))
    window = Window(START, START + 2 * TICK_PER_HOUR)
    first, second = slice_plans(window, TICK_PER_HOUR, SizedCount(counts), bin_ticks=sixth, size=paged)
    assert (first.rows, first.bins) == (2_082, [347] * 6)
    assert (second.rows, second.bins) == (1_000, None)


@given(st.lists(st.integers(0, 900), min_size=60, max_size=60))
def test_bins_are_as_coarse_as_still_cuts_well_and_hold_all_rows(rows: list[int]) -> None:
    minute = TICK_PER_HOUR // 60
    first, _ = planned_by({START + at * minute: count for at, count in enumerate(rows)}, minute, 9_000)
    assert first.rows == sum(rows)
    if sum(rows) > 9_000:
        assert first.bins is not None
        assert sum(first.bins) == sum(rows)
        assert len(first.bins) == 60 or max(first.bins) <= 900


def test_where_an_answer_may_hold_less_than_is_said_a_slice_of_one_keeps_a_few_bins() -> None:
    minute = TICK_PER_HOUR // 60
    counts = {START + at * minute: at for at in range(60)} | {
        START + (60 + at) * minute: 8 for at in range(60)
    }
    first, second = planned_by(counts, minute, 9_000)
    assert (first.rows, first.bins) == (1_770, [sum(range(at, at + 5)) for at in range(0, 60, 5)])
    assert (second.rows, second.bins) == (480, None)


def test_requests_are_full_answers_and_one_where_nothing_is_known() -> None:
    paged = cast(LogSource, SimpleNamespace(page_rows=1000, answer_rows=None))
    assert estimate_requests(paged, plan_of([0, 1, 1000, 1001], 4).slices) == 0 + 1 + 1 + 2
    assert estimate_requests(paged, plan_of(None, 4).slices) == 4
    capped = cast(LogSource, SimpleNamespace(page_rows=100, answer_rows=100))
    assert estimate_requests(capped, plan_of([0, 98, 99], 3).slices) == 0 + 1 + 2


def test_slices_that_are_kept_cost_no_request_and_no_share_of_a_chunk() -> None:
    plan = plan_of([500, 500, 500, 500], 4)
    file = FileEntry(key="k", rows=500, bytes=1, sha256="s", row_hash="r", min_time=None, max_time=None)
    kept = [msgspec.structs.replace(planned, kept=file, kept_notes={"n": 1}) for planned in plan.slices[:3]]
    plan = msgspec.structs.replace(plan, slices=[*kept, plan.slices[3]])
    paged = cast(LogSource, SimpleNamespace(page_rows=100, answer_rows=None))
    assert estimate_requests(paged, plan.slices) == 5
    (chunk,) = plan.chunks(4, 500)
    assert Chunk.from_json(json.loads(json.dumps(chunk.to_json()))) == chunk
