"""What a publication does with each slice: keep the object that is there, or put the finished part in its place."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import msgspec

from logferry.errors import DefinitionError, StoreError
from logferry.publishing.keeping import kept, with_history, would_lose, would_lower
from logferry.publishing.published_object import has_rows_of, row_hash_of, sha256_of
from logferry.publishing.results import SliceResult
from logferry.records.fold import Ledger, Published
from logferry.records.manifest import FileEntry, SliceEntry
from logferry.stores.base import ObjectInfo, Store
from logferry.window import Window

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one slice. ``entry`` is what the manifest will say, ``seen`` the object that was there.

    ``staged``: the part to put in place; None: the object stays.
    """

    slice_: Window
    entry: SliceEntry
    seen: ObjectInfo | None
    old: str | None
    staged: str | None


class Decider:
    """Compares finished slices with what is published and with what lies in the store."""

    def __init__(self, store: Store, fingerprint: str, *, allow_shrink: bool) -> None:
        self._store = store
        self._fingerprint = fingerprint
        self._allow_shrink = allow_shrink
        self._ledger = Ledger()
        self._hashed: dict[tuple[str, str], str | None] = {}
        """By key and ETag: a publication that starts again reads no bytes again."""

    def decide(self, ledger: Ledger, finished: list[SliceResult]) -> list[Step]:
        """What is to be done with every slice."""
        self._ledger = ledger
        return [self.step(entry) for entry in finished]

    def step(self, entry: SliceResult) -> Step:
        """Raises StoreError when there are no rows to place, DefinitionError when proven ones would be lost."""
        slice_ = entry.window()
        before = self._ledger.slices.get(slice_)
        seen = self._store.head(entry.file.key)
        old = row_hash_of(self._store, seen)
        if before is not None and not self._allow_shrink and would_lower(before, entry, self._fingerprint):
            stays = self._published_file(before, seen, old)
            if stays is not None:
                log.warning(
                    "%s/%s stays as published in record %d: it is proven with %d rows, the source now gives %d",
                    entry.start,
                    entry.end,
                    before.seq,
                    before.entry.rows,
                    entry.rows,
                )
                return Step(slice_, kept(before, entry, self._fingerprint, stays), seen, old, None)
            self._check_not_lost(before, entry, seen)
        file = self._file_there(entry, before, seen, old)
        staged = None
        if file is None:
            staged, file = self._staged(entry), entry.file
        plain = msgspec.structs.replace(_without_staging(entry), file=file)
        return Step(slice_, with_history(plain, before), seen, old, staged)

    def _published_file(
        self, before: Published, seen: ObjectInfo | None, old: str | None
    ) -> FileEntry | None:
        """The facts of the object, when it still holds the published rows: only such a one can stay."""
        file = before.entry.file
        if seen is None or old != file.row_hash:
            return None
        return file if self._holds(seen, file) else self._read_facts(seen, file)

    def _check_not_lost(self, before: Published, entry: SliceResult, seen: ObjectInfo | None) -> None:
        key = before.entry.file.key
        if would_lose(before, entry):
            raise DefinitionError(
                f"{key} in {self._store.url} is {'gone' if seen is None else 'damaged'}, and of its "
                f"{before.entry.rows} proven rows the source now gives {entry.rows}; restore the object from a "
                "backup, or let --allow-shrink replace it"
            )
        log.warning(
            "%s is not what record %d says; the %d rows that the source now gives replace its %d",
            key,
            before.seq,
            entry.rows,
            before.entry.rows,
        )

    def _file_there(
        self, entry: SliceResult, before: Published | None, seen: ObjectInfo | None, old: str | None
    ) -> FileEntry | None:
        """The facts of the object that lies there, when it holds these rows and nothing need be placed."""
        if seen is None or old != entry.file.row_hash:
            return None
        if before is not None and before.entry.file.row_hash == old and self._holds(seen, before.entry.file):
            return before.entry.file
        if self._holds(seen, entry.file):
            return entry.file  # an earlier attempt of this publication came this far
        if entry.staged is not None and self._store.head(entry.staged) is not None:
            return None
        # Written by a run that never committed, and there is no part to write it anew.
        return self._read_facts(seen, entry.file)

    def _read_facts(self, seen: ObjectInfo, file: FileEntry) -> FileEntry | None:
        """The file with the object's own size and hash, when its rows are the file's; they are all read."""
        facts = has_rows_of(self._store, seen, file.row_hash)
        return None if facts is None else msgspec.structs.replace(file, bytes=facts[0], sha256=facts[1])

    def _staged(self, entry: SliceResult) -> str:
        """The part to be placed. Raises StoreError when there is none, or not with these rows."""
        if entry.staged is None:
            raise StoreError(
                f"{entry.file.key} in {self._store.url} is not what was published, or changed while this run compared "
                "it; run the window again"
            )
        part = self._store.head(entry.staged)
        if part is None or row_hash_of(self._store, part) != entry.file.row_hash:
            raise StoreError(
                f"the finished part {entry.staged} in {self._store.url} is gone or was replaced by another run; "
                "run the window again"
            )
        return entry.staged

    def _holds(self, seen: ObjectInfo | None, file: FileEntry) -> bool:
        """Whether the object is byte for byte the file of a record."""
        if seen is None or seen.size != file.bytes:
            return False
        known = (seen.key, seen.etag)
        if known not in self._hashed:
            self._hashed[known] = sha256_of(self._store, seen)
        return self._hashed[known] == file.sha256


def _without_staging(entry: SliceResult) -> SliceEntry:
    names = SliceEntry.__struct_fields__
    return SliceEntry(**{name: getattr(entry, name) for name in names})
