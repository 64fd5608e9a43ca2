"""A directory as a store: the common behaviour, and what only a disk can do wrong."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tests.logferry.stores.behaviour import Fill, StoreBehaviour, file_of, keys_of

from logferry.errors import DefinitionError, StoreError
from logferry.stores import NotFound, open_store
from logferry.stores.local import LocalStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "the lake"


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


@pytest.fixture
def fill(root: Path) -> Fill:
    def write(keys: Iterable[str]) -> None:
        for key in keys:
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            (root / key).touch()

    return write


def files_below(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


class TestLocalStore(StoreBehaviour):
    pass


def test_the_url_leads_back_to_the_folder(store: LocalStore, root: Path) -> None:
    store.put_bytes("k", b"x")
    assert " " not in store.url
    assert open_store(store.url, None).read("k") == b"x"
    assert (root / "k").read_bytes() == b"x"


@pytest.mark.parametrize(
    "url", ["file://relative/folder", "/plain/path", "gs://bucket/x", "s3://", "s3:///x", ""]
)
def test_other_urls_are_refused_with_the_ones_that_work(url: str) -> None:
    with pytest.raises(DefinitionError, match="use file:///absolute/folder or s3://bucket/prefix"):
        open_store(url, None)


def test_opening_a_store_creates_nothing(root: Path) -> None:
    store = LocalStore(root)
    assert keys_of(store) == []
    assert not root.exists()


def test_nothing_stays_beside_the_data(store: LocalStore, root: Path, tmp_path: Path) -> None:
    store.put_file("d/a", file_of(tmp_path, b"a"), metadata={"row-hash": "1"})
    store.put_bytes("d/b", b"b", if_absent=True)
    store.move("d/a", "e/a", metadata={"row-hash": "1"})
    assert files_below(root) == ["d/b", "e/a"]
    store.delete(["d/b"])
    assert not (root / "d").exists()


def test_a_failed_write_leaves_the_old_object_and_no_leftover(
    store: LocalStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("k", b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"Cannot write .*/k: the disk is full: free some space"):
        store.put_file("k", file_of(tmp_path, b"new"))
    monkeypatch.undo()
    assert store.read("k") == b"old"
    assert files_below(root) == ["k"]


def test_a_crash_before_the_rename_leaves_only_the_temporary_file(
    store: LocalStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_file("k", file_of(tmp_path, b"old"))
    monkeypatch.setattr(Path, "replace", _killed_at_rename)
    monkeypatch.setattr(Path, "unlink", _killed_at_rename)
    with pytest.raises(_Killed):
        store.put_file("k", file_of(tmp_path, b"new"))
    monkeypatch.undo()
    assert store.read("k") == b"old"
    assert keys_of(store) == ["k"]
    assert [name for name in files_below(root) if name.startswith(".tmp")]


class _Killed(BaseException):
    pass


def _killed_at_rename(self: Path, *arguments: object, **keywords: object) -> None:
    raise _Killed


def test_old_temporary_files_are_swept_and_fresh_ones_are_not(root: Path) -> None:
    (root / ".tmp").mkdir(parents=True)
    old, fresh = root / ".tmp" / "old.inprogress", root / ".tmp" / "fresh.inprogress"
    old.touch()
    fresh.touch()
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    LocalStore(root).put_bytes("k", b"")
    assert files_below(root) == [".tmp/fresh.inprogress", "k"]


def test_a_local_file_has_no_metadata(store: LocalStore, tmp_path: Path) -> None:
    store.put_file("k", file_of(tmp_path, b"rows"), metadata={"row-hash": "1"})
    store.move("k", "l", metadata={"row-hash": "2"})
    info = store.head("l")
    assert info is not None
    assert dict(info.metadata) == {}


def test_moving_what_is_not_there_makes_no_folder(store: LocalStore, root: Path) -> None:
    store.put_bytes("k", b"")
    with pytest.raises(NotFound):
        store.move("gone", "some/folder/x")
    assert sorted(path.name for path in root.iterdir()) == [".tmp", "k"]


def test_writers_and_deleters_in_one_folder_do_not_trip_over_each_other(store: LocalStore) -> None:
    failures: list[BaseException] = []

    def churn(name: str) -> None:
        try:
            for _ in range(100):
                store.put_bytes(f"shared/folder/{name}", b"x")
                store.delete([f"shared/folder/{name}"])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_folder_that_is_pruned_while_it_is_made_is_made_again(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("k", b"")
    make, made_by_others = Path.mkdir, ["folder"]

    def mkdir(self: Path, *arguments: Any, **keywords: Any) -> None:
        if self.name in made_by_others:
            made_by_others.remove(self.name)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        make(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    store.put_bytes("folder/x", b"here")
    assert made_by_others == []
    assert store.read("folder/x") == b"here"


def test_the_stores_own_folder_is_not_for_objects(store: LocalStore) -> None:
    with pytest.raises(StoreError, match="keeps for itself"):
        store.put_bytes(".tmp/x", b"")


def test_a_file_where_a_folder_should_be_is_named(store: LocalStore) -> None:
    store.put_bytes("a", b"")
    for if_absent in (False, True):
        with pytest.raises(StoreError, match="a file is where a folder should be") as raised:
            store.put_bytes("a/b", b"", if_absent=if_absent)
        assert type(raised.value) is StoreError
    store.put_bytes("d/e", b"")
    with pytest.raises(StoreError, match="a folder is where a file should be"):
        store.put_bytes("d", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named_with_the_remedy(store: LocalStore, root: Path) -> None:
    root.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="permission denied: give the user that runs Logferry access"):
        store.put_bytes("k", b"")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "check the disk"),
    ],
)
def test_what_the_disk_refuses_is_said_with_its_remedy(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, number: int, remedy: str
) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreError, match=remedy):
        store.put_bytes("k", b"", if_absent=True)


def test_a_file_system_without_hard_links_is_no_silent_loss_of_the_condition(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreError, match="no hard links"):
        store.put_bytes("k", b"", if_absent=True)
    assert keys_of(store) == []
