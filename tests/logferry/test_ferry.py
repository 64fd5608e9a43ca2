"""The ferry and its publications: no path ends with fewer or doubled rows that are called proven."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logferry.errors import CountUnavailable, DefinitionError, StoreError, Unavailable
from logferry.ferry import Ferry, Run
from logferry.http import Client
from logferry.layout import slice_key
from logferry.plan import Chunk, Plan
from logferry.publishing.publish import ChunkResult
from logferry.publishing.published_object import published_row_hash
from logferry.records.manifest import Manifest, Status
from logferry.sources.base import (
    ID_COLUMN,
    TICK_COLUMN,
    LogSource,
    Page,
    Request,
    Response,
    Share,
    SourceColumn,
    SourceSchema,
)
from logferry.spec import ExportSpec, export_from
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_HOUR, TICK_PER_MS, Window, format_instant, parse_instant

START = parse_instant("2026-11-20T00:00:00Z")
WINDOW = Window(START, START + 4 * TICK_PER_HOUR)


class MemorySource:
    """Rows in memory. ``count_hook`` and ``page_hook`` may change what is counted or given, or raise."""

    kind = "datadog"
    tick = TICK_PER_MS
    answer_rows = None
    page_rows = 1000
    most_bins = 100
    most_shares = 1
    most_in_flight = 1
    search_bucket = "search"
    ordered = True
    unique_ids = True

    def __init__(self, rows: dict[int, int]) -> None:
        self.rows = {hour: [f"{hour}-{number}" for number in range(count)] for hour, count in rows.items()}
        self.query = "*"
        self.searched: list[Window] = []
        self.counts = 0
        self.count_hook: Callable[[dict[int, int]], dict[int, int]] = dict
        self.page_hook: Callable[[Window, list[tuple[int, str]]], list[tuple[int, str]]] = lambda span, rows: (
            rows
        )

    def identity(self) -> dict[str, Any]:
        return {"kind": self.kind, "query": self.query}

    def schema(self, window: Window) -> Generator[Request, Response, SourceSchema]:
        yield from ()
        return SourceSchema((SourceColumn("id", "string", "id", "string"),), has_id=True)

    def count(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        yield from ()
        self.counts += 1
        found: dict[int, int] = {}
        for hour, ids in self.rows.items():
            for number in range(len(ids)):
                start = (START + hour * TICK_PER_HOUR + number * TICK_PER_MS) // bin_ticks * bin_ticks
                if start in window:
                    found[start] = found.get(start, 0) + 1
        return self.count_hook(found)

    def page(
        self,
        span: Window,
        cursor: str | None,
        schema: SourceSchema,
        *,
        limit: int | None = None,
        share: Share | None = None,
    ) -> Generator[Request, Response, Page]:
        yield from ()
        self.searched.append(span)
        rows = [
            (START + hour * TICK_PER_HOUR + number * TICK_PER_MS, id_)
            for hour, ids in sorted(self.rows.items())
            for number, id_ in enumerate(ids)
        ]
        given = self.page_hook(span, [row for row in rows if row[0] in span])
        ids = pa.array([row[1] for row in given], pa.string())
        ticks = pa.array([row[0] for row in given], pa.int64())
        return Page(
            pa.RecordBatch.from_arrays([ids, ticks, ids], names=["id", TICK_COLUMN, ID_COLUMN]), None, 1
        )


class DirectClient:
    """Runs exchanges that send nothing."""

    def __init__(self) -> None:
        self.stats = {"search": 0, "count": 0}
        self.budget = self

    def run(self, make_exchange: Callable[[], Generator[Request, Response, Any]]) -> Any:
        try:
            next(make_exchange())
        except StopIteration as stop:
            return stop.value
        raise AssertionError("a source in memory sends nothing")

    def requests_per_second(self, bucket: str) -> float | None:
        return None

    def forecast(self, bucket: str) -> None:
        return None

    def close(self) -> None: ...


def spec_of(**changes: Any) -> ExportSpec:
    source = {"kind": "datadog", "connection": "dd", "query": "*", **changes.pop("source", {})}
    document = {
        "name": "web",
        "source": source,
        "schedule": "@daily",
        "start": "2026-01-01T00:00:00Z",
        **changes,
    }
    return export_from(document, where="test")


class Harbour:
    """One lake and one source, with a new ferry for every run."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.store = LocalStore(folder / "lake")
        self.lake = folder / "lake"
        self.source = MemorySource({0: 3, 1: 2, 3: 5})
        self.clock = clock
        self.workdir = folder / "work"
        self.workdir.mkdir()
        self.runs = 0
        self.spec = spec_of()

    def ferry(self) -> Ferry:
        self.runs += 1
        return Ferry(
            self.spec,
            source=cast(LogSource, self.source),
            client=cast(Client, DirectClient()),
            store=self.store,
            run=Run(f"run-{self.runs}"),
            clock=self.clock,
            workdir=self.workdir,
        )

    def carry(self, window: Window = WINDOW, **options: Any) -> Manifest:
        return self.ferry().carry(window, **options)

    def ids(self, hour: int) -> list[str]:
        slice_ = Window(START + hour * TICK_PER_HOUR, START + (hour + 1) * TICK_PER_HOUR)
        found: list[str] = pq.read_table(self.lake / slice_key("web", slice_))["id"].to_pylist()
        return found

    def keys(self, prefix: str = "") -> list[str]:
        return [info.key for info in self.store.list(prefix)]

    def states(self) -> dict[str, str]:
        return {info.key: info.etag for info in self.store.list("web/")}


@pytest.fixture
def harbour(tmp_path: Path, clock: Any) -> Iterator[Harbour]:
    one = Harbour(tmp_path, clock)
    yield one
    assert list(one.workdir.iterdir()) == [], "unfinished files stayed behind"


def statuses(manifest: Manifest) -> list[Status]:
    return [entry.status for entry in manifest.slices]


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


def test_a_second_run_uploads_nothing_and_keeps_the_files_facts(harbour: Harbour) -> None:
    first = harbour.carry()
    before = harbour.states()
    second = harbour.carry()
    assert harbour.states() == before
    assert second.files == first.files
    assert (second.seq, second.status) == (4, "proven")


def test_only_the_slice_that_changed_is_uploaded_again(harbour: Harbour) -> None:
    harbour.carry()
    before = harbour.states()
    harbour.source.rows[1].append("late")
    manifest = harbour.carry()
    changed = [key for key, etag in harbour.states().items() if before[key] != etag]
    assert len(changed) == 1
    assert "T010000Z-" in changed[0]
    assert manifest.rows == 11


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


def test_a_source_that_may_not_be_counted_is_unproven_and_complete(harbour: Harbour) -> None:
    def forbidden(counts: dict[int, int]) -> dict[int, int]:
        raise CountUnavailable("no")

    harbour.source.count_hook = forbidden
    manifest = harbour.carry()
    assert (manifest.status, manifest.rows, manifest.source_rows) == ("unproven", 10, None)
    assert {entry.counted_at for entry in manifest.slices} == {None}


def test_slices_older_than_the_retention_are_unproven(harbour: Harbour) -> None:
    harbour.spec = spec_of(source={"retention": "2d"})
    harbour.clock.tick = parse_instant("2026-11-22T02:00:00Z")
    assert statuses(harbour.carry()) == ["unproven", "unproven", "proven", "proven"]


def test_counts_that_differ_say_nothing_of_a_slice_older_than_the_retention(harbour: Harbour) -> None:
    harbour.spec = spec_of(source={"retention": "2d"})
    harbour.clock.tick = parse_instant("2026-11-22T02:00:00Z")
    harbour.source.page_hook = lambda span, rows: rows[1:]
    assert statuses(harbour.carry()) == ["unproven", "unproven", "proven", "short"]


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


def test_a_count_that_began_before_the_slice_had_settled_proves_nothing(harbour: Harbour) -> None:
    (chunk,) = harbour.ferry().plan(WINDOW).chunks()
    harbour.clock.tick = harbour.ferry().settled_at(WINDOW) - 1

    def slow(counts: dict[int, int]) -> dict[int, int]:
        harbour.clock.sleep(600)
        return counts

    harbour.source.count_hook = slow
    result = harbour.ferry().export(chunk)
    assert [entry.status for entry in result.slices] == ["proven", "proven", "proven", "unproven"]


@pytest.mark.parametrize(("start", "end"), [(1, TICK_PER_HOUR), (0, TICK_PER_HOUR - 1)])
def test_a_window_off_the_grid_is_refused_with_the_neighbour(harbour: Harbour, start: int, end: int) -> None:
    with pytest.raises(
        DefinitionError, match=r"the nearest is \[2026-11-20T00:00:00Z, 2026-11-20T01:00:00Z\)"
    ):
        harbour.carry(Window(START + start, START + end))
    assert harbour.source.counts == 0


def test_a_window_before_the_exports_start_is_refused(harbour: Harbour) -> None:
    before = Window(harbour.spec.start - TICK_PER_HOUR, harbour.spec.start)
    with pytest.raises(DefinitionError, match="begins before 2026-01-01T00:00:00Z"):
        harbour.ferry().plan(before)


def test_a_window_that_has_not_settled_is_refused_with_the_time(harbour: Harbour) -> None:
    harbour.clock.tick = WINDOW.end + 30 * 60 * 10_000_000 - 1
    with pytest.raises(DefinitionError, match="can be exported from 2026-11-20T04:30:00Z"):
        harbour.carry()
    harbour.clock.tick += 1
    assert harbour.carry().status == "proven"


def test_a_count_taken_before_the_slice_has_settled_proves_nothing(harbour: Harbour) -> None:
    (chunk,) = harbour.ferry().plan(WINDOW).chunks()
    harbour.clock.tick = WINDOW.end  # a worker whose clock is behind
    result = harbour.ferry().export(chunk)
    assert [entry.status for entry in result.slices] == ["proven", "proven", "proven", "unproven"]


def test_a_failure_publishes_nothing_and_leaves_nothing_staged(harbour: Harbour) -> None:
    def breaks(span: Window, rows: list[tuple[int, str]]) -> list[tuple[int, str]]:
        if span.start >= START + 3 * TICK_PER_HOUR:
            raise Unavailable("down")
        return rows

    harbour.source.page_hook = breaks
    with pytest.raises(Unavailable):
        harbour.carry()
    assert harbour.keys() == []


def test_a_store_that_fails_while_staging_keeps_no_part(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LocalStore.put_file

    def failing(store: LocalStore, key: str, path: Path, **options: Any) -> None:
        if "T030000Z-" in key:
            raise StoreError("disk full")
        put(store, key, path, **options)

    monkeypatch.setattr(LocalStore, "put_file", failing)
    with pytest.raises(StoreError, match="disk full"):
        harbour.carry()
    assert harbour.keys() == []


def test_a_definition_that_changed_after_the_plan_is_not_published_as_the_new_one(harbour: Harbour) -> None:
    (chunk,) = harbour.ferry().plan(WINDOW).chunks()
    result = harbour.ferry().export(chunk)
    harbour.source.query = "service:other"
    with pytest.raises(DefinitionError, match="changed after this window was planned"):
        harbour.ferry().export(chunk)
    with pytest.raises(DefinitionError, match="changed after this window was planned"):
        harbour.ferry().publish(WINDOW, [result])
    assert harbour.keys("web/") == harbour.keys("_manifests/") == []


def test_a_proven_slice_is_not_lowered_when_the_source_forgets(harbour: Harbour) -> None:
    harbour.carry()
    before = harbour.states()
    del harbour.source.rows[3][2:]
    manifest = harbour.carry()
    assert (manifest.status, manifest.rows) == ("proven", 10)
    assert manifest.slices[3].source_now == 2
    assert harbour.states() == before
    assert harbour.keys("_staging/") == []


def test_a_proven_slice_is_lowered_when_that_is_asked_for(harbour: Harbour) -> None:
    harbour.carry()
    del harbour.source.rows[3][2:]
    manifest = harbour.carry(allow_shrink=True)
    assert (manifest.status, manifest.rows) == ("proven", 7)
    assert harbour.ids(3) == ["3-0", "3-1"]


def test_a_proof_is_not_lost_to_a_run_that_cannot_count(harbour: Harbour) -> None:
    def forbidden(counts: dict[int, int]) -> dict[int, int]:
        raise CountUnavailable("no")

    harbour.carry()
    harbour.source.count_hook = forbidden
    assert harbour.carry().status == "proven"


def test_another_definition_replaces_even_proven_slices(harbour: Harbour) -> None:
    harbour.carry()
    harbour.source.query = "service:web"
    del harbour.source.rows[3][2:]
    assert harbour.carry().rows == 7
    assert harbour.ids(3) == ["3-0", "3-1"]


def test_a_proven_slice_whose_object_is_gone_is_written_again(harbour: Harbour) -> None:
    first = harbour.carry()
    harbour.store.delete([first.slices[3].file.key])
    del harbour.source.rows[3][2:]
    manifest = harbour.carry()
    assert manifest.slices[3].rows == 2
    assert harbour.ids(3) == ["3-0", "3-1"]


def test_a_proven_slice_whose_object_is_another_one_is_not_kept_on_its_word(harbour: Harbour) -> None:
    first = harbour.carry()
    harbour.store.put_bytes(first.slices[3].file.key, b"not parquet")
    del harbour.source.rows[3][2:]
    harbour.carry()
    assert harbour.ids(3) == ["3-0", "3-1"]


def test_a_kept_slice_that_became_short_is_still_not_lowered(harbour: Harbour) -> None:
    harbour.carry()
    harbour.source.count_hook = lambda counts: {start: rows + 1 for start, rows in counts.items()}
    assert harbour.carry().status == "short"
    harbour.source.count_hook = lambda counts: counts
    harbour.source.rows = MemorySource({0: 1}).rows
    manifest = harbour.carry()
    assert [entry.rows for entry in manifest.slices] == [3, 2, 0, 5]
    assert len(harbour.ids(3)) == 5


def test_a_kept_slice_is_proven_again_when_the_higher_count_passes(harbour: Harbour) -> None:
    harbour.carry()
    harbour.source.count_hook = lambda counts: {start: rows + 1 for start, rows in counts.items()}
    assert harbour.carry().status == "short"
    harbour.source.count_hook = lambda counts: counts
    harbour.source.rows = MemorySource({0: 3, 1: 2}).rows
    manifest = harbour.carry()
    assert manifest.status == "proven"
    assert [(entry.rows, entry.source_now) for entry in manifest.slices][3] == (5, 0)


def dies_before_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next publication puts its files in place and is killed when it commits."""
    put_bytes = LocalStore.put_bytes

    def killed(store: LocalStore, key: str, data: bytes, **options: Any) -> None:
        if "/journal/" in key and b'"publication"' in data:
            raise KeyboardInterrupt
        put_bytes(store, key, data, **options)

    monkeypatch.setattr(LocalStore, "put_bytes", killed)


def test_objects_of_an_uncommitted_run_on_another_grid_are_not_doubled(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        dies_before_its_record(patched)
        with pytest.raises(KeyboardInterrupt):
            harbour.carry()
    assert len(harbour.keys("web/")) == 4
    harbour.spec = spec_of(slice="2h")
    assert harbour.carry().status == "proven"
    assert len(harbour.keys("web/")) == 2


def test_more_rows_than_are_counted_do_not_replace_proven_ones(harbour: Harbour) -> None:
    harbour.carry()
    before = harbour.ids(0)
    harbour.source.unique_ids = False
    harbour.source.page_hook = lambda span, rows: [*rows, *rows]
    manifest = harbour.carry()
    assert manifest.slices[0].rows == 3
    assert harbour.ids(0) == before


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


def test_more_rows_at_the_source_than_can_be_fetched_make_a_kept_slice_short(harbour: Harbour) -> None:
    harbour.carry()
    harbour.source.rows[3].extend(["late-1", "late-2"])
    harbour.source.page_hook = lambda span, rows: [row for row in rows if "late" not in row[1]]
    manifest = harbour.carry()
    entry = manifest.slices[3]
    assert (manifest.status, entry.status, entry.rows, entry.source_rows) == ("short", "short", 5, 7)
    assert len(harbour.ids(3)) == 5
    harbour.source.page_hook = lambda span, rows: rows
    healed = harbour.carry()
    assert (healed.status, healed.rows) == ("proven", 12)


def test_a_run_killed_before_its_record_is_healed_with_the_objects_own_facts(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        dies_before_its_record(patched)
        with pytest.raises(KeyboardInterrupt):
            harbour.carry()
    key = harbour.keys("web/")[0]
    # What lies there holds the same rows in other bytes, as another version of the writer would leave it.
    table = pq.read_table(harbour.lake / key)
    row_hash = published_row_hash(harbour.store, key) or ""
    pq.write_table(
        table.replace_schema_metadata({"logferry.row_hash": row_hash}), harbour.lake / key, compression="none"
    )
    assert published_row_hash(harbour.store, key) == row_hash
    manifest = harbour.carry()
    info = harbour.store.head(key)
    assert info is not None
    assert (manifest.status, manifest.slices[0].file.bytes) == ("proven", info.size)
    assert harbour.keys("_staging/") == []


def results_of(harbour: Harbour) -> list[ChunkResult]:
    return [harbour.ferry().export(chunk) for chunk in harbour.ferry().plan(WINDOW).chunks(4, 2)]


@pytest.mark.parametrize("change", ["missing", "doubled", "first", "none"])
def test_results_that_are_not_exactly_the_window_are_refused(harbour: Harbour, change: str) -> None:
    results = results_of(harbour)
    wrong = {
        "missing": results[:-1],
        "doubled": [*results, results[0]],
        "first": results[1:],
        "none": [],
    }[change]
    with pytest.raises(StoreError, match="do not cover"):
        harbour.ferry().publish(WINDOW, wrong)
    assert harbour.keys("web/") == harbour.keys("_manifests/") == []


def test_results_of_another_window_are_refused(harbour: Harbour) -> None:
    with pytest.raises(StoreError, match="do not cover"):
        harbour.ferry().publish(Window(WINDOW.start, WINDOW.end + TICK_PER_HOUR), results_of(harbour))


def test_a_part_that_another_run_replaced_is_not_published(harbour: Harbour) -> None:
    results = results_of(harbour)
    staged = next(entry.staged for result in results for entry in result.slices if entry.staged)
    harbour.store.put_bytes(staged, b"other content")
    with pytest.raises(StoreError, match="replaced by another run"):
        harbour.ferry().publish(WINDOW, results)
    assert harbour.keys("_manifests/") == []


def test_an_object_that_changed_after_it_was_compared_is_not_called_unchanged(harbour: Harbour) -> None:
    harbour.carry()
    results = results_of(harbour)
    harbour.store.put_bytes(harbour.keys("web/")[0], b"other content")
    with pytest.raises(StoreError, match="changed while this run compared it"):
        harbour.ferry().publish(WINDOW, results)


def test_another_slice_grid_over_published_rows_trims_them_and_doubles_none(harbour: Harbour) -> None:
    harbour.carry()
    harbour.spec = spec_of(slice="2h")
    manifest = harbour.carry()
    assert (manifest.status, manifest.rows) == ("proven", 10)
    assert harbour.keys("web/") == sorted(file.key for file in manifest.files)
    harbour.spec = spec_of(slice="1h")
    with pytest.raises(DefinitionError):
        harbour.carry(Window(START, START + TICK_PER_HOUR))


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


def test_a_publication_that_died_between_two_parts_is_finished_by_its_retry(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    ferry = harbour.ferry()
    results = [ferry.export(chunk) for chunk in ferry.plan(WINDOW).chunks()]
    place = LocalStore.place
    placed: list[str] = []

    def dies_at_the_second(store: LocalStore, source: str, target: str, **options: Any) -> str:
        if placed:
            raise StoreError("the disk went away")
        placed.append(target)
        return place(store, source, target, **options)

    monkeypatch.setattr(LocalStore, "place", dies_at_the_second)
    with pytest.raises(StoreError, match="went away"):
        ferry.publish(WINDOW, results)
    assert len(placed) == 1
    monkeypatch.setattr(LocalStore, "place", place)
    manifest = ferry.publish(WINDOW, results)
    assert manifest.status == "proven"
    assert [entry.rows for entry in manifest.slices] == [3, 2, 0, 5]
    for entry in manifest.files:
        assert published_row_hash(harbour.store, entry.key) == entry.row_hash


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 100, b"PAR1" + b"\0" * 100 + b"\x60\0\0\0PAR1"])
def test_the_row_hash_of_something_else_is_none(harbour: Harbour, content: bytes) -> None:
    harbour.store.put_bytes("web/x.parquet", content)
    assert published_row_hash(harbour.store, "web/x.parquet") is None
    assert published_row_hash(harbour.store, "web/absent.parquet") is None


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
