"""A directory of the local disk as a store.

New content is written beside the data (``<root>/.tmp``, the same disk), flushed to the disk, and put in place
by one rename; so no crash and no reader meets half a file. What changes a name does so under one lock for the
whole directory, so that a condition still holds when it is acted on, whatever threads and processes write. A
local file has no metadata of its own: what callers give is checked, as every store checks it, and not kept.
"""

from __future__ import annotations

import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from io import FileIO
from pathlib import Path

from logferry.errors import StoreError
from logferry.stores.base import ObjectInfo, changed, check_key, check_metadata
from logferry.stores.disk import (
    copy,
    explained,
    flush,
    flush_file,
    flush_folder,
    link_or_copy,
    locked,
    make_folders,
    put_in_free_place,
    put_in_place,
    stamp,
)
from logferry.window import TICK_PER_SECOND

_TEMPORARY = ".tmp"
_ABANDONED_AFTER_S = 24 * 3600
_NS_PER_TICK = 1_000_000_000 // TICK_PER_SECOND

Check = Callable[[os.stat_result | None], None]
"""Raises Changed when this is not the object that is expected; None stands for no object."""


class LocalStore:
    """The ``Store`` in the directory ``root``, which is created by the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = str(root)
        self._swept = False
        self.url = root.absolute().as_uri()

    def enforces_conditions(self) -> bool:
        return True

    def put_file(self, key: str, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
        target = self._path(key)
        check_metadata(metadata)
        with explained("write", target), self._temporary() as temporary:
            link_or_copy(path, temporary)
            flush_file(temporary)
            self._commit(temporary, target)

    def put_bytes(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> None:
        target = self._path(key)
        with explained("write", target), self._temporary() as temporary:
            with temporary.open("xb") as file:
                file.write(data)
                flush(file)
            if if_absent:
                with self._locked():
                    stamp(temporary, after=None)
                    put_in_free_place(temporary, target)
                flush_folder(target.parent)
            elif if_match is not None:
                self._commit(temporary, target, self._must_be(key, if_match))
            else:
                self._commit(temporary, target)

    def place(
        self,
        source_key: str,
        target_key: str,
        *,
        expected: str | None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        source, target = self._path(source_key), self._path(target_key)
        check_metadata(metadata)
        with explained("write", target), self._temporary() as temporary:
            with explained("place", source):
                link_or_copy(source, temporary)
            return self._commit(temporary, target, self._must_be(target_key, expected), durably=False)

    def settle(self, keys: Iterable[str]) -> None:
        # A disk makes many changes durable in the time of one, if all are made before the first is asked for.
        folders: set[Path] = set()
        for key in keys:
            path = self._path(key)
            while path != self._root and (path := path.parent) not in folders:
                folders.add(path)
        for folder in sorted(folders):
            with explained("write", folder):
                flush_folder(folder)

    def renew(self, key: str, *, expected: str) -> str:
        path = self._path(key)
        check = self._must_be(key, expected)
        with explained("renew", path):
            with suppress(PermissionError), self._locked():
                check(self._state(path))
                stamp(path, after=None)
                with path.open("rb") as file:
                    flush(file)  # Or a crash could bring the old ETag back.
                return _etag(path.stat())
            # Only its owner may give a file another time; a copy of it is ours.
            with self._temporary() as temporary:
                copy(path, temporary)
                return self._commit(temporary, path, check)

    def _commit(
        self, temporary: Path, target: Path, check: Check | None = None, *, durably: bool = True
    ) -> str:
        """Puts the file in place if ``check`` has nothing against what is there; gives the new ETag.

        Unless ``durably``, the name is left to ``settle``.
        """
        with self._locked():
            there = self._state(target)
            if check is not None:
                check(there)
            stamp(temporary, after=there)
            put_in_place(temporary, target, durably=durably)
            etag = _etag(target.stat())
        if durably:
            flush_folder(target.parent)
        return etag

    def _must_be(self, key: str, expected: str | None) -> Check:
        def check(there: os.stat_result | None) -> None:
            found = None if there is None else _etag(there)
            if found != expected:
                raise changed(f"{self.url}/{key}", expected, found)

        return check

    def read(self, key: str) -> bytes:
        self._check(key)
        try:
            with FileIO(f"{self._folder}/{key}") as file:
                return file.readall()
        except OSError:
            path = self._path(key)
        with explained("read", path), self._in_a_folder():
            return path.read_bytes()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        path = self._path(key)
        with explained("read", path), self._in_a_folder(), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size + start) if start < 0 else start)
            return file.read(max(0, length))

    def head(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        with explained("read", path):
            state = self._state(path)
            return None if state is None else _info(key, state)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        with explained("list", self._root / folder):
            yield from self._walk(folder, prefix, after or "")

    def _walk(self, folder: str, prefix: str, after: str) -> Iterator[ObjectInfo]:
        try:
            with self._in_a_folder():
                entries = list(os.scandir(f"{self._folder}/{folder}"))
        except (FileNotFoundError, NotADirectoryError):
            return
        # Keys in text order, as S3 lists them: "a-b/x" comes before "a/x".
        names = sorted((f"{entry.name}/" if entry.is_dir() else entry.name, entry) for entry in entries)
        for name, entry in names:
            key = f"{folder}/{name}" if folder else name
            if name.endswith("/"):
                if key != f"{_TEMPORARY}/" and (key.startswith(prefix) or prefix.startswith(key)):
                    yield from self._walk(key[:-1], prefix, after)
            elif key.startswith(prefix) and key > after and key != _TEMPORARY:
                # A file may vanish between listing and stat: then it is no object any more.
                with suppress(FileNotFoundError):
                    yield _info(key, entry.stat())

    def sweep(self, prefix: str, *, older_than_s: float) -> int:
        """An unfinished upload here is a temporary file: each store removes old ones with its first write."""
        latest = time.time_ns() - int(older_than_s * 1_000_000_000)
        return sum(
            self._remove(self._path(info.key), latest)
            for info in list(self.list(prefix))
            if info.modified_at * _NS_PER_TICK < latest
        )

    def abort_uploads(self, prefix: str, *, older_than_s: float) -> int:
        """None are under a key: see ``sweep``."""
        return 0

    def delete(self, keys: Iterable[str]) -> None:
        paths = [self._path(key) for key in keys]
        touched: set[Path] = set()
        try:
            for path in paths:
                if self._remove(path, flush=False):
                    touched.add(path.parent)
        finally:
            for folder in touched:
                with explained("delete", folder):
                    flush_folder(folder)

    def remove(self, key: str, *, expected: str) -> None:
        self._remove(self._path(key), check=self._must_be(key, expected))

    def _remove(
        self, path: Path, latest_ns: int | None = None, check: Check | None = None, *, flush: bool = True
    ) -> bool:
        """Whether there was a file, last changed before ``latest_ns``, to remove; ``check`` may object to it."""
        with explained("delete", path):
            if self._state(path) is None and check is None:
                return False
            with self._locked():
                there = self._state(path)
                if check is not None:
                    check(there)
                if there is None or (latest_ns is not None and there.st_mtime_ns >= latest_ns):
                    return False
                path.unlink()
                self._prune(path.parent)
            if flush:
                flush_folder(path.parent)
            return True

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._root / _TEMPORARY)

    def _path(self, key: str) -> Path:
        self._check(key)
        return self._root / key

    def _check(self, key: str) -> None:
        if check_key(key).partition("/")[0] == _TEMPORARY:
            raise StoreError(
                f"The key {key!r} is in a folder the store keeps for itself: choose another name."
            )

    @contextmanager
    def _temporary(self) -> Iterator[Path]:
        """A fresh name on the store's disk; whatever is still there at the end is removed."""
        folder = self._root / _TEMPORARY
        make_folders(folder)
        self._sweep(folder)
        path = folder / f"{uuid.uuid4().hex}.inprogress"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _sweep(self, folder: Path) -> None:
        """Once per store: removes what killed processes left behind, never a file still being written.

        The time of the last change of state counts: a link to a staged object has that object's own time.
        """
        if self._swept:
            return
        self._swept = True
        for path in folder.glob("*.inprogress"):
            with suppress(FileNotFoundError):
                if path.stat().st_ctime < time.time() - _ABANDONED_AFTER_S:
                    path.unlink()

    def _state(self, path: Path) -> os.stat_result | None:
        """None when there is no object: nothing, or a folder."""
        try:
            with self._in_a_folder():
                state = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return state if stat.S_ISREG(state.st_mode) else None

    @contextmanager
    def _in_a_folder(self) -> Iterator[None]:
        """Below an object there is no other, but a whole store below a file is a mistake in its URL, and no store
        without objects."""
        try:
            yield
        except NotADirectoryError:
            there = next(one for one in (self._root, *self._root.parents) if one.exists())
            if there.is_dir():
                raise
            raise StoreError(
                f"Cannot read {self._root}: {there} is a file where a folder should be: correct destination.url, or "
                "remove the file."
            ) from None

    def _prune(self, folder: Path) -> None:
        """Removes folders that became empty, as an object store has none; the root stays."""
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def _info(key: str, state: os.stat_result) -> ObjectInfo:
    return ObjectInfo(key, state.st_size, _etag(state), state.st_mtime_ns // _NS_PER_TICK)


def _etag(state: os.stat_result) -> str:
    return f"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"
