"""What a disk is told to keep, and when: as often as no power failure can take rows away, and no more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.logferry.stores.behaviour import file_of

from logferry.errors import StoreError
from logferry.stores.local import LocalStore

KEYS = [f"t/data/date=2026-11-20/hour={hour:02}/part.parquet" for hour in range(24)]
STAGED = [f"staging/{hour:02}.parquet" for hour in range(24)]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "lake")
    for key in STAGED:
        store.put_file(key, file_of(tmp_path, b"rows"))
    return store


@pytest.fixture
def flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The folders of the lake that the disk was told to keep since the test began, in order."""
    told: list[str] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        really(descriptor)
        lake = tmp_path / "lake"
        folders = {path.stat().st_ino: path for path in (lake, *lake.rglob("*")) if path.is_dir()}
        if folder := folders.get(os.fstat(descriptor).st_ino):
            told.append(folder.relative_to(lake).as_posix())

    monkeypatch.setattr(os, "fsync", fsync)
    yield told
    monkeypatch.undo()


def test_what_is_placed_is_kept_once_it_is_settled_with_every_folder_above_it(
    store: LocalStore, flushed: list[str]
) -> None:
    for staged, key in zip(STAGED, KEYS, strict=True):
        store.place(staged, key, expected=None)
    flushed.clear()
    store.settle(KEYS)
    above = {parent.as_posix() for key in KEYS for parent in Path(key).parents}
    assert sorted(flushed) == sorted(above)


def test_to_place_many_asks_the_disk_for_nothing_before_all_are_there(
    store: LocalStore, flushed: list[str]
) -> None:
    for staged, key in zip(STAGED, KEYS, strict=True):
        store.place(staged, key, expected=None)
    assert flushed == []


def test_a_disk_that_cannot_settle_says_so(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.place(STAGED[0], KEYS[0], expected=None)

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StoreError, match=r"Cannot write .*lake: Input/output error: check the disk"):
        store.settle(KEYS[:1])


def test_nothing_to_settle_is_fine(store: LocalStore, flushed: list[str]) -> None:
    store.settle([])
    store.settle(["not/there/x"])
    assert store.head("not/there/x") is None


def test_removing_many_objects_of_a_folder_asks_the_disk_once(store: LocalStore, flushed: list[str]) -> None:
    store.delete([*STAGED[:-1], "staging/never-there.parquet"])
    assert flushed == ["staging"]
    assert [info.key for info in store.list("staging/")] == STAGED[-1:]


def test_what_was_removed_before_a_failure_is_kept_removed(
    store: LocalStore, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == "01.parquet":
            raise PermissionError(1, "Operation not permitted")
        really(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match=r"Cannot delete .*01\.parquet"):
        store.delete(STAGED)
    assert flushed == ["staging"]
    assert store.head(STAGED[0]) is None
