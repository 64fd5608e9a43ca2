"""What follows a commit: the copies that are made of it, and the staged parts that are not needed any more.

Nothing here can undo a commit. What a run did not come to do, the next one does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from logferry.errors import LogferryError
from logferry.layout import journal_key, manifests_prefix, staged_span, staging_prefix, table_prefix
from logferry.records.checkpoint import RECORDS_BETWEEN, drop_old_checkpoints, write_checkpoint
from logferry.records.fold import Ledger
from logferry.records.forward import write_copy, write_head
from logferry.records.journal import Journal, Record
from logferry.records.manifest import content_hash
from logferry.stores.base import NotFound, Store
from logferry.window import Window

log = logging.getLogger(__name__)

_LOOKED_BACK = 2 * RECORDS_BETWEEN
"""Records whose copies are looked at when there is no HEAD to say which were written."""
_STAGING_DAYS = 7
_DAY_S = 86_400.0


class Aftermath:
    """Of one publication. ``ledger`` ends with its record; ``still_ours`` is called before each write.

    ``wrong_head``: HEAD.json is not to be believed.
    """

    def __init__(
        self, store: Store, export: str, ledger: Ledger, still_ours: Callable[[], None], *, wrong_head: bool
    ) -> None:
        self._store = store
        self._export = export
        self._ledger = ledger
        self._still_ours = still_ours
        self._wrong_head = wrong_head

    def follow(self, record: Record, data: bytes, *, window: Window, run: str, staged: list[str]) -> None:
        """All of it; what fails is logged. ``data``: the record's bytes; ``staged``: the keys of the run's parts."""
        steps: dict[str, Callable[[], None]] = {
            "a checkpoint": self._checkpoint,
            "the window's copy and HEAD": lambda: self._point(record, data),
            "removing staged parts": lambda: self._unstage(run, window, staged),
        }
        for what, step in steps.items():
            try:
                step()
            except LogferryError as error:
                log.warning("%s is published; the next publication makes up for %s: %s", window, what, error)

    def _checkpoint(self) -> None:
        """Fold the journal into an object when enough records follow the last one."""
        head = self._ledger.head
        if head.seq - (head.checkpoint or 0) >= RECORDS_BETWEEN:
            self._still_ours()
            self._ledger.head = write_checkpoint(self._store, self._export, self._ledger)

    def _point(self, record: Record, data: bytes) -> None:
        """The window's own copy, then HEAD: while a copy is wanting HEAD lags, and the next publication sees it."""
        self._still_ours()
        write_copy(self._store, self._export, record, data)
        self._copy_others(record)
        self._still_ours()
        write_head(
            self._store,
            self._export,
            self._ledger.head,
            disbelieved=self._ledger.named if self._wrong_head else None,
        )
        if self._ledger.head.checkpoint == self._ledger.head.seq:
            named = Journal(self._store, self._export).named().head
            if named is not None and named.checkpoint is not None:
                drop_old_checkpoints(self._store, self._export, named.checkpoint)

    def _copy_others(self, record: Record) -> None:
        """The copies of publications that died before HEAD named them."""
        named = self._ledger.named
        after = record.seq - _LOOKED_BACK if named is None else named.seq
        for one in list(self._ledger.windows.values()):
            if one.seq <= after or one.seq == record.seq:
                continue
            try:
                data = self._store.read(journal_key(self._export, one.seq))
            except NotFound:
                continue  # known from a checkpoint only
            if content_hash(data) == one.hash:
                write_copy(self._store, self._export, Record.of(data), data)

    def _unstage(self, run: str, window: Window, staged: list[str]) -> None:
        """The parts of this window; other windows of the run may still be under way. And what nobody came back for."""
        parts = set(staged)
        for info in self._store.list(staging_prefix(self._export, run)):
            span = staged_span(info.key)
            if span is not None and window.covers(span):
                parts.add(info.key)
        self._store.delete(sorted(parts))
        self._store.sweep(staging_prefix(self._export), older_than_s=_STAGING_DAYS * _DAY_S)
        for prefix in (table_prefix(self._export), manifests_prefix(self._export)):
            self._store.abort_uploads(prefix, older_than_s=_STAGING_DAYS * _DAY_S)
