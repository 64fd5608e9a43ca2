"""Publishing: finished parts to their final keys, then the record in the journal, which is the commit."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import msgspec

from logferry.errors import DefinitionError, StoreError
from logferry.journal import Journal
from logferry.layout import day_prefixes, slice_of
from logferry.ledger import Published, fold
from logferry.manifest import FileEntry, Manifest, RunEntry, SliceEntry, Span, worst
from logferry.plan import Handed
from logferry.published_object import ROW_HASH_METADATA, published_row_hash
from logferry.sources.base import SourceSchema
from logferry.stores.base import Store
from logferry.window import Window

log = logging.getLogger(__name__)


class SliceResult(SliceEntry, frozen=True, kw_only=True, omit_defaults=True):
    """A finished slice that is not published yet. ``staged`` is its part's key, None when the published object
    already holds exactly these rows."""

    staged: str | None = None


class ChunkResult(Handed, frozen=True, kw_only=True):
    """What one worker finished: small JSON, never rows. ``fingerprint``: of the definition it was fetched by."""

    started_at: str
    slices: list[SliceResult]
    schema: SourceSchema
    requests: dict[str, int]
    fingerprint: str


def publish(
    store: Store,
    export: str,
    window: Window,
    results: list[ChunkResult],
    *,
    fingerprint: str,
    source: dict[str, Any],
    run: RunEntry,
    allow_shrink: bool = False,
) -> Manifest:
    """Commit a window. Raises StoreError when the results are not exactly the window's slices.

    A slice that is already proven under the same definition stays when the source now gives fewer rows, or as
    many without a proof (retention, a purge, a restricted key); ``source_now`` records what it holds. It stays
    as short when the source now counts more than the published rows.

    Raises DefinitionError when rows of the window are published under another slice grid: two grids have
    different keys, so readers of the table would meet those rows twice.
    """
    finished = sorted((entry for result in results for entry in result.slices), key=lambda entry: entry.start)
    _check_tiles(finished, window)
    journal = Journal(store, export)
    ledger = fold(journal.records())
    _check_grid(ledger, finished, window, export, store)
    entries: list[SliceEntry] = []
    leftovers: list[str] = []
    for entry in finished:
        before = ledger.get(entry.window())
        if before is not None and not allow_shrink and _would_lower(before, entry, fingerprint, store):
            log.warning(
                "%s/%s stays as published in record %d: it is proven with %d rows, the source now gives %d",
                entry.start,
                entry.end,
                before.seq,
                before.entry.rows,
                entry.rows,
            )
            entries.append(_kept(before, entry))
            if entry.staged:
                leftovers.append(entry.staged)
            continue
        file = _put_in_place(store, entry, before)
        entries.append(_without_staging(msgspec.structs.replace(entry, file=file)))
    record = journal.append(
        Manifest(
            export=export,
            seq=0,
            previous=None,
            fingerprint=fingerprint,
            source=source,
            window=Span.of(window),
            status=worst([entry.status for entry in entries]),
            rows=sum(entry.rows for entry in entries),
            source_rows=_total([entry.source_rows for entry in entries]),
            columns=_columns(results[0].schema),
            slices=entries,
            requests=add_requests([result.requests for result in results]),
            run=run,
        )
    )
    try:
        store.delete(leftovers)
    except StoreError as error:
        log.warning("the window is published; parts that are not needed stay behind: %s", error)
    return record.manifest


def add_requests(parts: list[dict[str, int]]) -> dict[str, int]:
    """Sum of request counters; the four names of the manifest are always there."""
    total = {"search": 0, "count": 0, "retried": 0, "throttled": 0}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def _check_tiles(finished: list[SliceResult], window: Window) -> None:
    at = window.start
    for entry in finished:
        slice_ = entry.window()
        if slice_.start != at:
            raise StoreError(
                f"the finished slices do not cover {window}: {slice_} came where {Span.of(window).start} was due"
            )
        at = slice_.end
    if at != window.end:
        raise StoreError(f"the finished slices do not cover {window}: they end early; run the window again")


def _would_lower(before: Published, entry: SliceResult, fingerprint: str, store: Store) -> bool:
    """Whether publishing ``entry`` would replace proven rows by fewer or by less certain ones."""
    proof = before.proof
    if proof is None or before.fingerprint != fingerprint:
        return False
    fewer = entry.rows < proof.rows
    weaker = entry.status != "proven" and entry.rows <= proof.rows
    # More rows than the source counts are no better than the ones that it confirms again.
    doubled = entry.status == "short" and entry.source_rows == proof.rows
    # Only an object that still is what the record says can be kept.
    return (fewer or weaker or doubled) and published_row_hash(store, proof.file.key) == proof.file.row_hash


def _kept(before: Published, entry: SliceResult) -> SliceEntry:
    """The published slice with what the source now holds.

    A count above its rows makes it short. One that does not says nothing against what was proven: an earlier
    count that was higher was a passing one, or the source has forgotten rows since.
    """
    now = entry.rows if entry.source_rows is None else entry.source_rows
    proof = before.proof or before.entry
    if now <= proof.rows:
        return msgspec.structs.replace(proof, file=before.entry.file, source_now=now)
    return msgspec.structs.replace(
        before.entry, status="short", source_rows=now, counted_at=entry.counted_at, source_now=now
    )


def _put_in_place(store: Store, entry: SliceResult, before: Published | None) -> FileEntry:
    """Make the slice's rows the object under its key; returns the facts of that object."""
    key = entry.file.key
    if entry.staged is not None:
        part = published_row_hash(store, entry.staged)
        if part is None and published_row_hash(store, key) == entry.file.row_hash:
            return _facts_in_place(
                store, entry, before
            )  # an earlier attempt of this publication came this far
        if part != entry.file.row_hash:
            raise StoreError(
                f"the finished part {entry.staged} in {store.url} is gone or was replaced by another run; "
                "run the window again"
            )
        store.move(entry.staged, key, metadata={ROW_HASH_METADATA: entry.file.row_hash})
        return entry.file
    if published_row_hash(store, key) != entry.file.row_hash:
        raise StoreError(f"{key} in {store.url} changed while this run compared it; run the window again")
    return _facts_in_place(store, entry, before)


def _facts_in_place(store: Store, entry: SliceResult, before: Published | None) -> FileEntry:
    """The facts of an object that holds these rows already."""
    if before is not None and before.entry.file.row_hash == entry.file.row_hash:
        return before.entry.file
    # Written by a run that never committed: equal rows, but not needless equal bytes.
    data = store.read(entry.file.key)
    return msgspec.structs.replace(
        entry.file, bytes=len(data), sha256=f"sha256:{hashlib.sha256(data).hexdigest()}"
    )


def _check_grid(
    ledger: dict[Window, Published], finished: list[SliceResult], window: Window, export: str, store: Store
) -> None:
    slices = {entry.window() for entry in finished}
    published = {slice_ for slice_ in ledger if _overlap(slice_, window)}
    # Objects of a run that died before its record are in no ledger, but readers see them.
    lying = {
        found
        for prefix in day_prefixes(export, window)
        for info in store.list(prefix)
        if (found := slice_of(info.key)) is not None and _overlap(found, window)
    }
    for slice_ in sorted((published | lying) - slices):
        if slice_ in lying or store.head(ledger[slice_].entry.file.key) is not None:
            raise DefinitionError(
                f"{slice_} of {export} lies in {store.url} as one slice, which is not on the present grid, and "
                "readers would meet its rows twice; keep the old `slice`, or give the export a new name"
            )


def _overlap(one: Window, other: Window) -> bool:
    return one.start < other.end and other.start < one.end


def _without_staging(entry: SliceResult) -> SliceEntry:
    names = SliceEntry.__struct_fields__
    return SliceEntry(**{name: getattr(entry, name) for name in names})


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
