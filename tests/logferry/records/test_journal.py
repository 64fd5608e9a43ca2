"""The journal: one chain, and what is said of it when it is not whole."""

from __future__ import annotations

import itertools
import json

import msgspec
import pytest
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, Publisher, Rows, Scribe, hours

from logferry.layout import head_key, journal_key, manifest_key
from logferry.records.journal import Damage, Head, Journal
from logferry.records.manifest import content_hash, decode_manifest


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def written(store: MemoryStore, count: int) -> Scribe:
    scribe = Scribe(store)
    for number in range(count):
        scribe.record(Publisher(f"run{number}", [Rows("a", number + 1)], first=number))
    scribe.point()
    return scribe


def walked(store: MemoryStore) -> tuple[list[int], list[Damage]]:
    journal = Journal(store, EXPORT)
    return [record.seq for record in journal.records()], journal.damage


def told(damage: list[Damage]) -> list[tuple[int, str]]:
    return [(one.seq, one.kind) for one in damage]


def test_publications_are_chained_by_the_hash_of_their_bytes(store: MemoryStore) -> None:
    for hour in range(3):
        Publisher(f"run{hour}", [Rows("a")], first=hour).carry(store)
    previous = None
    for seq in range(1, 7):
        data = store.content(journal_key(EXPORT, seq))
        found = json.loads(data)
        assert (found["seq"], found["previous"]) == (seq, previous)
        assert found["record"] == ("intent" if seq % 2 else "publication")
        previous = content_hash(data)
    assert json.loads(store.content(head_key(EXPORT))) == {"seq": 6, "hash": previous}
    assert walked(store) == ([1, 2, 3, 4, 5, 6], [])


def test_an_empty_journal_has_nothing_and_lacks_nothing(store: MemoryStore) -> None:
    assert walked(store) == ([], [])


def test_a_journal_without_intents_reads_as_before(store: MemoryStore) -> None:
    written(store, 3)
    for seq in (1, 2, 3):
        old = json.loads(store.content(journal_key(EXPORT, seq)))
        for name in ("intent", "removed", "mends"):
            old.pop(name, None)
        assert decode_manifest(json.dumps(old).encode()).seq == seq
    assert walked(store) == ([1, 2, 3], [])


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_changed_record_is_named_wherever_it_is(store: MemoryStore, seq: int) -> None:
    written(store, 3)
    key = journal_key(EXPORT, seq)
    data = store.content(key)
    store.seed(key, data.replace(b'"engine": ""', b'"engine": "x"'))
    records, damage = walked(store)
    assert told(damage) == [(seq, "changed")]
    assert damage[0].expected == content_hash(data)
    assert records == [other for other in (1, 2, 3) if other != seq]


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_record_that_is_gone_is_missing_wherever_it_was(store: MemoryStore, seq: int) -> None:
    written(store, 3)
    expected = content_hash(store.content(journal_key(EXPORT, seq)))
    store.forget(journal_key(EXPORT, seq))
    records, damage = walked(store)
    assert told(damage) == [(seq, "missing")]
    assert (damage[0].found, damage[0].expected) == (None, expected)
    assert records == [other for other in (1, 2, 3) if other != seq]


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"record": "intent"}', b"[1]"])
def test_bytes_that_are_no_record_are_unreadable(store: MemoryStore, data: bytes) -> None:
    written(store, 3)
    store.seed(journal_key(EXPORT, 2), data)
    assert walked(store)[0] == [1, 3]
    assert told(walked(store)[1]) == [(2, "unreadable")]


@pytest.mark.parametrize("field", ["export", "seq"])
def test_a_record_of_another_journal_or_place_is_foreign(store: MemoryStore, field: str) -> None:
    written(store, 3)
    strange = json.loads(store.content(journal_key(EXPORT, 2)))
    strange[field] = {"export": "other", "seq": 7}[field]
    store.seed(journal_key(EXPORT, 2), json.dumps(strange).encode())
    assert told(walked(store)[1]) == [(2, "foreign")]


def test_a_time_that_is_none_makes_a_record_unreadable(store: MemoryStore) -> None:
    written(store, 2)
    data = store.content(journal_key(EXPORT, 1)).replace(b"2026-11-20T01:00:00Z", b"2026-11-20T99:00:00Z")
    store.seed(journal_key(EXPORT, 1), data)
    assert told(walked(store)[1]) == [(1, "unreadable")]


def test_several_records_cut_off_the_end_are_missing_because_head_names_them(store: MemoryStore) -> None:
    written(store, 5)
    for seq in (4, 5):
        store.forget(journal_key(EXPORT, seq))
    records, damage = walked(store)
    assert records == [1, 2, 3]
    assert told(damage) == [(4, "missing"), (5, "missing")]
    assert damage[0].expected is None


def test_a_head_far_beyond_the_journal_is_not_believed(store: MemoryStore) -> None:
    written(store, 2)
    store.seed(head_key(EXPORT), msgspec.json.encode(Head(10**11, "sha256:x")))
    assert told(walked(store)[1]) == [(0, "head")]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"seq":"x"}', b"\xff", b'{"seq":3,"hash":null}'])
def test_a_head_that_is_not_readable_is_damage_and_the_records_are_read(
    store: MemoryStore, data: bytes
) -> None:
    written(store, 2)
    store.seed(head_key(EXPORT), data)
    assert walked(store)[0] == [1, 2]
    assert told(walked(store)[1]) == [(0, "head")]


def test_a_head_that_is_missing_is_damage_once_two_publications_are_there(store: MemoryStore) -> None:
    written(store, 3)
    store.forget(head_key(EXPORT))
    assert told(walked(store)[1]) == [(0, "head")]


def test_a_run_that_died_before_it_wrote_the_first_head_is_no_damage(store: MemoryStore) -> None:
    written(store, 2)
    store.forget(head_key(EXPORT))
    assert walked(store)[1] == []


def test_a_head_that_lags_behind_is_no_damage(store: MemoryStore) -> None:
    scribe = written(store, 2)
    scribe.record(Publisher("late", [Rows("a")], first=2))
    assert walked(store) == ([1, 2, 3], [])


def test_of_head_and_record_the_windows_copy_decides(store: MemoryStore) -> None:
    written(store, 3)
    store.seed(head_key(EXPORT), msgspec.json.encode(Head(3, "sha256:wrong")))
    assert walked(store)[0] == [1, 2, 3]
    assert told(walked(store)[1]) == [(0, "head")]


def test_a_record_is_not_blamed_for_what_a_damaged_neighbour_says(store: MemoryStore) -> None:
    written(store, 4)
    key = journal_key(EXPORT, 3)
    previous = content_hash(store.content(journal_key(EXPORT, 2)))
    store.seed(key, store.content(key).replace(previous.encode(), b"sha256:" + b"0" * 64))
    assert told(walked(store)[1]) == [(3, "changed")]


def test_any_two_records_may_be_gone(store: MemoryStore) -> None:
    for one, other in itertools.combinations(range(1, 6), 2):
        written(store, 5)
        store.forget(journal_key(EXPORT, one))
        store.forget(journal_key(EXPORT, other))
        records, damage = walked(store)
        assert told(damage) == [(one, "missing"), (other, "missing")]
        assert len(records) == 3


def test_a_hole_before_a_record_that_head_does_not_name_yet_is_seen(store: MemoryStore) -> None:
    scribe = written(store, 2)
    for hour in (2, 3):
        scribe.record(Publisher("late", [Rows("a")], first=hour))
    store.forget(journal_key(EXPORT, 3))
    assert walked(store)[0] == [1, 2, 4]
    assert told(walked(store)[1]) == [(3, "missing")]


def test_a_hole_of_several_records_beyond_head_is_seen(store: MemoryStore) -> None:
    scribe = written(store, 2)
    for hour in range(2, 6):
        scribe.record(Publisher("late", [Rows("a")], first=hour))
    for seq in (3, 4, 5):
        store.forget(journal_key(EXPORT, seq))
    records, damage = walked(store)
    assert records == [1, 2, 6]
    assert told(damage) == [(3, "missing"), (4, "missing"), (5, "missing")]
    assert Publisher("next", [Rows("b")], first=9).carry(store).seq == 8


@pytest.mark.parametrize("copied", [True, False])
def test_a_last_record_beyond_head_that_does_not_follow_casts_out_none_that_has_a_copy(
    store: MemoryStore, copied: bool
) -> None:
    written(store, 2)
    scribe = Scribe(store, 2, content_hash(store.content(journal_key(EXPORT, 2))))
    scribe.record(Publisher("late", [Rows("a")], first=2))
    scribe.hash = "sha256:" + "0" * 64
    scribe.record(Publisher("forged", [Rows("f")], first=7))
    if not copied:
        store.forget(manifest_key(EXPORT, hours(2)))
    assert told(walked(store)[1]) == [(4 if copied else 3, "changed")]


@pytest.mark.parametrize(
    "data", [b'{"x":' + b"[" * 200_000, b'{"record": "publication", "x": ' + b'{"a":' * 200_000]
)
def test_json_nested_without_end_is_damage_as_any_other(store: MemoryStore, data: bytes) -> None:
    written(store, 2)
    store.seed(journal_key(EXPORT, 2), data)
    assert told(walked(store)[1]) == [(2, "unreadable")]
    written(store, 2)
    store.seed(head_key(EXPORT), data)
    assert told(walked(store)[1]) == [(0, "head")]


def test_a_last_record_that_removed_what_is_no_time_is_unreadable(store: MemoryStore) -> None:
    scribe = Scribe(store)
    scribe.record(Publisher("one", [Rows("a")]), removed=[hours(3)])
    key = journal_key(EXPORT, 1)
    store.seed(key, store.content(key).replace(b"2026-11-20T04:00:00Z", b"x"))
    assert told(walked(store)[1]) == [(1, "unreadable")]
    assert Publisher("next", [Rows("b")]).carry(store).seq == 3
