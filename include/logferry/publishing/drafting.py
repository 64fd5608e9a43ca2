"""What a publication says in the journal: its intent, and the record that is the commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from logferry.publishing.deciding import Step
from logferry.publishing.leftovers import Leftover
from logferry.publishing.mend import mends
from logferry.publishing.published_object import row_hash_of
from logferry.publishing.results import ChunkResult, add_requests
from logferry.records.journal import Damage
from logferry.records.manifest import IntendedSlice, Intent, Manifest, RunEntry, Span, worst
from logferry.sources.base import SourceSchema
from logferry.stores.base import ObjectInfo, Store
from logferry.window import Window

Leftovers = Sequence[tuple[Leftover, ObjectInfo | None]]
"""Slices of another grid to remove, with the objects that lie there."""


def draft(
    export: str,
    window: Window,
    results: Sequence[ChunkResult],
    *,
    fingerprint: str,
    source: dict[str, Any],
    run: RunEntry,
) -> Manifest:
    """The record as far as it is known before anything is decided; ``results``: at least one."""
    return Manifest(
        export=export,
        seq=0,
        previous=None,
        fingerprint=fingerprint,
        source=source,
        window=Span.of(window),
        status="proven",
        rows=0,
        source_rows=None,
        columns=_columns(results[0].schema),
        slices=[],
        requests=add_requests([result.requests for result in results]),
        run=run,
    )


def intent_of(draft: Manifest, store: Store, steps: Sequence[Step], leftovers: Leftovers) -> Intent:
    """What the publication of the draft is about to do to the objects in the store."""
    slices = [
        _intended(step.slice_, step.old, step.entry.file.row_hash, step.seen if step.staged else None)
        for step in steps
    ]
    for leftover, seen in leftovers:
        slices.append(_intended(leftover.slice_, row_hash_of(store, seen), None, seen))
    return Intent(
        export=draft.export,
        seq=0,
        previous=None,
        fingerprint=draft.fingerprint,
        window=draft.window,
        slices=slices,
        run=draft.run,
    )


def record_of(
    draft: Manifest, steps: Sequence[Step], leftovers: Leftovers, *, intent: int, damage: Sequence[Damage]
) -> Manifest:
    """The draft with what was done. ``intent``: the number of its record; ``damage``: what it goes on from."""
    entries = [step.entry for step in steps]
    return msgspec.structs.replace(
        draft,
        status=worst([entry.status for entry in entries]),
        rows=sum(entry.rows for entry in entries),
        source_rows=_total([entry.source_rows for entry in entries]),
        slices=entries,
        intent=intent,
        removed=[Span.of(leftover.slice_) for leftover, _ in leftovers],
        mends=mends(damage),
    )


def _intended(slice_: Window, old: str | None, new: str | None, replaced: ObjectInfo | None) -> IntendedSlice:
    span = Span.of(slice_)
    return IntendedSlice(
        start=span.start, end=span.end, old=old, new=new, etag=None if replaced is None else replaced.etag
    )


def _total(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _columns(schema: SourceSchema) -> list[dict[str, str]]:
    return [
        {
            "name": column.name,
            "type": column.arrow,
            "source_name": column.source_name,
            "source_type": column.source_type,
        }
        for column in schema.columns
    ]
