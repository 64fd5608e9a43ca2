"""Resuming: whatever kills a worker, its next attempt ends with exactly the truth and fetches only the rest."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.logferry.memory_source import Event, MemorySource
from tests.logferry.proof.test_prove import WINDOW, Pier, assert_truth_where_proven, burst, events_at

from logferry.errors import StoreError
from logferry.fetching import answer_size
from logferry.plan import Chunk
from logferry.publishing.results import ChunkResult
from logferry.records.manifest import Manifest
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_HOUR, TICK_PER_MINUTE, TICK_PER_MS, Window
from logferry.writing import parquet, parts
from logferry.writing.encoder import finished
from logferry.writing.parts import Part
from logferry.writing.resume import FinishedParts
from logferry.writing.staging import Staging
from logferry.writing.uploads import Uploads


@pytest.fixture(autouse=True)
def small_pieces() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(answer_size, "PIECE_ROWS", 50)
        patched.setattr(parts, "PIECE_ROWS", 50)
        yield


class Killed(BaseException):
    """The worker is gone: nothing may catch this and go on."""


class Shelf:
    """A ProgressStore that keeps JSON values and can kill the worker before or after the n-th save."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] | None = None
        self.saves: list[dict[str, Any]] = []
        self.kill_at: int | None = None
        self.kill_after = False

    def load(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.kept)

    def save(self, progress: dict[str, Any]) -> None:
        killed = self.kill_at == len(self.saves)
        if killed and not self.kill_after:
            raise Killed
        self.saves.append(copy.deepcopy(progress))
        self.kept = copy.deepcopy(progress)
        if killed:
            raise Killed

    def clear(self) -> None:
        self.kept = None

    @property
    def spans(self) -> list[Window]:
        return [Window(part["start"], part["end"]) for part in (self.kept or {"parts": []})["parts"]]


EVENTS = events_at(
    [
        *burst(0, 160, 9_000 * TICK_PER_MS),
        *burst(TICK_PER_HOUR, 7, TICK_PER_MINUTE),
        *burst(2 * TICK_PER_HOUR, 120, 3 * TICK_PER_MS),
    ]
)


def source() -> MemorySource:
    return MemorySource(EVENTS)


def capped_source() -> MemorySource:
    return MemorySource(EVENTS, answer_rows=45, tick=1, most_shares=64)


def uncounted_source() -> MemorySource:
    return MemorySource(EVENTS, count_faults=["unavailable"] * 99)


def chunk_of(pier: Pier) -> Chunk:
    (chunk,) = pier.ferry().plan(WINDOW).chunks(1)
    return chunk


def assert_exact(pier: Pier, result: ChunkResult, status: str = "proven") -> None:
    assert {entry.status for entry in result.slices} == {status}
    for entry in result.slices:
        assert pier.ids(entry) == pier.source.truth(entry.window())


def assert_nothing_left(pier: Pier, result: ChunkResult) -> None:
    """Staged is what will be published, and nothing else."""
    staged = {info.key for info in pier.store.list("_staging/")}
    assert staged == {entry.staged for entry in result.slices if entry.staged}


@pytest.mark.parametrize("make", [source, capped_source, uncounted_source])
def test_a_worker_killed_at_any_page_goes_on_from_its_finished_parts(tmp_path: Path, make: Any) -> None:
    healthy = Pier(tmp_path / "healthy", make())
    healthy.ferry().export(chunk_of(healthy), Shelf())
    pages = len(healthy.source.searched)
    assert pages > 5
    for page in sorted({*range(0, pages, 3), pages - 1}):
        pier = Pier(tmp_path / str(page), make())
        chunk, shelf = chunk_of(pier), Shelf()

        def killing(pier: Pier = pier, page: int = page) -> None:
            if len(pier.source.searched) == page + 1:
                raise Killed

        pier.source.on_page = killing
        with pytest.raises(Killed):
            pier.ferry().export(chunk, shelf)
        done = shelf.spans
        before = len(pier.source.searched)
        pier.source.on_page = lambda: None
        result = pier.ferry().export(chunk, shelf)
        assert_exact(pier, result, "unproven" if make is uncounted_source else "proven")
        assert_nothing_left(pier, result)
        assert shelf.kept is None
        again = pier.source.searched[before:]
        assert not [span for span in again for part in done if part.start <= span.start < part.end]
        counted = {span for span, _ in pier.source.counted}
        assert make is uncounted_source or WINDOW in counted
        assert len(pier.source.searched) <= pages + 9


@pytest.mark.parametrize("after", [False, True])
def test_a_worker_killed_around_any_save_ends_exact(tmp_path: Path, after: bool) -> None:
    healthy, shelf = Pier(tmp_path / "healthy", source()), Shelf()
    healthy.ferry().export(chunk_of(healthy), shelf)
    died = 0
    for at in range(len(shelf.saves)):
        pier, shelf = Pier(tmp_path / str(at), source()), Shelf()
        chunk = chunk_of(pier)
        shelf.kill_at, shelf.kill_after = at, after
        try:
            pier.ferry().export(chunk, shelf)
        except Killed:
            died += 1
        shelf.kill_at = None
        assert_exact(pier, pier.ferry().export(chunk, shelf))
    # Parts that are staged at one time are saved at once, so there may be fewer saves than in the healthy run.
    assert died > 0


@pytest.mark.parametrize("name", ["put_file", "delete"])
@pytest.mark.parametrize("after", [False, True])
def test_a_worker_killed_around_any_step_of_staging_ends_exact(
    tmp_path: Path, name: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(LocalStore, name)
    at, struck = 0, True
    while struck:
        struck = died = False
        pier, shelf = Pier(tmp_path / str(at), source()), Shelf()
        chunk = chunk_of(pier)
        calls = count()  # Of several threads.

        def step(
            store: LocalStore, *args: Any, at: int = at, calls: Iterator[int] = calls, **options: Any
        ) -> Any:
            nonlocal struck
            mine = next(calls) == at
            struck = struck or mine
            if mine and not after:
                raise Killed
            done = real(store, *args, **options)
            if mine:
                raise Killed
            return done

        with monkeypatch.context() as patched:
            patched.setattr(LocalStore, name, step)
            try:
                pier.ferry().export(chunk, shelf)
            except Killed:
                # Not where it struck an upload that nobody needed any more.
                died = True
        if died:
            result = pier.ferry().export(chunk, shelf)
            assert_exact(pier, result)
        at += 1
    assert at > 1


def killed_late(pier: Pier, chunk: Chunk, shelf: Shelf) -> None:
    """Kill the first attempt on its last page."""
    events, pier.source.events = pier.source.events, EVENTS
    last = max(event.tick for event in EVENTS)

    def killing() -> None:
        if pier.source.searched[-1].start > last - 50 * 3 * TICK_PER_MS:
            raise Killed

    pier.source.on_page = killing
    with pytest.raises(Killed):
        pier.ferry().export(chunk, shelf)
    pier.source.on_page = lambda: None
    pier.source.events = events


@pytest.fixture
def pier(tmp_path: Path) -> Pier:
    (tmp_path / "pier").mkdir()
    return Pier(tmp_path / "pier", source())


@pytest.mark.parametrize("harm", ["deleted", "replaced", "flipped"])
def test_a_part_whose_object_is_not_the_staged_one_is_fetched_again(pier: Pier, harm: str) -> None:
    chunk, shelf = chunk_of(pier), Shelf()
    killed_late(pier, chunk, shelf)
    assert shelf.kept is not None
    part = shelf.kept["parts"][1]
    key = f"_staging/web/run/{part['key']}"
    data = pier.store.read(key)
    match harm:
        case "deleted":
            pier.store.delete([key])
        case "replaced":
            pier.store.put_bytes(key, pier.store.read(f"_staging/web/run/{shelf.kept['parts'][0]['key']}"))
        case _:
            pier.store.put_bytes(key, data[:99] + bytes([data[99] ^ 1]) + data[100:])
    before = len(pier.source.searched)
    result = pier.ferry().export(chunk, shelf)
    assert_exact(pier, result)
    assert any(span.start == part["start"] for span in pier.source.searched[before:])


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "sha256:other"},
        {"label": "other"},
        {"schema": "other"},
        {"bin_ticks": 10_000_000},
        {"version": 0},
        {"parts": [{"start": "x"}]},
        {"parts": None},
    ],
)
def test_progress_of_another_plan_or_shape_starts_over(pier: Pier, change: dict[str, Any]) -> None:
    chunk, shelf = chunk_of(pier), Shelf()
    killed_late(pier, chunk, shelf)
    assert shelf.kept is not None
    shelf.kept |= change
    before = len(pier.source.searched)
    result = pier.ferry().export(chunk, shelf)
    assert_exact(pier, result)
    assert pier.source.searched[before].start == WINDOW.start


def test_rows_that_moved_meanwhile_in_a_finished_part_are_counted_and_fetched_again(pier: Pier) -> None:
    chunk, shelf = chunk_of(pier), Shelf()
    killed_late(pier, chunk, shelf)
    late = Event(WINDOW.start + 5 * TICK_PER_MS, "late", "late")
    pier.source.events = sorted([*EVENTS, late])
    result = pier.ferry().export(chunk, shelf)
    assert_exact(pier, result)
    assert "late" in pier.ids(result.slices[0])


@pytest.mark.parametrize("late", [1, 120], ids=["as one part", "as several parts"])
@pytest.mark.parametrize("loaded", [False, True], ids=["staged just now", "staged by an earlier attempt"])
def test_a_slice_that_is_fetched_again_is_what_it_is_now_however_slow_its_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: int, loaded: bool
) -> None:
    """Until then the object of before is still named in the progress: it must not stand for the slice."""
    pier = Pier(
        tmp_path, MemorySource(events_at([*burst(0, 8, TICK_PER_MINUTE), *burst(TICK_PER_HOUR, 7, 1)]))
    )
    chunk, shelf = chunk_of(pier), Shelf()
    moved, asked, withdrawn = threading.Event(), threading.Event(), threading.Event()
    start, stage, staged, withdraw = Uploads.start, Staging.stage, FinishedParts.staged, Uploads.withdraw
    count_rows, counts = pier.source.count, count()

    def start_at_once(uploads: Uploads, slice_: Window, part: Part) -> Future[Part]:
        upload = start(uploads, slice_, part)
        if not moved.is_set():
            wait([upload])
        return upload

    def stage_slowly(staging: Staging, slice_: Window, part: Part) -> Part:
        if moved.is_set() and part.key is None:
            (asked if part.span == slice_ else withdrawn).wait(timeout=30)
        return stage(staging, slice_, part)

    def staged_so_far(finished: FinishedParts, slice_: Window, **options: Any) -> Part | None:
        if options["wait"]:
            asked.set()
        found = staged(finished, slice_, **options)
        asked.set()
        return found

    def withdraw_at_last(uploads: Uploads, upload: Future[Part]) -> None:
        withdrawn.set()
        withdraw(uploads, upload)

    def count_more(window: Window, bin_ticks: int) -> Any:
        if loaded and next(counts) == 0:
            raise Killed
        if not moved.is_set():
            new = [Event(WINDOW.start + (5 + at) * TICK_PER_MS, f"late{at}", "late") for at in range(late)]
            pier.source.events = sorted([*pier.source.events, *new])
            moved.set()
        return count_rows(window, bin_ticks)

    monkeypatch.setattr(Uploads, "start", start_at_once)
    monkeypatch.setattr(Staging, "stage", stage_slowly)
    monkeypatch.setattr(FinishedParts, "staged", staged_so_far)
    monkeypatch.setattr(Uploads, "withdraw", withdraw_at_last)
    monkeypatch.setattr(pier.source, "count", count_more)
    if loaded:
        with pytest.raises(Killed):
            pier.ferry().export(chunk, shelf)
        assert len(shelf.spans) >= 2
    result = pier.ferry().export(chunk, shelf)
    assert_exact(pier, result)
    assert_nothing_left(pier, result)
    assert result.slices[0].rows == 8 + late


@pytest.mark.parametrize("wrong", ["part", "rows"])
def test_what_is_staged_must_be_what_was_proven(
    pier: Pier, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    staged = FinishedParts.staged

    def another(self: FinishedParts, slice_: Window, *, wait: bool) -> Part | None:
        part = staged(self, slice_, wait=wait)
        if part is None:
            return None
        if wrong == "rows":
            return replace(part, written=finished(replace(part.file, rows=part.file.rows + 1)))
        return replace(part, written=finished(replace(part.file, path=part.file.path.with_name("other"))))

    monkeypatch.setattr(FinishedParts, "staged", another)
    error, says = (
        (StoreError, "run the window again") if wrong == "rows" else (AssertionError, "not what was")
    )
    with pytest.raises(error, match=says):
        pier.ferry().export(chunk_of(pier), None)


def test_a_chunk_that_fails_names_all_that_is_staged_at_once(
    pier: Pier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One save, as each of them may fail."""
    chunk, shelf = chunk_of(pier), Shelf()

    def killing(window: Window, bin_ticks: int) -> Any:
        raise Killed

    monkeypatch.setattr(pier.source, "count", killing)
    monkeypatch.setattr(FinishedParts, "_collect", lambda self: None)
    with pytest.raises(Killed):
        pier.ferry().export(chunk, shelf)
    assert len(shelf.saves) == 1
    assert sum(span.ticks for span in shelf.spans) == WINDOW.ticks


def test_a_chunk_that_succeeded_keeps_no_progress_and_starts_over(pier: Pier) -> None:
    chunk, shelf = chunk_of(pier), Shelf()
    first = pier.ferry().export(chunk, shelf)
    asked = len(pier.source.searched)
    assert shelf.kept is None
    second = pier.ferry().export(chunk, shelf)
    assert len(pier.source.searched) == 2 * asked
    assert [entry.file for entry in second.slices] == [entry.file for entry in first.slices]


def test_progress_names_parts_and_never_a_cursor(pier: Pier) -> None:
    shelf = Shelf()
    pier.ferry().export(chunk_of(pier), shelf)
    for saved in shelf.saves:
        assert set(saved) == {"version", "fingerprint", "label", "schema", "bin_ticks", "parts"}
        assert "cursor" not in str(saved)


def test_parts_of_pages_that_turn_out_unordered_are_forgotten(pier: Pier) -> None:
    """What was handed on before a row from the past came may miss that row."""
    pier.source.count_faults = ["unavailable"] * 9
    pier.source.faults = ["none"] * 9 + ["unordered"]
    pier.source.always = "none"
    shelf = Shelf()
    chunk = chunk_of(pier)
    result = pier.ferry().export(chunk, shelf)
    assert_exact(pier, result, "unproven")
    assert_nothing_left(pier, result)


def test_without_a_progress_store_a_slice_is_staged_before_it_is_counted(pier: Pier) -> None:
    """And what is fetched again because the count differs takes its place."""
    chunk = chunk_of(pier)
    staged: list[set[str]] = []
    late = Event(WINDOW.start + 5 * TICK_PER_MS, "late", "late")
    real_stage, done = Staging.stage, threading.Semaphore(0)

    def stage(staging: Staging, slice_: Window, part: Part) -> Part:
        found = real_stage(staging, slice_, part)
        done.release()
        return found

    real_count = pier.source.count

    def count_late(window: Window, bin_ticks: int) -> Any:
        if not staged:
            for _ in range(3):
                assert done.acquire(timeout=30)
            staged.append({info.key for info in pier.store.list("_staging/")})
            pier.source.events = sorted([*EVENTS, late])
        return real_count(window, bin_ticks)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Staging, "stage", stage)
        patched.setattr(pier.source, "count", count_late)
        result = pier.ferry().export(chunk)
    assert len(staged[0]) == 3
    assert_exact(pier, result)
    assert "late" in pier.ids(result.slices[0])
    assert_nothing_left(pier, result)
    assert {entry.staged in staged[0] for entry in result.slices[1:]} == {True}
    assert result.slices[0].staged not in staged[0]


def test_progress_names_only_what_is_staged(pier: Pier) -> None:
    class Strict(Shelf):
        def save(self, progress: dict[str, Any]) -> None:
            there = {info.key for info in pier.store.list("_staging/")}
            assert {f"_staging/web/run/{part['key']}" for part in progress["parts"]} <= there
            super().save(progress)

    shelf = Strict()
    assert_exact(pier, pier.ferry().export(chunk_of(pier), shelf))
    assert shelf.saves


@pytest.mark.parametrize("shelf", [Shelf(), None])
def test_an_upload_that_fails_is_the_exports_error_and_leaves_nothing_half_done(
    pier: Pier, shelf: Shelf | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = chunk_of(pier)
    real, calls = LocalStore.put_file, count()

    def failing(store: LocalStore, *args: Any, **options: Any) -> None:
        if next(calls) >= 2:
            raise StoreError("the bucket is gone")
        real(store, *args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "put_file", failing)
        with pytest.raises(StoreError, match="the bucket is gone"):
            pier.ferry().export(chunk, shelf)
    assert list(pier.work.iterdir()) == []
    left = {info.key for info in pier.store.list("_staging/")}
    named = {f"_staging/web/run/{part['key']}" for part in ((shelf and shelf.kept) or {"parts": []})["parts"]}
    assert left == named
    result = pier.ferry().export(chunk, shelf)
    assert_exact(pier, result)
    assert_nothing_left(pier, result)


def test_an_export_has_the_same_row_hashes_however_often_it_was_killed(tmp_path: Path) -> None:
    healthy = Pier(tmp_path / "healthy", source())
    expected = [entry.file.row_hash for entry in healthy.ferry().export(chunk_of(healthy)).slices]
    pier = Pier(tmp_path / "killed", source())
    chunk, shelf = chunk_of(pier), Shelf()
    killed_late(pier, chunk, shelf)
    assert [entry.file.row_hash for entry in pier.ferry().export(chunk, shelf).slices] == expected


def carried(pier: Pier, shelf: Shelf | None, **options: Any) -> tuple[ChunkResult, Manifest]:
    ferry = pier.ferry("again")
    (chunk,) = ferry.plan(WINDOW, **options).chunks()
    result = ferry.export(chunk, shelf)
    return result, ferry.publish(WINDOW, [result])


@pytest.mark.parametrize("shelf", [Shelf(), None])
def test_slices_that_are_published_and_intact_are_not_staged(pier: Pier, shelf: Shelf | None) -> None:
    _, first = carried(pier, shelf)
    result, second = carried(pier, shelf)
    assert [entry.staged for entry in result.slices] == [None] * 3
    assert second.files == first.files
    assert list(pier.store.list("_staging/")) == []


@pytest.mark.parametrize("shelf", [Shelf(), None])
def test_a_published_slice_with_a_flipped_byte_is_staged_again(pier: Pier, shelf: Shelf | None) -> None:
    _, first = carried(pier, shelf)
    key = first.files[1].key
    data = pier.store.read(key)
    pier.store.put_bytes(key, data[:60] + bytes([data[60] ^ 1]) + data[61:])
    result, _ = carried(pier, shelf)
    assert [entry.staged is None for entry in result.slices] == [True, False, True]
    slice_ = first.slices[1].window()
    assert pq.read_table(pier.folder / key)["id"].to_pylist() == pier.source.truth(slice_)


def test_a_failure_without_a_progress_store_leaves_nothing_staged(pier: Pier) -> None:
    chunk = chunk_of(pier)

    def killing() -> None:
        if pier.source.searched[-1].start >= WINDOW.start + 2 * TICK_PER_HOUR:
            raise Killed

    pier.source.on_page = killing
    with pytest.raises(Killed):
        pier.ferry().export(chunk)
    assert list(pier.store.list("")) == []


def test_only_moved_counts_what_is_published_and_fetches_what_moved(pier: Pier) -> None:
    _, first = carried(pier, None)
    late = Event(WINDOW.start + TICK_PER_HOUR + 5 * TICK_PER_MS, "late", "late")
    pier.source.events = sorted([*EVENTS, late])
    pier.source.searched.clear()
    pier.clock.sleep(60)
    result, second = carried(pier, Shelf(), only_moved=True)
    moved = Window(WINDOW.start + TICK_PER_HOUR, WINDOW.start + 2 * TICK_PER_HOUR)
    assert set(pier.source.searched) == {moved}
    assert [entry.staged is None for entry in result.slices] == [True, False, True]
    assert (second.status, second.rows) == ("proven", first.rows + 1)
    assert {entry.counted_at for entry in second.slices} == {"2026-11-22T12:01:00Z"}
    assert [entry.file for entry in second.slices[::2]] == [entry.file for entry in first.slices[::2]]


def test_only_moved_fetches_a_slice_that_moves_between_plan_and_proof(pier: Pier) -> None:
    carried(pier, None)
    ferry = pier.ferry("again")
    (chunk,) = ferry.plan(WINDOW, only_moved=True).chunks()
    assert all(planned.kept is not None for planned in chunk.slices)
    pier.source.events = sorted([*EVENTS, Event(WINDOW.start + 5 * TICK_PER_MS, "late", "late")])
    again = Chunk.from_json(chunk.to_json())
    result = ferry.export(again)
    assert_truth_where_proven(pier, result.slices[:1])
    assert [entry.rows for entry in result.slices] == [161, 7, 120]


@pytest.mark.parametrize("harm", ["deleted", "cut", "flipped", "query"])
def test_only_moved_keeps_nothing_that_is_not_intact_or_of_another_definition(pier: Pier, harm: str) -> None:
    _, first = carried(pier, None)
    key = first.files[0].key
    match harm:
        case "deleted":
            pier.store.delete([key])
        case "cut":
            pier.store.put_bytes(key, pier.store.read(key)[:-1])
        case "flipped":
            data = pier.store.read(key)
            pier.store.put_bytes(key, data[:60] + bytes([data[60] ^ 1]) + data[61:])
        case _:
            pier.source.query = "other"
    plan = pier.ferry("again").plan(WINDOW, only_moved=True)
    kept = [planned.kept is not None for planned in plan.slices]
    assert kept == ([False] * 3 if harm == "query" else [False, True, True])


def test_a_dense_slice_that_moves_after_an_only_moved_plan_is_cut_like_any_other(tmp_path: Path) -> None:
    events = events_at(burst(0, 2_000, 1_800 * TICK_PER_MS))
    asked = []
    for only_moved in (False, True):
        folder = tmp_path / str(only_moved)
        pier = Pier(folder, MemorySource(events, answer_rows=50, page_rows=50, most_bins=4_000, tick=1))
        carried(pier, None)
        ferry = pier.ferry("again")
        (chunk,) = ferry.plan(WINDOW, only_moved=only_moved).chunks()
        late = Event(WINDOW.start + 5 * TICK_PER_MS, "late", "late")
        pier.source.events = sorted([*events, late])
        pier.source.searched.clear()
        result = ferry.export(Chunk.from_json(chunk.to_json()))
        assert pier.ids(result.slices[0]) == pier.source.truth(result.slices[0].window())
        asked.append(len(pier.source.searched))
    fetched, kept = asked
    assert kept <= fetched + 1


def test_two_attempts_that_are_both_alive_do_not_replace_each_others_parts(pier: Pier) -> None:
    """Equal rows in pages of other sizes may be other bytes: a manifest must say what lies there."""
    chunk = chunk_of(pier)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parquet, "GROUP_ROWS", 30)
        first = pier.ferry().export(chunk, Shelf())
    pier.ferry().export(chunk, Shelf())
    manifest = pier.ferry().publish(WINDOW, [first])
    for file in manifest.files:
        data = pier.store.read(file.key)
        assert (file.bytes, file.sha256) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert list(pier.store.list("_staging/")) == []


class Scale(Shelf):
    """Weighs what is saved, and does not keep it."""

    def __init__(self) -> None:
        super().__init__()
        self.most_parts = self.most_characters = 0

    def save(self, progress: dict[str, Any]) -> None:
        self.most_parts = max(self.most_parts, len(progress["parts"]))
        self.most_characters = max(self.most_characters, len(json.dumps(progress, separators=(",", ":"))))


def test_progress_of_a_hundred_parts_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow warns of values of more than 65,536 bytes
    (https://airflow.apache.org/docs/apache-airflow/stable/configurations-ref.html)."""
    monkeypatch.setattr(parts, "PIECE_ROWS", 1)  # every answer is a part
    events = events_at([at for at in burst(0, 2_450, 1_469 * TICK_PER_MS) for _ in range(2)])
    twins = [replace(event, text="same") for event in events]
    pier = Pier(tmp_path, MemorySource(twins, answer_rows=50, page_rows=50, most_bins=4_000, tick=1))
    scale = Scale()
    result = pier.ferry("scheduled__2026-11-20T00:00:00+00:00").export(chunk_of(pier), scale)
    assert result.slices[0].notes == {"twins_checked": 2_450}
    assert scale.most_parts >= 4_900 // 50
    assert scale.most_characters < 60_000


def test_a_part_that_is_resumed_has_its_twins_looked_at_again(pier: Pier) -> None:
    pier.source.events = [replace(event, text="same") for event in EVENTS]
    pair = [Event(WINDOW.start + 5 * TICK_PER_MS, id_, "twin") for id_ in "ab"]
    pier.source.events = sorted([*pier.source.events, *pair])
    chunk, shelf = chunk_of(pier), Shelf()

    def killing() -> None:
        if len(pier.source.searched) > 20:
            raise Killed

    pier.source.on_page = killing
    with pytest.raises(Killed):
        pier.ferry().export(chunk, shelf)
    assert shelf.kept is not None
    pier.source.on_page = lambda: None
    # What was written came under another id than the source will ever say again.
    pier.source.events = sorted([*(e for e in pier.source.events if e.id != "b"), replace(pair[1], id="c")])
    result = pier.ferry().export(chunk, shelf)
    assert_exact(pier, result)
    assert result.slices[0].notes == {"twins_checked": 1}


def test_a_kept_slice_that_cannot_be_counted_is_not_fetched_and_not_called_proven(pier: Pier) -> None:
    carried(pier, None)
    ferry = pier.ferry("again")
    (chunk,) = ferry.plan(WINDOW, only_moved=True).chunks()
    pier.source.searched.clear()
    pier.source.count_faults = ["unavailable"] * 5
    result = ferry.export(chunk)
    assert pier.source.searched == []
    assert {entry.status for entry in result.slices} == {"unproven"}
