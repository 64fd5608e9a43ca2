"""Putting a publication's files in place: each over the object that was seen, or nothing is touched.

An ETag that a run which gave up may hold is replaced by another (``renew``), so that this run can undo nothing.
"""

from __future__ import annotations

import contextlib
import logging

from logferry.errors import LogferryError
from logferry.layout import slice_key
from logferry.publishing.deciding import Step
from logferry.publishing.leftovers import Leftover
from logferry.publishing.published_object import ROW_HASH_METADATA
from logferry.publishing.succession import Overtaken, Succession
from logferry.stores.base import Changed, NotFound, ObjectInfo, Store
from logferry.window import Window

log = logging.getLogger(__name__)

_FENCES = 4


class Placing:
    """The objects of one publication, whose intent is in the journal. Methods raise Overtaken where the publication
    must be decided again, and Superseded where another run's intent follows."""

    def __init__(self, store: Store, export: str, window: Window, journal: Succession) -> None:
        self._store = store
        self._export = export
        self._window = window
        self._journal = journal
        self._created: dict[Window, str] = {}
        """The ETags of objects that this run put where there was none, as they were put."""

    def put(self, step: Step) -> None:
        """Place the part over the object that was seen, or make sure that the object is still that one."""
        key = step.entry.file.key
        if step.staged is None:
            there = self._store.head(key)
            if there is None or step.seen is None or there.etag != step.seen.etag:
                raise self._changed(key)
            self._fence(step.slice_, key, there.etag)
            return
        self._journal.check_not_superseded()
        try:
            etag = self._store.place(
                step.staged,
                key,
                expected=None if step.seen is None else step.seen.etag,
                metadata={ROW_HASH_METADATA: step.entry.file.row_hash},
            )
        except (Changed, NotFound):
            raise self._changed(key) from None
        self._created.pop(step.slice_, None)
        if step.seen is None:
            self._created[step.slice_] = etag
        self._fence(step.slice_, key, etag, placed=step.entry.file.row_hash)

    def _fence(self, slice_: Window, key: str, etag: str, *, placed: str | None = None) -> None:
        """Make sure that the object's ETag is none that a run which gave up, or only stands still, may hold.

        ``placed``: the row hash of what was put there just now. In S3 the ETag may be that of another run's object
        with the same bytes, which that run may yet take away.
        """
        ledger = self._journal.ledger
        others = self._journal.others_begun(slice_)
        held = {*ledger.held.get(slice_, ()), *(one.etag for one in others)}
        if placed in {*ledger.created.get(slice_, ()), *(one.new for one in others if one.creates)}:
            held.add(etag)
        for _ in range(_FENCES):
            if etag not in held:
                return
            self._journal.check_not_superseded()
            try:
                etag = self._store.renew(key, expected=etag)
                self._created.pop(slice_, None)
            except (Changed, NotFound):
                raise self._changed(key) from None
        log.warning("%s in %s could still be replaced by a run that died long ago", key, self._store.url)

    def remove(self, leftover: Leftover, seen: ObjectInfo | None) -> None:
        """Delete a slice of another grid, now that its rows lie in the new files."""
        self._journal.check_not_superseded()
        if seen is None:
            if self._store.head(leftover.key) is not None:
                raise self._changed(leftover.key)  # a run that was overtaken put it there meanwhile
            return
        try:
            self._store.remove(leftover.key, expected=seen.etag)
        except Changed:
            raise self._changed(leftover.key) from None

    def take_away(self) -> None:
        """Remove what this run created and no other means to publish: readers would meet it beside slices of another
        grid. A run that publishes the same bytes under this key from now on gives them another ETag (``_fence``).
        """
        try:
            while self._journal.next() is not None:
                pass
            for slice_, etag in self._created.items():
                if self._is_nobodys(slice_):
                    with contextlib.suppress(Changed):
                        self._store.remove(slice_key(self._export, slice_), expected=etag)
        except (LogferryError, Overtaken) as error:
            log.warning(
                "what this run created in %s stays until it is exported again: %s", self._window, error
            )

    def _is_nobodys(self, slice_: Window) -> bool:
        meant = any(one.new is not None for one in self._journal.others_begun(slice_))
        return not meant and slice_ not in self._journal.ledger.slices

    def _changed(self, key: str) -> Overtaken:
        """The cause to start again. Raises Superseded instead when the newest intent is not this run's."""
        self._journal.check_not_superseded()
        return Overtaken(f"{key} was changed by a run that is superseded")
