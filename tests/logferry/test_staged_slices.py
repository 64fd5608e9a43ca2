"""Slices on their way into the store: what a failure leaves there, and what need not go there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.logferry.harbour import START, Harbour

from logferry.errors import StoreError, Unavailable
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_HOUR, Window


def test_a_failure_publishes_nothing_and_leaves_nothing_staged(harbour: Harbour) -> None:
    def breaks(span: Window, rows: list[tuple[int, str]]) -> list[tuple[int, str]]:
        if span.start >= START + 3 * TICK_PER_HOUR:
            raise Unavailable("down")
        return rows

    harbour.source.page_hook = breaks
    with pytest.raises(Unavailable):
        harbour.carry()
    assert harbour.keys() == []


def test_a_store_that_fails_while_staging_keeps_no_part(
    harbour: Harbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LocalStore.put_file

    def failing(store: LocalStore, key: str, path: Path, **options: Any) -> None:
        if "T030000Z-" in key:
            raise StoreError("disk full")
        put(store, key, path, **options)

    monkeypatch.setattr(LocalStore, "put_file", failing)
    with pytest.raises(StoreError, match="disk full"):
        harbour.carry()
    assert harbour.keys() == []


def test_a_second_run_uploads_nothing_and_keeps_the_files_facts(harbour: Harbour) -> None:
    first = harbour.carry()
    before = harbour.states()
    second = harbour.carry()
    assert harbour.states() == before
    assert second.files == first.files
    assert (second.seq, second.status) == (4, "proven")


def test_only_the_slice_that_changed_is_uploaded_again(harbour: Harbour) -> None:
    harbour.carry()
    before = harbour.states()
    harbour.source.rows[1].append("late")
    manifest = harbour.carry()
    changed = [key for key, etag in harbour.states().items() if before[key] != etag]
    assert len(changed) == 1
    assert "T010000Z-" in changed[0]
    assert manifest.rows == 11
