"""The journal of an export: every intent and every publication, in order, each naming the hash of the one before.

A record is appended by creating the object of its sequence number, which only one writer can do. Reading never
fails on what it finds: a record that is missing, or is not what its successor, ``HEAD.json`` or a checkpoint says, is
collected as ``Damage`` and left out. At the end, where nothing follows, the window's own copy is heard too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal

import msgspec

from logferry.layout import head_key, journal_key, journal_prefix, manifest_key, number_of
from logferry.records.manifest import Intent, Manifest, content_hash, decode_record, refusing_depth
from logferry.stores.base import NotFound, Store
from logferry.window import Window

_MOST_CUT = 1_000
"""A HEAD that names a record further behind the last one is not believed."""

_BEFORE_HEAD = 2
"""An intent and its publication: the first run may have died before it wrote HEAD."""

DamageKind = Literal["missing", "unreadable", "foreign", "changed", "head", "checkpoint", "copy"]
OF_A_RECORD = frozenset({"missing", "unreadable", "foreign", "changed"})


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record and its hash (0 and None: no record), and the newest checkpoint with the hash of its bytes."""

    seq: int
    hash: str | None
    checkpoint: int | None = None
    checkpoint_hash: str | None = None


class Record(msgspec.Struct, frozen=True):
    """A record with the hash of its exact bytes. ``slices``, ``removed``: the slices it lists, in its order."""

    content: Manifest | Intent
    hash: str
    window: Window
    slices: tuple[Window, ...]
    removed: tuple[Window, ...]

    @property
    def seq(self) -> int:
        return self.content.seq

    @property
    def publication(self) -> Manifest | None:
        return self.content if isinstance(self.content, Manifest) else None

    @property
    def intent(self) -> Intent | None:
        return self.content if isinstance(self.content, Intent) else None

    @classmethod
    def of(cls, data: bytes) -> Record:
        """Raises ValueError (msgspec's errors are such) for bytes that are no record."""
        content = decode_record(data)
        return cls(
            content,
            content_hash(data),
            content.window.window(),
            tuple(slice_.window() for slice_ in content.slices),
            tuple(span.window() for span in content.removed) if isinstance(content, Manifest) else (),
        )


class Damage(msgspec.Struct, frozen=True):
    """Something in ``_manifests/`` that is not as it was written.

    ``seq``: the record it is about, 0 for HEAD. ``found``: the hash of what lies there, None when nothing does.
    ``expected``: the hash it should have, where a neighbour tells. ``acknowledged``: the publication that found it
    and went on. ``intent``: the record is known to be an intent, of which no copy is kept.
    """

    seq: int
    key: str
    kind: DamageKind
    detail: str
    found: str | None = None
    expected: str | None = None
    acknowledged: int | None = None
    intent: bool = False


class Named(msgspec.Struct, frozen=True):
    """HEAD.json: what it says, None when it is absent or not readable, which is ``damage``."""

    head: Head | None
    damage: Damage | None = None


class Walk(msgspec.Struct):
    """What was found from one record on: intact ``records`` in order, ``damage``, and the ``end`` to append after.

    ``end`` holds the hash that the next record names as the one before.
    """

    end: Head
    records: list[Record] = msgspec.field(default_factory=list)
    damage: list[Damage] = msgspec.field(default_factory=list)


class _Found(msgspec.Struct):
    """What lies under one sequence number. ``kind`` None: intact, as far as is known."""

    seq: int
    hash: str | None = None
    record: Record | None = None
    kind: DamageKind | None = None
    detail: str = ""
    expected: str | None = None


class Journal:
    """The journal of one export in one store."""

    def __init__(self, store: Store, export: str) -> None:
        self._store = store
        self._export = export
        self.damage: list[Damage] = []
        """What the last ``records()`` found, complete once it has ended."""

    def named(self) -> Named:
        """What HEAD.json says."""
        key = head_key(self._export)
        try:
            data = self._store.read(key)
        except NotFound:
            return Named(None)
        try:
            return Named(decode_head(data))
        except ValueError as error:
            return Named(
                None, Damage(0, key, "head", f"it is not readable ({error})", found=content_hash(data))
            )

    def records(self) -> Iterator[Record]:
        """Every intact record from the first, HEAD compared; afterwards ``damage`` says what is not intact."""
        walk = self.walk(Head(0, None), self.named())
        self.damage = walk.damage
        yield from walk.records

    def walk(self, after: Head, named: Named) -> Walk:
        """The records that follow ``after``, which is itself looked at and not returned.

        ``named`` was read before anything else: a HEAD read later could name records that were not there yet.
        """
        head = named.head or Head(0, None)
        found = self._gather(max(after.seq, 1), head)
        walk = Walk(after)
        last = found[-1].seq if found else after.seq
        if named.damage is not None:
            walk.damage.append(named.damage)
        elif named.head is None and last > _BEFORE_HEAD:
            walk.damage.append(self._head_damage("it is missing"))
        if head.seq > last:
            walk.damage.append(self._head_damage(f"it names record {head.seq}, the journal ends at {last}"))
            head = Head(0, None)
        self._judge(found, after, head, walk)
        mends = {
            (mend.seq, mend.found): manifest.seq
            for manifest in _publications(found)
            for mend in manifest.mends
        }
        walk.damage += self._damage_of(found, mends)
        walk.records += [
            one.record for one in found if one.kind is None and one.record is not None and one.seq > after.seq
        ]
        if found:
            end = found[-1]
            walk.end = Head(end.seq, end.hash if end.kind is None else end.expected or end.hash)
        return walk

    def examined(self, numbers: Collection[int]) -> list[Damage]:
        """Damage of these records; one that is none of them and follows one of them is taken for intact."""
        damage = []
        for first in sorted(number for number in numbers if number - 1 not in numbers):
            found = [self._look(first)]
            while found[-1].seq in numbers:
                found.append(self._look(found[-1].seq + 1))
            last = Head(found[-1].seq, found[-1].hash)
            self._judge(found, Head(0, None), last, Walk(last))
            damage += [one for one in self._damage_of(found, {}) if one.seq in numbers]
        return damage

    def _damage_of(self, found: list[_Found], mends: dict[tuple[int, str | None], int]) -> list[Damage]:
        intents = {manifest.intent for manifest in _publications(found)}
        return [
            Damage(
                one.seq,
                journal_key(self._export, one.seq),
                one.kind,
                one.detail,
                one.hash,
                one.expected,
                mends.get((one.seq, one.hash)),
                one.seq in intents,
            )
            for one in found
            if one.kind is not None
        ]

    def record_at(self, seq: int) -> Record | None:
        """The record under one number; None when nothing lies there. Raises ValueError for anything else."""
        try:
            return Record.of(self._store.read(journal_key(self._export, seq)))
        except NotFound:
            return None

    def intact_at(self, seq: int) -> Record | None:
        """``record_at``, and None also for what is no record."""
        try:
            return self.record_at(seq)
        except ValueError:
            return None

    def _gather(self, first: int, named: Head) -> list[_Found]:
        found: list[_Found] = []
        seq = first
        known = 0
        while True:
            one = self._look(seq)
            if one.kind == "missing" and seq > known:
                known = self._last_known(seq, named)
                if seq > known:
                    return found
                one = self._look(seq)  # it may have been written meanwhile
            found.append(one)
            seq += 1

    def _last_known(self, missing: int, named: Head) -> int:
        """The last record there must be, when there is none under ``missing``; 0 when it is just the end."""
        before = journal_key(self._export, missing - 1)
        following = self._store.list(journal_prefix(self._export), after=before)
        last = max((number_of(info.key) or 0 for info in following), default=0)
        believed = named.seq - max(last, missing - 1) <= _MOST_CUT
        return max(last, named.seq) if named.seq >= missing and believed else last

    def _look(self, seq: int) -> _Found:
        try:
            data = self._store.read(journal_key(self._export, seq))
        except NotFound:
            return _Found(seq, kind="missing", detail="there is no such object")
        found = content_hash(data)
        try:
            record = Record.of(data)
        except ValueError as error:
            return _Found(seq, found, kind="unreadable", detail=f"it is no record ({error})")
        if record.content.export != self._export or record.seq != seq:
            what = f"it is record {record.seq} of {record.content.export}"
            return _Found(seq, found, kind="foreign", detail=what)
        return _Found(seq, found, record)

    def _judge(self, found: list[_Found], after: Head, named: Head, walk: Walk) -> None:
        """Mark the records that are not what the next one, HEAD or ``after`` says; last to first, since only an
        intact record is a witness."""
        following: _Found | None = None
        for one in reversed(found):
            witness = None
            if following is not None and following.kind is None and following.record is not None:
                witness = following.record.content.previous
            by_head = named.hash if named.seq == one.seq else None
            if after.seq and after.seq == one.seq:
                by_head = after.hash
            one.expected = witness or by_head
            if one.kind is None and witness is not None and one.hash != witness:
                assert following is not None
                by_copy = following is found[-1] and following.seq > named.seq and self._copied(one)
                if by_head == one.hash or by_copy:
                    following.kind, following.detail = "changed", "it names another record before it"
                    one.expected = one.hash
                else:
                    one.kind, one.detail = "changed", "its bytes are not those that the next record names"
            elif one.kind is None and by_head is not None and one.hash != by_head:
                if witness is not None or self._copied(one):
                    walk.damage.append(self._head_damage(f"it names record {one.seq} with another hash"))
                    one.expected = witness
                else:
                    one.kind, one.detail = "changed", "its bytes are not those that HEAD names"
            following = one

    def _copied(self, one: _Found) -> bool:
        """Whether the window's own copy holds the very bytes of this record: then it is another that is wrong."""
        if one.record is None or one.record.publication is None:
            return False
        try:
            return content_hash(self._store.read(manifest_key(self._export, one.record.window))) == one.hash
        except NotFound:
            return False

    def _head_damage(self, detail: str) -> Damage:
        return Damage(0, head_key(self._export), "head", detail)


def _publications(found: list[_Found]) -> Iterator[Manifest]:
    """The intact ones."""
    for one in found:
        if one.kind is None and one.record is not None and one.record.publication is not None:
            yield one.record.publication


def decode_head(data: bytes) -> Head:
    """Raises ValueError for anything but a HEAD."""
    with refusing_depth():
        head: Head = msgspec.json.decode(data, type=Head)
    if head.seq < 0 or (head.seq > 0) != (head.hash is not None):
        raise ValueError(f"it names record {head.seq} with the hash {head.hash}")
    return head
