"""Records of journals that were looked at lately, as stored: a person goes back and forth between them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from logferry.layout import journal_key
from logferry.records.journal import Record
from logferry.records.manifest import content_hash
from logferry.stores.base import NotFound, Store
from logferry.view.plain import cut

_MOST_BYTES = 32 * 1024 * 1024
_MOST_REASON = 300


@dataclass(frozen=True, slots=True)
class Stored:
    """One record. ``record`` None: what lies there is none, and ``broken`` says why in one sentence."""

    data: bytes
    hash: str
    record: Record | None
    broken: str | None


class StoredRecords:
    """A bounded memory of records, for many threads. ``version``: of the archive when it was looked at."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Stored] = OrderedDict()

    def read(self, store: Store, export: str, seq: int, *, version: str) -> Stored | None:
        """None when there is no such object. Raises StoreError and CredentialsError."""
        place = (version, seq)
        with self._lock:
            if place in self._kept:
                self._kept.move_to_end(place)
                return self._kept[place]
        try:
            data = store.read(journal_key(export, seq))
        except NotFound:
            return None
        stored = _stored(export, seq, data)
        with self._lock:
            if place not in self._kept and len(data) <= self._most:
                self._kept[place] = stored
                self._bytes += len(data)
            while self._bytes > self._most:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped.data)
        return stored


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
