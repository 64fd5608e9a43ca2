"""Publishing: an intent, files to their final keys, then the record in the journal, which is the commit.

What the protocol rests on: a record is created under the next number by one writer only; an object is replaced only
by a writer that names the ETag it saw; and that ETag is in the writer's intent. So of several runs the one whose
intent is last wins, and a run that stood still for however long can replace nothing that was published since.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from logferry.clock import Clock, SystemClock
from logferry.errors import StoreError, Superseded
from logferry.publishing.aftermath import Aftermath
from logferry.publishing.deciding import Decider, Step
from logferry.publishing.drafting import Leftovers, draft, intent_of, record_of
from logferry.publishing.lease import Lease
from logferry.publishing.leftovers import check_not_fewer, find_leftovers
from logferry.publishing.mend import examine, restore, unmended
from logferry.publishing.placing import Placing
from logferry.publishing.results import ChunkResult, SliceResult, check_finished
from logferry.publishing.succession import Overtaken, Succession
from logferry.records.fold import Ledger
from logferry.records.journal import Damage, Record
from logferry.records.ledger import read_ledger
from logferry.records.manifest import Manifest, RunEntry
from logferry.stores.base import Store
from logferry.window import Window

log = logging.getLogger(__name__)

_ATTEMPTS = 50
"""Each that fails was overtaken by a write of another run, of which a run that is not the last has few left."""


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
    is taken away again. Any failure may be followed by another attempt with the same results: staged parts stay until
    the commit.
    """
    finished = sorted((entry for result in results for entry in result.slices), key=lambda entry: entry.start)
    check_finished(finished, window)
    lease = None if store.enforces_conditions() else Lease(store, export, run.id, clock or SystemClock())
    publication = _Publication(
        store,
        export,
        window,
        finished,
        draft(export, window, results, fingerprint=fingerprint, source=source, run=run),
        allow_shrink=allow_shrink,
        lease=lease,
    )
    with _under(lease):
        return publication.carry_out()


class _Publication:
    """One run's publication of one window. ``carry_out`` is the protocol."""

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
        self._placing = Placing(store, export, window, self._journal)

    def carry_out(self) -> Manifest:
        for _ in range(_ATTEMPTS):
            try:
                self._read()
                steps = self._decider.decide(self._journal.ledger, self._finished)
                leftovers = self._leftovers(steps)
                # From here on no older intent for this time can be fulfilled.
                begun, _ = self._journal.append(
                    intent_of(self._draft, self._store, steps, leftovers),
                    where_others_began=self._journal.decide_again,
                )
                for step in steps:
                    self._placing.put(step)
                # Before rows disappear elsewhere, and before a record names these. All of them: what is in place
                # already may be there by an attempt that died before this.
                self._store.settle(step.entry.file.key for step in steps)
                for leftover, seen in leftovers:
                    self._placing.remove(leftover, seen)
                committed, data = self._journal.append(
                    record_of(self._draft, steps, leftovers, intent=begun.seq, damage=self._damage),
                    where_others_began=self._journal.superseded,
                )
            except Overtaken as overtaken:
                log.warning("the publication of %s starts again: %s", self._window, overtaken)
                continue
            except Superseded:
                if self._lease is None:  # Else what lies there is another's now.
                    self._placing.take_away()
                raise
            self._follow_up(committed, data)
            assert committed.publication is not None
            return committed.publication
        raise StoreError(
            f"other runs keep changing {self._window} of {self._export} in {self._store.url}; run it again alone"
        )

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

    def _leftovers(self, steps: list[Step]) -> Leftovers:
        """Slices of another grid to remove, with the objects that lie there."""
        own = {step.slice_ for step in steps}
        leftovers = find_leftovers(self._store, self._export, self._window, own, self._journal.ledger)
        if not self._allow_shrink:
            check_not_fewer(leftovers, [step.entry for step in steps], self._journal.ledger)
        return [(leftover, self._store.head(leftover.key)) for leftover in leftovers]

    def _follow_up(self, committed: Record, data: bytes) -> None:
        wrong_head = any(damage.kind == "head" for damage in self._damage)
        after = Aftermath(
            self._store, self._export, self._journal.ledger, self._still_ours, wrong_head=wrong_head
        )
        staged = [entry.staged for entry in self._finished if entry.staged is not None]
        after.follow(committed, data, window=self._window, run=self._draft.run.id, staged=staged)

    def _still_ours(self) -> None:
        if self._lease is not None:
            self._lease.check()


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
