"""The steps on a disk that a crash cannot halve, and what its refusals mean."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from logferry.errors import StoreError
from logferry.stores.base import AlreadyExists, NotFound

_PLACING_ATTEMPTS = 20
_COPY_BYTES = 1 << 20
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_NAMES_OF_A_LINK = 2
# Up to the two seconds of the coarsest file systems.
_STAMP_STEPS_NS = (1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)
_LOCK = "lock"
_READING = ("read", "place", "renew")


def flush(file: BinaryIO) -> None:
    """Makes the file durable."""
    file.flush()
    os.fsync(file.fileno())


def flush_file(path: Path) -> None:
    """Makes a file durable that others have written."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Makes names in the folder durable. A folder that is gone has no names left."""
    with suppress(FileNotFoundError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folders(folder: Path, *, durably: bool = True) -> None:
    """Creates the folder and its parents. Raises NotADirectoryError when a file is in the way, FileNotFoundError when
    a folder is gone again as soon as it was there.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folders(folder.parent, durably=durably)
    try:
        folder.mkdir()
    except FileExistsError:
        # One look, as another process may prune the folder at any time: FileNotFoundError then.
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    if durably:
        flush_folder(folder.parent)


def put_in_place(temporary: Path, target: Path, *, durably: bool = True) -> None:
    """Gives the file its final name in one step, replacing what is there; ``flush_folder`` makes that durable.

    ``durably``: the folders that this takes are durable before it.
    """
    _named(lambda: temporary.replace(target), temporary, target, durably=durably)


def put_in_free_place(temporary: Path, target: Path) -> None:
    """As ``put_in_place``, but raises AlreadyExists when the name is taken.

    A hard link fails when the name exists: one step decides between several writers.
    """
    try:
        _named(lambda: os.link(temporary, target), temporary, target)
    except FileExistsError:
        raise AlreadyExists(f"{target} already exists.") from None


def _named(give_name: Callable[[], object], temporary: Path, target: Path, *, durably: bool = True) -> None:
    for attempt in range(_PLACING_ATTEMPTS):
        try:
            make_folders(target.parent, durably=durably)
            give_name()
            return
        except FileNotFoundError:
            # Another process pruned the folder, empty for a moment, between the two steps.
            if attempt == _PLACING_ATTEMPTS - 1 or not temporary.exists():
                raise


def copy(source: Path, temporary: Path) -> None:
    """The bytes of ``source`` in the new file ``temporary``, durably."""
    with source.open("rb") as reader, temporary.open("xb") as writer:
        shutil.copyfileobj(reader, writer, _COPY_BYTES)
        flush(writer)


def link_or_copy(source: Path, temporary: Path) -> None:
    """Gives the content of ``source`` a second name, by copying it only where it must.

    It must where the file system or its rules refuse hard links, where ``source`` is another user's, who alone may
    ``stamp`` it, and where it has several names already: a file in place shares its inode with no other file in
    place, so what is done to one never shows in another. Of several callers at a time at most one gets the inode.
    """
    try:
        os.link(source, temporary)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    else:
        state = temporary.stat()
        if state.st_nlink == _NAMES_OF_A_LINK and state.st_uid == os.geteuid():
            return
        temporary.unlink()
    copy(source, temporary)


def stamp(path: Path, after: os.stat_result | None) -> None:
    """A new time of change, later than that of ``after`` by as little as the file system can tell apart.

    The system's own stamps stand still for milliseconds, and a freed inode is used again at once: two contents
    of one size could look the same.
    """
    before = path.stat()
    earliest = max(before.st_mtime_ns, after.st_mtime_ns if after else 0)
    for step in _STAMP_STEPS_NS:
        moment = max(time.time_ns(), earliest + step)
        os.utime(path, ns=(moment, moment))
        if path.stat().st_mtime_ns > earliest:
            return
    raise StoreError(f"{path} cannot be given a new time of change: choose another destination.url.")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One holder at a time, of all threads and processes; the kernel releases it when the process dies.

    The lock belongs to the open file (flock(2)), so it is opened anew each time; and it is released by name, as
    a child forked meanwhile has the same file open.
    """
    path = folder / _LOCK
    while True:
        make_folders(folder)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue  # The folder was removed between the two steps.
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                if not _still_named(handle, path):
                    continue
                yield
                return
            finally:
                fcntl.flock(handle, fcntl.LOCK_UN)
        finally:
            os.close(handle)


def _still_named(handle: int, path: Path) -> bool:
    """False when someone removed the lock's file: the next writer would lock another one."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space or choose another destination.url",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another destination.url",
    errno.EACCES: "permission denied: give the user that runs Logferry access to it",
    errno.EPERM: "the operation is not permitted: the file system must allow renames and hard links",
    errno.ENOLCK: "the file system has no locks: choose another destination.url",
    errno.ENOTSUP: "the file system has no hard links: choose another destination.url",
    errno.EROFS: "the file system is read-only: choose another destination.url",
    errno.ENOTDIR: "a file is where a folder should be: remove it or choose another destination.url",
    errno.EISDIR: "a folder is where a file should be: remove it or choose another destination.url",
    errno.ENAMETOOLONG: "the name is too long for the file system: choose a shorter destination.url",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
}


@contextmanager
def explained(doing: str, path: Path) -> Iterator[None]:
    """Turns what the system refuses into one sentence: NotFound when reading, else StoreError."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        if doing in _READING:
            raise NotFound(f"Cannot {doing} {path}: there is no such object.") from error
        raise StoreError(f"Cannot {doing} {path}: {_reason(error)}.") from error
    except OSError as error:
        raise StoreError(f"Cannot {doing} {path}: {_reason(error)}.") from error


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"there is no {error.filename}: run again once it is there"
    return _REMEDIES.get(error.errno or 0) or f"{error.strerror or error}: check the disk"
