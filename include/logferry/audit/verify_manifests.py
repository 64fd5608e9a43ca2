"""Whether a publication's record says one thing throughout: its numbers, its statuses, its slices."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from logferry.layout import slice_key
from logferry.records.journal import Record
from logferry.records.manifest import Manifest, SliceEntry, worst
from logferry.window import Window, instant_or_none


def contradictions(record: Record, export: str) -> Iterator[str]:
    """What in a publication cannot be true at once, one clause each; nothing for an intent."""
    manifest = record.publication
    if manifest is None:
        return
    yield from _totals(manifest)
    if not _tiled(record.slices, record.window):
        yield f"its slices are not exactly {record.window}"
    for slice_, entry in zip(record.slices, manifest.slices, strict=True):
        for what in _slice(slice_, entry, export):
            yield f"{slice_}: {what}"


@lru_cache(maxsize=1 << 15)
def key_of(export: str, slice_: Window) -> str | None:
    """``slice_key``; None for a slice that no export has, as its bounds are no whole seconds."""
    try:
        return slice_key(export, slice_)
    except ValueError:
        return None


def _totals(manifest: Manifest) -> Iterator[str]:
    rows = sum(entry.rows for entry in manifest.slices)
    if manifest.rows != rows:
        yield f"it claims {manifest.rows:,} rows, its slices {rows:,}"
    counts = [entry.source_rows for entry in manifest.slices]
    known = [count for count in counts if count is not None]
    source_rows = sum(known) if len(known) == len(counts) else None
    if manifest.source_rows != source_rows:
        yield f"it claims {manifest.source_rows} rows at the source, its slices {source_rows}"
    if manifest.slices:
        status = worst([entry.status for entry in manifest.slices])
        if manifest.status != status:
            yield f"it claims to be {manifest.status}, its slices are {status}"


def _slice(slice_: Window, entry: SliceEntry, export: str) -> Iterator[str]:
    if entry.file.key != key_of(export, slice_):
        yield f"its file is under {entry.file.key[:200]!r}"
    if entry.file.rows != entry.rows:
        yield f"it claims {entry.rows:,} rows, its file {entry.file.rows:,}"
    if entry.status != "proven":
        return
    if entry.source_rows != entry.rows:
        yield f"it claims to be proven with {entry.rows:,} rows and {entry.source_rows} at the source"
    counted_at = instant_or_none(entry.counted_at)
    if counted_at is None:
        yield "it claims to be proven and names no time of its count"
    elif counted_at < slice_.end:
        yield f"it claims to be proven by a count of {entry.counted_at}, before its end"


def _tiled(slices: tuple[Window, ...], window: Window) -> bool:
    at = window.start
    for slice_ in slices:
        if slice_.start != at:
            return False
        at = slice_.end
    return at == window.end
