"""Proof: every slice of a chunk written, then counted at the source, and fetched again where the two differ."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from logferry.clock import Clock
from logferry.errors import CountUnavailable
from logferry.fetching.fetch import Account, Fetcher, Restart
from logferry.fetching.pieces import Cutter, cells_of, finest_bin, too_coarse
from logferry.http import Client
from logferry.plan import SlicePlan
from logferry.proof.twins import (
    DIFFER_NOTE,
    MOST_CHECKED,
    UNCHECKED_NOTE,
    Twin,
    chosen,
    digest_of,
    ids_digest,
)
from logferry.records.manifest import FileEntry
from logferry.sources.base import TICK_COLUMN, LogSource
from logferry.window import Window, format_instant
from logferry.writing.parts import Part, PartFiles
from logferry.writing.resume import FinishedParts

log = logging.getLogger(__name__)

_ROUNDS = 4
"""The first fetch, and at most three more of parts whose proof differs."""
BINS_DIFFER_NOTE = "bins_differ"
"""Note of a slice: bins of the proof whose counts differ from the rows written, whatever the totals say."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A written slice: ``counted`` rows at the source by a count at tick ``counted_at``, after the fetch; None
    when it could not be counted. ``agrees``: that count, bin by bin, and the twins' identities are what was
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


@dataclass(slots=True)
class _Slice:
    """A slice at work. ``counted`` is per bin, None before a count and where none could be had."""

    planned: SlicePlan
    window: Window
    kept: FileEntry | None
    parts: list[Part] = field(default_factory=list)
    counted: dict[int, int] | None = None
    counted_at: int = 0
    same_twins: set[Twin] = field(default_factory=set)
    other_twins: list[Twin] = field(default_factory=list)

    @property
    def unsearched(self) -> bool:
        """It was counted empty and nobody has looked."""
        return self.planned.rows == 0 and any(not part.to_end for part in self.parts)

    @property
    def shrank(self) -> bool:
        """The source now counts fewer rows than when the window was planned: one of the two is wrong, or rows are
        being deleted."""
        planned = self.planned.rows
        return planned is not None and self.counted is not None and sum(self.counted.values()) < planned

    def differing_bins(self) -> list[int]:
        """Starts of the bins that were counted and written with different numbers."""
        if self.counted is None:
            return []
        if self.kept is not None:
            return [] if sum(self.counted.values()) == self.kept.rows else [self.window.start]
        written: dict[int, int] = {}
        for part in self.parts:
            for start, rows in part.bins.items():
                written[start] = written.get(start, 0) + rows
        counted = {start: rows for start, rows in self.counted.items() if rows}
        return sorted(
            start for start in written.keys() | counted.keys() if written.get(start) != counted.get(start)
        )


class Prover:
    """Writes and proves the slices of one chunk. ``bin_ticks``: the bins in which rows and counts are compared."""

    def __init__(
        self,
        client: Client,
        source: LogSource,
        *,
        fetcher: Fetcher,
        files: PartFiles,
        finished: FinishedParts,
        bin_ticks: int,
        clock: Clock,
    ) -> None:
        self._client = client
        self._source = source
        self._fetcher = fetcher
        self._files = files
        self._finished = finished
        self._bin = bin_ticks
        self._clock = clock

    def prove(self, slices: Sequence[SlicePlan]) -> Iterator[Finished]:
        """All slices (contiguous), in order. Those that differ at the end keep both numbers."""
        known = self._finished.load(self._files)
        works = [_Slice(planned, planned.window(), planned.kept) for planned in slices]
        for work in works:
            self._write(work, [part for part in known if work.window.covers(part.span)])
        pending = works
        for attempt in range(_ROUNDS):
            self._count(pending)
            again = {work.window: spans for work in pending if (spans := self._doubtful(work))}
            if again or any(work.shrank for work in pending):
                # A count that was wrong once is not believed when it calls a slice empty.
                again |= {work.window: [work.window] for work in works if work.unsearched}
            if not again:
                break
            log.warning(
                "%d of %d slices differ from what the source says after the fetch%s",
                len(again),
                len(works),
                "; fetching what differs again" if attempt + 1 < _ROUNDS else ", after three more fetches",
            )
            if attempt + 1 == _ROUNDS:
                break
            pending = [work for work in works if work.window in again]
            for work in pending:
                self._write_again(work, again[work.window])
        for work in works:
            yield self._finish(work)

    def _write(self, work: _Slice, known: Sequence[Part]) -> None:
        """The slice's parts: those an earlier attempt finished, and the rest."""
        if known:
            work.kept = None
        if work.kept is not None:
            return
        if work.planned.rows == 0 and not known:
            work.parts = [self._files.empty(work.window)]
            return
        work.parts = list(known)
        for gap in _gaps(work.window, known):
            work.parts += self._write_stretch(work, gap)
        work.parts.sort(key=lambda part: part.span)

    def _write_stretch(self, work: _Slice, stretch: Window) -> list[Part]:
        if work.planned.rows is None:
            return self._fetch(work, stretch, None)
        cells = cells_of(work.window, work.planned.rows, work.planned.bins)
        finest = finest_bin(self._source, work.window, work.window.ticks)
        if (
            self._source.answer_rows is not None
            and cells[0].window.ticks > finest
            and too_coarse(cells, self._fetcher.size.piece_rows)
        ):
            cells = cells_of(work.window, work.planned.rows, None)
        cutter = Cutter(stretch, cells, source=self._source, recount=self._recount)
        parts: list[Part] = []
        start = stretch.start
        while start < stretch.end:
            piece = cutter.next(start, self._fetcher.size.piece_rows)
            parts += self._fetch(work, piece.window, piece.rows, cutter)
            start = piece.window.end
        return parts

    def _write_again(self, work: _Slice, spans: Sequence[Window]) -> None:
        work.kept = None
        for span in spans:
            # Planned numbers are what the count may have got wrong, so this goes to the end.
            new = self._fetch(work, span, None)
            stale = [part for part in work.parts if span.covers(part.span)]
            paths = {part.file.path for part in new}
            for part in stale:
                if part.file.path not in paths:
                    part.file.path.unlink(missing_ok=True)
            work.parts = sorted(
                [*(part for part in work.parts if part not in stale), *new], key=lambda part: part.span
            )

    def _fetch(
        self, work: _Slice, span: Window, planned: int | None, cutter: Cutter | None = None
    ) -> list[Part]:
        try:
            return self._fetch_once(work, span, planned, cutter, held=False)
        except Restart:
            self._finished.forget(span)
            return self._fetch_once(work, span, planned, cutter, held=True)

    def _fetch_once(
        self, work: _Slice, span: Window, planned: int | None, cutter: Cutter | None, *, held: bool
    ) -> list[Part]:
        account = Account()
        halves = cutter.halves if cutter else None
        finals = self._fetcher.fetch(span, planned=planned, held=held, account=account, halves=halves)
        parts = self._files.write(span, finals, account, planned=planned)
        return [self._finished.add(work.window, part) for part in parts]

    def _recount(self, window: Window, bin_ticks: int) -> dict[int, int] | None:
        return count_rows(self._client, self._source, window, bin_ticks)

    def _count(self, pending: Sequence[_Slice]) -> None:
        whole = Window(pending[0].window.start, pending[-1].window.end)
        counts = count_rows(self._client, self._source, whole, self._bin)
        counted_at = self._clock.now()
        for work in pending:
            work.counted_at = counted_at
            work.counted = (
                None
                if counts is None
                else {start: rows for start, rows in counts.items() if start in work.window}
            )

    def _doubtful(self, work: _Slice) -> list[Window]:
        """The parts that must be fetched again: they differ, or nothing confirms the number they stopped at."""
        differing = work.differing_bins()
        if work.kept is not None:
            return [work.window] if differing else []
        if work.counted is None:
            doubtful = {part.span for part in work.parts if not part.to_end}
        else:
            bins = [Window(start, start + self._bin) for start in differing]
            doubtful = {part.span for part in work.parts if any(_overlap(part.span, bin_) for bin_ in bins)}
        if not doubtful:
            self._ask_for_twins(work)
            ticks = [twin.tick for twin in work.other_twins]
            doubtful = {part.span for part in work.parts if any(tick in part.span for tick in ticks)}
        return sorted(doubtful)

    def _ask_for_twins(self, work: _Slice) -> None:
        sample = chosen((twin for part in work.parts for twin in part.twins), work.window.start)
        work.other_twins = []
        for twin in sample:
            if twin in work.same_twins:
                continue
            if self._ids_at(work.window, twin.tick) == twin.ids:
                work.same_twins.add(twin)
            else:
                log.warning("the rows at %s came under other identities", format_instant(twin.tick))
                work.other_twins.append(twin)

    def _ids_at(self, slice_: Window, tick: int) -> str:
        """The digest of the identities that the source gives for one tick now."""
        start = tick // self._source.tick * self._source.tick
        span = Window(max(start, slice_.start), min(start + self._source.tick, slice_.end))
        digests = [
            ids_digest(final.table, tick)
            for final in self._fetcher.fetch(span, planned=None, held=True, account=Account())
            if final.table is not None and tick in final.table[TICK_COLUMN].to_pylist()
        ]
        return digests[0] if digests else digest_of(())

    def _finish(self, work: _Slice) -> Finished:
        differing = len(work.differing_bins())
        notes: dict[str, int]
        file: Part | FileEntry
        if work.kept is not None:
            file, notes = work.kept, dict(work.planned.kept_notes)
        else:
            part = work.parts[0]
            if len(work.parts) > 1:
                part = self._finished.add(work.window, self._files.assemble(work.window, work.parts))
            file, notes = part, dict(part.notes)
            unchecked = max(0, part.twin_ticks - MOST_CHECKED)
            own = {
                BINS_DIFFER_NOTE: differing,
                DIFFER_NOTE: len(work.other_twins),
                UNCHECKED_NOTE: unchecked,
            }
            notes |= {name: count for name, count in own.items() if count}
        return Finished(
            slice_=work.window,
            file=file,
            counted=None if work.counted is None else sum(work.counted.values()),
            counted_at=work.counted_at,
            agrees=not differing and not work.other_twins,
            notes=notes,
        )


def _gaps(slice_: Window, known: Sequence[Part]) -> list[Window]:
    """What of the slice is in none of the parts, which are in order and disjoint."""
    gaps = []
    at = slice_.start
    for part in known:
        if at < part.span.start:
            gaps.append(Window(at, part.span.start))
        at = part.span.end
    if at < slice_.end:
        gaps.append(Window(at, slice_.end))
    return gaps


def _overlap(one: Window, other: Window) -> bool:
    return one.start < other.end and other.start < one.end
