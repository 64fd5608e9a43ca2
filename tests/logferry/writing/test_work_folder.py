"""The folder for unfinished files: gone afterwards, and no reason to fail if it cannot go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from logferry.errors import StoreError
from logferry.writing.work_folder import work_folder


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        for name in ("unlink", "rmdir"):
            patched.setattr(os, name, refuse)
        yield


def test_it_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    with work_folder(tmp_path) as folder:
        (folder / "1.part").write_bytes(b"rows")
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_it_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="set TMPDIR"), work_folder(tmp_path / "missing"):
        raise AssertionError("there is no such folder")


@pytest.mark.usefixtures("read_only")
def test_one_that_cannot_be_removed_is_told_of_and_the_work_is_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with work_folder(tmp_path) as folder:
        (folder / "1.part").write_bytes(b"rows")
    assert [record.getMessage() for record in caplog.records] == [
        f"cannot remove {folder}: Read-only file system; remove it by hand"
    ]


@pytest.mark.usefixtures("read_only")
def test_why_the_work_failed_is_told_though_the_folder_cannot_be_removed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the bucket is gone"), work_folder(tmp_path):
        raise StoreError("the bucket is gone")
