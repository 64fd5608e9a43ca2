"""Mending a journal: a record that is gone or changed comes back from its window's copy, where hashes prove it.

Where they do not, the publication that found the damage lists it (``mends``) and goes on after it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from logferry.errors import StoreError
from logferry.layout import journal_key, manifests_prefix
from logferry.records.fold import PublishedWindow, overlap
from logferry.records.journal import Damage, Journal, Record
from logferry.records.manifest import Mend, content_hash
from logferry.stores.base import AlreadyExists, Changed, NotFound, Store
from logferry.window import Window

log = logging.getLogger(__name__)

_OF_A_RECORD = ("missing", "unreadable", "foreign", "changed")


def unmended(damage: Iterable[Damage]) -> list[Damage]:
    """The damaged records that no publication has acknowledged."""
    return [one for one in damage if one.kind in _OF_A_RECORD and one.acknowledged is None]


def mends(damage: Iterable[Damage]) -> list[Mend]:
    """What a publication says of the damaged records that it goes on from, in their order."""
    seen = {one.seq: one for one in unmended(damage)}
    return [Mend(seq=one.seq, found=one.found, expected=one.expected) for _, one in sorted(seen.items())]


def restore(store: Store, export: str, damage: Iterable[Damage]) -> int:
    """Write back the records whose exact bytes lie in a window's copy; returns how many.

    The hash that a record's neighbour names is the proof. Intents have no copies.
    """
    wanted = {one.expected: one for one in unmended(damage) if one.expected is not None}
    restored = 0
    for data in _copies(store, export) if wanted else ():
        one = wanted.pop(content_hash(data), None)
        if one is not None and _write_back(store, one, data):
            log.warning(
                "%s in %s was %s and is restored from its window's copy", one.key, store.url, one.kind
            )
            restored += 1
        if not wanted:
            break
    return restored


def examine(store: Store, export: str, windows: Iterable[PublishedWindow]) -> Iterator[Damage]:
    """Damage of the records that a new publication of these windows builds on, and of the intents they fulfil.

    A ledger read from a checkpoint has not looked at them.
    """
    journal = Journal(store, export)
    for one in windows:
        record, damage = _examined(store, export, one.seq, one.hash)
        if damage is not None:
            yield damage
        if one.intent is None:
            continue
        following = record if one.intent + 1 == one.seq else journal.intact_at(one.intent + 1)
        expected = None if following is None else following.content.previous
        _, damage = _examined(store, export, one.intent, expected)
        if damage is not None:
            yield damage


def overlapping(windows: Iterable[PublishedWindow], window: Window, up_to: int) -> list[PublishedWindow]:
    """Those that share time with ``window``, published up to the record ``up_to``."""
    return [one for one in windows if one.seq <= up_to and overlap(one.window, window)]


def _examined(
    store: Store, export: str, seq: int, expected: str | None
) -> tuple[Record | None, Damage | None]:
    key = journal_key(export, seq)
    try:
        data = store.read(key)
    except NotFound:
        return None, Damage(seq, key, "missing", "there is no such object", None, expected)
    found = content_hash(data)
    if expected is not None and found != expected:
        return None, Damage(
            seq, key, "changed", "its bytes are not those that were recorded", found, expected
        )
    try:
        record = Record.of(data)
    except ValueError as error:
        return None, Damage(seq, key, "unreadable", f"it is no record ({error})", found, expected)
    return record, None


def _copies(store: Store, export: str) -> Iterator[bytes]:
    prefix = manifests_prefix(export)
    for info in store.list(prefix):
        name = info.key.removeprefix(prefix)
        if "/" not in name and name[:1].isdigit():
            try:
                yield store.read(info.key)
            except NotFound:
                continue


def _write_back(store: Store, damage: Damage, data: bytes) -> bool:
    try:
        if damage.found is None:
            store.put_bytes(damage.key, data, if_absent=True)
            return True
        info = store.head(damage.key)
        if info is None or content_hash(store.read(damage.key)) != damage.found:
            return False
        store.put_bytes(damage.key, data, if_match=info.etag)
    except (AlreadyExists, Changed, NotFound):
        return False
    except StoreError as error:
        log.warning("%s in %s cannot be restored now: %s", damage.key, store.url, error)
        return False
    return True
