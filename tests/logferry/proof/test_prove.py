"""Proof: what a chunk's files hold is exactly what the source has, or the slice is not called proven."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logferry.conftest import ManualClock
from tests.logferry.memory_source import SCHEMA, DirectClient, Event, MemorySource

from logferry.errors import SourceError
from logferry.ferry import Ferry, Run
from logferry.fetching import answer_size
from logferry.fetching.fetch import Fetcher, Restart
from logferry.fetching.rows import SliceRows
from logferry.http import Client
from logferry.proof.second_look import holds_rows
from logferry.publishing.results import ChunkResult, SliceResult
from logferry.sources.base import LogSource
from logferry.spec import ExportSpec, export_from
from logferry.stores.local import LocalStore
from logferry.window import (
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    TICK_PER_MS,
    TICK_PER_SECOND,
    Window,
    parse_instant,
)
from logferry.writing import parts

START = parse_instant("2026-11-20T00:00:00Z")
HOURS = 3
WINDOW = Window(START, START + HOURS * TICK_PER_HOUR)
PIECE = 50


@pytest.fixture(autouse=True)
def small_pieces() -> Iterator[None]:
    """Pieces of five pages, so that small layouts are cut too."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(answer_size, "PIECE_ROWS", PIECE)
        patched.setattr(parts, "PIECE_ROWS", PIECE)
        yield


@cache
def spec() -> ExportSpec:
    source = {"kind": "datadog", "connection": "dd", "query": "*"}
    document = {"name": "web", "source": source, "schedule": "@daily", "start": "2026-01-01T00:00:00Z"}
    return export_from(document, where="test")


class Pier:
    """A source, a lake in a temporary folder, and what an export left there."""

    def __init__(self, folder: Path, source: MemorySource) -> None:
        self.source = source
        self.store = LocalStore(folder / "lake")
        self.folder = folder / "lake"
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.clock = ManualClock()

    def ferry(self, run: str = "run", in_flight: int | None = None) -> Ferry:
        return Ferry(
            spec(),
            source=cast(LogSource, self.source),
            client=cast(Client, DirectClient()),
            store=self.store,
            run=Run(run),
            clock=self.clock,
            workdir=self.work,
            in_flight=in_flight,
        )

    def export(self, window: Window = WINDOW) -> list[SliceResult]:
        ferry = self.ferry()
        results: list[ChunkResult] = [ferry.export(chunk) for chunk in ferry.plan(window).chunks()]
        assert list(self.work.iterdir()) == []
        return [entry for result in results for entry in result.slices]

    def ids(self, entry: SliceResult) -> list[str]:
        assert entry.staged is not None
        found: list[str] = pq.read_table(self.folder / entry.staged)["id"].to_pylist()
        return found


def exported(source: MemorySource, check: Callable[[Pier, list[SliceResult]], None]) -> None:
    with TemporaryDirectory() as folder:
        pier = Pier(Path(folder), source)
        check(pier, pier.export())


def assert_truth_where_proven(pier: Pier, entries: list[SliceResult]) -> None:
    for entry in entries:
        if entry.status == "proven":
            assert pier.ids(entry) == pier.source.truth(entry.window())


def assert_all_proven(pier: Pier, entries: list[SliceResult]) -> None:
    assert {entry.status for entry in entries} == {"proven"}
    assert_truth_where_proven(pier, entries)


def events_at(ticks: list[int]) -> list[Event]:
    return [
        Event(START + tick, f"e{number:05d}", f"text {number}") for number, tick in enumerate(sorted(ticks))
    ]


def burst(start: int, count: int, step: int) -> list[int]:
    return [start + number * step for number in range(count)]


# Bursts of any density anywhere, also on the edges of slices and bins, and events just outside the window.
edges = st.sampled_from([0, TICK_PER_HOUR, 2 * TICK_PER_HOUR, HOURS * TICK_PER_HOUR, 15 * TICK_PER_MINUTE])
moments = st.one_of(
    st.integers(-2, HOURS * 3_600_000 + 2).map(lambda ms: ms * TICK_PER_MS),
    st.builds(lambda edge, ms: edge + ms * TICK_PER_MS, edges, st.integers(-2, 2)),
)
bursts = st.builds(
    burst, moments, st.integers(1, 120), st.sampled_from([0, TICK_PER_MS, 977 * TICK_PER_MS, TICK_PER_MINUTE])
)
layouts = st.lists(bursts, max_size=6).map(lambda found: events_at([tick for one in found for tick in one]))
harmless = st.lists(st.sampled_from(["none", "none", "shuffled", "duplicate"]), max_size=20)


@given(layouts, st.integers(1, 12), harmless, st.booleans(), st.booleans())
@settings(max_examples=15)
def test_every_layout_is_proven_and_exact_whatever_the_bounds_mean(
    events: list[Event], page_rows: int, faults: list[str], closed_start: bool, closed_end: bool
) -> None:
    source = MemorySource(
        events, page_rows=page_rows, faults=faults, closed_start=closed_start, closed_end=closed_end
    )
    exported(source, assert_all_proven)


@given(layouts, st.integers(10, 60), st.integers(100, 2_000), st.sampled_from([0, 12, 100, 4_000]))
@settings(max_examples=15)
def test_capped_answers_are_cut_until_they_fit_and_proven(
    events: list[Event], cap: int, most_bytes: int, most_bins: int
) -> None:
    source = MemorySource(
        events, answer_rows=cap, most_bytes=most_bytes, most_bins=most_bins, most_shares=1024, tick=1
    )
    exported(source, assert_all_proven)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_the_small_answers_of_a_slice_are_written_once(
    tmp_path: Path, in_flight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def assembled(*_: object) -> None:
        raise AssertionError("rows that were written are read back")

    monkeypatch.setattr(parts, "PIECE_ROWS", 1_000)
    monkeypatch.setattr(parts.PartFiles, "assemble", assembled)
    hours = [burst(hour * TICK_PER_HOUR, 300, 11 * TICK_PER_SECOND) for hour in range(HOURS)]
    source = MemorySource(
        events_at([tick for hour in hours for tick in hour]),
        answer_rows=30,
        most_bins=4_000,
        tick=1,
        most_in_flight=in_flight,
    )
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    assert len(source.searched) > 10 * HOURS


lies = st.lists(
    st.sampled_from(
        ["none", "none", "lost", "repeat", "empty", "duplicate", "shuffled", "unordered", "drop", "double"]
    ),
    max_size=30,
)
# Two counts that leave out the same rows cannot be told from the truth: the sources compare each with a total.
count_lies = st.lists(st.sampled_from(["none", "unavailable", "truncated", "coarse"]), max_size=4).filter(
    lambda found: found.count("truncated") <= 1
)


@given(layouts, st.integers(2, 12), lies, count_lies, st.sampled_from([0, 12, 100]))
@settings(max_examples=40)
def test_whatever_goes_wrong_what_is_called_proven_is_the_truth(
    events: list[Event], page_rows: int, faults: list[str], count_faults: list[str], most_bins: int
) -> None:
    source = MemorySource(
        events, page_rows=page_rows, faults=faults, count_faults=count_faults, most_bins=most_bins
    )
    try:
        exported(source, assert_truth_where_proven)
    except SourceError:
        return


@given(layouts, st.lists(st.sampled_from(["none", "drop", "double", "shuffled"]), max_size=12), count_lies)
@settings(max_examples=15)
def test_capped_answers_that_lie_are_never_proven(
    events: list[Event], faults: list[str], count_faults: list[str]
) -> None:
    source = MemorySource(
        events, answer_rows=60, tick=1, most_shares=64, faults=faults, count_faults=count_faults
    )
    exported(source, assert_truth_where_proven)


def hour_of(count: int, *, at: int = 0, step: int = 20_000) -> list[int]:
    return burst(at * TICK_PER_HOUR, count, step * TICK_PER_MS // 10)


@pytest.mark.parametrize(("rows", "faults"), [(1, ["empty", "empty"]), (30, ["none", "empty", "empty"])])
def test_rows_that_a_chain_and_a_later_count_left_out_are_searched_for_because_a_count_knew_them(
    tmp_path: Path, rows: int, faults: list[str]
) -> None:
    source = MemorySource(
        events_at(hour_of(rows)), page_rows=10, faults=faults, count_faults=["none", "truncated"]
    )
    pier = Pier(tmp_path, source)
    assert_truth_where_proven(pier, pier.export())


@pytest.mark.parametrize("fault", ["drop", "double"])
def test_a_page_that_lies_once_is_found_out_and_fetched_again(tmp_path: Path, fault: str) -> None:
    source = MemorySource(events_at(hour_of(30)), faults=["none", fault])
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())


def test_a_page_that_always_drops_a_row_is_short_with_both_numbers(tmp_path: Path) -> None:
    pier = Pier(tmp_path, MemorySource(events_at(hour_of(30)), always="drop"))
    first = pier.export()[0]
    assert first.status == "short"
    assert first.rows < (first.source_rows or 0) == 30


def test_a_row_lost_and_another_doubled_under_new_ids_is_short_though_the_numbers_are_equal(
    tmp_path: Path,
) -> None:
    events = events_at(burst(0, 9, TICK_PER_MS))
    pier = Pier(tmp_path, MemorySource(events, always="double"))
    first = pier.export()[0]
    assert (first.status, first.rows, first.source_rows) == ("short", 9, 9)
    assert first.notes["twins_differ"] >= 1


def test_real_twins_are_asked_for_again_and_proven(tmp_path: Path) -> None:
    events = [Event(START + 5 * TICK_PER_MS, id_, "same words") for id_ in "abc"]
    source = MemorySource([*events, *events_at(hour_of(8))])
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    assert source.searched.count(Window(START + 5 * TICK_PER_MS, START + 6 * TICK_PER_MS)) == 1


def twin_pairs(count: int, *, hour: int = 0, step: int = 1_000 * TICK_PER_MS) -> list[Event]:
    at = START + hour * TICK_PER_HOUR + TICK_PER_MS
    return [
        Event(at + number * step, f"{hour}-{number:03}{id_}", "same")
        for number in range(count)
        for id_ in "ab"
    ]


def test_all_twins_are_looked_at_again_and_noted(tmp_path: Path) -> None:
    pier = Pier(tmp_path, MemorySource(twin_pairs(200), page_rows=40))
    first = pier.export()[0]
    assert (first.status, first.notes) == ("proven", {"twins_checked": 200})


class OnceDoubling(MemorySource):
    """The first answer with the row "lost" has instead its neighbour twice, under a new id."""

    def _faulty(self, rows: list[Event], fault: str, at: int) -> list[Event]:
        lost = [row for row in rows if row.id == "lost"]
        if not lost or self.copies:
            return rows
        self.copies += 1
        neighbour = next(row for row in rows if row.id == "neighbour")
        return sorted([replace(neighbour, id="copy"), *(row for row in rows if row is not lost[0])])


@pytest.mark.parametrize("answer_rows", [None, 5_000])
@pytest.mark.parametrize("real", [0, 5, 200])
def test_a_row_lost_and_its_neighbour_doubled_among_real_twins_is_found(
    tmp_path: Path, real: int, answer_rows: int | None
) -> None:
    at = START + 50 * TICK_PER_MINUTE
    events = [*twin_pairs(real), Event(at, "neighbour", "one"), Event(at, "lost", "other")]
    source = OnceDoubling(
        events, answer_rows=answer_rows, page_rows=1_000, tick=1 if answer_rows else TICK_PER_MS
    )
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    assert source.copies == 1


@pytest.mark.parametrize("answer_rows", [None, 5_000])
def test_real_twins_cost_at_most_as_many_answers_as_the_rows_and_one(
    tmp_path: Path, answer_rows: int | None
) -> None:
    events = [event for hour in range(HOURS) for event in twin_pairs(10, hour=hour)]
    source = MemorySource(
        [*events, *events_at(hour_of(20))],
        answer_rows=answer_rows,
        page_rows=1_000,
        tick=1 if answer_rows else TICK_PER_MS,
    )
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    assert len(source.searched) == 2 * HOURS


def test_a_late_row_among_twins_is_fetched_and_not_called_a_lie(tmp_path: Path) -> None:
    source = MemorySource(twin_pairs(3))
    pier = Pier(tmp_path, source)

    def arrives() -> None:
        if len(source.searched) == 2:
            source.events = sorted([*source.events, Event(START + 5 * TICK_PER_MS, "late", "late")])

    source.on_page = arrives
    entries = pier.export()
    assert_all_proven(pier, entries)
    assert (entries[0].rows, entries[0].notes) == (7, {"twins_checked": 3})


def test_rows_in_other_bins_than_counted_are_not_proven_by_an_equal_total(tmp_path: Path) -> None:
    """A source that gives some rows twice as old as they are: the hour's total is the same."""
    events = events_at(hour_of(30, step=600_000))
    source = MemorySource(events)
    pier = Pier(tmp_path, source)
    real = source.count

    def moved(window: Window, bin_ticks: int) -> Any:
        counts = yield from real(window, bin_ticks)
        first = min(counts)
        other = first + bin_ticks
        return {**counts, first: counts[first] - 1, other: counts.get(other, 0) + 1}

    source.count = moved  # type: ignore[method-assign]
    first = pier.export()[0]
    assert (first.status, first.rows, first.source_rows) == ("short", 30, 30)
    assert first.notes == {"bins_differ": 2}


def test_only_the_part_whose_bins_differ_is_fetched_again(tmp_path: Path) -> None:
    ticks = [*hour_of(200, step=90_000), *hour_of(3, at=1), *hour_of(3, at=2)]
    source = MemorySource(events_at(ticks), faults=["none", "drop"])
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    first = source.searched[0]
    assert first.end < START + TICK_PER_HOUR // 3
    last_hour = max(at for at, span in enumerate(source.searched) if span.start >= START + 2 * TICK_PER_HOUR)
    again = source.searched[last_hour + 1 :]
    assert set(again) == {first}
    assert len(again) <= source.searched[: last_hour + 1].count(first)


def test_a_slice_called_empty_is_searched_when_the_counts_fall_between_plan_and_proof(tmp_path: Path) -> None:
    """The plan put the hour's rows elsewhere, the proof saw none at all: no two numbers differ from the files."""
    source = MemorySource(events_at([TICK_PER_HOUR]), count_faults=["coarse", "truncated"], most_bins=0)
    pier = Pier(tmp_path, source)
    entries = pier.export()
    assert_all_proven(pier, entries)
    assert [entry.rows for entry in entries] == [0, 1, 0]


def test_a_late_row_sends_nobody_into_slices_that_both_counts_call_empty(tmp_path: Path) -> None:
    source = MemorySource(events_at(hour_of(7)))
    pier = Pier(tmp_path, source)
    real = source.count

    def late(window: Window, bin_ticks: int) -> Any:
        if len(source.counted) == 1:
            source.events = sorted([*source.events, Event(START + 5 * TICK_PER_MS, "late")])
        return (yield from real(window, bin_ticks))

    source.count = late  # type: ignore[method-assign]
    assert_all_proven(pier, pier.export())
    assert set(source.searched) == {Window(START, START + TICK_PER_HOUR)}


def test_a_slice_called_empty_is_searched_when_a_count_was_wrong_and_no_other_can_be_had(
    tmp_path: Path,
) -> None:
    """The proof put the row into the first hour, where it is not, and then nothing could be counted any more."""
    source = MemorySource(
        events_at([TICK_PER_HOUR]), count_faults=["truncated", "coarse", "unavailable"], most_bins=0
    )
    pier = Pier(tmp_path, source)
    entries = pier.export()
    assert [entry.rows for entry in entries] == [0, 1, 0]
    assert_truth_where_proven(pier, entries)


@pytest.mark.parametrize("faults", [[], ["none", "unordered"]])
def test_a_look_into_slices_that_were_called_empty_ends_with_the_first_rows(faults: list[str]) -> None:
    source = MemorySource(events_at(burst(0, 500, 100 * TICK_PER_MS)), faults=faults)
    fetcher = Fetcher(cast(Client, DirectClient()), cast(LogSource, source), SCHEMA, on_page=lambda *_: None)
    assert holds_rows(fetcher, WINDOW)
    assert len(source.searched) <= 2


def test_a_look_into_empty_slices_whose_pages_are_out_of_order_finds_rows() -> None:
    source = MemorySource(events_at(burst(0, 20, 0)), faults=["none", "earlier"])
    fetcher = Fetcher(cast(Client, DirectClient()), cast(LogSource, source), SCHEMA, on_page=lambda *_: None)

    def restarting(*_: Any, **__: Any) -> Iterator[Any]:
        raise Restart
        yield

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Fetcher, "fetch", restarting)
        assert holds_rows(fetcher, WINDOW)
    assert not holds_rows(fetcher, Window(WINDOW.start + TICK_PER_HOUR, WINDOW.end))


def test_empty_slices_that_a_falling_count_makes_doubtful_are_searched_at_once(tmp_path: Path) -> None:
    """The rows of the first slice are one fewer at the proof than at the plan, and really: it was deleted."""
    source = MemorySource(events_at(hour_of(7)), page_rows=100)
    pier = Pier(tmp_path, source)

    def deleted() -> None:
        source.events = source.events[:6]

    source.on_page = deleted
    assert_all_proven(pier, pier.export())
    first, empty = Window(START, START + TICK_PER_HOUR), Window(START + TICK_PER_HOUR, WINDOW.end)
    assert set(source.searched[1:]) == {first, empty}


def test_a_slice_that_only_a_count_proved_wrong_later_calls_empty_is_searched(tmp_path: Path) -> None:
    """The plan leaves out the second hour's rows, and the proof has them under the first."""
    events = events_at([*hour_of(4), TICK_PER_HOUR])
    source = MemorySource(events, most_bins=0)
    pier = Pier(tmp_path, source)
    lies = iter([{START: 4}, {START: 5}])
    real = source.count

    def lying(window: Window, bin_ticks: int) -> Any:
        truth = yield from real(window, bin_ticks)
        return next(lies, truth)

    source.count = lying  # type: ignore[method-assign]
    entries = pier.export()
    assert_all_proven(pier, entries)
    assert [entry.rows for entry in entries] == [4, 1, 0]


def test_pages_out_of_order_in_an_uncounted_slice_are_read_again_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnceDisordered(MemorySource):
        def _faulty(self, rows: list[Event], fault: str, at: int) -> list[Event]:
            if at == 200 and not self.copies:
                self.copies += 1
                return [self.events[at - 90], *rows]
            return rows

    most = 0
    add = SliceRows.add

    def watched(rows: SliceRows, batch: Any, span: Window) -> None:
        nonlocal most
        add(rows, batch, span)
        most = max(most, sum(table.num_rows for table in rows._held))

    monkeypatch.setattr(SliceRows, "add", watched)
    source = OnceDisordered(events_at(hour_of(333, step=90_000)), count_faults=["unavailable"] * 9)
    pier = Pier(tmp_path, source)
    first, *_ = pier.export()
    assert source.copies == 1
    assert pier.ids(first) == source.truth(first.window())
    assert most <= PIECE + 2 * source.page_rows
    assert len(source.searched) <= 34 + 21 + 10 + HOURS


def test_the_proof_counts_a_chunk_once_in_bins_finer_than_a_slice(tmp_path: Path) -> None:
    source = MemorySource(events_at([*hour_of(7), *hour_of(7, at=2)]))
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    assert source.counted == [(WINDOW, 2 * TICK_PER_MINUTE)] * 2
    assert all(
        span.start < START + TICK_PER_HOUR or span.start >= START + 2 * TICK_PER_HOUR
        for span in source.searched
    )


def test_counts_that_cost_a_request_per_slice_are_asked_per_slice(tmp_path: Path) -> None:
    source = MemorySource(events_at(hour_of(7)), most_bins=0)
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    assert {bin_ticks for _, bin_ticks in source.counted} == {TICK_PER_HOUR}


def test_a_dense_slice_is_cut_at_its_bins_into_pieces_of_equal_work(tmp_path: Path) -> None:
    events = events_at(
        [*burst(0, 110, TICK_PER_MS * 1000), *burst(TICK_PER_MINUTE * 40, 60, TICK_PER_MS * 5_000)]
    )
    source = MemorySource(events)
    pier = Pier(tmp_path, source)
    assert_all_proven(pier, pier.export())
    pieces = sorted(set(source.searched))
    assert len(pieces) > 2
    assert all(one.end == two.start for one, two in pairwise(pieces))
    assert all(len(source.truth(piece)) <= max(PIECE, 120) for piece in pieces)


def test_an_uncounted_slice_is_one_chain_written_in_parts(tmp_path: Path) -> None:
    source = MemorySource(events_at(hour_of(333, step=90_000)), count_faults=["unavailable"] * 9)
    pier = Pier(tmp_path, source)
    first, *_ = pier.export()
    assert (first.status, first.source_rows, first.rows) == ("unproven", None, 333)
    assert pier.ids(first) == source.truth(first.window())
    assert len(source.searched) == 34 + HOURS - 1


@settings(max_examples=8)
@given(
    st.lists(st.sampled_from([0, 0, 3, 11, 40, 95, 260, 700]), min_size=HOURS, max_size=HOURS),
    st.sampled_from(["even", "front", "spikes"]),
    st.integers(0, 99),
)
def test_cursor_sources_are_asked_at_most_1_3_times_as_often_as_there_are_full_pages(
    counts: list[int], shape: str, seed: int
) -> None:
    """Where a slice has one page or two, one row more than a page cannot be had for less than one more."""
    source = MemorySource(uneven(counts, shape, seed))
    exported(source, assert_all_proven)
    least = [-(-count // source.page_rows) for count in counts]
    assert len(source.searched) <= sum(max(1.3 * pages, pages + 1) if pages else 0 for pages in least)


@settings(max_examples=10)
@given(
    st.lists(st.sampled_from([0, 5, 60, 150, 400, 1_500]), min_size=HOURS, max_size=HOURS),
    st.sampled_from(["even", "front", "spikes"]),
    st.sampled_from([(100, 10_000), (1_000, 2_000), (100, 900)]),
    st.integers(0, 99),
)
def test_capped_answers_are_at_most_1_3_times_the_fewest_that_could_hold_the_rows(
    counts: list[int], shape: str, caps: tuple[int, int], seed: int
) -> None:
    """Beyond 1.3 times: one answer for learning how large rows are, one where a slice's last answer is small."""
    cap, most_bytes = caps
    source = MemorySource(
        uneven(counts, shape, seed),
        answer_rows=cap,
        most_bytes=most_bytes,
        most_bins=4_000,
        tick=1,
        most_shares=64,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(answer_size, "ANSWER_BYTES", most_bytes)
        patched.setattr(answer_size, "ROW_BYTES_GUESS", 10)
        exported(source, assert_all_proven)
    least = [max(-(-count // cap), -(-count * 10 // most_bytes)) for count in counts]
    assert (
        len(source.searched)
        <= sum(max(1.3 * answers, answers + 1) if answers else 0 for answers in least) + 1
    )


def uneven(counts: list[int], shape: str, seed: int) -> list[Event]:
    dice = random.Random(seed)
    ticks: list[int] = []
    for hour, count in enumerate(counts):
        spikes = [dice.randrange(3_500_000) for _ in range(3)]
        for _ in range(count):
            match shape:
                case "even":
                    ms = dice.randrange(3_600_000)
                case "front":
                    ms = int(3_600_000 * dice.random() ** 2)
                case _:
                    ms = dice.choice(spikes) + dice.randrange(60_000)
            ticks.append(hour * TICK_PER_HOUR + ms * TICK_PER_MS)
    return events_at(ticks)
