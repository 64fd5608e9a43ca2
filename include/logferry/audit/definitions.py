"""Which definitions an archive was written under: nothing is mixed silently.

A change of the query, the columns or the slice gives another fingerprint; rows published before stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from logferry.audit.coverage import Coverage, SliceCover, runs
from logferry.errors import StoreError
from logferry.layout import journal_key
from logferry.records.ledger import Published
from logferry.records.manifest import Manifest
from logferry.stores.base import Store
from logferry.window import Window

_TRIES = 3
_decode = msgspec.json.Decoder(Manifest).decode


@dataclass(frozen=True, slots=True)
class DefinitionUse:
    """One definition in the archive. ``present``: it is the export's now; None when that cannot be told.

    ``source``: what was asked, as a record tells it; None where no record can be read.
    """

    fingerprint: str
    present: bool | None
    slices: int
    ranges: tuple[Window, ...]
    source: dict[str, Any] | None


def definitions(
    store: Store, export: str, coverage: Coverage, *, fingerprint: str | None
) -> list[DefinitionUse]:
    """The definitions of a range, the present one last, else in order of time. One record is read for each."""
    used: dict[str, list[SliceCover]] = {}
    for slice_ in coverage.slices:
        for name in {one.fingerprint for one in slice_.published}:
            used.setdefault(name, []).append(slice_)
    found = [
        DefinitionUse(
            name,
            None if fingerprint is None else name == fingerprint,
            len(slices),
            tuple(runs(slices)),
            _recorded_source(store, export, name, (one for slice_ in slices for one in slice_.published)),
        )
        for name, slices in used.items()
    ]
    return sorted(found, key=lambda one: (one.present is True, one.ranges[0]))


def _recorded_source(
    store: Store, export: str, fingerprint: str, published: Iterable[Published]
) -> dict[str, Any] | None:
    """A publication may hold kept slices of another definition, so its own fingerprint decides."""
    seqs = sorted({one.seq for one in published if one.fingerprint == fingerprint}, reverse=True)
    for seq in seqs[:_TRIES]:
        manifest = _publication(store, export, seq)
        if manifest is not None and manifest.fingerprint == fingerprint:
            return manifest.source
    return None


def _publication(store: Store, export: str, seq: int) -> Manifest | None:
    try:
        return _decode(store.read(journal_key(export, seq)))
    except (StoreError, msgspec.DecodeError, UnicodeDecodeError):
        return None
