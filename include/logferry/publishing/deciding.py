"""What a publication does with each slice: keep the object that is there, or put the finished part in its place."""

from __future__ import annotations

import logging

import msgspec

from logferry.errors import DefinitionError, StoreError
from logferry.publishing.keeping import kept, with_history, would_lose, would_lower
from logferry.publishing.published_object import has_rows_of, row_hash_of, rows_in, sha256_of
from logferry.publishing.results import SliceResult
from logferry.records.fold import Ledger, Published
from logferry.records.manifest import FileEntry, SliceEntry
from logferry.stores.base import ObjectInfo, Store
from logferry.window import Window

log = logging.getLogger(__name__)


class Step(msgspec.Struct, frozen=True):
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
                    "%s/%s stays as published in record %d: it holds %d rows, the source now gives %d",
                    entry.start,
                    entry.end,
                    before.seq,
                    before.entry.rows,
                    entry.rows,
                )
                return Step(slice_, kept(before, entry, self._fingerprint, stays), seen, old, None)
            self._check_not_lost(before, entry, seen)
        if before is None and not self._allow_shrink:
            self._check_not_forgotten(slice_, entry, seen, old)
        file = self._file_there(entry, before, seen, old)
        staged = None
        if file is None:
            staged, file = self._staged(entry), entry.file
        plain = msgspec.structs.replace(_without_staging(entry), file=file)
        # Under another definition the rows are other ones, not late ones.
        same = before is not None and before.fingerprint == self._fingerprint
        return Step(slice_, with_history(plain, before if same else None), seen, old, staged)

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
                f"{before.entry.rows} rows the source now gives {entry.rows}; restore the object from a backup, or let "
                "--allow-shrink replace it"
            )
        log.warning(
            "%s is not what record %d says; the %d rows that the source now gives replace its %d",
            key,
            before.seq,
            entry.rows,
            before.entry.rows,
        )

    def _check_not_forgotten(
        self, slice_: Window, entry: SliceResult, seen: ObjectInfo | None, old: str | None
    ) -> None:
        """Raises DefinitionError for an object with rows, of which the journal knows no more, and no rows instead."""
        if seen is None or entry.rows or old == entry.file.row_hash:
            return
        began = any(intent.new == old for intent in self._ledger.open_intents.get(slice_, ()))
        if began and entry.status == "proven":
            return  # put there by a run that did not end
        if rows := rows_in(self._store, seen):
            raise DefinitionError(
                f"{seen.key} in {self._store.url} holds {rows} rows that the journal does not know of, and the source "
                "now gives none; restore the lost records from a backup, or let --allow-shrink replace the object"
            )

    def _file_there(
        self, entry: SliceResult, before: Published | None, seen: ObjectInfo | None, old: str | None
    ) -> FileEntry | None:
        """The facts of the object that lies there, when it holds these rows and nothing need be placed."""
        if seen is None or old != entry.file.row_hash:
            return None
        if before is not None and before.entry.file.row_hash == old and self._holds(seen, before.entry.file):
            return before.entry.file
        revocable = old in creations(self._ledger, entry.window())
        if self._holds(seen, entry.file) and not revocable:
            return entry.file  # an earlier attempt of this publication came this far
        if entry.staged is not None and self._store.head(entry.staged) is not None:
            return None  # also where its writer may yet take the object away again: it is placed anew
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
                "it; export the window again without --only-moved"
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


def creations(ledger: Ledger, slice_: Window) -> set[str | None]:
    """Row hashes of what runs that have not published may have created under the slice's key."""
    began = {intent.new for intent in ledger.open_intents.get(slice_, ()) if intent.creates}
    return began | set(ledger.created.get(slice_, ()))


def _without_staging(entry: SliceResult) -> SliceEntry:
    names = SliceEntry.__struct_fields__
    return SliceEntry(**{name: getattr(entry, name) for name in names})
