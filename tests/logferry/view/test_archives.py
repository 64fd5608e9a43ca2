"""Archives in memory: read once, looked at cheaply, and no lake in the way of another."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import msgspec
import pytest
from tests.logferry.memory_store import MemoryStore
from tests.logferry.view.made_year import YEAR_START, connect, make_year, year_spec

from logferry.audit import archive as archive_module
from logferry.connection import Connection
from logferry.errors import CredentialsError, StoreError
from logferry.layout import findings_key, head_key, journal_key
from logferry.records.journal import Head
from logferry.records.manifest import Intent, RunEntry, Span
from logferry.stores.base import Store
from logferry.view import archives as archives_module
from logferry.view.archives import Archives, LakeUnread, etag
from logferry.view.cells import cells
from logferry.view.ranges import default_range
from logferry.view.summary import summary
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, TICK_PER_SECOND

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


def made(lakes: Lakes, name: str = "web", *, slices: int = 96) -> archives_module.ExportSpec:
    spec = year_spec(name, url=f"file:///lakes/{name}")
    make_year(lakes.of(name), spec, slices=slices)
    return spec


def later(clock: Hands, seconds: int = 3) -> None:
    clock.tick += seconds * TICK_PER_SECOND


def test_an_archive_that_did_not_change_costs_three_small_requests_every_two_seconds(
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
    assert dict(store.counted) == {"read": 1, "head": 2}
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
    archives = Archives(connect, clock, patience_s=0.2)
    assert archives.state(hanging).reachable
    free = threading.Event()

    def hang(operation: str, key: str) -> None:
        free.wait(30)

    lakes.of("hanging").before = hang
    later(clock)
    threads = threading.active_count()
    states = [archives.state(hanging) for _ in range(5)]
    assert threading.active_count() == threads + 1
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
    monkeypatch.setattr(archives_module, "_MOST_SLICES", 200)
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
