"""Gathering: a stretch of a slice cut into pieces, and each piece fetched and written as parts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from logferry.errors import SourceError
from logferry.fetching.fetch import Fetcher, Final, Restart
from logferry.fetching.job import Fetched, Job
from logferry.fetching.pieces import (
    Cell,
    Cutter,
    Piece,
    Recount,
    cells_of,
    finer_cells,
    finest_bin,
    too_coarse,
)
from logferry.sources.base import LogSource
from logferry.window import Window, format_instant
from logferry.writing.parts import Part, PartFiles
from logferry.writing.resume import FinishedParts

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Chain:
    """One fetch under way: its finished parts, and the tick before which all its rows have been handed on."""

    reached: int
    parts: list[Part] = field(default_factory=list)

    def follow(self, finals: Iterator[Final]) -> Iterator[Final]:
        """The same. No name here keeps rows in memory while the next are waited for."""
        return map(self._handed_on, finals)

    def _handed_on(self, final: Final) -> Final:
        self.reached = final.before
        return final

    def stretches(self, start: int) -> Iterator[Window]:
        """What has been handed on since ``start``: the parts, and the beginning of the one that is unfinished."""
        for part in self.parts:
            yield part.span
            start = part.span.end
        if start < self.reached:
            yield Window(start, self.reached)


class Gatherer:
    """Fetches and writes what it is told of one chunk's slices. ``recount`` serves stretches of uneven density."""

    def __init__(
        self,
        source: LogSource,
        *,
        fetcher: Fetcher,
        files: PartFiles,
        finished: FinishedParts,
        recount: Recount,
    ) -> None:
        self._source = source
        self._fetcher = fetcher
        self._files = files
        self._finished = finished
        self._recount = recount
        self._finer: tuple[object, Sequence[Cell]] = (None, [])

    def jobs(
        self,
        slice_: Window,
        stretch: Window,
        rows: int | None,
        bins: Sequence[int] | None,
        *,
        row_bytes: int | None,
        least: int | None = None,
        to_end: bool = False,
    ) -> Iterator[Job]:
        """The pieces of a stretch of the slice, which holds ``rows`` in equal ``bins`` by a count (None: unknown), each
        chosen when it is asked for.

        ``row_bytes``: what a row is reckoned to make of an answer. ``least``: rows of a piece that are enough, where
        many at once are wanted. ``to_end``: ask until the source says that there are no more; otherwise the counted
        number ends a piece. Where the source is asked for whole answers, all of a stretch make one piece: how large its
        parts become does not depend on how little an answer holds.
        """
        size = self._fetcher.size.stretch(row_bytes)
        if rows is None:
            yield Job(slice_, stretch, size)
            return
        cells: Sequence[Cell] = cells_of(slice_, rows, bins)
        if self._source.answer_rows is None:
            # A cell too dense would be one long chain of pages: the lanes behind it run far ahead, and all that they
            # fetch goes to the disk and back.
            if least is not None and too_coarse(cells, least):
                cells = self._finer_cells(slice_, cells)
        elif cells[0].window.ticks > finest_bin(self._source, slice_, slice_.ticks) and too_coarse(
            cells, size.piece_rows
        ):
            cells = cells_of(slice_, rows, None)
        cutter = Cutter(stretch, cells, source=self._source, recount=self._recount)
        answers = None
        if self._source.answer_rows is not None and not to_end:
            answers = Piece(stretch, rows if stretch == slice_ else None)
        start = stretch.start
        while start < stretch.end:
            piece = cutter.next(start, size.piece_rows, least)
            if least is None or to_end:
                planned = None if to_end else piece.rows
                yield Job(slice_, piece.window, size, planned, cutter, piece=answers)
            else:
                for chain in cutter.chains(piece):
                    yield Job(slice_, chain.window, size, chain.rows, cutter, piece=piece)
            start = piece.window.end

    def _finer_cells(self, slice_: Window, cells: Sequence[Cell]) -> Sequence[Cell]:
        """Counted once for all stretches of a slice. They only save time and memory: where the source does not give
        that count, its cells serve as they are."""
        known, finer = self._finer
        if known == (slice_, cells):
            return finer
        try:
            finer = finer_cells(slice_, cells, source=self._source, recount=self._recount)
        except SourceError as error:
            log.info("%s is fetched by the counts of the plan: %s", slice_, error)
            finer = cells
        self._finer = ((slice_, cells), finer)
        return finer

    def gather(
        self,
        slice_: Window,
        stretch: Window,
        rows: int | None,
        bins: Sequence[int] | None,
        *,
        row_bytes: int | None,
    ) -> list[Part]:
        """The parts of a stretch, fetched here and now until the source says that there are no more rows."""
        return [
            part
            for job in self.jobs(slice_, stretch, rows, bins, row_bytes=row_bytes, to_end=True)
            for part in self.write(Fetched.here(job, self._fetcher))
        ]

    def write(self, fetched: Fetched) -> list[Part]:
        """The parts of a job. Pages that turn out not to be in order are read again, a part at a time: those that
        came may miss a row that a later page would have brought."""
        job = fetched.job
        parts: list[Part] = []
        start = job.span.start
        while start < job.span.end:
            chain = _Chain(start)
            try:
                self._write(fetched, chain)
            except Restart as restart:
                if chain.reached == start:
                    raise AssertionError("rows were out of order before any had been handed on") from restart
                log.warning("what came before %s is read again, held", format_instant(chain.reached))
                self._finished.forget(fetched.job.span)
                for stretch in chain.stretches(start):
                    again = _Chain(stretch.start)
                    held = replace(job, span=stretch, planned=None, held=True)
                    self._write(Fetched.here(held, self._fetcher), again)
                    parts += again.parts
                start = chain.reached
                if start < job.span.end:
                    rest = replace(job, span=Window(start, job.span.end), planned=None)
                    fetched = Fetched.here(rest, self._fetcher)
            else:
                return parts + chain.parts
        return parts

    def _write(self, fetched: Fetched, chain: _Chain) -> None:
        job = fetched.job
        written = self._files.write(
            job.slice_, job.span, chain.follow(fetched.finals), fetched.account, planned=job.planned
        )
        for part in written:
            chain.parts.append(self._finished.add(job.slice_, part))


def gaps_between(slice_: Window, known: Sequence[Part]) -> list[Window]:
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
