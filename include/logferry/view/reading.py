"""Reads one export's lake for the page: all of it once, then only what changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from logferry.audit.archive import Archive, Connect, Definition, open_archive
from logferry.audit.findings import Remembered, beside, damage, remembered
from logferry.layout import findings_key, head_key, journal_key
from logferry.records.journal import Damage
from logferry.records.ledger import Ledger, read_ledger
from logferry.spec import ExportSpec
from logferry.stores.base import NotFound
from logferry.view.index import Index
from logferry.view.plain import MOST_ENTRIES
from logferry.window import TICK_PER_MINUTE, Window

_OPENED_FOR = 10 * TICK_PER_MINUTE
"""How long a connection is believed: credentials are rotated."""


@dataclass(frozen=True, slots=True)
class Read:
    """What one reading found. ``head``: the bytes of HEAD.json; ``findings``: the ETag of what ``verify`` remembers.

    ``version``: changes with everything here. ``beside``: findings that are about no slice's rows.
    """

    archive: Archive
    opened_at: int
    head: bytes | None
    findings: str | None
    version: str
    seq: int
    slices: int
    definition: Definition
    newest: dict[str, object] | None
    index: Index
    damage: tuple[Damage, ...]
    beside: tuple[Remembered, ...]


def read(spec: ExportSpec, connect: Connect, before: Read | None, *, now: int) -> Read:
    """The archive as it stands; ``before`` itself where nothing changed, which three small requests tell.

    Raises StoreError, CredentialsError and DefinitionError where the lake cannot be opened or read.
    """
    if before is not None and before.archive.spec == spec and 0 <= now - before.opened_at < _OPENED_FOR:
        archive, opened_at = before.archive, before.opened_at
    else:
        archive, opened_at = open_archive(spec, connect), now
    return look(archive, before, opened_at=opened_at)


def look(archive: Archive, before: Read | None = None, *, opened_at: int) -> Read:
    """``read`` of an archive that was opened at a tick. Raises StoreError and CredentialsError."""
    spec, store, name = archive.spec, archive.store, archive.spec.name
    try:
        head = store.read(head_key(name))
    except NotFound:
        head = None
    info = store.head(findings_key(name))
    findings = None if info is None else info.etag
    if (
        before is not None
        and (before.archive.spec, before.archive.store.url) == (spec, store.url)
        and (before.head, before.findings) == (head, findings)
        # A run appends its publication before HEAD names it.
        and store.head(journal_key(name, before.seq + 1)) is None
        and (before.archive is archive or before.definition == archive.definition(before.newest))
    ):
        return replace(before, archive=archive, opened_at=opened_at)
    ledger = read_ledger(store, name)
    definition = archive.definition(ledger.source)
    found = remembered(store, name)
    index = Index(
        spec,
        ledger,
        fingerprint=definition.fingerprint,
        damage=damage(found, {slice_: one.seq for slice_, one in ledger.slices.items()}),
    )
    decides = (
        spec.model_dump_json(), store.url, ledger.head.seq, ledger.head.hash, head, findings,
        definition.fingerprint, definition.note,
    )  # fmt: skip
    return Read(
        archive,
        opened_at,
        head,
        findings,
        hashlib.sha256(repr(decides).encode()).hexdigest()[:24],
        ledger.head.seq,
        len(ledger.slices),
        definition,
        ledger.source,
        index,
        tuple(ledger.damage[:MOST_ENTRIES]),
        tuple(beside(found, _newest(ledger))[:MOST_ENTRIES]),
    )


def _newest(ledger: Ledger) -> dict[Window, int]:
    newest = {window: one.seq for window, one in ledger.windows.items()}
    for slice_, one in ledger.slices.items():
        newest[slice_] = max(one.seq, newest.get(slice_, 0))
    return newest
