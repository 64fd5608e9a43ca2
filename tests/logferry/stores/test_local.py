"""A directory as a store: the common behaviour, and what only a disk can do wrong."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.logferry.stores.behaviour import Fill, RaceBehaviour, StoreBehaviour, etag_of, file_of, keys_of

from logferry.errors import DefinitionError, StoreError
from logferry.stores import Changed, NotFound, ObjectInfo, open_store
from logferry.stores.disk import locked
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
    """Without the file that serves as the lock."""
    names = (str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return sorted(name for name in names if name != ".tmp/lock")


class TestLocalStore(StoreBehaviour, RaceBehaviour):
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
    etag = store.place("d/a", "e/a", expected=None, metadata={"row-hash": "1"})
    store.put_bytes("e/a", b"new", if_match=store.renew("e/a", expected=etag))
    with pytest.raises(Changed):
        store.place("d/a", "e/a", expected=etag)
    assert files_below(root) == ["d/a", "d/b", "e/a"]
    store.delete(["d/a", "d/b"])
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


def test_old_temporary_files_are_swept_with_the_first_write(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".tmp").mkdir(parents=True)
    (root / ".tmp" / "left.inprogress").touch()
    monkeypatch.setattr("logferry.stores.local._ABANDONED_AFTER_S", -3600)
    store.put_bytes("k", b"")
    assert files_below(root) == ["k"]


def test_fresh_temporary_files_stay_even_when_they_are_links_to_old_objects(root: Path) -> None:
    LocalStore(root).put_bytes("staged", b"rows")
    os.utime(root / "staged", (0, 0))
    os.link(root / "staged", root / ".tmp" / "placing.inprogress")
    LocalStore(root).put_bytes("k", b"")
    assert files_below(root) == [".tmp/placing.inprogress", "k", "staged"]


def test_an_object_of_another_user_is_renewed_by_a_copy(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("k", b"rows")
    seen, inode, real = etag_of(store, "k"), (root / "k").stat().st_ino, os.utime

    def owned_by_another(path: Path, *, ns: tuple[int, int]) -> None:
        if path.stat().st_ino == inode:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        real(path, ns=ns)

    monkeypatch.setattr(os, "utime", owned_by_another)
    assert store.renew("k", expected=seen) == etag_of(store, "k") != seen
    assert store.read("k") == b"rows"
    with pytest.raises(Changed):
        store.renew("k", expected=seen)


def test_a_staged_file_of_another_user_is_copied(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("staged", b"rows")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    store.place("staged", "final", expected=None)
    assert (root / "final").stat().st_ino != (root / "staged").stat().st_ino
    assert store.read("final") == b"rows"


def test_a_local_file_has_no_metadata(store: LocalStore, tmp_path: Path) -> None:
    store.put_file("k", file_of(tmp_path, b"rows"), metadata={"row-hash": "1"})
    store.place("k", "l", expected=None, metadata={"row-hash": "2"})
    info = store.head("l")
    assert info is not None
    assert dict(info.metadata) == {}


def test_placing_what_is_not_there_makes_no_folder(store: LocalStore, root: Path) -> None:
    store.put_bytes("k", b"")
    with pytest.raises(NotFound):
        store.place("gone", "some/folder/x", expected=None)
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


LOOKING: dict[str, Callable[[LocalStore], object]] = {
    "head": lambda store: store.head("a/b"),
    "read": lambda store: store.read("a/b"),
    "read a range": lambda store: store.read_range("a/b", 0, 1),
    "list a folder": lambda store: list(store.list("a/")),
    "list": lambda store: list(store.list("")),
    "delete": lambda store: store.delete(["a/b"]),
}


@pytest.mark.parametrize("look", LOOKING.values(), ids=LOOKING)
@pytest.mark.parametrize("below", ["", "lake", "two/lakes"])
def test_a_store_below_a_file_is_a_mistake_and_not_an_empty_one(
    below: str, look: Callable[[LocalStore], object], tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.touch()
    with pytest.raises(StoreError) as raised:
        look(LocalStore(file / below))
    assert type(raised.value) is StoreError
    assert str(raised.value) == (
        f"Cannot read {file / below}: {file} is a file where a folder should be: correct destination.url, or remove "
        "the file."
    )


def test_below_an_object_and_in_a_store_that_is_not_made_yet_there_is_nothing(
    store: LocalStore, tmp_path: Path
) -> None:
    store.put_bytes("a", b"")
    for one in (store, LocalStore(tmp_path / "not" / "yet")):
        assert one.head("a/b") is None
        assert list(one.list("a/")) == []
        one.delete(["a/b"])
        for read in (one.read, lambda key, one=one: one.read_range(key, 0, 1)):
            with pytest.raises(NotFound):
                read("a/b")


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


def test_a_placed_object_is_the_staged_file_itself_and_no_copy(store: LocalStore, root: Path) -> None:
    store.put_bytes("staged", b"rows")
    store.place("staged", "d/final", expected=None)
    assert (root / "d/final").stat().st_ino == (root / "staged").stat().st_ino


def test_an_object_placed_twice_is_two_files(store: LocalStore, root: Path) -> None:
    store.put_bytes("staged", b"rows")
    one = store.place("staged", "one", expected=None)
    other = store.place("staged", "other", expected=None)
    again = store.place("staged", "one", expected=one)
    assert len({one, other, again}) == 3
    assert (root / "one").stat().st_ino != (root / "other").stat().st_ino
    assert etag_of(store, "other") == other
    store.renew("one", expected=again)
    assert etag_of(store, "other") == other
    assert store.read("one") == store.read("other") == b"rows"


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EMLINK])
def test_where_links_are_refused_the_bytes_are_copied(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(source: object, target: object) -> None:
        raise OSError(number, os.strerror(number))

    store.put_bytes("staged", b"rows")
    monkeypatch.setattr(os, "link", refuse)
    etag = store.place("staged", "final", expected=None)
    assert store.read("final") == b"rows"
    assert (root / "final").stat().st_ino != (root / "staged").stat().st_ino
    with pytest.raises(Changed):
        store.place("staged", "final", expected=None)
    store.put_bytes("final", b"new", if_match=etag)
    assert files_below(root) == ["final", "staged"]


def test_no_two_contents_under_a_key_ever_have_one_etag(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One size, a clock that stands still, and inodes that the file system uses again at once.
    monkeypatch.setattr("logferry.stores.disk.time.time_ns", lambda: 1_800_000_000_000_000_000)
    store.put_bytes("k", b"000")
    seen = [etag_of(store, "k")]
    for number in range(60):
        if number % 3 == 0:
            store.put_bytes("staged", f"{number:03}".encode())
            store.place("staged", "k", expected=seen[-1])
        elif number % 3 == 1:
            store.put_bytes("k", f"{number:03}".encode(), if_match=seen[-1])
        else:
            store.renew("k", expected=seen[-1])
        seen.append(etag_of(store, "k"))
    assert len(set(seen)) == len(seen)


def test_a_file_system_of_whole_seconds_still_tells_a_renewed_object(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.utime

    def coarse(path: Path, *, ns: tuple[int, int]) -> None:
        real(path, ns=(ns[0], ns[1] // 1_000_000_000 * 1_000_000_000))

    monkeypatch.setattr(os, "utime", coarse)
    store.put_bytes("k", b"rows")
    seen = etag_of(store, "k")
    for _ in range(3):
        renewed = store.renew("k", expected=seen)
        assert renewed == etag_of(store, "k") != seen
        seen = renewed


def test_a_crash_between_the_link_and_the_rename_leaves_nothing_to_see(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes("staged", b"new")
    store.put_bytes("final", b"old")
    seen = etag_of(store, "final")
    monkeypatch.setattr(Path, "replace", _killed_at_rename)
    monkeypatch.setattr(Path, "unlink", _killed_at_rename)
    with pytest.raises(_Killed):
        store.place("staged", "final", expected=seen)
    monkeypatch.undo()
    assert keys_of(store) == ["final", "staged"]
    assert (store.read("final"), etag_of(store, "final")) == (b"old", seen)
    next_run = LocalStore(root)
    next_run.place("staged", "final", expected=seen)
    assert next_run.read("final") == b"new"


def test_old_objects_are_swept_with_the_folders_they_leave_empty(store: LocalStore, root: Path) -> None:
    for key in ("_staging/a/old", "_staging/b/old", "_staging/b/young", "kept"):
        store.put_bytes(key, b"")
    two_days_ago = time.time() - 2 * 24 * 3600
    for key in ("_staging/a/old", "_staging/b/old", "kept"):
        os.utime(root / key, (two_days_ago, two_days_ago))
    assert store.sweep("_staging/", older_than_s=24 * 3600) == 2
    assert keys_of(store) == ["_staging/b/young", "kept"]
    assert not (root / "_staging/a").exists()


def test_an_object_written_anew_while_a_sweep_goes_on_stays(store: LocalStore, root: Path) -> None:
    store.put_bytes("_staging/a", b"old")
    os.utime(root / "_staging/a", (0, 0))
    [listed] = store.list("_staging/")
    assert listed.modified_at == 0

    class WritesMeanwhile(LocalStore):
        def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
            found = [*super().list(prefix, after=after)]
            self.put_bytes("_staging/a", b"new")
            return iter(found)

    assert WritesMeanwhile(root).sweep("_staging/", older_than_s=3600) == 0
    assert store.read("_staging/a") == b"new"


def test_an_objects_time_is_in_ticks_of_100_ns(store: LocalStore, root: Path) -> None:
    store.put_bytes("k", b"")
    os.utime(root / "k", ns=(0, 1_800_000_000_123_456_789))
    info = store.head("k")
    assert info is not None
    assert info.modified_at == 18_000_000_001_234_567


def test_a_lock_whose_file_was_removed_is_made_again(store: LocalStore, root: Path) -> None:
    store.put_bytes("k", b"1")
    shutil.rmtree(root / ".tmp")
    store.put_bytes("k", b"2", if_match=etag_of(store, "k"))
    with locked(root / ".tmp"):
        held = (root / ".tmp/lock").stat().st_ino
    assert held == (root / ".tmp/lock").stat().st_ino
    assert store.read("k") == b"2"


COUNTING = """
import sys
from pathlib import Path
from tests.logferry.stores.behaviour import raise_counter
from logferry.stores.local import LocalStore

store = LocalStore(Path(sys.argv[1]))
sys.stdin.readline()
raised = 0
while raised < 30:
    raised += raise_counter(store)
"""

HOLDING = """
import sys
from pathlib import Path
from logferry.stores.disk import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()  # until this process is killed
"""


def started(program: str, argument: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(argument)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_counter_that_many_processes_raise_misses_nobody(store: LocalStore, root: Path) -> None:
    store.put_bytes("counter", b"000")
    counting = [started(COUNTING, root) for _ in range(3)]
    for process in counting:
        process.communicate("go\n")
    assert [process.returncode for process in counting] == [0, 0, 0]
    assert store.read("counter") == b"090"


def test_a_writer_that_is_killed_holding_the_lock_holds_up_nobody(store: LocalStore, root: Path) -> None:
    store.put_bytes("k", b"1")
    holder = started(HOLDING, root / ".tmp")
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
    finally:
        holder.kill()
        holder.communicate()
    store.put_bytes("k", b"2", if_match=etag_of(store, "k"))
    assert store.read("k") == b"2"


def test_a_file_system_without_locks_is_no_silent_loss_of_the_condition(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    store.put_bytes("k", b"old")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StoreError, match="the file system has no locks: choose another destination"):
        store.put_bytes("k", b"new", if_match=etag_of(store, "k"))
    monkeypatch.undo()
    assert store.read("k") == b"old"
