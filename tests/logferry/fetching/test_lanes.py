"""Lanes: whatever order the answers come in, the rows are taken in order, each once, within bounds, or an error is."""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from weakref import ref

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logferry.fetching.turnstile import Turnstile
from tests.logferry.memory_source import SCHEMA, DirectClient, Event, MemorySource

from logferry.errors import CredentialsError, FailedAnswer, SourceError, StoreError, Unavailable
from logferry.fetching import lanes as lanes_module
from logferry.fetching import line as line_module
from logferry.fetching import spool
from logferry.fetching.fetch import Fetcher, Final, Restart
from logferry.fetching.job import Fetched, Job
from logferry.fetching.lanes import Lanes
from logferry.fetching.line import Line
from logferry.fetching.pace import Pace
from logferry.http import Client
from logferry.sources.base import LogSource
from logferry.window import TICK_PER_MINUTE, TICK_PER_SECOND, Window, parse_instant

START = parse_instant("2026-11-20T03:00:00Z")


@pytest.fixture(autouse=True)
def all_lanes() -> Iterator[None]:
    """As many lanes as there may be, whatever the pages took, and all of them ended however slow the machine is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pace, "lanes", lambda self, most, **_: most)
        patched.setattr(lanes_module, "_PATIENCE_S", 60.0)
        yield


def minute(number: int) -> Window:
    start = START + number * TICK_PER_MINUTE
    return Window(start, start + TICK_PER_MINUTE)


def source_of(rows: list[int], **options: Any) -> MemorySource:
    """``rows`` of each minute in turn, a second apart at most."""
    events = [
        Event(minute(at).start + number * TICK_PER_SECOND // 4, f"{at}-{number:04d}", "t" * 50)
        for at, count in enumerate(rows)
        for number in range(count)
    ]
    return MemorySource(events, **options)


class Pier:
    """Lanes of a source, with one job for each of its minutes."""

    def __init__(
        self, source: MemorySource, minutes: int, folder: Path, *, most: int = 4, among: int = 1
    ) -> None:
        self.source = source
        self.turnstile = Turnstile()
        source.on_page = self.turnstile.pass_through
        self.minutes = minutes
        self.folder = folder
        self.fetcher = Fetcher(
            cast(Client, DirectClient()), cast(LogSource, source), SCHEMA, on_page=lambda *_: None
        )
        self.lanes = Lanes(
            self.fetcher, most=most, folder=folder, allowance=lambda: self.allowance, among=among
        )
        self.begun: list[Window] = []
        self.allowance: float | None = 1_000.0

    def jobs(self) -> Iterator[Job]:
        size = self.fetcher.size.stretch()
        for number in range(self.minutes):
            self.begun.append(minute(number))
            yield Job(minute(number), minute(number), size)

    def ids(self) -> list[str]:
        taken: list[str] = []
        self.take(self.jobs(), taken)
        return taken

    def take(self, jobs: Iterator[Job], taken: list[str]) -> None:
        with self.lanes.fetched(jobs) as fetched:
            for one in fetched:
                for final in one.finals:
                    taken += final.table["id"].to_pylist() if final.table is not None else []

    def truth(self) -> list[str]:
        return self.source.truth(Window(minute(0).start, minute(self.minutes - 1).end))


def ids_of(fetched: Fetched) -> list[str]:
    return [
        id_ for final in fetched.finals if final.table is not None for id_ in final.table["id"].to_pylist()
    ]


def lanes_alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lane-")]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """The lines that were made, for what they say of themselves."""
    made: list[Line] = []

    class Seen(Line):
        def __init__(self, folder: Path, **options: Any) -> None:
            super().__init__(folder, **options)
            made.append(self)

    monkeypatch.setattr("logferry.fetching.lanes.Line", Seen)
    return made


counts = st.lists(st.integers(0, 40), min_size=1, max_size=9)
# Two empty pages in a row are an end, three lost cursors or five failed answers in a row an error.
faults_that_mend = st.permutations(
    ["none"] * 6 + ["empty", "lost", "repeat", "duplicate", "duplicate", "failed", "failed"]
)


@given(
    counts,
    st.integers(2, 6),
    st.integers(1, 8),
    faults_that_mend,
    st.integers(0, 10**6),
    st.sampled_from([0, 900, 10**6]),
)
@settings(max_examples=40)
def test_rows_come_in_order_whatever_the_order_of_the_answers_and_the_room(
    rows: list[int], most: int, page_rows: int, faults: list[str], seed: int, memory: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(line_module, "MEMORY_BYTES", memory)
        source = source_of(rows, page_rows=page_rows, faults=faults)
        pier = Pier(source, len(rows), Path(tempfile.gettempdir()), most=most)
        with Turnstile(seed) as turnstile:
            source.on_page = turnstile.pass_through
            assert pier.ids() == pier.truth()
    assert lanes_alive() == []


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(2, 5), st.integers(0, 10**6))
@settings(max_examples=25)
def test_capped_answers_in_no_order_come_in_order(rows: list[int], most: int, seed: int) -> None:
    source = source_of(rows, answer_rows=10, tick=1, most_shares=64)
    with Turnstile(seed) as turnstile:
        source.on_page = turnstile.pass_through
        pier = Pier(source, len(rows), Path(tempfile.gettempdir()), most=most)
        source.on_page = turnstile.pass_through
        assert pier.ids() == pier.truth()


def test_many_small_slices_are_under_way_together(tmp_path: Path) -> None:
    pier = Pier(source_of([5] * 24), 24, tmp_path, most=16)
    pier.turnstile.shut()
    found: list[list[str]] = []
    consumer = threading.Thread(target=lambda: found.append(pier.ids()), daemon=True)
    consumer.start()
    pier.turnstile.wait_for(16)
    pier.turnstile.open()
    consumer.join()
    assert found == [pier.truth()]


def test_threads_take_turns_sooner_while_there_are_lanes_and_as_before_afterwards(tmp_path: Path) -> None:
    pier = Pier(source_of([5] * 4), 4, tmp_path)
    before, within = sys.getswitchinterval(), set()
    pier.source.on_page = lambda: within.add(sys.getswitchinterval())
    assert pier.ids() == pier.truth()
    assert all(interval < before for interval in within)
    assert within
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize(
    ("rows", "pages"), [(0, 10), (50_000, 10), (200_000, 10), (400_000, 12), (1_000_000, 15), (10**9, 15)]
)
def test_a_piece_is_of_ten_to_fifteen_pages(rows: int, pages: int, tmp_path: Path) -> None:
    lanes = Pier(source_of([5], page_rows=1_000), 1, tmp_path, most=16).lanes
    assert lanes.least_rows(rows) == pages * 1_000


def test_one_in_flight_needs_no_thread_and_keeps_the_order_of_requests(tmp_path: Path) -> None:
    pier = Pier(source_of([25, 0, 30]), 3, tmp_path, most=1)
    threads: set[threading.Thread] = set()
    pier.source.on_page = lambda: threads.add(threading.current_thread())
    assert pier.ids() == pier.truth()
    assert threads == {threading.current_thread()}
    assert pier.source.searched == [minute(0)] * 3 + [minute(1)] + [minute(2)] * 3
    assert list(tmp_path.iterdir()) == []


def test_the_first_capped_answer_teaches_how_much_to_ask_for_before_others_are_sent(tmp_path: Path) -> None:
    pier = Pier(source_of([5] * 6, answer_rows=10, tick=1), 6, tmp_path)
    most = []
    pier.source.on_page = lambda: most.append(len(lanes_alive()))
    assert pier.ids() == pier.truth()
    assert most[0] == 1
    assert max(most) > 1


def test_the_first_answer_teaches_the_allowance_before_others_are_sent(tmp_path: Path) -> None:
    pier = Pier(source_of([5] * 12), 12, tmp_path)
    pier.allowance = None
    most = []
    pier.source.on_page = lambda: most.append(len(lanes_alive()))
    assert pier.ids() == pier.truth()
    assert most[0] == 1
    assert max(most) > 1


@pytest.mark.parametrize("among", [1, 3])
def test_what_finds_no_room_waits_on_disk_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[Line], among: int
) -> None:
    pier = Pier(source_of([100] * 12), 12, tmp_path, most=6, among=among)
    page = 10 * 200
    monkeypatch.setattr(line_module, "MEMORY_BYTES", 3 * page * among)
    monkeypatch.setattr(line_module, "SPOOL_BYTES", 40 * page * among)
    with Turnstile() as turnstile:
        pier.source.on_page = turnstile.pass_through
        assert pier.ids() == pier.truth()
    assert 0 < line[0].most_memory <= 3 * page + page
    assert line[0].most_disk <= 40 * page + 6 * 2 * page
    assert list(tmp_path.iterdir()) == []


def test_jobs_behind_a_slow_one_go_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: list[Line]
) -> None:
    monkeypatch.setattr(line_module, "MEMORY_BYTES", 0)
    pier = Pier(source_of([30] * 5), 5, tmp_path)
    held = threading.Event()
    first = minute(0)

    def hold_the_first() -> None:
        if pier.source.asked == first:
            _wait(held)

    pier.source.on_page = hold_the_first
    written = spool.Spool.append

    def noticed(self: spool.Spool, table: pa.Table) -> spool.Spooled:
        place = written(self, table)
        held.set()
        return place

    monkeypatch.setattr(spool.Spool, "append", noticed)
    assert pier.ids() == pier.truth()
    assert line[0].most_disk > 0


def test_an_error_comes_where_its_rows_would_have_come_and_nothing_is_asked_for_after_it(
    tmp_path: Path,
) -> None:
    pier = Pier(source_of([30] * 40), 40, tmp_path)
    broken = minute(7)

    def break_it() -> None:
        if pier.source.asked == broken:
            raise StoreError("the seventh is broken")

    pier.source.on_page = break_it
    taken: list[str] = []
    with pytest.raises(StoreError, match="the seventh is broken"):
        pier.take(pier.jobs(), taken)
    asked = len(pier.source.searched)
    assert lanes_alive() == []
    assert taken == pier.source.truth(Window(START, broken.start))
    assert len(pier.source.searched) == asked
    assert len(pier.begun) < 40


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError, SystemExit])
def test_whatever_kills_a_lane_is_raised_and_never_taken_for_the_end(
    tmp_path: Path, error: type[BaseException]
) -> None:
    pier = Pier(source_of([30] * 4), 4, tmp_path)

    def die() -> None:
        if pier.source.asked == minute(2):
            raise error("dead")

    pier.source.on_page = die
    with pytest.raises(error, match="dead"):
        pier.ids()


def test_an_error_in_choosing_a_piece_is_raised_behind_the_rows_before_it(tmp_path: Path) -> None:
    pier = Pier(source_of([30] * 4), 2, tmp_path)

    def jobs() -> Iterator[Job]:
        yield from pier.jobs()
        raise FailedAnswer("the count was partial")

    taken: list[str] = []
    with pytest.raises(FailedAnswer):
        pier.take(jobs(), taken)
    assert taken == pier.truth()


def test_pages_out_of_order_are_told_of_in_their_place_and_the_others_go_on(tmp_path: Path) -> None:
    source = source_of([30] * 6)
    pier = Pier(source, 6, tmp_path)
    page = source._page

    def unordered(span: Window, *arguments: Any) -> Any:
        if span == minute(2) and source.always == "none":
            source.faults.append("earlier")
        return page(span, *arguments)

    source._page = unordered  # type: ignore[method-assign, assignment]
    taken: list[str] = []
    restarts = []
    with pier.lanes.fetched(pier.jobs()) as fetched:
        for one in fetched:
            try:
                rows = ids_of(one)
            except Restart:
                restarts.append(one.job.span)
                source._page = page  # type: ignore[method-assign]
                rows = ids_of(Fetched.here(replace(one.job, held=True), pier.fetcher))
            taken += rows
    assert restarts == [minute(2)]
    assert taken == pier.truth()


@pytest.mark.parametrize("memory", [0, 10**7])
def test_a_consumer_that_leaves_stops_the_lanes_before_their_next_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    monkeypatch.setattr(line_module, "MEMORY_BYTES", memory)
    pier = Pier(source_of([400] * 30), 30, tmp_path)

    def leave() -> None:
        with pier.lanes.fetched(pier.jobs()) as fetched:
            ids_of(next(fetched))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    asked = len(pier.source.searched)
    assert lanes_alive() == []
    assert len(pier.source.searched) == asked
    assert list(tmp_path.iterdir()) == []


def test_a_request_that_is_under_way_when_the_consumer_leaves_is_the_last_of_its_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logferry.fetching.lanes._PATIENCE_S", 0.0)
    pier = Pier(source_of([400] * 30), 30, tmp_path)
    pier.turnstile.shut()

    def leave() -> None:
        with pier.lanes.fetched(pier.jobs()):
            pier.turnstile.wait_for(4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    lanes = [thread for thread in threading.enumerate() if thread.name.startswith("lane-")]
    assert len(lanes) == 4
    pier.turnstile.open()
    for lane in lanes:
        lane.join(timeout=30)
    assert lanes_alive() == []
    assert len(pier.source.searched) == 4


def test_a_disk_that_is_full_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "MEMORY_BYTES", 0)

    def full(self: spool.Spool, table: pa.Table) -> spool.Spooled:
        raise self._no_room(OSError(28, "No space left on device"))

    monkeypatch.setattr(spool.Spool, "append", full)
    source = source_of([30] * 6)
    pier = Pier(source, 6, tmp_path)
    begun = threading.Event()
    failed: Callable[..., None] = Line.finish

    def finish(self: Line, place: Any, error: BaseException | None) -> None:
        failed(self, place, error)
        if error is not None:
            begun.set()

    monkeypatch.setattr(Line, "finish", finish)
    source.on_page = lambda: None if source.asked != minute(0) else _wait(begun)
    with pytest.raises(StoreError, match="free disk space"):
        pier.ids()
    assert lanes_alive() == []


def test_a_line_that_cannot_be_closed_still_has_its_lanes_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Line) -> None:
        real(self)
        raise OSError(5, "Input/output error")

    real: Callable[[Line], None] = Line.close
    monkeypatch.setattr(Line, "close", broken)
    joined: list[object] = []
    join: Callable[..., None] = lanes_module._Crew.join

    def noted(crew: lanes_module._Crew) -> None:
        join(crew)
        joined.append(crew)

    monkeypatch.setattr(lanes_module._Crew, "join", noted)
    with pytest.raises(OSError, match="Input/output"):
        Pier(source_of([30] * 4), 4, tmp_path).ids()
    assert len(joined) == 1


def test_what_is_whole_behind_a_failure_is_still_to_be_had_and_nothing_else_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pier = Pier(source_of([30] * 40), 40, tmp_path)
    whole: list[Window] = []
    some = threading.Event()
    failed: Callable[..., None] = Line.finish

    def finish(self: Line, place: Any, error: BaseException | None) -> None:
        failed(self, place, error)
        if error is None and not some.is_set():
            whole.append(place.job.span)
            if len(whole) == 4:
                some.set()

    monkeypatch.setattr(Line, "finish", finish)

    def first_fails_last() -> None:
        if pier.source.asked == minute(0):
            _wait(some)
            raise StoreError("the first is broken")

    pier.source.on_page = first_fails_last
    kept: dict[Window, list[str]] = {}
    with pier.lanes.fetched(pier.jobs()) as fetched:
        with pytest.raises(StoreError, match="the first is broken"):
            ids_of(next(fetched))
        kept = {one.job.span: ids_of(one) for one in fetched.rest()}
    assert set(whole) <= set(kept)
    assert list(kept) == sorted(kept)
    assert kept == {span: pier.source.truth(span) for span in kept}
    assert len(pier.begun) < 40


def test_a_lane_that_was_left_behind_tells_of_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logferry.fetching.lanes._PATIENCE_S", 0.0)
    pier = Pier(source_of([400] * 30), 30, tmp_path)
    told: list[int] = []
    pier.fetcher.on_page = lambda rows, _: told.append(rows)
    pier.turnstile.shut()
    with pier.lanes.fetched(pier.jobs()):
        pier.turnstile.wait_for(4)
    lanes = [thread for thread in threading.enumerate() if thread.name.startswith("lane-")]
    pier.turnstile.open()
    for lane in lanes:
        lane.join(timeout=30)
    assert told == []


def _wait(event: threading.Event) -> None:
    event.wait(timeout=30)


def test_a_source_that_fails_for_good_fails_with_its_own_error(tmp_path: Path) -> None:
    pier = Pier(source_of([30] * 6, always="failed"), 6, tmp_path)
    with pytest.raises(SourceError):
        pier.ids()
    assert lanes_alive() == []


@pytest.mark.parametrize("error", [Unavailable("come back later", wait_s=300.0), CredentialsError("no key")])
def test_the_error_of_a_job_that_was_passed_over_is_raised_behind_what_is_whole(
    tmp_path: Path, error: SourceError | CredentialsError
) -> None:
    line = Line(tmp_path)
    with line.lock:
        places = [line.begin(cast(Job, number)) for number in range(5)]
    line.finish(places[0], Restart())
    line.finish(places[3], None)
    line.finish(places[1], error)
    with line.lock:
        line.end()  # a lane that finds no more jobs tells so too
    left = line.places()
    assert [next(left).job for _ in range(3)] == [0, 1, 3]
    with pytest.raises(type(error)) as caught:
        next(left)
    assert caught.value is error


def test_a_table_that_is_taken_wakes_nobody_who_wants_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(tmp_path)
    with line.lock:
        place = line.begin(cast(Job, 0))
    for before in range(3):
        line.put(place, Final(pa.table({"message": ["x" * 100]}), before))
    line.finish(place, None)
    told: list[str] = []
    for name in ("_moved", "_freed"):
        monkeypatch.setattr(getattr(line, name), "notify_all", lambda name=name: told.append(name))
    places = line.places()
    assert [final.before for final in line.finals(next(places))] == [0, 1, 2]
    assert told == ["_freed"] * 3
    with line.lock:
        line.end()
    assert list(places) == []
    assert told.count("_moved") == 2, "the line ended, and a place was left"


def test_a_lane_that_is_not_wanted_any_more_gives_back_what_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: set[str] = set()
    wanted = iter([4] * 8)
    monkeypatch.setattr(lanes_module, "forget_body", lambda: told.add(threading.current_thread().name))
    monkeypatch.setattr(Pace, "lanes", lambda self, most, **_: next(wanted, 1))
    pier = Pier(source_of([30] * 40), 40, tmp_path)
    assert pier.ids() == pier.truth()
    assert told == {"lane-1", "lane-2", "lane-3"}


def test_the_line_has_no_rows_that_were_taken_of_it(tmp_path: Path) -> None:
    line = Line(tmp_path)
    with line.lock:
        place = line.begin(cast(Job, 0))
    tables = [pa.table({"message": ["x" * 100]}) for _ in range(2)]
    known = [ref(table) for table in tables]
    while tables:
        line.put(place, Final(tables.pop(0), len(tables)))
    line.finish(place, None)
    finals = line.finals(place)
    assert next(finals).table is not None
    assert [one() is None for one in known] == [True, False]


def test_an_error_that_was_told_with_its_rows_is_not_raised_again(tmp_path: Path) -> None:
    line = Line(tmp_path)
    with line.lock:
        place = line.begin(cast(Job, 0))
    line.finish(place, StoreError("it broke"))
    places = line.places()
    with pytest.raises(StoreError, match="it broke"):
        list(line.finals(next(places)))
    assert list(places) == []


def test_a_job_that_was_left_before_it_failed_is_nobodys_error(tmp_path: Path) -> None:
    line = Line(tmp_path)
    with line.lock:
        first, second = (line.begin(cast(Job, number)) for number in range(2))
    places = line.places()
    next(places)
    assert next(places) is second
    line.finish(first, StoreError("it broke"))
    line.finish(second, None)
    with line.lock:
        line.end()
    assert list(places) == []
