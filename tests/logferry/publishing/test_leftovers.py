"""Slices of another grid: removed once the new ones are there, or refused where rows would be lost."""

from __future__ import annotations

import pytest
from tests.logferry.harbour import Harbour, dies_before_its_record, spec_of
from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import EXPORT, HALF, KEY, START, A, B, Publisher, Rows, hours, intent_of

from logferry.errors import DefinitionError
from logferry.layout import slice_key
from logferry.records.ledger import read_ledger
from logferry.records.manifest import Status
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window


def test_objects_of_an_uncommitted_run_on_another_grid_are_not_doubled(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        dies_before_its_record(patched)
        with pytest.raises(KeyboardInterrupt):
            harbour.carry()
    assert len(harbour.keys("web/")) == 4
    harbour.spec = spec_of(slice="2h")
    assert harbour.carry().status == "proven"
    assert len(harbour.keys("web/")) == 2


def test_another_slice_grid_over_published_rows_trims_them_and_doubles_none(harbour: Harbour) -> None:
    harbour.carry()
    harbour.spec = spec_of(slice="2h")
    manifest = harbour.carry()
    assert (manifest.status, manifest.rows) == ("proven", 10)
    assert harbour.keys("web/") == sorted(file.key for file in manifest.files)
    harbour.spec = spec_of(slice="1h")
    with pytest.raises(DefinitionError):
        harbour.carry(Window(START, START + TICK_PER_HOUR))


@pytest.mark.parametrize("before", ["unproven", "short"])
@pytest.mark.parametrize(
    ("rows", "status", "refused"),
    [
        (0, "unproven", True),
        (0, "proven", True),
        (7, "unproven", True),
        (7, "proven", False),
        (8, "short", False),
    ],
)
def test_unproven_slices_of_another_grid_do_not_give_way_to_none_nor_to_fewer_unproven_rows(
    store: MemoryStore, before: Status, rows: int, status: Status, refused: bool
) -> None:
    Publisher("one", [Rows("a", 4), Rows("b", 4)], grid=HALF, status=before, counted=9).carry(store)
    whole = Publisher("two", [Rows("x", rows)], status=status)
    if refused:
        with pytest.raises(DefinitionError, match=r"with 8 rows .*--allow-shrink"):
            whole.carry(store)
        assert len(store.keys(f"{EXPORT}/")) == 2
        whole.allow_shrink = True
    assert whole.carry(store).rows == rows
    assert store.keys(f"{EXPORT}/") == [KEY]


def test_a_coarser_slice_whose_object_is_gone_is_forgotten_once_others_cover_its_time(
    store: MemoryStore,
) -> None:
    Publisher("day", [Rows("d", 24)], grid=TICK_PER_DAY).carry(store)
    store.forget(slice_key(EXPORT, hours(0, 24)))
    for hour in range(24):
        assert hours(0, 24) in read_ledger(store, EXPORT).slices
        last = Publisher(f"h{hour}", [A], first=hour).carry(store)
    assert [span.window() for span in last.removed] == [hours(0, 24)]
    assert set(read_ledger(store, EXPORT).slices) == {hours(hour) for hour in range(24)}


def test_slices_of_a_finer_grid_are_removed_once_the_new_ones_are_there(store: MemoryStore) -> None:
    Publisher("one", [Rows("a", 1), Rows("b", 1)], grid=HALF).carry(store)
    old = store.keys(f"{EXPORT}/")
    manifest = Publisher("two", [A], fingerprint="g").carry(store)
    assert store.keys(f"{EXPORT}/") == [KEY]
    assert [span.window() for span in manifest.removed] == [
        Window(START, START + HALF),
        Window(START + HALF, START + 2 * HALF),
    ]
    assert [(one.old, one.new) for one in intent_of(store, manifest).slices] == [
        (None, A.row_hash),
        (Rows("a", 1).row_hash, None),
        (Rows("b", 1).row_hash, None),
    ]
    ledger = read_ledger(store, EXPORT)
    assert set(ledger.slices) == {hours(0)}
    assert len(old) == 2


def test_a_coarser_slice_that_reaches_beyond_the_window_is_refused_with_the_window_that_covers_it(
    store: MemoryStore,
) -> None:
    Publisher("one", [A], grid=2 * TICK_PER_HOUR).carry(store)
    with pytest.raises(DefinitionError, match="2026-11-20T00:00:00Z, 2026-11-20T02:00:00Z"):
        Publisher("two", [A], first=1).carry(store)
    Publisher("two", [A, B]).carry(store)
    assert len(store.keys(f"{EXPORT}/")) == 2


def test_removing_more_proven_rows_than_replace_them_is_refused(store: MemoryStore) -> None:
    Publisher("one", [Rows("a", 3), Rows("b", 2), Rows("c", 0), Rows("d", 0)], grid=HALF).carry(store)
    shrinking = Publisher("two", [A, Rows("more", 9)])
    with pytest.raises(DefinitionError, match=r"with 5 rows .* gives 4.*--allow-shrink"):
        shrinking.carry(store)
    assert len(store.keys(f"{EXPORT}/")) == 4
    shrinking.allow_shrink = True
    shrinking.carry(store)
    assert len(store.keys(f"{EXPORT}/")) == 2


def test_objects_of_another_grid_that_no_record_knows_are_removed_too(store: MemoryStore) -> None:
    stray = slice_key(EXPORT, Window(START, START + HALF))
    store.seed(stray, b"left by a run that died", {})
    manifest = Publisher("one", [A]).carry(store)
    assert stray not in store.objects
    assert len(manifest.removed) == 1
