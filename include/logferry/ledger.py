"""The journal folded: for every slice, what its last publication says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from logferry.journal import Record
from logferry.manifest import SliceEntry
from logferry.window import Window, parse_instant


@dataclass(frozen=True, slots=True)
class Published:
    """The last word on one slice, and the definition it was written under."""

    entry: SliceEntry
    fingerprint: str
    seq: int
    proof: SliceEntry | None
    """The newest record that proved the rows which are still published, whatever was said of them since."""


def fold(records: Iterable[Record]) -> dict[Window, Published]:
    """Per slice the last publication; slices of another grid stay apart."""
    ledger: dict[Window, Published] = {}
    for record in records:
        manifest = record.manifest
        for entry in manifest.slices:
            slice_ = Window(parse_instant(entry.start), parse_instant(entry.end))
            proof = _proof(entry, manifest.fingerprint, ledger.get(slice_))
            ledger[slice_] = Published(entry, manifest.fingerprint, manifest.seq, proof)
    return ledger


def _proof(entry: SliceEntry, fingerprint: str, before: Published | None) -> SliceEntry | None:
    if entry.status == "proven":
        return entry
    if before is None or before.proof is None or before.fingerprint != fingerprint:
        return None
    return before.proof if before.proof.file.row_hash == entry.file.row_hash else None
