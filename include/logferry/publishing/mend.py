"""Mending a journal: a publication that is gone or changed comes back from its window's copy, where hashes prove it.

Where they do not, and for intents, of which no copy is kept, the publication that found the damage lists it (``mends``)
and goes on after it. It looks at what follows the checkpoint, at the records that it builds on, and at those that
``verify`` found damaged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import msgspec

from logferry.audit.findings import remembered
from logferry.errors import StoreError
from logferry.layout import journal_key, manifests_prefix, number_of
from logferry.records.fold import Ledger, PublishedWindow
from logferry.records.journal import OF_A_RECORD, Damage, Journal, Record
from logferry.records.manifest import Mend, content_hash
from logferry.stores.base import AlreadyExists, Changed, NotFound, Store
from logferry.window import Window

log = logging.getLogger(__name__)

_FINDINGS = frozenset({"record_missing", "record_unreadable", "record_foreign", "chain_broken"})
"""What ``verify`` calls damage of a record."""


def unmended(damage: Iterable[Damage]) -> list[Damage]:
    """The damaged records that no publication has acknowledged."""
    return [one for one in damage if one.kind in OF_A_RECORD and one.acknowledged is None]


def mends(damage: Iterable[Damage]) -> list[Mend]:
    """What a publication says of the damaged records that it goes on from, in their order."""
    seen = {one.seq: one for one in unmended(damage)}
    return [Mend(seq=one.seq, found=one.found, expected=one.expected) for _, one in sorted(seen.items())]


def restore(store: Store, export: str, damage: Iterable[Damage]) -> int:
    """Write back the records whose exact bytes lie in a window's copy; returns how many.

    The hash that a record's neighbour names is the proof. Intents have no copies.
    """
    wanted = {one.expected: one for one in unmended(damage) if one.expected is not None and not one.intent}
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


def examine(store: Store, export: str, ledger: Ledger, window: Window) -> list[Damage]:
    """Damage that a ledger read through a checkpoint has not looked at: of the records that a new publication of the
    window builds on, and of those that ``verify`` remembers. Not what an earlier publication acknowledged.
    """
    journal = Journal(store, export)
    numbers = {
        number_of(one.finding.key) for one in remembered(store, export) if one.finding.kind in _FINDINGS
    }
    through = ledger.through or 0
    found = [
        *_built_on(store, export, journal, _overlapping(ledger, window, through)),
        *journal.examined({number for number in numbers if number is not None and number <= through}),
    ]
    return [one for one in found if (one.seq, one.found) not in ledger.mended]


def _built_on(
    store: Store, export: str, journal: Journal, windows: Iterable[PublishedWindow]
) -> Iterator[Damage]:
    """Damage of the last records of these windows, and of the intents they fulfil."""
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
            yield msgspec.structs.replace(damage, intent=True)


def _overlapping(ledger: Ledger, window: Window, up_to: int) -> list[PublishedWindow]:
    """Those whose last record, not after ``up_to``, still is the last word on a slice of ``window``."""
    standing = {one.seq for slice_, one in ledger.slices.items() if slice_.overlaps(window)}
    return [one for one in ledger.windows.values() if one.seq in standing and one.seq <= up_to]


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
