"""Where it is remembered what was told: beside the journal, in ``_manifests/<name>/notices.json``.

It may be deleted; what lasts is then told once more.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Protocol

import msgspec

from logferry.clock import Clock, SystemClock
from logferry.errors import LogferryError
from logferry.layout import notices_key
from logferry.notices.repeats import Sent
from logferry.stores.base import AlreadyExists, Changed, NotFound, Store

log = logging.getLogger(__name__)

_ATTEMPTS = 20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_MOST_BYTES = 16 * 2**20
"""More than ``repeats`` ever lets it hold."""


class Memory(Protocol):
    """What was told lately. Best effort: a memory that fails is logged, is empty, and never an error."""

    def load(self) -> list[Sent]: ...

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> bool:
        """Replace what is remembered by what ``work`` makes of it, which may be called several times; False if not."""
        ...


class BackedMemory:
    """A memory, and another one for what it cannot take: both are known, and the first gets all of it when it can."""

    def __init__(self, first: Memory, spare: Memory) -> None:
        self._first = first
        self._spare = spare

    def load(self) -> list[Sent]:
        return [*self._first.load(), *self._spare.load()]

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> bool:
        spared = self._spare.load()
        if not self._first.change(lambda before: work([*before, *spared])):
            return self._spare.change(work)
        return not spared or self._spare.change(lambda before: [])


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 1
    export: str
    sent: list[Sent]


_decode = msgspec.json.Decoder(_Told).decode


class LakeMemory:
    """The memory of one export in its lake; several tasks may change it at once."""

    def __init__(self, store: Store, export: str, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._export = export
        self._key = notices_key(export)

    def load(self) -> list[Sent]:
        try:
            return self._read()
        except LogferryError as error:
            log.warning("what was told lately cannot be read, so it may be told again: %s", error)
            return []

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> bool:
        try:
            for attempt in range(_ATTEMPTS):
                # The ETag first: what is written meanwhile has another.
                there = self._store.head(self._key)
                before = self._read()
                after = work(before)
                if after == before:
                    return True
                try:
                    self._write(after, None if there is None else there.etag)
                except (AlreadyExists, Changed):
                    # Tasks that end together meet again unless each waits a time of its own.
                    self._clock.sleep(random.uniform(0, min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)))
                    continue
                return True
            log.warning("what was told is not remembered, as others keep changing %s", self._key)
        except LogferryError as error:
            log.warning("what was told cannot be remembered in the lake, so it may be told again: %s", error)
        return False

    def _read(self) -> list[Sent]:
        try:
            told = self._store.read_range(self._key, 0, _MOST_BYTES + 1)
        except NotFound:
            return []
        try:
            if len(told) > _MOST_BYTES:
                raise ValueError(f"it is longer than {_MOST_BYTES:,} bytes")
            return _decode(told).sent
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            log.warning("%s in %s is not readable and passed over: %s", self._key, self._store.url, error)
            return []

    def _write(self, sent: list[Sent], etag: str | None) -> None:
        told = msgspec.json.encode(_Told(export=self._export, sent=sent))
        data = msgspec.json.format(told, indent=1) + b"\n"
        self._store.put_bytes(self._key, data, if_absent=etag is None, if_match=etag)
