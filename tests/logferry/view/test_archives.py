"""Archives in memory: read once, looked at cheaply, and no lake in the way of another."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from tests.logferry.memory_store import MemoryStore
from tests.logferry.view.made_year import YEAR_START, connect, make_year, year_spec

from logferry.audit import archive as archive_module
from logferry.audit.archive import open_archive
from logferry.connection import Connection
from logferry.errors import CredentialsError, StoreError
from logferry.layout import findings_key, head_key, journal_key
from logferry.records.journal import Head
from logferry.records.manifest import Intent, RunEntry, Span
from logferry.spec import ExportSpec
from logferry.stores.base import Store
from logferry.view import archives as archives_module
from logferry.view.archive_state import LakeUnread, etag
from logferry.view.archives import Archives
from logferry.view.cells import cells
from logferry.view.fill import fill
from logferry.view.ranges import default_range
from logferry.view.reading import Emptied, taken_as_empty
from logferry.view.summary import summary
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, TICK_PER_SECOND, Window, format_instant

NOW = YEAR_START + 4 * TICK_PER_DAY


@dataclass
class Hands:
    """A clock that is moved by hand."""

    tick: int = NOW

    def now(self) -> int:
        return self.tick

    def sleep(self, seconds: float) -> None:
        self.tick += round(seconds * TICK_PER_SECOND)


@dataclass
class Lakes:
    """Stores in memory, one for each destination's URL."""

    stores: dict[str, MemoryStore] = field(default_factory=dict)

    def open(self, url: str, connection: Connection | None) -> Store:
        return self.stores.setdefault(url, MemoryStore(url=url))

    def of(self, name: str) -> MemoryStore:
        return self.stores.setdefault(f"file:///lakes/{name}", MemoryStore(url=f"file:///lakes/{name}"))


@pytest.fixture
def lakes(monkeypatch: pytest.MonkeyPatch) -> Lakes:
    lakes = Lakes()
    monkeypatch.setattr(archive_module, "open_store", lakes.open)
    return lakes


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def archives(clock: Hands) -> Archives:
    return Archives(connect, clock, patience_s=60)


def made(lakes: Lakes, name: str = "web", *, slices: int = 96) -> ExportSpec:
    spec = year_spec(name, url=f"file:///lakes/{name}")
    make_year(lakes.of(name), spec, slices=slices)
    return spec


def later(clock: Hands, seconds: int = 3) -> None:
    clock.tick += seconds * TICK_PER_SECOND


def reading(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"archive-{name}"]


def test_an_archive_that_did_not_change_costs_four_small_requests_every_two_seconds(
    lakes: Lakes, clock: Hands, archives: Archives
) -> None:
    spec = made(lakes)
    first = archives.state(spec)
    assert (first.known, first.reachable, first.slices, first.read_at) == (True, True, 96, NOW)
    store = lakes.of("web")
    store.counted.clear()
    assert archives.state(spec) is first
    assert sum(store.counted.values()) == 0
    later(clock)
    again = archives.state(spec)
    assert dict(store.counted) == {"read": 1, "head": 3}
    assert (again.version, again.read_at) == (first.version, clock.tick)


def test_a_new_publication_is_seen_and_changes_the_version(
    lakes: Lakes, clock: Hands, archives: Archives
) -> None:
    spec = made(lakes, slices=48)
    before = archives.state(spec)
    make_year(lakes.of("web"), spec, slices=96)
    later(clock)
    after = archives.state(spec)
    assert (before.slices, after.slices) == (48, 96)
    assert etag(before, 1) != etag(after, 1)
    assert etag(after, 1) == etag(after, 1) != etag(after, 2)


def test_a_record_that_head_does_not_name_yet_is_seen(lakes: Lakes, clock: Hands, archives: Archives) -> None:
    spec = made(lakes)
    state = archives.state(spec)
    store = lakes.of("web")
    head = msgspec.json.decode(store.read(head_key("web")), type=Head)
    window = next(iter(state.index.publications)).window
    intent = Intent(
        export="web",
        seq=head.seq + 1,
        previous=head.hash,
        fingerprint="f",
        window=Span.of(window),
        slices=[],
        run=RunEntry(id="r", attempt=1, started_at="", finished_at="", engine=""),
    )
    store.seed(journal_key("web", head.seq + 1), intent.encode())
    later(clock)
    assert archives.state(spec).have().seq == head.seq + 1


def test_new_findings_are_seen(lakes: Lakes, clock: Hands, archives: Archives) -> None:
    spec = made(lakes)
    before = archives.state(spec)
    make_year(lakes.of("web"), spec, slices=96, damaged=[5])
    assert lakes.of("web").head(findings_key("web")) is not None
    later(clock)
    after = archives.state(spec)
    assert summary(after, now=clock.tick)["cells"]["D"] == 1
    assert after.version != before.version


def test_a_lake_that_goes_away_leaves_what_was_read_and_says_since_when_and_why(
    lakes: Lakes, clock: Hands, archives: Archives
) -> None:
    spec = made(lakes)
    archives.state(spec)

    def gone(operation: str, key: str) -> None:
        raise StoreError("The bucket lake does not answer: connection refused.")

    lakes.of("web").before = gone
    later(clock)
    state = archives.state(spec)
    later(clock, 60)
    state = archives.state(spec)
    answer = summary(state, now=clock.tick)
    assert answer["lake"] == {
        "url": "file:///lakes/web",
        "reachable": False,
        "since": "2025-11-24T00:00:03Z",
        "reason": "The bucket lake does not answer: connection refused.",
        "read_at": "2025-11-24T00:00:00Z",
    }
    assert answer["cells"]["P"] == 96
    with pytest.raises(StoreError, match="connection refused"):
        state.record(1)

    lakes.of("web").before = lambda operation, key: None
    later(clock, 60)
    assert archives.state(spec).reachable


def test_a_lake_that_was_never_read_is_not_called_empty(
    lakes: Lakes, clock: Hands, archives: Archives
) -> None:
    spec = made(lakes)

    def refused(operation: str, key: str) -> None:
        raise CredentialsError("Access is denied: give the key s3:GetObject.")

    lakes.of("web").before = refused
    state = archives.state(spec)
    answer = summary(state, now=clock.tick)
    assert not state.known
    assert set(answer["cells"].values()) == {0}
    assert answer["lake"]["read_at"] is None
    with pytest.raises(LakeUnread, match="Access is denied"):
        cells(state, default_range(spec, now=clock.tick), now=clock.tick)


def test_an_unforeseen_failure_is_told_without_its_text(
    lakes: Lakes, clock: Hands, archives: Archives
) -> None:
    spec = made(lakes)

    def broken(operation: str, key: str) -> None:
        raise RuntimeError("password=hunter2")

    lakes.of("web").before = broken
    state = archives.state(spec)
    assert state.reason == "Reading the lake failed with RuntimeError; the server's log says more."


def test_a_lake_that_hangs_holds_up_neither_itself_nor_others(lakes: Lakes, clock: Hands) -> None:
    hanging, fine = made(lakes, "hanging"), made(lakes, "fine")
    archives = Archives(connect, clock, patience_s=60)
    assert archives.state(hanging).reachable
    free = threading.Event()

    def hang(operation: str, key: str) -> None:
        free.wait(30)

    lakes.of("hanging").before = hang
    later(clock)
    for thread in reading("hanging"):
        thread.join(30)  # It has answered, and is about to end.
    archives._patience_s = 0.05
    states = [archives.state(hanging) for _ in range(5)]
    assert len(reading("hanging")) == 1
    archives._patience_s = 60
    assert {state.reason for state in states} == {"The lake has not answered since 2025-11-24T00:00:03Z."}
    assert states[-1].slices == 96
    assert archives.state(fine).reachable
    free.set()
    later(clock, 60)
    patient = Archives(connect, clock, patience_s=60)
    assert patient.state(hanging).reachable


def test_a_changed_definition_opens_the_archive_anew(lakes: Lakes, clock: Hands, archives: Archives) -> None:
    archives.state(made(lakes))
    other = year_spec("web", url="file:///lakes/other")
    make_year(lakes.of("other"), other, slices=24)
    state = archives.state(other)
    assert (state.slices, state.url) == (24, "file:///lakes/other")
    moved = year_spec("web", url="file:///lakes/other", start=YEAR_START - TICK_PER_HOUR * 24)
    assert archives.state(moved).index.first == moved.start // TICK_PER_HOUR


def test_the_least_lately_used_archives_are_dropped(
    lakes: Lakes, clock: Hands, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives_module, "_MOST_ENTRIES", 200)
    specs = [made(lakes, f"web{number}") for number in range(4)]
    for spec in specs:
        archives.state(spec)
    for store in lakes.stores.values():
        store.counted.clear()
    archives.state(specs[3])
    assert sum(lakes.of("web3").counted.values()) == 0
    archives.state(specs[0])
    assert lakes.of("web0").counted["read"] > 1


def test_records_that_were_looked_at_are_not_read_again(
    lakes: Lakes, clock: Hands, archives: Archives
) -> None:
    spec = made(lakes)
    state = archives.state(spec)
    store = lakes.of("web")
    store.counted.clear()
    assert state.record(2) is state.record(2)
    assert dict(store.counted) == {"read": 1}
    assert state.record(99) is None


def test_a_local_lake_whose_disk_is_not_mounted_any_more_is_not_called_empty(
    tmp_path: Path, clock: Hands, archives: Archives
) -> None:
    root = tmp_path / "mount" / "lake"
    spec = year_spec(url=root.as_uri())
    make_year(open_archive(spec, connect).store, spec, slices=96)
    archives.state(spec)
    root.rename(tmp_path / "away")
    later(clock)
    state = archives.state(spec)
    answer = summary(state, now=clock.tick)
    assert (answer["lake"]["reachable"], answer["cells"]["P"]) == (False, 96)
    assert answer["lake"]["reason"] == (
        "The lake held 4 records and holds none now. This was first seen at 2025-11-24T00:00:03Z. See whether its disk "
        "is mounted. If it was deleted on purpose, it counts as empty from 2025-11-24T00:10:03Z on."
    )
    assert answer["lake"]["since"] == "2025-11-24T00:00:03Z"
    assert not root.exists()

    (tmp_path / "away").rename(root)
    later(clock, 60)
    assert archives.state(spec).reachable


def test_a_lake_that_was_deleted_is_believed_to_be_empty_after_ten_minutes(
    tmp_path: Path, clock: Hands, archives: Archives
) -> None:
    root = tmp_path / "lake"
    spec = year_spec(url=root.as_uri())
    make_year(open_archive(spec, connect).store, spec, slices=96)
    archives.state(spec)
    saved = tmp_path / "backup"
    shutil.copytree(root, saved)
    shutil.rmtree(root)
    later(clock)
    since = format_instant(clock.tick)
    assert not archives.state(spec).reachable
    later(clock, 599)
    assert not archives.state(spec).reachable

    later(clock, 11)
    state = archives.state(spec)
    answer = summary(state, now=clock.tick)
    assert answer["lake"]["reachable"]
    assert answer["cells"] == {**dict.fromkeys("DMSIUPN", 0), "M": 72, "N": 25}
    assert answer["emptied"] == {"records": 4, "since": since}
    later(clock, 3_600)
    assert summary(archives.state(spec), now=clock.tick)["emptied"] == {"records": 4, "since": since}
    assert archives.state(spec).version == state.version

    shutil.copytree(saved, root)
    later(clock, 60)
    answer = summary(archives.state(spec), now=clock.tick)
    assert (answer["cells"]["P"], answer["emptied"]) == (96, None)


def one_night(root: Path, spec: ExportSpec) -> None:
    """The night's run publishes what lies after the first four days."""
    make_year(open_archive(spec, connect).store, spec, slices=120, missing=range(96))


@pytest.mark.parametrize("seen_empty", [False, True])
def test_a_run_on_the_bare_mount_point_does_not_make_a_lake_healthy_again(
    tmp_path: Path, clock: Hands, archives: Archives, seen_empty: bool
) -> None:
    root, disk = tmp_path / "lake", tmp_path / "disk"
    spec = year_spec(url=root.as_uri())
    make_year(open_archive(spec, connect).store, spec, slices=96)
    archives.state(spec)
    root.rename(disk)
    if seen_empty:
        later(clock)
        archives.state(spec)
        later(clock, 660)
        archives.state(spec)
    one_night(root, spec)
    later(clock, TICK_PER_DAY // TICK_PER_SECOND + 7_200)
    for _ in range(2):
        state = archives.state(spec)
        answer = summary(state, now=clock.tick)
        assert (answer["journal"]["seq"], answer["cells"]["P"], answer["before_first"]) == (1, 24, None)
        assert answer["emptied"]["records"] == 4
        begun = cells(state, Window(spec.start, spec.start + TICK_PER_DAY), now=clock.tick)["begun_at"]
        assert begun == format_instant(spec.start)
        later(clock, 60)
    warnings = fill(state, Window(spec.start, spec.start + TICK_PER_DAY), now=clock.tick)["warnings"]
    assert warnings[0].startswith("The lake held 4 records and holds 1 since ")

    # The bare mount point is emptied too: what the disk held is not forgotten over that.
    shutil.rmtree(root)
    later(clock)
    assert "held 4 records" in (archives.state(spec).reason or "")

    disk.rename(root)
    later(clock, 60)
    answer = summary(archives.state(spec), now=clock.tick)
    assert (answer["cells"]["P"], answer["emptied"]) == (96, None)


def test_a_run_that_ends_when_a_lake_is_taken_to_be_empty_does_not_make_it_healthy(tmp_path: Path) -> None:
    spec = year_spec(url=(tmp_path / "lake").as_uri())
    one_night(tmp_path / "lake", spec)
    emptied = Emptied(records=4, since=NOW)
    assert taken_as_empty(spec, connect, emptied, now=NOW).emptied == emptied
    make_year(open_archive(spec, connect).store, spec, slices=96)
    assert taken_as_empty(spec, connect, emptied, now=NOW).emptied is None


def test_a_lake_that_fails_in_between_is_not_empty_for_that_long(
    tmp_path: Path, clock: Hands, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "lake"
    spec = year_spec(url=root.as_uri())
    make_year(open_archive(spec, connect).store, spec, slices=96)
    archives.state(spec)
    shutil.rmtree(root)
    later(clock)
    archives.state(spec)
    later(clock, 300)
    with monkeypatch.context() as patch:
        patch.setattr(archives_module, "read", lambda *_, **__: (_ for _ in ()).throw(StoreError("down.")))
        assert archives.state(spec).reason == "down."
    later(clock, 400)
    assert "first seen at 2025-11-24T00:11:43Z" in (archives.state(spec).reason or "")


def test_a_lake_that_holds_nothing_from_the_beginning_is_a_fresh_export(
    lakes: Lakes, clock: Hands, archives: Archives
) -> None:
    spec = made(lakes, slices=0)
    for _ in range(2):
        state = archives.state(spec)
        assert (state.known, state.reachable, state.slices) == (True, True, 0)
        later(clock)


def test_a_head_that_is_lost_beside_its_journal_is_damage_and_no_lost_lake(
    lakes: Lakes, clock: Hands, archives: Archives
) -> None:
    spec = made(lakes)
    archives.state(spec)
    lakes.of("web").forget(head_key("web"))
    later(clock)
    assert archives.state(spec).reachable


def test_rotated_credentials_open_the_lake_anew_at_once(
    lakes: Lakes, clock: Hands, archives: Archives, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = made(lakes)
    key = "old"
    opened: list[str] = []

    def open_with_key(url: str, connection: Connection | None) -> Store:
        given = key
        opened.append(given)
        store = MemoryStore(url=url, objects=lakes.of("web").objects)

        def check(operation: str, at: str) -> None:
            if given != key:
                raise CredentialsError("The key is not valid any more.")

        store.before = check
        return store

    monkeypatch.setattr(archive_module, "open_store", open_with_key)
    archives.state(spec)
    key = "new"
    later(clock)
    state = archives.state(spec)
    assert (state.reachable, opened) == (True, ["old", "new"])
    assert state.record(1) is not None


def test_a_lake_that_refuses_is_opened_once_more_and_not_again(
    lakes: Lakes, clock: Hands, archives: Archives
) -> None:
    spec = made(lakes)
    archives.state(spec)
    asked: list[str] = []

    def refuse(operation: str, key: str) -> None:
        asked.append(key)
        raise StoreError("The bucket lake does not answer.")

    lakes.of("web").before = refuse
    later(clock)
    assert not archives.state(spec).reachable
    assert asked == [head_key("web")] * 2


@pytest.mark.parametrize("damaged", [b"{", None])
def test_a_newest_record_that_is_damaged_behind_head_is_seen(
    lakes: Lakes, clock: Hands, archives: Archives, damaged: bytes | None
) -> None:
    spec = made(lakes)
    before = archives.state(spec)
    store = lakes.of("web")
    key = journal_key("web", before.have().seq)
    if damaged is None:
        store.forget(key)
    else:
        store.seed(key, damaged)
    later(clock)
    after = archives.state(spec)
    assert [one.key for one in after.have().damage] == [key]
    assert after.version != before.version
    store.counted.clear()
    later(clock)
    archives.state(spec)
    assert sum(store.counted.values()) == 4


def test_a_lake_that_failed_and_now_hangs_says_why_it_failed(lakes: Lakes, clock: Hands) -> None:
    spec = made(lakes)
    archives = Archives(connect, clock, patience_s=60)
    free = threading.Event()

    def refused(operation: str, key: str) -> None:
        raise CredentialsError("Access is denied: give the key s3:GetObject.")

    def hang(operation: str, key: str) -> None:
        free.wait(30)

    lakes.of("web").before = refused
    assert "Access" in (archives.state(spec).reason or "")
    lakes.of("web").before = hang
    later(clock, 60)
    archives._patience_s = 0.05
    state = archives.state(spec)
    assert (state.reason, state.since) == ("Access is denied: give the key s3:GetObject.", NOW)
    free.set()
