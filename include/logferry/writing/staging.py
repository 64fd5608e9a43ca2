"""Staging: finished files beside the lake's table, until they are published."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

from logferry.layout import piece_key, slice_key, staged_key, staging_prefix
from logferry.publishing.published_object import ROW_HASH_METADATA, intact
from logferry.records.ledger import Published, read_ledger
from logferry.records.manifest import FileEntry
from logferry.stores.base import Store
from logferry.window import Window, format_instant
from logferry.writing.encoder import finished
from logferry.writing.parts import Part


class Staging:
    """What one run has staged of one export. Safe for use by several threads."""

    def __init__(self, store: Store, export: str, run_id: str) -> None:
        self._store = store
        self._export = export
        self._run_id = run_id
        self._staged: set[str] = set()
        self._reading = threading.Lock()
        self._published: Mapping[Window, Published] | None = None

    def stage(self, slice_: Window, part: Part) -> Part:
        """The part with its ``key``: it is uploaded, unless it has one or the published object is the same.

        Its bytes are part of its key, so that no other attempt of the run can put others in their place. Where the
        published object already holds these rows and is intact, ``key`` names that and the facts are its own.
        """
        if part.key is not None:
            return part
        if part.span != slice_:
            key = piece_key(self._export, self._run_id, part.span.start, part.span.end, part.file.sha256)
        else:
            same = self._published_same(slice_, part)
            if same is not None:
                facts = replace(part.file, bytes=same.bytes, sha256=same.sha256)
                return replace(part, key=same.key, written=finished(facts))
            key = staged_key(self._export, self._run_id, slice_, part.file.sha256)
        self._staged.add(key)
        # What goes on from another part has no row hash of its own.
        metadata = {} if part.file.follows else {ROW_HASH_METADATA: part.file.row_hash}
        self._store.put_file(key, part.file.path, metadata=metadata)
        return replace(part, key=key)

    def short(self, key: str) -> str:
        """The key without what all that this run stages has in common, so that a list of many stays small."""
        return key.removeprefix(staging_prefix(self._export, self._run_id))

    def full(self, short: str) -> str:
        """The key again."""
        return short if "/" in short else staging_prefix(self._export, self._run_id) + short

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

    def discard_all(self) -> None:
        """Remove what was staged through this object."""
        self._store.delete(sorted(self._staged))

    def discard(self, keys: Iterable[str]) -> None:
        """Remove objects that this run staged; published ones are left alone."""
        staged = staging_prefix(self._export, self._run_id)
        self._store.delete([key for key in keys if key.startswith(staged)])

    def _published_same(self, slice_: Window, part: Part) -> FileEntry | None:
        with self._reading:
            if self._published is None:
                self._published = read_ledger(self._store, self._export).slices
            before = self._published.get(slice_)
        if before is None or before.entry.file.row_hash != part.file.row_hash:
            return None
        return before.entry.file if intact(self._store, before.entry.file) else None
