"""Reads one export's lake for the page: all of it once, then only what changed."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace

from logferry.audit.archive import Archive, Definition, open_archive
from logferry.audit.findings import Remembered, beside, damage, remembered
from logferry.connection import Connect
from logferry.errors import CredentialsError, StoreError
from logferry.layout import findings_key, head_key, journal_key, manifests_prefix
from logferry.records.journal import Damage
from logferry.records.ledger import Ledger, read_ledger
from logferry.spec import ExportSpec
from logferry.stores.base import NotFound, Store
from logferry.view.index import Index
from logferry.view.plain import MOST_ENTRIES
from logferry.window import TICK_PER_MINUTE, TICK_PER_SECOND, Window
from logferry.wording import counted

log = logging.getLogger(__name__)

_OPENED_FOR = 10 * TICK_PER_MINUTE
"""How long a connection is believed: credentials are rotated."""


class EmptiedLake(StoreError):
    """``records`` were read there, and nothing of the export is there any more: a disk that is not mounted looks so,
    and so does a lake that was deleted on purpose."""

    def __init__(self, records: int) -> None:
        super().__init__(f"The lake held {counted(records, 'record')} and holds none now.")
        self.records = records


@dataclass(frozen=True, slots=True)
class Emptied:
    """A lake that was seen with ``records`` and, since a tick, with fewer or none: its disk may not be mounted, and
    what ran since then may lie where the disk was."""

    records: int
    since: int


@dataclass(frozen=True, slots=True)
class Read:
    """What one reading found. ``head``: the bytes of HEAD.json; ``findings``: the ETag of what ``verify`` remembers;
    ``newest_etag``: that of the last record.

    ``version``: changes with everything here. ``beside``: findings that are about no slice's rows.
    """

    archive: Archive
    opened_at: int
    head: bytes | None
    findings: str | None
    newest_etag: str | None
    version: str
    seq: int
    slices: int
    definition: Definition
    newest: dict[str, object] | None
    index: Index
    damage: tuple[Damage, ...]
    beside: tuple[Remembered, ...]
    emptied: Emptied | None = None


def read(spec: ExportSpec, connect: Connect, before: Read | None, *, now: int) -> Read:
    """The archive as it stands; ``before`` itself where nothing changed, which four small requests tell.

    A connection that is refused is opened once more, as its credentials may have been rotated. Raises StoreError,
    CredentialsError and DefinitionError where the lake cannot be opened or read.
    """
    if before is not None and before.archive.spec == spec and 0 <= now - before.opened_at < _OPENED_FOR:
        try:
            return look(before.archive, before, opened_at=before.opened_at, now=now)
        except EmptiedLake:
            raise
        except (StoreError, CredentialsError) as error:
            log.info("the lake of %s is opened anew: %s", spec.name, error)
    return look(open_archive(spec, connect), before, opened_at=now, now=now)


def look(archive: Archive, before: Read | None = None, *, opened_at: int, now: int) -> Read:
    """``read`` of an archive that was opened at a tick. Raises StoreError (EmptiedLake where nothing is left of
    ``before``) and CredentialsError."""
    spec, store, name = archive.spec, archive.store, archive.spec.name
    try:
        head = store.read(head_key(name))
    except NotFound:
        head = None
    findings = _etag(store, findings_key(name))
    if before is not None and (before.archive.spec, before.archive.store.url) != (spec, store.url):
        before = None
    if before is not None and before.seq and head is None and not any(store.list(manifests_prefix(name))):
        raise EmptiedLake(_most(before))
    if (
        before is not None
        and (before.head, before.findings) == (head, findings)
        # A run appends its publication before HEAD names it.
        and store.head(journal_key(name, before.seq + 1)) is None
        and _etag(store, journal_key(name, before.seq)) == before.newest_etag
        and (before.archive is archive or before.definition == archive.definition(before.newest))
    ):
        return replace(before, archive=archive, opened_at=opened_at)
    ledger = read_ledger(store, name)
    emptied = None if before is None else _went_back(before, ledger.head.seq, now)
    newest_etag = _etag(store, journal_key(name, ledger.head.seq))
    definition = archive.definition(ledger.source)
    found = remembered(store, name)
    index = Index(
        spec,
        ledger,
        fingerprint=definition.fingerprint,
        damage=damage(found, {slice_: one.seq for slice_, one in ledger.slices.items()}),
    )
    decides = (
        spec.model_dump_json(), store.url, ledger.head.seq, ledger.head.hash, head, findings, newest_etag,
        ledger.damage, definition.fingerprint, definition.note, emptied,
    )  # fmt: skip
    return Read(
        archive,
        opened_at,
        head,
        findings,
        newest_etag,
        hashlib.sha256(repr(decides).encode()).hexdigest()[:24],
        ledger.head.seq,
        len(ledger.slices),
        definition,
        ledger.source,
        index,
        tuple(ledger.damage[:MOST_ENTRIES]),
        tuple(beside(found, _newest(ledger))[:MOST_ENTRIES]),
        emptied,
    )


def taken_as_empty(spec: ExportSpec, connect: Connect, emptied: Emptied, *, now: int) -> Read:
    """``read`` of a lake that has been empty for long enough: nothing is published in it. Raises what ``read`` does."""
    found = read(spec, connect, None, now=now)
    # All of it came back just now.
    if found.seq >= emptied.records:
        return found
    return replace(found, version=f"{found.version}-{emptied.since}", emptied=emptied)


def _most(before: Read) -> int:
    """How many records the journal is known to have had."""
    return before.seq if before.emptied is None else max(before.seq, before.emptied.records)


def _went_back(before: Read, seq: int, now: int) -> Emptied | None:
    """A journal only ever grows, so one of fewer records is another one, or what is left of it. None once it has as
    many again."""
    if seq >= _most(before):
        return None
    return before.emptied or Emptied(before.seq, now - now % TICK_PER_SECOND)


def _etag(store: Store, key: str) -> str | None:
    info = store.head(key)
    return None if info is None else info.etag


def _newest(ledger: Ledger) -> dict[Window, int]:
    newest = {window: one.seq for window, one in ledger.windows.items()}
    for slice_, one in ledger.slices.items():
        newest[slice_] = max(one.seq, newest.get(slice_, 0))
    return newest
