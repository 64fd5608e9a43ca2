"""The lease: one writer at a time where the store keeps no conditions, and what becomes of one that stands still."""

from __future__ import annotations

import json

import pytest
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, Publisher, Rows, StoreClock

from logferry.errors import StoreError, Superseded
from logferry.layout import lease_key
from logferry.publishing.lease import LASTS_S, Lease
from logferry.window import TICK_PER_SECOND, parse_instant

KEY = lease_key(EXPORT)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(enforces=False)


def lease(store: MemoryStore, run: str) -> Lease:
    return Lease(store, EXPORT, run, StoreClock(store))


def test_a_lease_names_its_run_and_its_end_and_is_gone_afterwards(store: MemoryStore) -> None:
    begun = store.now
    mine = lease(store, "one")
    mine.acquire()
    found = json.loads(store.content(KEY))
    assert (found["run"], found["expires_at"]) == ("one", begun + LASTS_S * TICK_PER_SECOND)
    mine.release()
    assert store.keys() == []


def test_another_run_waits_for_a_while_and_then_is_told_who_and_until_when(store: MemoryStore) -> None:
    lease(store, "one").acquire()
    begun = store.now
    with pytest.raises(
        StoreError,
        match=r"by the run one, whose lease _manifests/web/lease\.json ends at 2026-11-22T12:05:00Z",
    ):
        lease(store, "two").acquire()
    assert 30 <= (store.now - begun) / TICK_PER_SECOND < 60


def test_a_lease_that_is_released_while_another_run_waits_is_taken(store: MemoryStore) -> None:
    lease(store, "one").acquire()
    released = store.now + 10 * TICK_PER_SECOND

    def let_go(operation: str, key: str) -> None:
        if operation == "read" and store.now >= released and b'"one"' in store.content(KEY):
            store.forget(KEY)

    store.before = let_go
    lease(store, "two").acquire()
    assert json.loads(store.content(KEY))["run"] == "two"


def test_the_lease_of_a_run_that_died_ends_by_itself(store: MemoryStore) -> None:
    lease(store, "dead").acquire()
    store.now += (LASTS_S + 31) * TICK_PER_SECOND
    lease(store, "two").acquire()
    assert json.loads(store.content(KEY))["run"] == "two"


def test_of_two_that_put_theirs_at_a_time_the_later_stays_and_the_other_waits(store: MemoryStore) -> None:
    rival = lease(store, "rival")

    def rival_puts_after(operation: str, key: str) -> None:
        if operation == "put_bytes after its check" and store.keys() == []:
            store.before = lambda operation, key: None
            rival.acquire()

    store.before = rival_puts_after
    mine = lease(store, "mine")
    mine.acquire()
    assert json.loads(store.content(KEY))["run"] == "mine"
    with pytest.raises(Superseded, match="taken over by the run mine"):
        rival.check()


def test_a_lease_is_renewed_while_its_run_works(store: MemoryStore) -> None:
    mine = lease(store, "one")
    mine.acquire()
    for _ in range(10):
        store.now += 100 * TICK_PER_SECOND
        mine.check()
    assert json.loads(store.content(KEY))["expires_at"] > store.now


def test_a_run_that_stood_still_for_too_long_stops(store: MemoryStore) -> None:
    mine = lease(store, "one")
    mine.acquire()
    store.now += LASTS_S * TICK_PER_SECOND
    with pytest.raises(Superseded, match="has ended"):
        mine.check()


def test_a_lease_that_is_taken_over_is_not_released_by_the_run_that_lost_it(store: MemoryStore) -> None:
    slow = lease(store, "slow")
    slow.acquire()
    store.now += 400 * TICK_PER_SECOND
    lease(store, "quick").acquire()
    slow.release()
    assert json.loads(store.content(KEY))["run"] == "quick"


@pytest.mark.parametrize("end", ["2099-01-01T00:00:00Z", "2026-11-22T12:05:31Z", 10**19, -5])
def test_a_lease_that_no_right_clock_can_have_given_is_not_believed(
    store: MemoryStore, end: str | int
) -> None:
    until = parse_instant(end) if isinstance(end, str) else end
    store.seed(KEY, json.dumps({"run": "wrong", "token": "t", "expires_at": until}).encode())
    lease(store, "one").acquire()
    assert json.loads(store.content(KEY))["run"] == "one"


@pytest.mark.parametrize("data", [b"?", b'{"x":' + b"[" * 200_000], ids=["no json", "nested"])
def test_an_object_that_is_no_lease_is_replaced(store: MemoryStore, data: bytes) -> None:
    store.seed(KEY, data)
    lease(store, "one").acquire()
    assert json.loads(store.content(KEY))["run"] == "one"


@pytest.mark.parametrize("enforces", [True, False])
def test_a_publication_takes_a_lease_only_where_conditions_are_ignored(enforces: bool) -> None:
    store = MemoryStore(enforces=enforces)
    seen: list[str] = []
    store.before = lambda operation, key: seen.append(key)
    Publisher("one", [Rows("a")]).carry(store)
    assert (KEY in seen) is not enforces
    assert KEY not in store.objects
