"""Publishing: an intent, files to their final keys, then the record in the journal, which is the commit.

What the protocol rests on: a record is created under the next number by one writer only; an object is replaced only
by a writer that names the ETag it saw; and that ETag is in the writer's intent. So of several runs the one whose
intent is last wins, and a run that stood still for however long can replace nothing that was published since.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from logferry.clock import Clock, SystemClock
from logferry.errors import LogferryError, StoreError, Superseded
from logferry.layout import slice_key
from logferry.publishing.aftermath import Aftermath
from logferry.publishing.deciding import Decider, Step
from logferry.publishing.lease import Lease
from logferry.publishing.leftovers import Leftover, check_not_fewer, find_leftovers
from logferry.publishing.mend import examine, mends, restore, unmended
from logferry.publishing.published_object import ROW_HASH_METADATA, row_hash_of
from logferry.publishing.results import ChunkResult, SliceResult, add_requests
from logferry.publishing.succession import Overtaken, Succession
from logferry.records.fold import Ledger
from logferry.records.journal import Damage, Record
from logferry.records.ledger import read_ledger
from logferry.records.manifest import IntendedSlice, Intent, Manifest, RunEntry, Span, worst
from logferry.sources.base import SourceSchema
from logferry.stores.base import Changed, NotFound, ObjectInfo, Store
from logferry.window import Window

__all__ = ["ChunkResult", "SliceResult", "add_requests", "publish"]

log = logging.getLogger(__name__)

_ATTEMPTS = 50
"""Each that fails was overtaken by a write of another run, of which a run that is not the last has few left."""
_FENCES = 4


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
    clock: Clock | None = None,
) -> Manifest:
    """Commit a window. Raises StoreError when the results are not exactly the window's slices, or one that is called
    proven has other rows than were counted.

    A slice that is already proven under the same definition stays when the source now gives fewer rows, or as
    many without a proof (retention, a purge, a restricted key); ``source_now`` records what it holds. It stays
    as short when the source now counts more than the published rows. Any other slice stays when the source gives no
    rows, or fewer without a proof.

    Slices of another grid inside the window are removed. Raises DefinitionError when one reaches beyond it, where
    rows would be lost with it, and where an object that holds rows, whose record is lost, would give way to none.

    Raises Superseded when another run began to publish some of the same time after this one: nothing is recorded, and
    what it put in place is replaced by that run, or by the next; what it created that the other run does not publish
    is taken away again. Any failure may be followed by another attempt with
    the same results: staged parts stay until the commit.
    """
    finished = sorted((entry for result in results for entry in result.slices), key=lambda entry: entry.start)
    _check_tiles(finished, window)
    _check_proven(finished)
    lease = None if store.enforces_conditions() else Lease(store, export, run.id, clock or SystemClock())
    publication = _Publication(
        store,
        export,
        window,
        finished,
        Manifest(
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
        ),
        allow_shrink=allow_shrink,
        lease=lease,
    )
    with _under(lease):
        return publication.carry_out()


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


def _check_proven(finished: list[SliceResult]) -> None:
    for entry in finished:
        if entry.status == "proven" and entry.rows != entry.source_rows:
            raise StoreError(
                f"{entry.window()} is called proven with {entry.rows:,} rows, and the source counted "
                f"{entry.source_rows}; run the window again"
            )


class _Publication:
    """One run's publication of one window. ``carry_out`` is the protocol; each step is one method."""

    def __init__(
        self,
        store: Store,
        export: str,
        window: Window,
        finished: list[SliceResult],
        draft: Manifest,
        *,
        allow_shrink: bool,
        lease: Lease | None,
    ) -> None:
        self._store = store
        self._export = export
        self._window = window
        self._finished = finished
        self._draft = draft
        self._allow_shrink = allow_shrink
        self._decider = Decider(store, draft.fingerprint, allow_shrink=allow_shrink)
        self._lease = lease
        self._journal = Succession(store, export, window, self._still_ours)
        self._damage: list[Damage] = []
        self._own_intents: set[int] = set()
        self._created: dict[Window, str] = {}
        """The ETags of objects that this run put where there was none, as they were put."""

    def carry_out(self) -> Manifest:
        for _ in range(_ATTEMPTS):
            try:
                self._read()
                steps = self._decider.decide(self._journal.ledger, self._finished)
                leftovers = self._leftovers(steps)
                intent = self._announce(steps, leftovers)
                for step in steps:
                    self._put_in_place(step)
                for leftover, seen in leftovers:
                    self._remove(leftover, seen)
                record, data = self._commit(steps, leftovers, intent)
            except Overtaken as overtaken:
                log.warning("the publication of %s starts again: %s", self._window, overtaken)
                continue
            except Superseded:
                self._take_away()
                raise
            self._tidy(record, data)
            assert record.publication is not None
            return record.publication
        raise StoreError(
            f"other runs keep changing {self._window} of {self._export} in {self._store.url}; run it again alone"
        )

    # -- 1: what is published -----------------------------------------------------------------------------

    def _read(self) -> None:
        """The ledger, after restoring the damaged records that can be."""
        self._journal.ledger, self._damage = self._look()
        if unmended(self._damage):
            self._still_ours()
            if restore(self._store, self._export, self._damage):
                self._journal.ledger, self._damage = self._look()

    def _look(self) -> tuple[Ledger, list[Damage]]:
        ledger = read_ledger(self._store, self._export)
        return ledger, [*ledger.damage, *examine(self._store, self._export, ledger, self._window)]

    # -- 2: what to do with each slice: deciding.py; and with those of another grid ----------------------

    def _leftovers(self, steps: list[Step]) -> list[tuple[Leftover, ObjectInfo | None]]:
        """Slices of another grid to remove, with the objects that lie there."""
        own = {step.slice_ for step in steps}
        leftovers = find_leftovers(self._store, self._export, self._window, own, self._journal.ledger)
        if not self._allow_shrink:
            check_not_fewer(leftovers, [step.entry for step in steps], self._journal.ledger)
        return [(leftover, self._store.head(leftover.key)) for leftover in leftovers]

    # -- 3: the intent ------------------------------------------------------------------------------------

    def _announce(self, steps: list[Step], leftovers: list[tuple[Leftover, ObjectInfo | None]]) -> int:
        """Append the intent; returns its number. From here on no older intent for this time can be fulfilled."""
        slices = [
            _intended(step.slice_, step.old, step.entry.file.row_hash, step.seen if step.staged else None)
            for step in steps
        ]
        for leftover, seen in leftovers:
            slices.append(_intended(leftover.slice_, row_hash_of(self._store, seen), None, seen))
        intent = Intent(
            export=self._export,
            seq=0,
            previous=None,
            fingerprint=self._draft.fingerprint,
            window=self._draft.window,
            slices=slices,
            run=self._draft.run,
        )

        record, _ = self._journal.append(intent, where_others_began=self._journal.decide_again)
        self._own_intents.add(record.seq)
        return record.seq

    # -- 4 and 5: the files -------------------------------------------------------------------------------

    def _put_in_place(self, step: Step) -> None:
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
        others = [one for one in ledger.open_intents.get(slice_, ()) if one.seq not in self._own_intents]
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

    def _remove(self, leftover: Leftover, seen: ObjectInfo | None) -> None:
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

    def _take_away(self) -> None:
        """Remove what this run created and no other means to publish: readers would meet it beside slices of another
        grid. A run that publishes the same bytes under this key from now on gives them another ETag (``_fence``).
        """
        if self._lease is not None:
            return  # It is another's now.
        try:
            while self._journal.next() is not None:
                pass
            ledger = self._journal.ledger
            for slice_, etag in self._created.items():
                meant = any(
                    one.new is not None and one.seq not in self._own_intents
                    for one in ledger.open_intents.get(slice_, ())
                )
                if not meant and slice_ not in ledger.slices:
                    with contextlib.suppress(Changed):
                        self._store.remove(slice_key(self._export, slice_), expected=etag)
        except (LogferryError, Overtaken) as error:
            log.warning(
                "what this run created in %s stays until it is exported again: %s", self._window, error
            )

    def _changed(self, key: str) -> Overtaken:
        """The cause to start again. Raises Superseded instead when the newest intent is not this run's."""
        self._journal.check_not_superseded()
        return Overtaken(f"{key} was changed by a run that is superseded")

    # -- 6: the commit ------------------------------------------------------------------------------------

    def _commit(
        self, steps: list[Step], leftovers: list[tuple[Leftover, ObjectInfo | None]], intent: int
    ) -> tuple[Record, bytes]:
        entries = [step.entry for step in steps]
        manifest = msgspec.structs.replace(
            self._draft,
            status=worst([entry.status for entry in entries]),
            rows=sum(entry.rows for entry in entries),
            source_rows=_total([entry.source_rows for entry in entries]),
            slices=entries,
            intent=intent,
            removed=[Span.of(leftover.slice_) for leftover, _ in leftovers],
            mends=mends(self._damage),
        )
        return self._journal.append(manifest, where_others_began=self._journal.superseded)

    def _still_ours(self) -> None:
        if self._lease is not None:
            self._lease.check()

    # -- 7: what follows the commit -----------------------------------------------------------------------

    def _tidy(self, record: Record, data: bytes) -> None:
        """Bring along what follows from the journal, and remove what is not needed any more."""
        wrong_head = any(damage.kind == "head" for damage in self._damage)
        after = Aftermath(
            self._store, self._export, self._journal.ledger, self._still_ours, wrong_head=wrong_head
        )
        staged = [entry.staged for entry in self._finished if entry.staged is not None]
        steps: dict[str, Callable[[], None]] = {
            "a checkpoint": after.checkpoint,
            "the window's copy and HEAD": lambda: after.point(record, data),
            "removing staged parts": lambda: after.unstage(self._draft.run.id, self._window, staged),
        }
        for what, step in steps.items():
            try:
                step()
            except LogferryError as error:
                log.warning(
                    "%s is published; the next publication makes up for %s: %s", self._window, what, error
                )


@contextlib.contextmanager
def _under(lease: Lease | None) -> Iterator[None]:
    if lease is None:
        yield
        return
    lease.acquire()
    try:
        yield
    finally:
        lease.release()


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
