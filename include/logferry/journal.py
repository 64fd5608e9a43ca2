"""The journal of an export: every publication, in order, each naming the hash of the one before.

A record is appended by creating the object of its sequence number, which only one writer can do; then the
window's own copy and ``HEAD.json`` follow. A writer that died between the two leaves a HEAD that lags: readers walk
on from it until no record follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from logferry.errors import StoreError
from logferry.layout import head_key, journal_key, manifest_key
from logferry.manifest import Manifest, content_hash, decode_manifest
from logferry.stores.base import AlreadyExists, NotFound, Store

_CONTENDED = 20


class Head(msgspec.Struct, frozen=True):
    """The last record: its sequence number (0: none yet) and its hash."""

    seq: int
    hash: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """A journal record with the hash of its exact bytes."""

    manifest: Manifest
    hash: str


class Journal:
    """The journal of one export in one store."""

    def __init__(self, store: Store, export: str) -> None:
        self._store = store
        self._export = export

    def head(self) -> Head:
        """The newest record, found from HEAD onwards. Raises StoreError when HEAD names no record."""
        head = self._named()
        if head.seq:
            key = journal_key(self._export, head.seq)
            try:
                found = content_hash(self._store.read(key))
            except NotFound:
                found = "absent"
            if found != head.hash:
                raise self._broken(f"HEAD names {key} with the hash {head.hash}, the record is {found}")
        for record in self._after(head):
            head = Head(record.manifest.seq, record.hash)
        return head

    def records(self) -> Iterator[Record]:
        """Every record from the first. Raises StoreError where the chain is broken or ends before HEAD."""
        head = self._named()
        last = 0
        for record in self._after(Head(0, None)):
            last = record.manifest.seq
            if last == head.seq and record.hash != head.hash:
                raise self._broken(f"record {last} is {record.hash}, HEAD names it as {head.hash}")
            yield record
        if last < head.seq:
            raise self._broken(f"record {last + 1} is missing, HEAD names record {head.seq}")

    def append(self, manifest: Manifest) -> Record:
        """Append ``manifest`` under the next sequence number and return it as stored."""
        for _ in range(_CONTENDED):
            head = self.head()
            sealed = msgspec.structs.replace(manifest, seq=head.seq + 1, previous=head.hash)
            data = sealed.encode()
            try:
                self._store.put_bytes(journal_key(self._export, sealed.seq), data, if_absent=True)
            except AlreadyExists:
                continue
            record = Record(sealed, content_hash(data))
            self._store.put_bytes(manifest_key(self._export, sealed.window.window()), data)
            self._store.put_bytes(head_key(self._export), msgspec.json.encode(Head(sealed.seq, record.hash)))
            return record
        raise StoreError(
            f"the journal of {self._export} in {self._store.url} is being written by other runs; try again"
        )

    def _named(self) -> Head:
        """What HEAD.json says; it may lag behind, never run ahead."""
        try:
            return msgspec.json.decode(self._store.read(head_key(self._export)), type=Head)
        except NotFound:
            return Head(0, None)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{head_key(self._export)} in {self._store.url} is not readable: {error}"
            ) from error

    def _broken(self, how: str) -> StoreError:
        return StoreError(f"the journal of {self._export} in {self._store.url} is broken: {how}")

    def _after(self, head: Head) -> Iterator[Record]:
        seq, expected = head.seq, head.hash
        while True:
            seq += 1
            key = journal_key(self._export, seq)
            try:
                data = self._store.read(key)
            except NotFound:
                return
            try:
                manifest = decode_manifest(data)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise StoreError(f"{key} in {self._store.url} is not a manifest: {error}") from error
            if manifest.previous != expected or manifest.seq != seq:
                raise StoreError(
                    f"the journal in {self._store.url} is broken at {key}: it names {manifest.previous} as the "
                    f"record before, which is {expected}"
                )
            expected = content_hash(data)
            yield Record(manifest, expected)
