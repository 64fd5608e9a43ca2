"""Proof while several searches are under way: the same files as with one, whatever order the answers come in."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logferry.fetching.turnstile import Turnstile
from tests.logferry.memory_source import SCHEMA, DirectClient, Event, MemorySource
from tests.logferry.proof import test_prove
from tests.logferry.proof.test_prove import (
    HOURS,
    START,
    WINDOW,
    Pier,
    assert_all_proven,
    assert_truth_where_proven,
    burst,
    count_lies,
    events_at,
    layouts,
    lies,
    twin_pairs,
)
from tests.logferry.writing.test_resume import Shelf

from logferry.errors import FailedAnswer, SourceError, Unavailable
from logferry.fetching import lanes, line
from logferry.fetching.fetch import Fetcher
from logferry.fetching.pace import Pace
from logferry.http import Client
from logferry.proof.gather import Gatherer
from logferry.publishing.results import SliceResult
from logferry.sources.base import LogSource
from logferry.window import TICK_PER_HOUR, TICK_PER_MINUTE, TICK_PER_MS, TICK_PER_SECOND, Window
from logferry.writing import parts

small_pieces = test_prove.small_pieces


@pytest.fixture(autouse=True)
def all_lanes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pace, "lanes", lambda self, most, **_: most)
        patched.setattr(DirectClient, "requests_per_second", lambda self, bucket: 1_000.0)
        patched.setattr(lanes, "_PATIENCE_S", 60.0)
        yield


def lanes_alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lane-")]


def exported(source: MemorySource, seed: int, folder: str) -> tuple[Pier, list[SliceResult]]:
    pier = Pier(Path(folder), source)
    with Turnstile(seed) as turnstile:
        source.on_page = turnstile.pass_through
        entries = pier.export()
    assert lanes_alive() == []
    return pier, entries


def hashes(entries: list[SliceResult]) -> list[tuple[int, str]]:
    return [(entry.rows, entry.file.row_hash) for entry in entries]


# Two empty pages in a row are an end, three lost cursors or five failed answers in a row an error.
mending = st.permutations(
    ["none"] * 8 + ["lost", "repeat", "failed", "earlier", "duplicate", "shuffled", "unordered"]
)
seeds = st.integers(0, 10**6)
rooms = st.sampled_from([0, 2_000, 10**7])


# An answer of one row that fails cannot be asked for in halves.
@given(layouts, st.integers(2, 12), mending, st.integers(2, 6), seeds, rooms)
@settings(max_examples=25)
def test_the_files_are_those_of_one_request_at_a_time(
    events: list[Event], page_rows: int, faults: list[str], most: int, seed: int, room: int
) -> None:
    alone = MemorySource(events, page_rows=page_rows)
    together = MemorySource(events, page_rows=page_rows, faults=faults, most_in_flight=most)
    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as one, TemporaryDirectory() as other:
        patched.setattr(line, "MEMORY_BYTES", room)
        _, expected = exported(alone, 0, one)
        pier, entries = exported(together, seed, other)
        assert_all_proven(pier, entries)
        assert hashes(entries) == hashes(expected)


@given(layouts, st.integers(10, 60), st.integers(100, 2_000), st.integers(2, 5), seeds, rooms)
@settings(max_examples=15)
def test_capped_answers_make_the_same_files_too(
    events: list[Event], cap: int, most_bytes: int, most: int, seed: int, room: int
) -> None:
    capped: dict[str, Any] = {"answer_rows": cap, "most_bytes": most_bytes, "most_shares": 1024, "tick": 1}
    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as one, TemporaryDirectory() as other:
        patched.setattr(line, "MEMORY_BYTES", room)
        _, expected = exported(MemorySource(events, **capped), 0, one)
        pier, entries = exported(MemorySource(events, **capped, most_in_flight=most), seed, other)
        assert_all_proven(pier, entries)
        assert hashes(entries) == hashes(expected)


@given(layouts, st.integers(2, 12), lies, count_lies, st.integers(2, 5), seeds)
@settings(max_examples=30)
def test_whatever_goes_wrong_in_a_lane_what_is_called_proven_is_the_truth(
    events: list[Event], page_rows: int, faults: list[str], count_faults: list[str], most: int, seed: int
) -> None:
    source = MemorySource(
        events, page_rows=page_rows, faults=faults, count_faults=count_faults, most_in_flight=most
    )
    with TemporaryDirectory() as folder:
        try:
            pier, entries = exported(source, seed, folder)
        except SourceError:
            assert lanes_alive() == []
            return
        assert_truth_where_proven(pier, entries)


@pytest.mark.parametrize("error", [FailedAnswer, RuntimeError, KeyboardInterrupt])
def test_an_export_that_fails_leaves_no_file_and_sends_nothing_more(
    tmp_path: Path, error: type[BaseException]
) -> None:
    source = MemorySource(
        events_at(burst(0, 1_000, 10 * TICK_PER_SECOND)), most_in_flight=4, answer_rows=None, page_rows=5
    )

    def breaks() -> None:
        if len(source.searched) > 40:
            raise error("it broke")

    source.on_page = breaks
    pier = Pier(tmp_path, source)
    with pytest.raises(error):
        pier.export()
    asked = len(source.searched)
    assert lanes_alive() == []
    assert len(source.searched) == asked
    assert list(pier.work.iterdir()) == []
    assert [path for path in pier.folder.rglob("*") if path.is_file()] == []


def test_pieces_that_were_whole_behind_a_failure_are_kept_for_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = [burst(hour * TICK_PER_HOUR, 300, 9_000 * TICK_PER_MS) for hour in range(HOURS)]
    source = MemorySource(events_at([tick for hour in hours for tick in hour]), most_in_flight=4)
    pier, shelf = Pier(tmp_path, source), Shelf()
    (chunk,) = pier.ferry().plan(WINDOW).chunks(1)
    whole: list[Window] = []
    some = threading.Event()
    finish = line.Line.finish

    def noted(self: line.Line, place: Any, error: BaseException | None) -> None:
        finish(self, place, error)
        if error is None and not some.is_set():
            whole.append(place.job.span)
            if len(whole) == 4:
                some.set()

    monkeypatch.setattr(line.Line, "finish", noted)

    paused: list[str] = []

    def pause() -> None:
        if threading.current_thread().name == "lane-0" and not paused:
            paused.append("the first of all pages")
            some.wait(timeout=30)
            raise Unavailable("come back later", wait_s=300)

    source.on_page = pause
    with pytest.raises(Unavailable, match="come back later"):
        pier.ferry().export(chunk, shelf)
    assert set(whole) <= set(shelf.spans)
    before = len(source.searched)
    result = pier.ferry().export(chunk, shelf)
    assert_all_proven(pier, result.slices)
    again = source.searched[before:]
    assert not [span for span in again for part in whole if part.start <= span.start < part.end]


@pytest.mark.parametrize("in_flight", [1, 4])
def test_answers_that_came_before_one_that_fails_are_not_asked_for_again(
    tmp_path: Path, in_flight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PIECE_ROWS", 1_000)
    source = MemorySource(
        events_at(burst(0, 300, 11 * TICK_PER_SECOND)),
        answer_rows=30,
        most_bins=4_000,
        tick=1,
        most_in_flight=in_flight,
    )
    pier, shelf = Pier(tmp_path, source), Shelf()
    (chunk,) = pier.ferry().plan(WINDOW).chunks(1)
    fails_at = START + 20 * TICK_PER_MINUTE

    def breaks() -> None:
        if source.asked.end > fails_at:
            raise Unavailable("come back later", wait_s=300)

    source.on_page = breaks
    with pytest.raises(Unavailable, match="come back later"):
        pier.ferry().export(chunk, shelf)
    (kept,) = shelf.spans
    assert kept.start == START
    assert len(source.truth(kept)) > 60
    source.on_page, before = (lambda: None), len(source.searched)
    assert_all_proven(pier, pier.ferry().export(chunk, shelf).slices)
    assert all(span.start >= kept.end for span in source.searched[before:])


def test_twins_of_all_slices_are_asked_for_again_together(tmp_path: Path) -> None:
    source = MemorySource(
        [event for hour in range(HOURS) for event in twin_pairs(2, hour=hour)],
        page_rows=1_000,
        most_in_flight=8,
    )
    pier = Pier(tmp_path, source)
    turnstile = Turnstile()
    source.on_page = turnstile.pass_through
    found: list[list[SliceResult]] = []
    export = threading.Thread(target=lambda: found.append(pier.export()), daemon=True)
    turnstile.shut()
    export.start()
    for _ in range(2):
        turnstile.wait_for(HOURS)
        turnstile.let_by()
    turnstile.open()
    export.join()
    assert_all_proven(pier, found[0])
    assert [entry.notes for entry in found[0]] == [{"twins_checked": 2}] * HOURS


def test_as_many_pieces_as_there_are_lanes_cost_hardly_more_pages_than_the_rows_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    dense = Window(START, START + TICK_PER_HOUR)
    events = [Event(START + at * 150 * TICK_PER_MS, f"{at:05d}", str(at)) for at in range(24_000)]
    source = MemorySource(events, page_rows=10, most_in_flight=16)
    pier = Pier(tmp_path, source)
    monkeypatch.setattr("logferry.fetching.answer_size.PIECE_ROWS", 2_000)
    assert_all_proven(pier, pier.export(dense))
    assert len(set(source.searched)) >= 16
    assert len(source.searched) <= 1.02 * math.ceil(24_000 / 10)


def one_dense_hour() -> MemorySource:
    """Of 2,000 rows, counted by no shorter bins than itself, before two of 60."""
    ticks = [
        *burst(0, 2_000, 1_800 * TICK_PER_MS),
        *burst(TICK_PER_HOUR, 120, TICK_PER_MINUTE),
    ]
    return MemorySource(events_at(ticks), most_in_flight=4, most_bins=3)


def test_a_dense_slice_is_counted_once_more_so_that_no_chain_of_pages_is_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logferry.fetching.answer_size.PIECE_ROWS", 2_000)
    source = one_dense_hour()
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    dense = Window(START, START + TICK_PER_HOUR)
    assert source.counted == [
        (WINDOW, TICK_PER_HOUR),
        (dense, 20 * TICK_PER_MINUTE),
        (WINDOW, TICK_PER_HOUR),
    ]
    assert len({span for span in source.searched if dense.covers(span)}) >= 3
    assert len(source.searched) <= 1.02 * math.ceil(2_000 / 10) + 12


@pytest.mark.parametrize("fault", ["unavailable", "busy"])
def test_a_dense_slice_that_cannot_be_counted_once_more_is_fetched_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("logferry.fetching.answer_size.PIECE_ROWS", 2_000)
    source = one_dense_hour()
    source.count_faults = ["none", fault]
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    assert len(source.counted) == 3
    assert len(source.searched) == math.ceil(2_000 / 10) + 12


@pytest.mark.parametrize("fault", ["none", "busy"])
def test_the_gaps_of_a_dense_slice_are_laid_out_by_one_count(fault: str) -> None:
    asked: list[Window] = []

    def recount(window: Window, bin_ticks: int) -> dict[int, int]:
        asked.append(window)
        if fault == "busy":
            raise Unavailable("no counts for a while", wait_s=1.0)
        return {window.start: 1_000, window.start + bin_ticks: 1_000}

    source = cast(LogSource, one_dense_hour())
    fetcher = Fetcher(cast(Client, DirectClient()), source, SCHEMA, on_page=lambda *_: None)
    gatherer = Gatherer(
        source, fetcher=fetcher, files=cast(Any, None), finished=cast(Any, None), recount=recount
    )
    dense = Window(START, START + TICK_PER_HOUR)
    gaps = [
        Window(START, START + TICK_PER_MINUTE),
        Window(START + 5 * TICK_PER_MINUTE, dense.end),
    ]
    for rows in (2_000, 2_000, 2_001):
        for gap in gaps:
            spans = [job.span for job in gatherer.jobs(dense, gap, rows, None, row_bytes=None, least=100)]
            assert (spans[0].start, spans[-1].end) == (gap.start, gap.end)
    # Once more where the slice itself was counted anew.
    assert asked == [dense, dense]


def test_slices_of_a_few_pages_are_fetched_by_as_many_chains_at_once_for_no_request_more(
    tmp_path: Path,
) -> None:
    hours = [burst(hour * TICK_PER_HOUR, 24, 150 * TICK_PER_SECOND) for hour in range(HOURS)]
    source = MemorySource(events_at([tick for hour in hours for tick in hour]), most_in_flight=16)
    pier, turnstile = Pier(tmp_path, source), Turnstile()
    source.on_page = turnstile.pass_through
    turnstile.shut()
    found: list[list[SliceResult]] = []
    export = threading.Thread(target=lambda: found.append(pier.export()))
    export.start()
    turnstile.wait_for(3 * HOURS)
    turnstile.open()
    export.join()
    assert_all_proven(pier, found[0])
    assert len(source.searched) == len(set(source.searched)) == 3 * HOURS
    assert len(source.counted) == 2


def test_more_in_flight_than_the_definition_of_the_ferry_allows_is_not_sent(tmp_path: Path) -> None:
    source = MemorySource(events_at(burst(0, 300, 30 * TICK_PER_SECOND)), most_in_flight=16)
    pier = Pier(tmp_path, source)
    alive = []
    source.on_page = lambda: alive.append(len(lanes_alive()))
    ferry = pier.ferry(in_flight=3)
    for chunk in ferry.plan(WINDOW).chunks():
        ferry.export(chunk)
    assert max(alive) == 3


def test_a_source_that_takes_one_at_a_time_gets_no_more(tmp_path: Path) -> None:
    source = MemorySource(events_at(burst(0, 300, 30 * TICK_PER_SECOND)), most_in_flight=1)
    pier = Pier(tmp_path, source)
    alive = []
    source.on_page = lambda: alive.append(len(lanes_alive()))
    ferry = pier.ferry(in_flight=5)
    for chunk in ferry.plan(WINDOW).chunks():
        ferry.export(chunk)
    assert max(alive) == 0


@pytest.mark.parametrize("most", [1, 4])
def test_a_piece_that_nobody_fetched_is_no_end_of_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Nothing is counted here, so that no proof would find out."""
    jobs = Gatherer.jobs

    def all_but_the_second_hour(self: Gatherer, slice_: Window, *args: Any, **named: Any) -> Iterator[Any]:
        if slice_.start != START + TICK_PER_HOUR:
            yield from jobs(self, slice_, *args, **named)

    monkeypatch.setattr(Gatherer, "jobs", all_but_the_second_hour)
    events = events_at(burst(0, 300, 30 * TICK_PER_SECOND))
    pier = Pier(tmp_path, MemorySource(events, most_in_flight=most, count_faults=["unavailable"] * 9))
    with pytest.raises(AssertionError, match="was not fetched"):
        pier.export()
