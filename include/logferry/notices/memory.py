"""Where it is remembered what was told: beside the journal, in ``_manifests/<name>/notices.json``.

It may be deleted; what lasts is then told once more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from logferry.errors import LogferryError
from logferry.layout import notices_key
from logferry.notices.repeats import Sent
from logferry.stores.base import AlreadyExists, Changed, NotFound, Store

log = logging.getLogger(__name__)

_ATTEMPTS = 5


class Memory(Protocol):
    """What was told lately. Best effort: a memory that fails is logged, is empty, and never an error."""

    def load(self) -> list[Sent]: ...

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> None:
        """Replace what is remembered by what ``work`` makes of it; it may be called several times."""
        ...


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    format: int = 1
    export: str
    sent: list[Sent]


_decode = msgspec.json.Decoder(_Told).decode


class LakeMemory:
    """The memory of one export in its lake; several tasks may change it at once."""

    def __init__(self, store: Store, export: str) -> None:
        self._store = store
        self._export = export
        self._key = notices_key(export)

    def load(self) -> list[Sent]:
        try:
            return self._read()
        except LogferryError as error:
            log.warning("what was told lately cannot be read, so it may be told again: %s", error)
            return []

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> None:
        try:
            for _ in range(_ATTEMPTS):
                # The ETag first: what is written meanwhile has another.
                there = self._store.head(self._key)
                before = self._read()
                after = work(before)
                if after == before:
                    return
                try:
                    self._write(after, None if there is None else there.etag)
                except (AlreadyExists, Changed):
                    continue
                return
            log.warning("what was told is not remembered, as others keep changing %s", self._key)
        except LogferryError as error:
            log.warning("what was told cannot be remembered, so it may be told again: %s", error)

    def _read(self) -> list[Sent]:
        try:
            return _decode(self._store.read(self._key)).sent
        except NotFound:
            return []
        except (msgspec.DecodeError, ValueError) as error:
            log.warning("%s in %s is not readable and passed over: %s", self._key, self._store.url, error)
            return []

    def _write(self, sent: list[Sent], etag: str | None) -> None:
        told = msgspec.json.encode(_Told(export=self._export, sent=sent))
        data = msgspec.json.format(told, indent=1) + b"\n"
        self._store.put_bytes(self._key, data, if_absent=etag is None, if_match=etag)
