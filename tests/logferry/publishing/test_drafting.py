"""What a publication says in the journal of the slices before and after."""

from __future__ import annotations

from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import A, B, C, Publisher, Rows, intent_of


def test_an_intent_names_every_slice_before_and_after_and_the_publication_names_the_intent(
    store: MemoryStore,
) -> None:
    Publisher("one", [A, B]).carry(store)
    manifest = Publisher("two", [A, C, B]).carry(store)
    assert (manifest.seq, manifest.intent) == (4, 3)
    found = [(one.old, one.new, one.etag is not None) for one in intent_of(store, manifest).slices]
    assert found == [
        (A.row_hash, A.row_hash, False),
        (B.row_hash, C.row_hash, True),
        (None, B.row_hash, False),
    ]


def test_other_rows_under_another_definition_are_not_late_rows(store: MemoryStore) -> None:
    Publisher("one", [Rows("a", 3)]).carry(store)
    manifest = Publisher("two", [Rows("b", 5)], fingerprint="g").carry(store)
    (entry,) = manifest.slices
    assert (entry.rows, entry.previous_rows, entry.previous_counted_at) == (5, None, None)


def test_where_rows_of_a_slice_moved_the_entry_says_what_was_before(store: MemoryStore) -> None:
    Publisher("one", [A, B], finished_at="2026-11-21T00:00:00Z").carry(store)
    manifest = Publisher("two", [C, B]).carry(store)
    assert [(one.previous_rows, one.previous_counted_at) for one in manifest.slices] == [
        (4, "2026-11-21T00:00:00Z"),
        (None, None),
    ]
