"""Plans: slices with their counts, cut into chunks that are exactly the window again."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from logferry.manifest import Span
from logferry.plan import Chunk, Plan, estimate_requests, slice_plans
from logferry.sources.base import LogSource, SourceColumn, SourceSchema
from logferry.window import TICK_PER_HOUR, Window, parse_instant

START = parse_instant("2026-11-20T00:00:00Z")
SCHEMA = SourceSchema((SourceColumn("id", "string", "id", "json"),), has_id=True)


def plan_of(counts: list[int] | None, slices: int) -> Plan:
    window = Window(START, START + slices * TICK_PER_HOUR)
    by_bin = (
        None
        if counts is None
        else {START + at * TICK_PER_HOUR: rows for at, rows in enumerate(counts) if rows}
    )
    planned = slice_plans(window, TICK_PER_HOUR, by_bin)
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


def test_a_slice_that_is_not_counted_is_empty_and_one_of_no_count_is_unknown() -> None:
    window = Window(START, START + 2 * TICK_PER_HOUR)
    assert [planned.rows for planned in slice_plans(window, TICK_PER_HOUR, {START: 3})] == [3, 0]
    assert [planned.rows for planned in slice_plans(window, TICK_PER_HOUR, None)] == [None, None]


def test_requests_are_full_pages_and_one_where_nothing_is_known() -> None:
    source = cast(LogSource, SimpleNamespace(page_rows=1000))
    assert estimate_requests(source, plan_of([0, 1, 1000, 1001], 4).slices) == 0 + 1 + 1 + 2
    assert estimate_requests(source, plan_of(None, 4).slices) == 4
