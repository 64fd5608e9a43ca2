"""An archive as it was when it was last read, and what can be said of it while it cannot be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from logferry.errors import StoreError
from logferry.spec import ExportSpec
from logferry.view.index import Index
from logferry.view.reading import Read
from logferry.view.shared_boards import SharedBoards
from logferry.view.stored_records import Stored, StoredRecords
from logferry.window import TICK_PER_SECOND


class LakeUnread(StoreError):
    """The lake was never read, so that nothing can be said of it; the text says why."""


@dataclass(frozen=True, slots=True)
class ArchiveState:
    """An archive as it was when it was last read.

    ``reachable``: the newest attempt to read it succeeded, or none was made yet; else ``reason`` says why not in one
    sentence, and ``since`` since when. ``read_at``: of the last success. ``read`` None: there was none yet.
    ``emptied_at``: when nothing of what had been read was there for the first of several times. ``asked_since``: the
    tick from which Airflow has a run of the export; None where nobody asked Airflow, or it has none.
    """

    spec: ExportSpec
    read: Read | None
    records: StoredRecords
    boards: SharedBoards
    reachable: bool = True
    reason: str | None = None
    since: int | None = None
    read_at: int | None = None
    emptied_at: int | None = None
    asked_since: int | None = None

    @property
    def known(self) -> bool:
        """Whether it was ever read."""
        return self.read is not None

    @property
    def index(self) -> Index:
        """Raises LakeUnread when it was never read."""
        return self.have().index

    @property
    def begun_at(self) -> int:
        """The tick from which every window was asked for, so that what is missing of it is somebody's trouble: that of
        the first publication (``Index.begun_at``), or of Airflow's oldest run where that is earlier, because runs may
        have failed until then. Of a lake that lost records the start: what it held, nobody can tell. Raises LakeUnread.
        """
        found = self.have()
        index, start = found.index, self.spec.start
        if found.emptied is not None:
            return start
        if self.asked_since is None or self.asked_since >= index.begun_at:
            return index.begun_at
        return max(start, index.schedule.previous_at_or_before(self.asked_since))

    @property
    def url(self) -> str | None:
        return None if self.read is None else self.read.archive.store.url

    @property
    def slices(self) -> int:
        """Published, on any grid."""
        return 0 if self.read is None else self.read.slices

    @property
    def entries(self) -> int:
        """See ``Index.entries``."""
        return 0 if self.read is None else self.read.index.entries

    @property
    def version(self) -> str:
        """Changes with whatever the archive says, and with whether it can be reached."""
        known = "unread" if self.read is None else self.read.version
        decides = (self.spec.model_dump_json(), self.reachable, self.reason, self.since, self.asked_since)
        return f"{known}-{hashlib.sha256(repr(decides).encode()).hexdigest()[:8]}"

    def have(self) -> Read:
        """What was read. Raises LakeUnread when that is nothing yet."""
        if self.read is None:
            raise LakeUnread(
                self.reason or "The lake is being read for the first time; try again in a moment."
            )
        return self.read

    def record(self, seq: int) -> Stored | None:
        """One record of the journal, None when there is none. Raises StoreError and CredentialsError."""
        found = self.have()
        if not self.reachable:
            raise StoreError(self.reason or "The lake cannot be reached.")
        return self.records.read(found.archive.store, self.spec.name, seq, version=found.version)

    def away(self, reason: str, now: int) -> ArchiveState:
        """The same while it cannot be read: since ``now``, unless it could not be before."""
        since = self.since if not self.reachable and self.since is not None else whole_second(now)
        return replace(self, reachable=False, reason=reason, since=since)


def etag(state: ArchiveState, *parts: object) -> str:
    """24 characters that change when the archive or one of ``parts`` does."""
    return hashlib.sha256(repr((state.version, *map(str, parts))).encode()).hexdigest()[:24]


def whole_second(tick: int) -> int:
    """The tick at which the second began."""
    return tick - tick % TICK_PER_SECOND
