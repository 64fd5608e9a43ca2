"""The steps on a disk that a crash cannot halve, and what its refusals mean."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from logferry.errors import StoreError
from logferry.stores.base import AlreadyExists, NotFound

_PLACING_ATTEMPTS = 20
_READING = ("read", "move")


def flush(file: BinaryIO) -> None:
    """Makes the file's content durable."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Makes names in the folder durable. A folder that is gone has no names left."""
    with suppress(FileNotFoundError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folders(folder: Path) -> None:
    """Creates the folder and its parents, durably. Raises NotADirectoryError when a file is in the way,
    FileNotFoundError when a folder is gone again as soon as it was there.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folders(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        # One look, as another process may prune the folder at any time: FileNotFoundError then.
        if not stat.S_ISDIR(folder.stat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None
    flush_folder(folder.parent)


def place(temporary: Path, target: Path) -> None:
    """Gives the file its final name in one step, replacing what is there, durably."""
    for attempt in range(_PLACING_ATTEMPTS):
        try:
            make_folders(target.parent)
            temporary.replace(target)
            break
        except FileNotFoundError:
            # Another process pruned the folder, empty for a moment, between the two steps.
            if attempt == _PLACING_ATTEMPTS - 1 or not temporary.exists():
                raise
    flush_folder(target.parent)


def place_new(temporary: Path, target: Path) -> None:
    """As ``place``, but raises AlreadyExists when the name is taken.

    A hard link fails when the name exists: one step decides between several writers.
    """
    for attempt in range(_PLACING_ATTEMPTS):
        try:
            make_folders(target.parent)
            os.link(temporary, target)
            break
        except FileNotFoundError:
            if attempt == _PLACING_ATTEMPTS - 1 or not temporary.exists():
                raise
        except FileExistsError:
            raise AlreadyExists(f"{target} already exists.") from None
    flush_folder(target.parent)


_REMEDIES = {
    errno.ENOSPC: "the disk is full: free some space or choose another destination.url",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another destination.url",
    errno.EACCES: "permission denied: give the user that runs Logferry access to it",
    errno.EPERM: "the operation is not permitted: the file system must allow renames and hard links",
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
