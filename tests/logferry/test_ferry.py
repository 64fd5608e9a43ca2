"""The ferry and its publications: no path ends with fewer or doubled rows that are called proven."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from tests.logferry.harbour import START, WINDOW, DirectClient, Harbour, MemorySource, results_of, statuses

from logferry.errors import CountUnavailable, DefinitionError
from logferry.ferry import Ferry, Run
from logferry.fetching.lanes import Lanes
from logferry.http import Client
from logferry.plan import Chunk, Plan
from logferry.publishing.published_object import published_row_hash
from logferry.publishing.results import ChunkResult
from logferry.sources.base import LogSource
from logferry.window import TICK_PER_HOUR, Window, format_instant


def test_a_window_with_empty_slices_is_proven(harbour: Harbour) -> None:
    manifest = harbour.carry()
    assert (manifest.status, manifest.rows, manifest.source_rows) == ("proven", 10, 10)
    assert [entry.rows for entry in manifest.slices] == [3, 2, 0, 5]
    assert harbour.ids(3) == [f"3-{number}" for number in range(5)]
    assert harbour.ids(2) == []
    assert harbour.keys("_staging/") == []
    assert manifest.slices[2].file.min_time is None


def test_files_say_what_the_manifest_says(harbour: Harbour) -> None:
    manifest = harbour.carry()
    for entry in manifest.files:
        info = harbour.store.head(entry.key)
        assert info is not None
        assert info.size == entry.bytes
        assert published_row_hash(harbour.store, entry.key) == entry.row_hash


def test_plan_export_publish_through_json_is_the_same_as_carrying(harbour: Harbour) -> None:
    def again(value: Any) -> Any:
        return type(value).from_json(json.loads(json.dumps(value.to_json())))

    carried = harbour.carry()
    before = harbour.states()
    plan: Plan = again(harbour.ferry().plan(WINDOW))
    chunks: list[Chunk] = [again(chunk) for chunk in plan.chunks(4, 2)]
    assert len(chunks) > 1
    results: list[ChunkResult] = [again(harbour.ferry().export(chunk)) for chunk in chunks]
    published = harbour.ferry().publish(WINDOW, list(reversed(results)))
    assert [(entry.status, entry.rows, entry.file) for entry in published.slices] == [
        (entry.status, entry.rows, entry.file) for entry in carried.slices
    ]
    assert harbour.states() == before


def test_rows_that_come_between_fetch_and_proof_are_fetched_again(harbour: Harbour) -> None:
    def late(counts: dict[int, int]) -> dict[int, int]:
        if harbour.source.counts == 2:
            harbour.source.rows[1].append("late")
            counts[START + TICK_PER_HOUR] += 1
        return counts

    harbour.source.count_hook = late
    manifest = harbour.carry()
    assert (manifest.status, manifest.rows) == ("proven", 11)
    assert harbour.ids(1)[-1] == "late"


def test_rows_that_come_into_a_slice_planned_empty_are_fetched(harbour: Harbour) -> None:
    def late(counts: dict[int, int]) -> dict[int, int]:
        if harbour.source.counts == 1:
            harbour.source.rows[2] = ["late"]
        return counts

    harbour.source.count_hook = late
    assert harbour.carry().status == "proven"
    assert harbour.ids(2) == ["late"]


def test_rows_the_source_never_gives_make_the_window_short_with_both_numbers(harbour: Harbour) -> None:
    harbour.source.page_hook = lambda span, rows: rows[1:]
    manifest = harbour.carry()
    assert (manifest.status, manifest.rows, manifest.source_rows) == ("short", 7, 10)
    assert statuses(manifest) == ["short", "short", "proven", "short"]


def test_doubled_rows_without_an_id_are_never_proven(harbour: Harbour) -> None:
    harbour.source.page_hook = lambda span, rows: [
        (tick, cast(str, None)) for tick, _ in rows for _ in (1, 2)
    ]
    manifest = harbour.carry()
    assert (manifest.status, manifest.rows) == ("short", 20)


def test_a_count_with_coarser_bins_than_asked_proves_no_slice_empty(harbour: Harbour) -> None:
    """Two hours' rows reported under the first: the second would look empty, and be skipped."""
    harbour.source.rows = {0: [], 1: ["a", "b"], 2: ["c"], 3: []}
    pairs = {START: 2, START + 2 * TICK_PER_HOUR: 1}
    harbour.source.count_hook = lambda counts: dict(pairs)
    manifest = harbour.carry()
    assert manifest.status == "short"
    assert statuses(manifest)[1] == "short"
    assert harbour.ids(1) == ["a", "b"]


def test_a_count_is_as_old_as_the_moment_it_began(harbour: Harbour) -> None:
    began = []

    def slow(counts: dict[int, int]) -> dict[int, int]:
        began.append(format_instant(harbour.clock.now()))
        harbour.clock.sleep(600)
        return counts

    harbour.source.count_hook = slow
    ferry = harbour.ferry()
    plan = ferry.plan(WINDOW)
    (chunk,) = plan.chunks()
    result = ferry.export(chunk)
    assert [plan.counted_at, *{entry.counted_at for entry in result.slices}] == began


def test_a_definition_that_changed_after_the_plan_is_not_published_as_the_new_one(harbour: Harbour) -> None:
    (chunk,) = harbour.ferry().plan(WINDOW).chunks()
    result = harbour.ferry().export(chunk)
    harbour.source.query = "service:other"
    with pytest.raises(DefinitionError, match="changed after this window was planned"):
        harbour.ferry().export(chunk)
    with pytest.raises(DefinitionError, match="changed after this window was planned"):
        harbour.ferry().publish(WINDOW, [result])
    assert harbour.keys("web/") == harbour.keys("_manifests/") == []


def test_a_fetch_whose_planned_numbers_cannot_be_confirmed_goes_to_the_end(harbour: Harbour) -> None:
    """The plan was counted, late rows came, and then the permission to count went away."""

    def once(counts: dict[int, int]) -> dict[int, int]:
        if harbour.source.counts > 1:
            raise CountUnavailable("no permission")
        harbour.source.rows = MemorySource({0: 3, 1: 2, 2: 4, 3: 5}).rows
        return counts

    harbour.source.count_hook = once
    manifest = harbour.carry()
    assert manifest.status == "unproven"
    assert [entry.rows for entry in manifest.slices] == [3, 2, 4, 5]


def test_a_part_of_a_published_window_can_be_published_again(harbour: Harbour) -> None:
    harbour.carry()
    harbour.source.rows[1].append("late")
    manifest = harbour.carry(Window(START + TICK_PER_HOUR, START + 2 * TICK_PER_HOUR))
    assert (manifest.status, manifest.rows, manifest.seq) == ("proven", 3, 4)
    assert harbour.carry().rows == 11


def test_discarding_results_removes_their_parts(harbour: Harbour) -> None:
    results = results_of(harbour)
    assert harbour.keys("_staging/") != []
    harbour.ferry().discard(results)
    assert harbour.keys("_staging/") == []


def test_a_ferry_tells_how_many_searches_may_be_under_way(harbour: Harbour) -> None:
    harbour.source.most_in_flight = 16
    found = [
        Ferry(
            harbour.spec,
            source=cast(LogSource, harbour.source),
            client=cast(Client, DirectClient()),
            store=harbour.store,
            run=Run("run"),
            clock=harbour.clock,
            in_flight=in_flight,
        ).most_in_flight
        for in_flight in (None, 3)
    ]
    assert found == [16, 3]


@pytest.mark.parametrize(("among", "lanes"), [(1, 5), (2, 2), (8, 1)])
def test_processes_that_export_beside_each_other_share_the_searches_in_flight(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch, among: int, lanes: int
) -> None:
    asked: list[int] = []

    class Counted(Lanes):
        def __init__(self, *given: Any, most: int, **options: Any) -> None:
            asked.append(most)
            super().__init__(*given, most=most, **options)

    monkeypatch.setattr("logferry.ferry.Lanes", Counted)
    harbour.source.most_in_flight = 5
    (chunk,) = harbour.ferry().plan(WINDOW).chunks()
    result = harbour.ferry().export(chunk, among=among)
    assert asked == [lanes]
    assert [entry.rows for entry in result.slices] == [3, 2, 0, 5]
