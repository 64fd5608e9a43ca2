"""What follows a commit, and is made up for where a run did not come to do it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.logferry.interleaving import Interleaving
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, START, A, B, Publisher, hours, sha256

from logferry.errors import StoreError
from logferry.layout import checkpoint_prefix, journal_key, manifest_key, piece_key, staged_key
from logferry.records.ledger import read_ledger
from logferry.records.manifest import Manifest
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR


def test_the_windows_copy_and_head_are_of_the_last_publication(store: MemoryStore) -> None:
    Publisher("one", [A]).carry(store)
    Publisher("two", [B]).carry(store)
    assert store.content(manifest_key(EXPORT, hours(0))) == store.content(journal_key(EXPORT, 4))
    ledger = read_ledger(store, EXPORT)
    assert ledger.named == ledger.head


def test_a_late_window_copy_and_head_never_go_back(store: MemoryStore) -> None:
    slow = Publisher("slow", [A])
    interleaving = Interleaving(store, [slow, Publisher("quick", [B])])

    def quick_after_the_commit_of_slow(waiting: Sequence[str]) -> str:
        committed = journal_key(EXPORT, 2) in store.objects
        return "quick" if committed and "quick" in waiting else waiting[0]

    interleaving.run(quick_after_the_commit_of_slow)
    assert all(isinstance(one.outcome, Manifest) for one in interleaving.runners.values())
    assert store.content(manifest_key(EXPORT, hours(0))) == store.content(journal_key(EXPORT, 4))
    ledger = read_ledger(store, EXPORT)
    assert ledger.named == ledger.head


def dying_step(operation: str) -> int:
    """The number of the first such operation of a run that is alone."""
    interleaving = Interleaving(MemoryStore(), [Publisher("x", [A])])
    interleaving.run(lambda waiting: waiting[0])
    return 1 + next(
        index
        for index, line in enumerate(interleaving.trace)
        if line.removeprefix("x: ").startswith(operation)
    )


def test_a_publication_makes_up_for_one_that_died_after_its_commit(store: MemoryStore) -> None:
    dead = Interleaving(
        store, [Publisher("dead", [A])], kill={"dead": dying_step("put_bytes _manifests/web/2")}
    )
    dead.run(lambda waiting: waiting[0])
    assert manifest_key(EXPORT, hours(0)) not in store.objects
    Publisher("next", [B], first=1).carry(store)
    assert store.content(manifest_key(EXPORT, hours(0))) == store.content(journal_key(EXPORT, 2))


def test_parts_and_pieces_of_the_window_go_and_those_of_the_runs_other_windows_stay(
    store: MemoryStore,
) -> None:
    mine = piece_key(EXPORT, "one", START + 1, START + 7, sha256(A.data))
    others = [
        piece_key(EXPORT, "one", START + TICK_PER_HOUR, START + TICK_PER_HOUR + 7, sha256(A.data)),
        staged_key(EXPORT, "one", hours(1), sha256(A.data)),
        staged_key(EXPORT, "two", hours(0), sha256(A.data)),
    ]
    for key in [mine, *others]:
        store.seed(key, b"part")
    Publisher("one", [A]).carry(store)
    assert store.keys("_staging/") == sorted(others)


def test_parts_nobody_came_back_for_are_swept_after_a_week(store: MemoryStore) -> None:
    store.seed(staged_key(EXPORT, "dead", hours(5), sha256(A.data)), b"part")
    store.seed(staged_key("other", "dead", hours(5), sha256(A.data)), b"part")
    store.now += 8 * TICK_PER_DAY
    store.seed(staged_key(EXPORT, "alive", hours(5), sha256(A.data)), b"part")
    Publisher("one", [A]).carry(store)
    left = [
        staged_key("other", "dead", hours(5), sha256(A.data)),
        staged_key(EXPORT, "alive", hours(5), sha256(A.data)),
    ]
    assert store.keys("_staging/") == left


@pytest.mark.parametrize("failing", ["HEAD.json", "20261120", "checkpoints/", "_staging/"])
def test_what_fails_after_the_commit_is_made_up_for_by_the_next_publication(
    store: MemoryStore, failing: str
) -> None:
    for hour in range(7):
        Publisher("before", [A], first=hour).carry(store)

    def fail(operation: str, key: str) -> None:
        if failing in key and operation in ("put_bytes", "delete", "list"):
            raise StoreError("the network went away")

    store.before = fail
    publisher = Publisher("one", [A], first=7)
    assert publisher.carry(store).seq == 16
    store.before = lambda operation, key: None
    Publisher("next", [A], first=8).carry(store)
    ledger = read_ledger(store, EXPORT)
    assert ledger.named == ledger.head
    assert ledger.damage == []
    for window, one in ledger.windows.items():
        assert store.content(manifest_key(EXPORT, window)) == store.content(journal_key(EXPORT, one.seq))
    assert len(store.keys(checkpoint_prefix(EXPORT))) >= 1
