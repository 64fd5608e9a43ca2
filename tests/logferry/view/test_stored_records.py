"""Records that were looked at are kept for a while, by what they take."""

from __future__ import annotations

from tests.logferry.memory_store import MemoryStore
from tests.logferry.view.made_year import make_year, year_spec

from logferry.layout import journal_key
from logferry.view.stored_records import StoredRecords


def test_records_are_read_again_after_ten_minutes_and_counted_by_what_they_take() -> None:
    store = MemoryStore()
    make_year(store, year_spec(), slices=48)
    seconds = 0.0
    kept = StoredRecords(seconds=lambda: seconds)
    first = kept.read(store, "web", 1, version="v")
    store.forget(journal_key("web", 1))
    seconds = 599.0
    assert kept.read(store, "web", 1, version="v") is first
    seconds = 600.0
    assert kept.read(store, "web", 1, version="v") is None


def test_empty_records_do_not_pile_up() -> None:
    store = MemoryStore()
    for seq in range(1, 5):
        store.seed(journal_key("web", seq), b"")
    kept = StoredRecords(2_500)
    for seq in range(1, 5):
        kept.read(store, "web", seq, version="v")
    store.counted.clear()
    for seq in (4, 3, 2, 1):
        kept.read(store, "web", seq, version="v")
    assert store.counted["read"] == 2
