"""A store in memory for tests: every operation can be counted, paused or made to fail, and conditions ignored."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from logferry.stores.base import AlreadyExists, Changed, NotFound, ObjectInfo, check_key, check_metadata
from logferry.window import TICK_PER_SECOND, parse_instant

Etags = Literal["unique", "content"]
Keys = list[str]
Hook = Callable[[str, str], None]


@dataclass(slots=True)
class Stored:
    data: bytes
    metadata: dict[str, str]
    generation: int
    """Of a renewal with equal bytes; with unique ETags, of any write."""
    modified_at: int


@dataclass(slots=True)
class MemoryStore:
    """``before(operation, key)`` runs ahead of every operation, outside the store's lock.

    ``etags``: ``content`` is the MD5 of the bytes as in S3, so that the ETag comes back with the bytes; only
    ``renew`` switches it between two forms, as between an upload at once and one in parts. ``unique`` never repeats
    one. ``enforces``: False checks a condition first and acts on it as another operation, as for a store that ignores
    conditions; ``before`` runs in between.
    """

    url: str = "memory://lake"
    etags: Etags = "unique"
    enforces: bool = True
    before: Hook = lambda operation, key: None
    now: int = field(default_factory=lambda: parse_instant("2026-11-22T12:00:00Z"))
    objects: dict[str, Stored] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    _writes: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def put_file(self, key: str, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
        self._begin("put_file", key)
        self._write(key, path.read_bytes(), metadata)

    def enforces_conditions(self) -> bool:
        return self.enforces

    def put_bytes(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> None:
        self._begin("put_bytes", key)

        def check() -> None:
            found = self._etag(key)
            if if_absent and found is not None:
                raise AlreadyExists(f"{key} already exists.")
            if if_match is not None and found != if_match:
                raise Changed(f"{key} is not the object that was seen.")

        self._conditionally("put_bytes", key, check, lambda: self._write(key, data, None))

    def read(self, key: str) -> bytes:
        self._begin("read", key)
        return self._get(key).data

    def read_range(self, key: str, start: int, length: int) -> bytes:
        self._begin("read_range", key)
        data = self._get(key).data
        return data[start:][:length] if start < 0 else data[start : start + length]

    def head(self, key: str) -> ObjectInfo | None:
        self._begin("head", key)
        with self._lock:
            return self._info(key, with_metadata=True)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        self._begin("list", prefix)
        with self._lock:
            keys = sorted(key for key in self.objects if key.startswith(prefix) and key > (after or ""))
            found = [self._info(key, with_metadata=False) for key in keys]
        yield from (info for info in found if info is not None)

    def place(
        self,
        source_key: str,
        target_key: str,
        *,
        expected: str | None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        self._begin("place", target_key)
        source = self._get(source_key)

        def check() -> None:
            if self._etag(target_key) != expected:
                raise Changed(f"{target_key} is not the object that was seen.")

        kept = source.metadata if metadata is None else metadata
        return self._conditionally(
            "place", target_key, check, lambda: self._write(target_key, source.data, kept)
        )

    def settle(self, keys: Iterable[str]) -> None:
        """Nothing outlives the process anyway."""

    def renew(self, key: str, *, expected: str) -> str:
        self._begin("renew", key)

        def check() -> None:
            if self._etag(key) != expected:
                raise Changed(f"{key} is not the object that was seen.")

        def change() -> str:
            with self._lock:
                self._writes += 1
                found = self.objects[key]
                found.generation = self._writes if self.etags == "unique" else 1 - found.generation
            etag = self._etag(key)
            assert etag is not None
            return etag

        return self._conditionally("renew", key, check, change)

    def remove(self, key: str, *, expected: str) -> None:
        self._begin("remove", key)

        def check() -> None:
            if self._etag(key) != expected:
                raise Changed(f"{key} is not the object that was seen.")

        def act() -> str:
            self.forget(key)
            return ""

        self._conditionally("remove", key, check, act)

    def sweep(self, prefix: str, *, older_than_s: float) -> int:
        self._begin("sweep", prefix)
        oldest = self.now - round(older_than_s * TICK_PER_SECOND)
        with self._lock:
            old = [
                key
                for key, stored in self.objects.items()
                if key.startswith(prefix) and stored.modified_at < oldest
            ]
            for key in old:
                del self.objects[key]
        return len(old)

    def abort_uploads(self, prefix: str, *, older_than_s: float) -> int:
        self._begin("abort_uploads", prefix)
        return 0

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._begin("delete", key)
            with self._lock:
                self.objects.pop(key, None)

    def seed(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
        """Put an object there behind everybody's back: not counted, never paused."""
        self._write(key, data, metadata)

    def forget(self, key: str) -> None:
        """Remove an object as ``seed`` puts it."""
        with self._lock:
            self.objects.pop(key, None)

    def quiet(self) -> MemoryStore:
        """The same objects, seen without counting or pausing."""
        return MemoryStore(url=self.url, etags=self.etags, now=self.now, objects=self.objects)

    def keys(self, prefix: str = "") -> Keys:
        """For assertions: not counted, never paused."""
        with self._lock:
            return sorted(key for key in self.objects if key.startswith(prefix))

    def content(self, key: str) -> bytes:
        """For assertions, as ``keys``."""
        return self._get(key).data

    def _begin(self, operation: str, key: str) -> None:
        if operation not in ("list", "sweep", "abort_uploads"):
            check_key(key)
        with self._lock:
            self.counted[operation] += 1
        self.before(operation, key)

    def _conditionally(
        self, operation: str, key: str, check: Callable[[], None], act: Callable[[], str]
    ) -> str:
        if not self.enforces:
            check()
            self.before(f"{operation} after its check", key)
            return act()
        with self._lock:
            check()
            return act()

    def _get(self, key: str) -> Stored:
        with self._lock:
            if key not in self.objects:
                raise NotFound(f"There is no {key}.")
            return self.objects[key]

    def _write(self, key: str, data: bytes, metadata: Mapping[str, str] | None) -> str:
        with self._lock:
            self._writes += 1
            generation = self._writes if self.etags == "unique" else 0
            self.objects[key] = Stored(data, check_metadata(metadata), generation, self.now)
        etag = self._etag(key)
        assert etag is not None
        return etag

    def _etag(self, key: str) -> str | None:
        stored = self.objects.get(key)
        if stored is None:
            return None
        return f"{hashlib.md5(stored.data, usedforsecurity=False).hexdigest()}-{stored.generation}"

    def _info(self, key: str, *, with_metadata: bool) -> ObjectInfo | None:
        stored, etag = self.objects.get(key), self._etag(key)
        if stored is None or etag is None:
            return None
        return ObjectInfo(
            key, len(stored.data), etag, stored.modified_at, dict(stored.metadata) if with_metadata else {}
        )
