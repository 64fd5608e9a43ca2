"""Never shrink: which slices stay as they were published, and what is then said of them."""

from __future__ import annotations

import pytest
from tests.logferry.harbour import Harbour, MemorySource
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, KEY, A, B, Publisher, Rows, differing, hours

from logferry.errors import CountUnavailable
from logferry.records.ledger import read_ledger
from logferry.records.manifest import Status


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


def test_more_rows_than_are_counted_do_not_replace_proven_ones(harbour: Harbour) -> None:
    harbour.carry()
    before = harbour.ids(0)
    harbour.source.unique_ids = False
    harbour.source.page_hook = lambda span, rows: [*rows, *rows]
    manifest = harbour.carry()
    assert manifest.slices[0].rows == 3
    assert harbour.ids(0) == before


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


@pytest.mark.parametrize("status", ["proven", "unproven", "short"])
def test_fewer_rows_do_not_replace_proven_ones_of_the_same_definition(
    store: MemoryStore, status: Status
) -> None:
    Publisher("one", [B]).carry(store)
    manifest = Publisher("two", [A], status=status).carry(store)
    assert store.content(KEY) == B.data
    found = manifest.slices[0]
    assert (found.rows, found.source_now, found.status, found.fingerprint) == (5, 4, "proven", None)
    assert store.keys("_staging/") == []
    assert differing(store) == []


@pytest.mark.parametrize(
    ("rows", "status", "kept"),
    [
        (0, "proven", True),
        (4, "unproven", True),
        (4, "short", True),
        (4, "proven", False),
        (6, "short", False),
    ],
)
def test_another_definition_may_give_fewer_proven_rows_but_not_none_nor_unproven_ones(
    store: MemoryStore, rows: int, status: Status, kept: bool
) -> None:
    Publisher("one", [B]).carry(store)
    for _ in range(2):  # a kept slice is kept again
        manifest = Publisher("two", [Rows("x", rows)], status=status, fingerprint="g").carry(store)
        found = manifest.slices[0]
        assert (found.rows, found.fingerprint) == ((5, "f") if kept else (rows, None))
        assert read_ledger(store, EXPORT).slices[hours(0)].fingerprint == ("f" if kept else "g")
    assert differing(store) == []
    Publisher("three", [Rows("x", 0)], fingerprint="g", allow_shrink=True).carry(store)
    assert read_ledger(store, EXPORT).slices[hours(0)].entry.rows == 0


@pytest.mark.parametrize("between", ["unproven", "short"])
@pytest.mark.parametrize("fingerprint", ["f", "g"])
def test_proven_rows_are_not_lost_in_two_steps(store: MemoryStore, between: Status, fingerprint: str) -> None:
    Publisher("one", [Rows("a", 100)]).carry(store)
    Publisher("two", [Rows("b", 110)], status=between, counted=120).carry(store)
    for rows in (0, 90):
        past_retention = Publisher("three", [Rows("c", rows)], status="unproven", fingerprint=fingerprint)
        assert past_retention.carry(store).slices[0].rows == 110
    assert store.content(KEY) == Rows("b", 110).data
    proven = Publisher("four", [Rows("d", 90)], fingerprint=fingerprint).carry(store)
    assert (proven.slices[0].rows, proven.slices[0].status) == (90, "proven")


@pytest.mark.parametrize("status", ["proven", "unproven", "short"])
@pytest.mark.parametrize("now", ["proven", "unproven", "short"])
def test_a_slice_with_rows_is_never_replaced_by_none(store: MemoryStore, status: Status, now: Status) -> None:
    Publisher("one", [A], status=status).carry(store)
    manifest = Publisher("two", [Rows("x", 0)], status=now).carry(store)
    assert (manifest.slices[0].rows, manifest.slices[0].source_now) == (4, 0)
    assert store.content(KEY) == A.data
    Publisher("three", [Rows("x", 0)], status=now, allow_shrink=True).carry(store)
    assert read_ledger(store, EXPORT).slices[hours(0)].entry.rows == 0
