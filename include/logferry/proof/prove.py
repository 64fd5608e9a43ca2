"""Proof: every slice of a chunk written, then counted at the source, and fetched again where the two differ."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from logferry.clock import Clock
from logferry.errors import CountUnavailable, LogferryError, SourceError
from logferry.fetching.convoys import convoys
from logferry.fetching.fetch import Fetcher
from logferry.fetching.job import Job
from logferry.fetching.lanes import FetchedJobs, Lanes
from logferry.http import Client
from logferry.plan import SlicePlan
from logferry.proof.gather import Gatherer, gaps_between
from logferry.proof.second_look import holds_rows, look_at_twins
from logferry.proof.slice_work import SliceWork
from logferry.proof.twins import CHECKED_NOTE, DIFFER_NOTE
from logferry.records.manifest import FileEntry
from logferry.sources.base import LogSource
from logferry.window import Window
from logferry.writing.parts import Part, PartFiles
from logferry.writing.removal import remove_file
from logferry.writing.resume import FinishedParts

log = logging.getLogger(__name__)

_ROUNDS = 4
"""The first fetch, and at most three more of parts whose proof differs."""
BINS_DIFFER_NOTE = "bins_differ"
"""Note of a slice: bins of the proof whose counts differ from the rows written, whatever the totals say."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A written slice: ``counted`` rows at the source by a count that began at tick ``counted_at``, after the fetch;
    None when it could not be counted. ``agrees``: that count, bin by bin, and the twins' identities are what was
    written. ``file``: its file, or the published one of a slice that was only counted.
    """

    slice_: Window
    file: Part | FileEntry
    counted: int | None
    counted_at: int
    agrees: bool
    notes: Mapping[str, int]


def count_rows(client: Client, source: LogSource, window: Window, bin_ticks: int) -> dict[int, int] | None:
    """Rows per bin of the window by bin start, None when the source cannot count."""
    try:
        return client.run(lambda: source.count(window, bin_ticks))
    except CountUnavailable as error:
        log.warning("%s: the window can only be unproven", error)
        return None


class Prover:
    """Writes and proves the slices of one chunk, by the bins that ``files`` keep count of.

    ``lanes`` are the fetcher's. What is fetched for a second time is fetched without them, one after the other.
    ``before_slice`` is called before anything of a slice is asked for, in any thread. What it raises is raised when
    everything that was asked for before has been written.
    """

    def __init__(
        self,
        client: Client,
        source: LogSource,
        *,
        fetcher: Fetcher,
        lanes: Lanes,
        files: PartFiles,
        finished: FinishedParts,
        clock: Clock,
        before_slice: Callable[[], None] | None = None,
    ) -> None:
        self._client = client
        self._source = source
        self._fetcher = fetcher
        self._lanes = lanes
        self._files = files
        self._finished = finished
        self._clock = clock
        self._before_slice = before_slice
        self._gatherer = Gatherer(
            source, fetcher=fetcher, files=files, finished=finished, recount=self._recount
        )

    def prove(self, slices: Sequence[SlicePlan]) -> Iterator[Finished]:
        """All slices (contiguous), in order. Those that differ at the end keep both numbers."""
        known = self._finished.load()
        works = [SliceWork.of(planned, self._files.bin_ticks) for planned in slices]
        for work in works:
            self._begin(work, [part for part in known if work.window.covers(part.span)])
        self._fetch([work for work in works if work.kept is None])
        pending = works
        wrong_counts = False
        for attempt in range(_ROUNDS):
            self._count(pending)
            wrong_counts = wrong_counts or _shows_wrong_counts(pending, again=attempt > 0)
            again = self._doubtful(pending)
            unsearched = [work for work in works if wrong_counts and work.unsearched and work not in again]
            if not again and not unsearched:
                break
            log.warning(
                "%d of %d slices differ from what the source says, or said before%s",
                len(again) + len(unsearched),
                len(works),
                "; fetching them again" if attempt + 1 < _ROUNDS else ", after three more fetches",
            )
            if attempt + 1 == _ROUNDS:
                break
            pending = [work for work in works if work in again or work in unsearched]
            for work, spans in again.items():
                self._write_again(work, spans)
            for work in unsearched:
                if work.rows:
                    self._write_again(work, [work.window])
            for group in _adjoining([work for work in unsearched if not work.rows]):
                self._search(group)
        for work in works:
            yield self._finish(work, believed=not (wrong_counts and work.unsearched))

    def _begin(self, work: SliceWork, known: Sequence[Part]) -> None:
        """The slice's parts that need no fetch: those an earlier attempt finished, and that of an empty slice."""
        if known:
            work.kept = None
            work.parts = list(known)
        elif work.kept is None and work.planned.rows == 0:
            work.parts = [self._files.empty(work.window)]

    def _fetch(self, works: Sequence[SliceWork]) -> None:
        """Write what is in no part yet, in order of time."""
        todo = [(work, gap) for work in works for gap in gaps_between(work.window, work.parts)]
        counted = sum(work.planned.rows or 0 for work in dict(todo))
        by_slice = {work.window: work for work in works}
        with self._lanes.fetched(self._jobs(todo, self._lanes.least_rows(counted))) as fetched:
            try:
                for one in convoys(fetched):
                    by_slice[one.job.slice_].parts += self._gatherer.write(one)
            except SourceError:
                self._keep(fetched)
                raise
        for work in works:
            work.parts.sort(key=lambda part: part.span)
            if work.kept is None and (gaps := gaps_between(work.window, work.parts)):
                # Where nothing is counted, no proof would find out.
                raise AssertionError(f"the lanes ended, and {gaps[0]} was not fetched")

    def _keep(self, fetched: FetchedJobs) -> None:
        """What came whole behind a failure is kept for the next attempt: it would cost the same requests again."""
        if not self._finished.serves_next_attempt:
            return
        try:
            for one in fetched.rest():
                self._gatherer.write(one)
        except LogferryError as error:
            log.warning("the next attempt fetches more than what failed: %s", error)

    def _jobs(self, todo: Sequence[tuple[SliceWork, Window]], least: int | None) -> Iterator[Job]:
        for work, gap in todo:
            if self._before_slice is not None:
                self._before_slice()
            plan = work.planned
            yield from self._gatherer.jobs(
                work.window, gap, plan.rows, plan.bins, row_bytes=plan.row_bytes, least=least
            )

    def _write_again(self, work: SliceWork, spans: Sequence[Window]) -> None:
        work.kept = None
        work.searched_again = True
        # Cut as the newest count says, but a number that may be wrong must not end anything.
        rows, bins = work.counted_bins() or (None, None)
        for span in spans:
            new = self._gatherer.gather(work.window, span, rows, bins, row_bytes=work.planned.row_bytes)
            stale = [part for part in work.parts if span.covers(part.span)]
            paths = {part.file.path for part in new}
            for part in stale:
                if part.file.path not in paths:
                    remove_file(part.file.path)
            work.parts = sorted(
                [*(part for part in work.parts if part not in stale), *new], key=lambda part: part.span
            )

    def _search(self, empty: Sequence[SliceWork]) -> None:
        """Look into adjoining slices that were called empty: all at once, and one by one if there is anything."""
        if len(empty) == 1 or holds_rows(self._fetcher, Window(empty[0].window.start, empty[-1].window.end)):
            for work in empty:
                self._write_again(work, [work.window])
        else:
            for work in empty:
                work.searched_again = True
                work.parts = [replace(part, to_end=True) for part in work.parts]

    def _recount(self, window: Window, bin_ticks: int) -> dict[int, int] | None:
        return count_rows(self._client, self._source, window, bin_ticks)

    def _count(self, pending: Sequence[SliceWork]) -> None:
        whole = Window(pending[0].window.start, pending[-1].window.end)
        # Rows that come while the request is under way may be in it or not.
        counted_at = self._clock.now()
        counts = self._recount(whole, self._files.bin_ticks)
        for work in pending:
            work.take_count(counts, counted_at)

    def _doubtful(self, pending: Sequence[SliceWork]) -> dict[SliceWork, list[Window]]:
        """What of the slices must be fetched again."""
        differing = {work: work.differing_parts() for work in pending}
        agreeing = [work for work in pending if not differing[work] and work.kept is None]
        found = {**differing, **look_at_twins(self._lanes, self._fetcher, agreeing)}
        return {work: found[work] for work in pending if found[work]}

    def _finish(self, work: SliceWork, *, believed: bool) -> Finished:
        differing = len(work.differing_bins())
        notes: dict[str, int]
        file: Part | FileEntry
        if work.kept is not None:
            file, notes = work.kept, dict(work.planned.kept_notes)
        else:
            part = self._finished.whole(work.window, work.parts)
            file, notes = part, dict(part.notes)
            own = {
                BINS_DIFFER_NOTE: differing or int(not believed),
                DIFFER_NOTE: sum(twins.ticks for twins in work.other_twins),
                CHECKED_NOTE: sum(twins.ticks for twins in part.twins if twins in work.same_twins),
            }
            notes |= {name: count for name, count in own.items() if count}
        return Finished(
            slice_=work.window,
            file=file,
            counted=work.counted_rows,
            counted_at=work.counted_at,
            agrees=believed and not differing and not work.other_twins,
            notes=notes,
        )


def _shows_wrong_counts(counted: Sequence[SliceWork], *, again: bool) -> bool:
    """Whether a count cannot have been right: one that fell, or (``again``: fetched for a second time) one of more rows
    than there are, the newest or one before. Such a count is not believed when it calls a slice empty."""
    return any(work.shrank or (again and work.most_counted > work.rows) for work in counted)


def _adjoining(works: Sequence[SliceWork]) -> list[list[SliceWork]]:
    groups: list[list[SliceWork]] = []
    for work in works:
        if groups and groups[-1][-1].window.end == work.window.start:
            groups[-1].append(work)
        else:
            groups.append([work])
    return groups
