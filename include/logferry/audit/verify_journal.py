"""The journal of an archive: one unbroken chain, and everything beside it that repeats what it says.

Whoever can write to the lake can rewrite the whole chain consistently. Only a witness kept elsewhere shows that:
sequence number and hash of a publication, as every Asset event of Airflow carries them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from logferry.audit.findings import Finding
from logferry.audit.verify_copies import check_checkpoint, check_copies, check_newest_copies, whole_seconds
from logferry.audit.verify_manifests import contradictions
from logferry.layout import head_key, journal_key, manifest_key
from logferry.records.journal import Damage, Head, Journal, Record
from logferry.records.ledger import Ledger, read_ledger
from logferry.records.manifest import Span
from logferry.stores.base import Store
from logferry.window import Window, format_instant

_RECORDS = {
    "missing": "record_missing",
    "unreadable": "record_unreadable",
    "foreign": "record_foreign",
    "changed": "chain_broken",
    "head": "head",
    "checkpoint": "checkpoint",
    "copy": "copy_differs",
}


@dataclass(frozen=True, slots=True)
class Witness:
    """A record's sequence number and hash, kept outside the lake."""

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Witness:
        """``42:sha256:<64 hexadecimal digits>``; the word ``sha256:`` may be left out. Raises ValueError."""
        seq, _, digest = text.partition(":")
        digest = digest.removeprefix("sha256:")
        if (
            not re.fullmatch(r"[0-9]{1,12}", seq)
            or int(seq) == 0
            or not re.fullmatch(r"[0-9a-f]{64}", digest)
        ):
            raise ValueError(
                f"{text[:100]!r} is no witness; write SEQ:HASH as the asset event has them, such as 42:sha256:1f…"
            )
        return cls(int(seq), f"sha256:{digest}")


@dataclass(slots=True)
class JournalCheck:
    """``ledger``: as readers see it. ``records``: every intact one from ``since`` on (None: from the first)."""

    ledger: Ledger
    records: list[Record]
    since: int | None
    findings: list[Finding] = field(default_factory=list)


def check_journal(
    store: Store, export: str, witnesses: tuple[Witness, ...], *, since: int | None = None
) -> JournalCheck:
    """Read the journal from the record ``since`` on (None: all of it) and compare. All of it too where it ends before.

    Raises StoreError where the store fails.
    """
    ledger = read_ledger(store, export)
    journal = Journal(store, export)
    if since is None or since > ledger.head.seq:
        since = None
        records = list(journal.records())
        damage = list(journal.damage)
    else:
        walk = journal.walk(Head(since - 1, None), journal.named())
        records, damage = walk.records, walk.damage
    check = JournalCheck(ledger, records, since)
    check.findings += [_of_damage(one, export) for one in damage]
    check.findings += [_of_damage(one, export) for one in ledger.damage if one.kind == "checkpoint"]
    check.findings += _head(store, export, records, damage)
    for record in records:
        check.findings += [_contradiction(record, export, what) for what in contradictions(record, export)]
    if since is None:
        check.findings += check_copies(store, export, ledger, records, damage)
        check.findings += check_checkpoint(export, ledger, records, damage)
    else:
        check.findings += check_newest_copies(store, export, ledger, since)
    check.findings += _witnessed(export, records, damage, witnesses)
    return check


def _of_damage(damage: Damage, export: str) -> Finding:
    if damage.acknowledged is not None:
        return Finding(
            kind=_RECORDS[damage.kind],
            level="note",
            window=None,
            key=damage.key,
            detail=f"{damage.detail}; record {damage.acknowledged} found it so and went on from there",
            remedy="nothing is to be done",
        )
    remedy = {
        "head": f"run any window of {export} again: it writes HEAD anew after what the journal holds",
        "checkpoint": "delete it: the journal tells the same, and a later publication writes a new one",
    }.get(
        damage.kind,
        f"put the object back from a backup, or run any window of {export} again: it restores the record from its "
        "window's copy, or goes on after it",
    )
    return Finding(
        kind=_RECORDS[damage.kind], window=None, key=damage.key, detail=damage.detail, remedy=remedy
    )


def _head(store: Store, export: str, records: list[Record], damage: list[Damage]) -> Iterator[Finding]:
    """HEAD deleted beside a publication whose run went on after its record."""
    if any(one.kind == "head" for one in damage):
        return
    if (
        not any(record.publication is not None for record in records)
        or store.head(head_key(export)) is not None
    ):
        return
    copied = any(
        store.head(manifest_key(export, record.window)) is not None
        for record in records
        if record.publication is not None and whole_seconds(record.window)
    )
    if copied:
        yield _of_damage(Damage(0, head_key(export), "head", "it is missing"), export)


def _contradiction(record: Record, export: str, what: str) -> Finding:
    span = Span.of(record.window)
    return Finding(
        kind="manifest_contradicts",
        window=span,
        key=journal_key(export, record.seq),
        detail=what,
        remedy=f"export the window again (logferry export {export} --from {span.start} --to {span.end})",
    )


def _witnessed(
    export: str, records: list[Record], damage: list[Damage], witnesses: tuple[Witness, ...]
) -> Iterator[Finding]:
    hashes = {record.seq: record.hash for record in records}
    expected = {(one.seq, one.expected) for one in damage}
    last = records[-1].seq if records else 0
    for witness in witnesses:
        if hashes.get(witness.seq) == witness.hash or (witness.seq, witness.hash) in expected:
            continue
        if witness.seq > last:
            how = f"a witness names record {witness.seq}, the journal ends at {last}: its tail was cut off"
        else:
            found = hashes.get(witness.seq, "not intact")
            how = f"a witness names {witness.hash}, the record is {found}: the journal was rewritten"
        yield Finding(
            kind="witness",
            window=None,
            key=journal_key(export, witness.seq),
            detail=how,
            remedy="restore _manifests from a backup, and find out who can write to the lake",
        )


def interrupted(export: str, ledger: Ledger, window: Window | None) -> list[Finding]:
    """One note for each run that began to replace slices of the window and has not published them."""
    began: dict[int, list[Window]] = {}
    names: dict[int, tuple[str, str]] = {}
    for slice_, intents in ledger.open_intents.items():
        if window is not None and not slice_.overlaps(window):
            continue
        for intent in intents:
            began.setdefault(intent.seq, []).append(slice_)
            names[intent.seq] = (intent.run, intent.began_at)
    notes = []
    for seq, slices in sorted(began.items()):
        whole = Window(min(one.start for one in slices), max(one.end for one in slices))
        run, at = names[seq]
        notes.append(
            Finding(
                kind="interrupted",
                level="note",
                window=Span.of(whole),
                key=journal_key(export, seq),
                detail=f"the run {run} began at {at} and has not published: it works, or it died",
                remedy=(
                    f"if it died, run the window again (logferry export {export} --from "
                    f"{format_instant(whole.start)} --to {format_instant(whole.end)})"
                ),
            )
        )
    return notes
