"""Which definitions an archive was written under: nothing is mixed silently.

A change of the query, the columns or the slice gives another fingerprint; rows published before stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from logferry.audit.coverage import Coverage, SliceCover, runs
from logferry.errors import StoreError
from logferry.layout import journal_key
from logferry.records.ledger import Published
from logferry.records.manifest import Manifest, decode_manifest
from logferry.spec import ExportSpec
from logferry.stores.base import Store
from logferry.window import Window, format_duration

_TRIES = 3


@dataclass(frozen=True, slots=True)
class DefinitionUse:
    """One definition in the archive. ``present``: it is the export's now; None when that cannot be told.

    ``source``: what was asked, as a record tells it; None where no record can be read. ``kept``: the parts of
    ``ranges`` that a run of another definition fetched again and left, as it would have lost proven rows: only
    ``--allow-shrink`` replaces those.
    """

    fingerprint: str
    present: bool | None
    slices: int
    ranges: tuple[Window, ...]
    source: dict[str, Any] | None
    kept: tuple[Window, ...] = ()
    lengths: frozenset[int] = frozenset()
    """Of its slices, in ticks."""


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
            tuple(runs(slice_ for slice_ in slices if _kept(slice_))),
            frozenset(
                one.window.ticks for slice_ in slices for one in slice_.published if one.fingerprint == name
            ),
        )
        for name, slices in used.items()
    ]
    return sorted(found, key=lambda one: (one.present is True, one.ranges[0]))


def _kept(slice_: SliceCover) -> bool:
    """Its rows stayed although a run of another definition, which the record then is of, found others."""
    return any(
        one.entry.source_now is not None and one.entry.fingerprint is not None for one in slice_.published
    )


def differing(use: DefinitionUse, spec: ExportSpec, present: Mapping[str, Any] | None) -> list[str]:
    """What differs between another definition and the present one, a few words each.

    ``present``: the source of the present definition. Columns, and whatever a record does not tell, are what is left
    when nothing else differs.
    """
    found = []
    if any(slice_ != spec.slice for slice_ in use.lengths):
        lengths = ", ".join(format_duration(slice_) for slice_ in sorted(use.lengths))
        found.append(f"the slice was {lengths}, now {format_duration(spec.slice)}")
    if use.source is not None and present is not None:
        for name in dict.fromkeys((*use.source, *present)):
            before, now = use.source.get(name), present.get(name)
            if before != now:
                found.append(f"{name} was {_said(before)}, now {_said(now)}")
        if not found:
            found.append("the columns")
    return found


def _said(value: Any) -> str:
    return "not set" if value is None else str(value)


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
        return decode_manifest(store.read(journal_key(export, seq)))
    except (StoreError, ValueError):
        return None
