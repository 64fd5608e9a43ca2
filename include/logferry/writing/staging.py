"""Staging: finished files beside the lake's table, until they are published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from logferry.layout import piece_key, slice_key, staged_key, staging_prefix
from logferry.publishing.published_object import ROW_HASH_METADATA
from logferry.records.ledger import Published, read_ledger
from logferry.records.manifest import FileEntry
from logferry.stores.base import NotFound, Store
from logferry.window import Window, format_instant
from logferry.writing.parts import Part

_STEP = 16 * 1024 * 1024


class Staging:
    """What one run has staged of one export."""

    def __init__(self, store: Store, export: str, run_id: str) -> None:
        self._store = store
        self._export = export
        self._run_id = run_id

    def stage(self, slice_: Window, part: Part) -> Part:
        """The part with its ``key``: it is uploaded, unless it has one or the published object is the same.

        A part that is the whole slice lies where publishing looks for it. Where the published object already
        holds these rows and is intact, ``key`` names that and the facts are its own.
        """
        if part.key is not None:
            return part
        if part.span != slice_:
            key = piece_key(self._export, self._run_id, part.span.start, part.span.end)
        else:
            same = self._published_same(slice_, part)
            if same is not None:
                return replace(
                    part, key=same.key, file=replace(part.file, bytes=same.bytes, sha256=same.sha256)
                )
            key = staged_key(self._export, self._run_id, slice_)
        self._store.put_file(key, part.file.path, metadata={ROW_HASH_METADATA: part.file.row_hash})
        return replace(part, key=key)

    def is_published(self, slice_: Window, part: Part) -> bool:
        """Whether the part's object is the published one."""
        return part.key == slice_key(self._export, slice_)

    def entry(self, slice_: Window, part: Part) -> FileEntry:
        """The slice's file as a manifest lists it."""
        facts = part.file
        return FileEntry(
            key=slice_key(self._export, slice_),
            rows=facts.rows,
            bytes=facts.bytes,
            sha256=facts.sha256,
            row_hash=facts.row_hash,
            min_time=None if facts.first_tick is None else format_instant(facts.first_tick),
            max_time=None if facts.last_tick is None else format_instant(facts.last_tick),
        )

    def discard_slices(self, slices: Iterable[Window]) -> None:
        """Remove what may be staged of these slices."""
        self._store.delete([staged_key(self._export, self._run_id, slice_) for slice_ in slices])

    def discard(self, keys: Iterable[str]) -> None:
        """Remove objects that this run staged; published ones are left alone."""
        staged = staging_prefix(self._export, self._run_id)
        self._store.delete([key for key in keys if key.startswith(staged)])

    def _published_same(self, slice_: Window, part: Part) -> FileEntry | None:
        before = self._ledger.get(slice_)
        if before is None or before.entry.file.row_hash != part.file.row_hash:
            return None
        return before.entry.file if intact(self._store, before.entry.file) else None

    @cached_property
    def _ledger(self) -> Mapping[Window, Published]:
        return read_ledger(self._store, self._export).slices


def intact(store: Store, file: FileEntry) -> bool:
    """Whether the object is, byte for byte, the one that was published."""
    info = store.head(file.key)
    if info is None or info.size != file.bytes:
        return False
    digest = hashlib.sha256()
    try:
        for start in range(0, file.bytes, _STEP):
            digest.update(store.read_range(file.key, start, min(_STEP, file.bytes - start)))
    except NotFound:
        return False
    return f"sha256:{digest.hexdigest()}" == file.sha256
