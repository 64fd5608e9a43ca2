"""Records of journals that were looked at lately, as stored: a person goes back and forth between them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from logferry.layout import journal_key
from logferry.records.journal import Record
from logferry.records.manifest import content_hash
from logferry.stores.base import NotFound, Store
from logferry.view.plain import cut

_MOST_BYTES = 32 * 1024 * 1024
_MOST_REASON = 300
_KEPT_S = 600.0
"""How long a record is believed to lie there still as it was read: somebody may damage or delete it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One record. ``record`` None: what lies there is none, and ``broken`` says why in one sentence."""

    data: bytes
    hash: str
    record: Record | None
    broken: str | None

    @property
    def bytes(self) -> int:
        """Roughly what it takes here, decoded too."""
        return 4 * len(self.data) + 1_000


class StoredRecords:
    """A bounded memory of records, for many threads. ``version``: of the archive when it was looked at.

    ``seconds``: a clock that never goes back.
    """

    def __init__(
        self, most_bytes: int = _MOST_BYTES, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._most = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], tuple[Stored, float]] = OrderedDict()

    def read(self, store: Store, export: str, seq: int, *, version: str) -> Stored | None:
        """None when there is no such object. Raises StoreError and CredentialsError."""
        place = (version, seq)
        now = self._seconds()
        with self._lock:
            if place in self._kept:
                stored, read_at = self._kept[place]
                if now - read_at < _KEPT_S:
                    self._kept.move_to_end(place)
                    return stored
                self._drop(place)
        try:
            data = store.read(journal_key(export, seq))
        except NotFound:
            return None
        stored = _stored(export, seq, data)
        with self._lock:
            if place not in self._kept and stored.bytes <= self._most:
                self._kept[place] = stored, now
                self._bytes += stored.bytes
            while self._bytes > self._most:
                self._drop(next(iter(self._kept)))
        return stored

    def _drop(self, place: tuple[str, int]) -> None:
        stored, _ = self._kept.pop(place)
        self._bytes -= stored.bytes


def _stored(export: str, seq: int, data: bytes) -> Stored:
    found = content_hash(data)
    try:
        record = Record.of(data)
    except ValueError as error:
        return Stored(
            data, found, None, f"It is no record that can be read ({cut(str(error), _MOST_REASON)})."
        )
    if record.content.export != export or record.seq != seq:
        return Stored(
            data, found, None, f"It is record {record.seq} of {cut(record.content.export, _MOST_REASON)}."
        )
    return Stored(data, found, record, None)
