"""The board of one machine: a small file per record, under a lock, in a folder of this user alone.

A record is rewritten for every request, so it costs one read and one write of a few hundred bytes, and its file is kept
open. A checksum tells a record that was not written whole; it is forgotten then.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import tempfile
import threading
import zlib
from pathlib import Path
from typing import TypeVar

from logferry.budget.board import Work
from logferry.clock import Clock
from logferry.errors import DefinitionError, StoreError
from logferry.window import TICK_PER_MS

T = TypeVar("T")

_HEAD = struct.Struct("<4sII")
_MARK = b"LFB2"
_MOST = 64 * 1024
_PEEKS = 3


FOLDER_VARIABLE = "LOGFERRY_BUDGET_DIR"


def default_folder() -> Path:
    """``LOGFERRY_BUDGET_DIR``, which containers of one machine can share; default: a folder in the temporary one."""
    named = os.environ.get(FOLDER_VARIABLE, "").strip()
    return (
        Path(named).expanduser().absolute()
        if named
        else Path(tempfile.gettempdir()) / f"logferry-{os.getuid()}"
    )


def peek(name: str, folder: Path) -> tuple[bytes, int] | None:
    """A record as it was last written whole, and when, in milliseconds since the Unix epoch; None where there is none.

    Nothing is created, locked or waited for.
    """
    try:
        descriptor = os.open(folder / f"{name}.budget", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
            return None
        for _ in range(_PEEKS):
            # One that is being written just now is not whole, and so is no record.
            if record := _record(os.pread(descriptor, _MOST, 0)):
                return record, os.fstat(descriptor).st_mtime_ns // 1_000_000
        return None
    except OSError:
        return None
    finally:
        os.close(descriptor)


class _Kept:
    """A record's file, open from its first use on. ``alone``: the file's lock is the process's, so its threads exclude
    each other by this one."""

    def __init__(self, file: str, path: str) -> None:
        self.file = file
        self.path = path
        self.alone = threading.Lock()
        self.descriptor: int | None = None
        self.identity: tuple[int, int] | None = None

    def unlock(self) -> None:
        """By its name, as closing keeps the lock where a fork holds the descriptor too."""
        if self.descriptor is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        if self.descriptor is not None:
            descriptor, self.descriptor = self.descriptor, None
            os.close(descriptor)

    __del__ = close


class LocalBoard:
    """Files in ``folder``; the default lies in the temporary folder and belongs to this user alone.

    Raises DefinitionError when others could write to the folder, StoreError when a file cannot be kept.
    """

    def __init__(self, clock: Clock, folder: Path | None = None) -> None:
        self._clock = clock
        self.folder = folder or default_folder()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = self.folder.lstat()
        except OSError as error:
            raise self.failed("", error) from error
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise DefinitionError(
                f"{self.folder} can be written by other users; remove it, or set {FOLDER_VARIABLE} to a folder of yours"
            )
        self._files: dict[tuple[int, str], _Kept] = {}

    def change(self, name: str, work: Work[T]) -> T:
        kept = self._kept(name)
        with kept.alone:
            try:
                try:
                    return self._change(kept, work)
                finally:
                    kept.unlock()
            except BaseException:
                # Whatever it was, and even if it came just before the lock was given back.
                kept.close()
                raise

    def _change(self, kept: _Kept, work: Work[T]) -> T:
        try:
            descriptor = self._locked(kept)
            record = _record(os.pread(descriptor, _MOST, 0))
        except OSError as error:
            raise self.failed(kept.file, error) from error
        changed, result = work(record, self._clock.now() // TICK_PER_MS, 1)
        if changed is not None and changed != record:
            self._write(kept.file, descriptor, changed)
        return result

    def _write(self, file: str, descriptor: int, record: bytes) -> None:
        data = _HEAD.pack(_MARK, zlib.crc32(record), len(record)) + record
        try:
            written = os.pwrite(descriptor, data, 0)
        except OSError as error:
            raise self.failed(file, error) from error
        if written != len(data):
            raise self.failed(file, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _kept(self, name: str) -> _Kept:
        # Of this process: the lock of a file that was opened before a fork is held on both sides of it.
        key = os.getpid(), name
        if (kept := self._files.get(key)) is None:
            file = f"{name}.budget"
            kept = self._files.setdefault(key, _Kept(file, str(self.folder / file)))
        return kept

    def _locked(self, kept: _Kept) -> int:
        """The descriptor of the file that is there now, with its lock."""
        if kept.descriptor is not None and _identity(kept.path) != kept.identity:
            # Someone tidied the temporary folder under a long run: the others meet at another file now.
            kept.close()
        if kept.descriptor is None:
            kept.descriptor = self.open(kept.file)
            kept.identity = _identity(kept.descriptor)
        fcntl.flock(kept.descriptor, fcntl.LOCK_EX)
        return kept.descriptor

    def open(self, name: str) -> int:
        """The descriptor of a file of the folder, with a lock of its own."""
        path = self.folder / name
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            try:
                return os.open(path, flags, 0o600)
            except FileNotFoundError:
                # Someone tidied the temporary folder under a long run.
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                return os.open(path, flags, 0o600)
        except OSError as error:
            raise self.failed(name, error) from error

    def failed(self, name: str, error: OSError) -> StoreError:
        """The error to raise for a file of the folder, or for the folder ("")."""
        reason = error.strerror or error
        return StoreError(
            f"cannot keep the request budget in {self.folder / name}: {reason}; set {FOLDER_VARIABLE}"
        )


def _identity(file: str | int) -> tuple[int, int] | None:
    """What tells the file of a path or descriptor from every other; None where there is none."""
    try:
        found = os.lstat(file) if isinstance(file, str) else os.fstat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _record(data: bytes) -> bytes:
    if len(data) < _HEAD.size:
        return b""
    mark, checksum, length = _HEAD.unpack_from(data)
    record = data[_HEAD.size : _HEAD.size + length]
    return record if mark == _MARK and len(record) == length and zlib.crc32(record) == checksum else b""
