"""The ledger: the last word on every slice, read in a handful of requests, whatever state the journal is in."""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import AT, EXPORT, Publisher, Rows, Scribe, differing, hours

from logferry.audit.verify import verify
from logferry.layout import checkpoint_key, checkpoint_prefix, head_key, journal_key, manifest_key
from logferry.records.checkpoint import (
    RECORDS_BETWEEN,
    decode_checkpoint,
    encode_checkpoint,
    write_checkpoint,
)
from logferry.records.journal import Journal
from logferry.records.ledger import Ledger, Requests, fold, read_ledger
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


WINDOWS = 91 * 24


def test_three_months_of_hourly_windows_are_read_in_a_handful_of_requests(store: MemoryStore) -> None:
    scribe = Scribe(store)
    for hour in range(WINDOWS):
        publisher = Publisher(f"run{hour}", [Rows("a", hour)], first=hour)
        scribe.intend(publisher)
        scribe.record(publisher, intent=scribe.seq)
    ledger = fold(Journal(store, EXPORT).records())
    store.seed(head_key(EXPORT), msgspec.json.encode(write_checkpoint(store, EXPORT, ledger)))
    store.counted.clear()
    found = read_ledger(store, EXPORT)
    assert len(found.slices) == WINDOWS
    # HEAD, checkpoint, the record it ends at, the record after that, and what else there may be after it
    assert (store.counted["read"], store.counted["list"], sum(store.counted.values())) == (4, 1, 5)

    for hour in range(WINDOWS, WINDOWS + RECORDS_BETWEEN // 2 - 1):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    store.counted.clear()
    assert len(read_ledger(store, EXPORT).slices) == WINDOWS + RECORDS_BETWEEN // 2 - 1
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


def lost(store: MemoryStore, seq: int) -> Callable[[], None]:
    """Take the record and its window's copy away; what is returned brings both back, as from a backup."""
    keys = [journal_key(EXPORT, seq), manifest_key(EXPORT, hours(seq // 2 - 1))]
    saved = {key: store.content(key) for key in keys}
    for key in keys:
        store.forget(key)

    def bring_back() -> None:
        for key, data in saved.items():
            store.seed(key, data)

    return bring_back


@pytest.mark.parametrize("also_changed", [False, True])
def test_a_checkpoint_that_left_out_a_record_which_is_back_is_not_believed(
    store: MemoryStore, also_changed: bool
) -> None:
    for hour in range(3):
        Publisher(f"run{hour}", [Rows("a", 7)], first=hour).carry(store)
    bring_back = lost(store, 4)
    if also_changed:
        store.seed(journal_key(EXPORT, 4), b"gone bad")
    for hour in range(3, 30):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    assert hours(1) not in read_ledger(store, EXPORT).slices
    bring_back()
    ledger = read_ledger(store, EXPORT)
    assert ledger.slices[hours(1)].entry.rows == 7
    assert [one.kind for one in ledger.damage] == ["checkpoint"]

    Publisher("next", [Rows("a")], first=40).carry(store)
    healed = read_ledger(store, EXPORT)
    assert (healed.damage, healed.through) == ([], 62)
    assert healed.slices[hours(1)].entry.rows == 7


def test_a_record_that_comes_back_while_a_checkpoint_is_made_without_it_is_not_forgotten(
    store: MemoryStore,
) -> None:
    for hour in range(7):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    bring_back = lost(store, 4)

    def back_before_the_first_write(operation: str, key: str) -> None:
        if operation == "put_bytes":
            bring_back()

    store.before = back_before_the_first_write
    Publisher("run", [Rows("a")], first=40).carry(store)
    store.before = lambda operation, key: None
    assert store.keys(checkpoint_prefix(EXPORT)) == [checkpoint_key(EXPORT, 16)]
    assert hours(1) in read_ledger(store, EXPORT).slices


def test_many_records_that_were_left_out_are_looked_for_in_one_listing(store: MemoryStore) -> None:
    for hour in range(20):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    for hour in range(20):
        lost(store, 2 * hour + 2)
    for key in (head_key(EXPORT), *store.keys(checkpoint_prefix(EXPORT))):
        store.forget(key)
    Publisher("run", [Rows("a")], first=40).carry(store)
    store.counted.clear()
    ledger = read_ledger(store, EXPORT)
    assert len(ledger.without) == 19
    assert (store.counted["head"], store.counted["list"]) == (0, 2)


def test_checkpoints_with_numbers_that_the_journal_has_not_reached_go_and_the_named_one_stays(
    store: MemoryStore,
) -> None:
    for hour in range(20):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    old = {key: store.content(key) for key in store.keys("_manifests/")}
    for hour in range(20, 60):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    ahead = store.keys(checkpoint_prefix(EXPORT))
    for key in store.keys("_manifests/"):
        if key not in ahead:
            store.forget(key)
    for key, data in old.items():
        store.seed(key, data)
    store.seed(checkpoint_key(EXPORT, 10**12 - 1), b"?")
    for hour in range(20, 26):
        Publisher(f"again{hour}", [Rows("b")], first=hour).carry(store)
        named = read_ledger(store, EXPORT).named
        assert named is not None
        assert named.checkpoint is not None
        assert checkpoint_key(EXPORT, named.checkpoint) in store.objects
    assert store.keys(checkpoint_prefix(EXPORT)) == [checkpoint_key(EXPORT, seq) for seq in (32, 48)]


def test_head_is_written_though_a_record_of_late_is_lost_with_its_copy(store: MemoryStore) -> None:
    for hour in range(13):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    lost(store, 14)
    store.forget(head_key(EXPORT))
    for hour in range(20, 23):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    ledger = read_ledger(store, EXPORT)
    assert ledger.named == ledger.head
    assert len(store.keys(checkpoint_prefix(EXPORT))) == 2


RECORD_KINDS = ("record_missing", "record_unreadable", "record_foreign", "chain_broken")


def found_by_verify(store: MemoryStore) -> list[tuple[str, str]]:
    verification = verify(store, EXPORT, now=store.now)
    return [(one.key, one.level) for one in verification.findings if one.kind in RECORD_KINDS]


@pytest.mark.parametrize("superseded", [True, False])
@pytest.mark.parametrize("seqs", [(6,), (5,), (5, 7)])
@pytest.mark.parametrize("kind", DAMAGES)
def test_what_verify_found_in_old_records_is_mended_by_a_publication_of_any_window(
    store: MemoryStore, kind: str, seqs: tuple[int, ...], superseded: bool
) -> None:
    for hour in range(12):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    if superseded:
        Publisher("again", [Rows("b")], first=2).carry(store)
    for seq in seqs:
        DAMAGES[kind](store, journal_key(EXPORT, seq))
    keys = [journal_key(EXPORT, seq) for seq in seqs]
    assert found_by_verify(store) == [(key, "finding") for key in keys]

    manifest = Publisher("elsewhere", [Rows("a")], first=50).carry(store)
    assert {key for key, level in found_by_verify(store) if level == "finding"} == set()
    restored = seqs == (6,) and not superseded
    assert [mend.seq for mend in manifest.mends] == ([] if restored else list(seqs))
    assert Publisher("more", [Rows("a")], first=51).carry(store).mends == []


def test_damage_that_is_acknowledged_costs_no_publication_anything_any_more(store: MemoryStore) -> None:
    for hour in range(100):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    for seq in (5, 7):
        store.forget(journal_key(EXPORT, seq))
    found_by_verify(store)
    for first, mended in ((2, [5, 7]), (2, []), (3, [])):
        store.counted.clear()
        manifest = Publisher("again", [Rows("a")], first=first).carry(store)
        assert [mend.seq for mend in manifest.mends] == mended
        assert store.counted["read"] < 40


def test_only_records_that_still_are_the_last_word_are_looked_at(store: MemoryStore) -> None:
    for hour in range(50):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    whole = Publisher("whole", [Rows("b")] * 50)
    whole.carry(store)
    for hour in range(60, 68):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    store.counted.clear()
    whole.carry(store)
    assert store.counted["read"] < 40


def test_a_slice_remembers_the_rows_of_its_first_publication_under_its_definition(store: MemoryStore) -> None:
    scribe = Scribe(store)
    scribe.record(Publisher("first", [Rows("a", 4), Rows("b", 2)]))
    scribe.record(Publisher("late", [Rows("a", 7)]))
    scribe.record(Publisher("other definition", [Rows("b", 5)], first=1, fingerprint="g"))
    slices = read_ledger(store, EXPORT).slices
    assert [(slices[hours(at)].first_rows, slices[hours(at)].entry.rows) for at in range(2)] == [
        (4, 7),
        (5, 5),
    ]


def test_the_first_publication_that_is_not_short_is_the_one_whose_rows_are_remembered(
    store: MemoryStore,
) -> None:
    scribe = Scribe(store)
    told = []
    publications: list[tuple[str, int, Status]] = [
        ("short", 4, "short"),
        ("short again", 5, "short"),
        ("mended", 9, "proven"),
        ("short later", 7, "short"),
        ("late", 12, "proven"),
    ]
    for run, rows, status in publications:
        scribe.record(Publisher(run, [Rows(run, rows)], status=status))
        ledger = read_ledger(store, EXPORT)
        assert decode_checkpoint(EXPORT, encode_checkpoint(EXPORT, ledger)).slices == ledger.slices
        told.append(ledger.slices[hours(0)].first_rows)
    assert told == [None, None, 9, 9, 9]


def test_a_window_remembers_its_run_and_its_requests(store: MemoryStore) -> None:
    Publisher("one", [Rows("a", 3), Rows("b", 2)], attempt=2).carry(store)
    window = read_ledger(store, EXPORT).windows[hours(0, 2)]
    assert (window.rows, window.attempt, window.started_at, window.finished_at) == (5, 2, AT, AT)
    assert window.requests == Requests(search=1)
    assert Requests.told({"search": 3, "count": 2, "schema": 1, "throttled": 4, "<b>": 9}).sent == 6


def test_a_checkpoint_of_an_older_version_is_read_and_what_it_does_not_tell_is_unknown(
    store: MemoryStore,
) -> None:
    scribe = Scribe(store)
    scribe.record(Publisher("one", [Rows("a", 4), Rows("b", 2)]))
    whole = read_ledger(store, EXPORT)
    plain = msgspec.json.decode(gzip.decompress(encode_checkpoint(EXPORT, whole)))
    for one in plain["slices"]:
        del one["first_rows"]
    for one in plain["windows"]:
        for name in ("rows", "attempt", "started_at", "finished_at", "requests"):
            del one[name]
    old = decode_checkpoint(EXPORT, gzip.compress(msgspec.json.encode(plain)))
    assert old.slices[hours(0)].first_rows is None
    window = old.windows[hours(0, 2)]
    assert (window.rows, window.attempt, window.requests, window.run) == (None, None, None, "one")

    scribe.record(Publisher("again", [Rows("a", 9)]))
    again = Journal(store, EXPORT).record_at(2)
    assert again is not None
    old.apply(again)
    assert old.slices[hours(0)].first_rows is None
    assert old.windows[hours(0)].rows == 9
    assert decode_checkpoint(EXPORT, encode_checkpoint(EXPORT, old)) == old


def test_a_time_of_a_megabyte_is_not_carried_along(store: MemoryStore) -> None:
    scribe = Scribe(store)
    scribe.record(Publisher("one", [Rows("a")], finished_at="2" * 1_000_000))
    assert read_ledger(store, EXPORT).windows[hours(0)].finished_at is None
