"""A directory of the local disk as a store.

New content is written beside the data (``<root>/.tmp``, the same disk), flushed to the disk, and put in place
by one rename; so no crash and no reader meets half a file. A local file has no metadata of its own: what
callers give is checked, as every store checks it, and not kept.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from logferry.errors import StoreError
from logferry.stores.base import ObjectInfo, check_key, check_metadata
from logferry.stores.disk import explained, flush, flush_folder, make_folders, place, place_new

_TEMPORARY = ".tmp"
_COPY_BYTES = 1 << 20
_ABANDONED_AFTER_S = 24 * 3600


class LocalStore:
    """The ``Store`` in the directory ``root``, which is created by the first write."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._swept = False
        self.url = root.absolute().as_uri()

    def put_file(self, key: str, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
        target = self._path(key)
        check_metadata(metadata)
        with explained("write", target), self._temporary() as temporary:
            with path.open("rb") as source, temporary.open("xb") as copy:
                shutil.copyfileobj(source, copy, _COPY_BYTES)
                flush(copy)
            place(temporary, target)

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        target = self._path(key)
        with explained("write", target), self._temporary() as temporary:
            with temporary.open("xb") as file:
                file.write(data)
                flush(file)
            if if_absent:
                place_new(temporary, target)
            else:
                place(temporary, target)

    def read(self, key: str) -> bytes:
        path = self._path(key)
        with explained("read", path):
            return path.read_bytes()

    def read_range(self, key: str, start: int, length: int) -> bytes:
        path = self._path(key)
        with explained("read", path), path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size + start) if start < 0 else start)
            return file.read(max(0, length))

    def head(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        with explained("read", path):
            try:
                state = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
            if not path.is_file():
                return None
            return ObjectInfo(key, state.st_size, _etag(state))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        with explained("list", self._root / folder):
            yield from self._walk(folder, prefix)

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        try:
            entries = list(os.scandir(self._root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return
        # Keys in text order, as S3 lists them: "a-b/x" comes before "a/x".
        entries.sort(key=lambda entry: f"{entry.name}/" if entry.is_dir() else entry.name)
        for entry in entries:
            key = f"{folder}/{entry.name}" if folder else entry.name
            if key == _TEMPORARY:
                continue
            if entry.is_dir():
                if key.startswith(prefix) or prefix.startswith(f"{key}/"):
                    yield from self._walk(key, prefix)
            elif key.startswith(prefix):
                # A file may vanish between listing and stat: then it is no object any more.
                with suppress(FileNotFoundError):
                    state = entry.stat()
                    yield ObjectInfo(key, state.st_size, _etag(state))

    def move(self, source_key: str, target_key: str, *, metadata: Mapping[str, str] | None = None) -> None:
        source, target = self._path(source_key), self._path(target_key)
        check_metadata(metadata)
        with explained("move", source):
            source.stat()  # Fails here when there is none, before a folder is made for it.
            place(source, target)
            flush_folder(source.parent)
            self._prune(source.parent)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            path = self._path(key)
            with explained("delete", path), suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
                flush_folder(path.parent)
                self._prune(path.parent)

    def _path(self, key: str) -> Path:
        if check_key(key).partition("/")[0] == _TEMPORARY:
            raise StoreError(
                f"The key {key!r} is in a folder the store keeps for itself: choose another name."
            )
        return self._root / key

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
        """Once per store: removes what killed processes left behind, never a file still being written."""
        if self._swept:
            return
        self._swept = True
        for path in folder.glob("*.inprogress"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _ABANDONED_AFTER_S:
                    path.unlink()

    def _prune(self, folder: Path) -> None:
        """Removes folders that became empty, as an object store has none; the root stays."""
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def _etag(state: os.stat_result) -> str:
    return f"{state.st_ino:x}-{state.st_mtime_ns:x}-{state.st_size:x}"
