"""The ledger: the last word on every slice, read in a handful of requests, whatever state the journal is in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import AT, EXPORT, Publisher, Rows, Scribe, differing, hours

from logferry.layout import checkpoint_key, checkpoint_prefix, head_key, journal_key, manifest_key
from logferry.records.checkpoint import (
    RECORDS_BETWEEN,
    decode_checkpoint,
    encode_checkpoint,
    write_checkpoint,
)
from logferry.records.journal import Journal
from logferry.records.ledger import Ledger, fold, read_ledger
from logferry.records.manifest import Status
from logferry.window import parse_instant

STATUSES: list[Status] = ["proven", "unproven", "short"]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def told(ledger: Ledger) -> list[tuple[int, str, int | None]]:
    return [(one.seq, one.kind, one.acknowledged) for one in ledger.damage]


def test_the_last_publication_of_a_slice_wins(store: MemoryStore) -> None:
    Publisher("one", [Rows("a"), Rows("b"), Rows("c")]).carry(store)
    Publisher("two", [Rows("d", 2)], first=1).carry(store)
    ledger = read_ledger(store, EXPORT)
    assert [ledger.slices[hours(at)].entry.rows for at in range(3)] == [1, 2, 1]
    assert [ledger.slices[hours(at)].seq for at in range(3)] == [2, 4, 2]
    assert [ledger.slices[hours(at)].window for at in range(3)] == [hours(at) for at in range(3)]
    assert {window: (one.seq, one.run) for window, one in ledger.windows.items()} == {
        hours(0, 3): (2, "one"),
        hours(1): (4, "two"),
    }
    assert ledger.first_published_at == parse_instant(AT)
    assert ledger.source == {"kind": "memory"}
    assert ledger.open_intents == {}


def test_an_intent_is_open_slice_by_slice_until_a_publication_lists_the_slice(store: MemoryStore) -> None:
    scribe = Scribe(store)
    scribe.intend(Publisher("dead", [Rows("a"), Rows("b")]), etag="e1")
    scribe.intend(Publisher("next", [Rows("c")], first=1), etag="e2")
    scribe.record(Publisher("next", [Rows("c")], first=1), intent=2)
    ledger = read_ledger(store, EXPORT)
    assert {slice_: [one.run for one in found] for slice_, found in ledger.open_intents.items()} == {
        hours(0): ["dead"]
    }
    assert ledger.held == {hours(1): ["e1"]}


def test_a_slice_that_was_removed_is_in_no_ledger(store: MemoryStore) -> None:
    scribe = Scribe(store)
    scribe.record(Publisher("one", [Rows("a"), Rows("b")]))
    scribe.record(Publisher("two", [Rows("c")], first=2), removed=[hours(0)])
    assert set(read_ledger(store, EXPORT).slices) == {hours(1), hours(2)}


publishers = st.builds(
    Publisher,
    run=st.sampled_from(["r1", "r2"]),
    slices=st.lists(st.builds(Rows, st.sampled_from("abc"), st.integers(0, 3)), min_size=1, max_size=4),
    first=st.integers(0, 5),
    status=st.sampled_from(STATUSES),
    fingerprint=st.sampled_from(["f", "g"]),
)
steps = st.tuples(st.sampled_from(["intent", "own", "other", "removing"]), publishers)


@given(journal=st.lists(steps, max_size=40), cut=st.integers(0, 40))
def test_a_checkpoint_and_what_follows_is_the_whole_journal_folded(
    journal: list[tuple[str, Publisher]], cut: int
) -> None:
    store = MemoryStore()
    scribe = Scribe(store)
    for number, (kind, publisher) in enumerate(journal):
        if kind == "intent":
            scribe.intend(publisher, etag=f"e{number % 3}")
        else:
            removed = [hours(7, 2)] if kind == "removing" else []
            scribe.record(publisher, intent=scribe.seq if kind == "own" else None, removed=removed)
        if number == cut:
            ledger = read_ledger(store, EXPORT)
            store.seed(head_key(EXPORT), msgspec.json.encode(write_checkpoint(store, EXPORT, ledger)))
    whole = fold(Journal(store, EXPORT).records())
    found = read_ledger(store, EXPORT)
    assert (found.head.seq, found.head.hash) == (whole.head.seq, whole.head.hash)
    same = dataclasses.replace(found, head=whole.head, named=None, damage=[])
    assert same == whole
    assert [one.kind for one in found.damage] in ([], ["head"])
    if whole.head.seq:
        assert encode_checkpoint(EXPORT, found) == encode_checkpoint(EXPORT, whole)
        again = decode_checkpoint(EXPORT, encode_checkpoint(EXPORT, whole))
        assert again == whole


def test_publications_leave_checkpoints_and_keep_the_newest_two(store: MemoryStore) -> None:
    for hour in range(40):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    kept = store.keys(checkpoint_prefix(EXPORT))
    assert kept == [checkpoint_key(EXPORT, seq) for seq in (64, 80)]
    ledger = read_ledger(store, EXPORT)
    assert (ledger.head.seq, ledger.head.checkpoint) == (80, 80)
    assert len(ledger.slices) == 40


def test_a_year_of_hourly_windows_is_read_in_a_handful_of_requests(store: MemoryStore) -> None:
    scribe = Scribe(store)
    for hour in range(8_760):
        publisher = Publisher(f"run{hour}", [Rows("a", hour)], first=hour)
        scribe.intend(publisher)
        scribe.record(publisher, intent=scribe.seq)
    ledger = fold(Journal(store, EXPORT).records())
    store.seed(head_key(EXPORT), msgspec.json.encode(write_checkpoint(store, EXPORT, ledger)))
    store.counted.clear()
    found = read_ledger(store, EXPORT)
    assert len(found.slices) == 8_760
    # HEAD, checkpoint, the record it ends at, and two looks for a record after that
    assert (store.counted["read"], store.counted["head"], sum(store.counted.values())) == (4, 1, 5)

    for hour in range(8_760, 8_760 + RECORDS_BETWEEN // 2 - 1):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    store.counted.clear()
    assert len(read_ledger(store, EXPORT).slices) == 8_760 + RECORDS_BETWEEN // 2 - 1
    most = 5 + RECORDS_BETWEEN - 2
    assert sum(store.counted.values()) == most


def spoil(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


@pytest.mark.parametrize("how", ["missing", "spoilt", "of another export", "no gzip"])
def test_without_its_checkpoint_the_ledger_is_read_from_the_one_before_or_the_journal(
    store: MemoryStore, how: str
) -> None:
    for hour in range(20):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    whole = fold(Journal(store, EXPORT).records())
    for seq in (32, 16):
        key = checkpoint_key(EXPORT, seq)
        if how == "missing":
            store.forget(key)
        else:
            data = {
                "spoilt": spoil(store.content(key)),
                "of another export": encode_checkpoint("other", whole),
                "no gzip": b"{}",
            }[how]
            store.seed(key, data)
        ledger = read_ledger(store, EXPORT)
        assert ledger.slices == whole.slices
        assert told(ledger) == [(32, "checkpoint", None)]
    Publisher("next", [Rows("b")], first=20).carry(store)
    healed = read_ledger(store, EXPORT)
    assert healed.damage == []
    assert healed.head.checkpoint == 42


@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_head_that_was_removed_is_damage_and_the_next_publication_writes_it(
    store: MemoryStore, checkpointed: bool
) -> None:
    for hour in range(10 if checkpointed else 3):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    store.forget(head_key(EXPORT))
    ledger = read_ledger(store, EXPORT)
    assert told(ledger) == [(0, "head", None)]
    assert (ledger.head.seq, ledger.named) == (20 if checkpointed else 6, None)
    Publisher("next", [Rows("b")], first=20).carry(store)
    healed = read_ledger(store, EXPORT)
    assert healed.damage == []
    assert healed.named is not None
    assert healed.named.seq == healed.head.seq


def flip(store: MemoryStore, key: str) -> None:
    store.seed(key, store.content(key).replace(b"logferry test", b"logferry tesT"))


def foreign(store: MemoryStore, key: str) -> None:
    store.seed(key, store.content(key).replace(b'"export": "web"', b'"export": "ham"'))


def unreadable(store: MemoryStore, key: str) -> None:
    store.seed(key, b"gone bad")


DAMAGES: dict[str, Callable[[MemoryStore, str], None]] = {
    "missing": MemoryStore.forget,
    "changed": flip,
    "foreign": foreign,
    "unreadable": unreadable,
}


@pytest.mark.parametrize("seq", [2, 4, 6])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_publication_comes_back_from_its_windows_copy(
    store: MemoryStore, kind: str, seq: int
) -> None:
    for hour in range(3):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    key = journal_key(EXPORT, seq)
    before = store.content(key)
    DAMAGES[kind](store, key)
    ledger = read_ledger(store, EXPORT)
    assert told(ledger) == [(seq, kind, None)]
    assert hours(seq // 2 - 1) not in ledger.slices

    manifest = Publisher("next", [Rows("b")], first=3).carry(store)
    assert store.content(key) == before
    assert manifest.mends == []
    healed = read_ledger(store, EXPORT)
    assert healed.damage == []
    assert len(healed.slices) == 4
    assert differing(store, healed) == []


@pytest.mark.parametrize("seq", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_that_nothing_can_undo_is_acknowledged_and_the_chain_goes_on(
    store: MemoryStore, kind: str, seq: int
) -> None:
    for hour in range(3):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    DAMAGES[kind](store, journal_key(EXPORT, seq))
    for hour in range(3):
        store.forget(manifest_key(EXPORT, hours(hour)))
    assert told(read_ledger(store, EXPORT)) == [(seq, kind, None)]

    manifest = Publisher("next", [Rows("b")], first=3).carry(store)
    assert (manifest.seq, [mend.seq for mend in manifest.mends]) == (8, [seq])
    assert told(read_ledger(store, EXPORT)) == [(seq, kind, 8)]

    again = Publisher("again", [Rows(f"c{hour}") for hour in range(3)]).carry(store)
    assert again.mends == []
    ledger = read_ledger(store, EXPORT)
    assert told(ledger) == [(seq, kind, 8)]
    assert len(ledger.slices) == 4
    assert differing(store, ledger) == []


def test_the_copies_may_be_swapped_and_still_mend_the_journal(store: MemoryStore) -> None:
    for hour in range(3):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    one, other = manifest_key(EXPORT, hours(0)), manifest_key(EXPORT, hours(1))
    first, second = store.content(one), store.content(other)
    store.seed(one, second)
    store.seed(other, first)
    store.forget(journal_key(EXPORT, 4))
    Publisher("next", [Rows("a")]).carry(store)
    ledger = read_ledger(store, EXPORT)
    assert ledger.damage == []
    assert store.content(one) == store.content(journal_key(EXPORT, 8))
    Publisher("more", [Rows("a")], first=1).carry(store)
    assert store.content(other) == store.content(journal_key(EXPORT, 10))


def test_the_end_of_a_journal_that_was_cut_off_is_restored(store: MemoryStore) -> None:
    for hour in range(3):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    for seq in (4, 5, 6):
        store.forget(journal_key(EXPORT, seq))
    manifest = Publisher("next", [Rows("b")], first=3).carry(store)
    assert manifest.seq == 8
    assert [mend.seq for mend in manifest.mends] == [4, 5]
    ledger = read_ledger(store, EXPORT)
    assert set(ledger.slices) == {hours(0), hours(2), hours(3)}


@pytest.mark.parametrize("what", ["publication", "intent"])
@pytest.mark.parametrize("copied", [True, False])
def test_a_record_older_than_the_checkpoint_is_mended_when_its_window_runs_again(
    store: MemoryStore, what: str, copied: bool
) -> None:
    for hour in range(12):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    seq = 6 if what == "publication" else 5
    key = journal_key(EXPORT, seq)
    before = store.content(key)
    store.forget(key)
    if not copied:
        store.forget(manifest_key(EXPORT, hours(2)))
    assert read_ledger(store, EXPORT).damage == []
    manifest = Publisher("again", [Rows("a")], first=2).carry(store)
    journal = Journal(store, EXPORT)
    assert len(list(journal.records())) >= 25
    if copied and what == "publication":
        assert store.content(key) == before
        assert journal.damage == []
    else:
        assert [mend.seq for mend in manifest.mends] == [seq]
        assert [(one.seq, one.acknowledged) for one in journal.damage] == [(seq, manifest.seq)]
