"""Two objects that follow the journal and only ever move forward: HEAD.json, and each window's own copy.

Several publications write them, and the slowest may come last: what lies there is replaced only by what is newer.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from logferry.errors import StoreError
from logferry.layout import head_key, manifest_key
from logferry.records.journal import Head, Journal, Record, decode_head
from logferry.stores.base import AlreadyExists, Changed, NotFound, Store

_CONTENDED = 20


def write_head(store: Store, export: str, head: Head, *, disbelieved: Head | None = None) -> None:
    """Let HEAD.json name ``head``, unless it names a later record already; the newer checkpoint stays named.

    ``disbelieved``: what it said before, where that names a record the journal does not have.
    """

    def merged(data: bytes | None) -> bytes | None:
        there = _head_or_none(data)
        new = head
        if there is not None and there != disbelieved:
            if (there.checkpoint or 0) > (head.checkpoint or 0):
                new = msgspec.structs.replace(
                    head, checkpoint=there.checkpoint, checkpoint_hash=there.checkpoint_hash
                )
            if there.seq > head.seq:
                new = msgspec.structs.replace(new, seq=there.seq, hash=there.hash)
        return None if new == there else msgspec.json.encode(new)

    _forward(store, head_key(export), merged)


def write_copy(store: Store, export: str, record: Record, data: bytes) -> None:
    """Let the window's copy be this publication, unless it is a later one of the same window already."""

    def newer(found: bytes | None) -> bytes | None:
        if found is None:
            return data
        try:
            there = Record.of(found)
        except ValueError:
            return data
        same = there.content.export == export and there.window == record.window
        if same and there.seq >= record.seq and _is_recorded(store, export, there):
            return None
        return data

    _forward(store, manifest_key(export, record.window), newer)


def _forward(store: Store, key: str, replacement: Callable[[bytes | None], bytes | None]) -> None:
    for _ in range(_CONTENDED):
        # The ETag first: bytes that are newer than it fail the condition, and are looked at again.
        info = store.head(key)
        try:
            data = None if info is None else store.read(key)
        except NotFound:
            continue
        new = replacement(data)
        if new is None:
            return
        try:
            if info is None:
                store.put_bytes(key, new, if_absent=True)
            else:
                store.put_bytes(key, new, if_match=info.etag)
        except (AlreadyExists, Changed):
            continue
        return
    raise StoreError(f"{key} in {store.url} is being written by other runs all the time; run again")


def _head_or_none(data: bytes | None) -> Head | None:
    try:
        return None if data is None else decode_head(data)
    except ValueError:
        return None


def _is_recorded(store: Store, export: str, record: Record) -> bool:
    found = Journal(store, export).intact_at(record.seq)
    return found is not None and found.hash == record.hash
