"""Gathering: a stretch of a slice cut into pieces, and each piece fetched and written as parts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from logferry.fetching.fetch import Account, Fetcher, Final, Restart
from logferry.fetching.pieces import Cutter, Recount, cells_of, finest_bin, too_coarse
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
        for final in finals:
            self.reached = final.before
            yield final

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

    def gather(
        self, slice_: Window, stretch: Window, rows: int | None, bins: Sequence[int] | None, *, to_end: bool
    ) -> list[Part]:
        """The parts of a stretch of the slice, which holds ``rows`` in equal ``bins`` by a count (None: unknown).

        ``to_end``: ask until the source says that there are no more; otherwise the counted number ends a piece.
        """
        if rows is None:
            return self._fetch(slice_, stretch, None, None)
        cells = cells_of(slice_, rows, bins)
        if (
            self._source.answer_rows is not None
            and cells[0].window.ticks > finest_bin(self._source, slice_, slice_.ticks)
            and too_coarse(cells, self._fetcher.size.piece_rows)
        ):
            cells = cells_of(slice_, rows, None)
        cutter = Cutter(stretch, cells, source=self._source, recount=self._recount)
        parts: list[Part] = []
        start = stretch.start
        while start < stretch.end:
            piece = cutter.next(start, self._fetcher.size.piece_rows)
            parts += self._fetch(slice_, piece.window, None if to_end else piece.rows, cutter)
            start = piece.window.end
        return parts

    def _fetch(self, slice_: Window, span: Window, planned: int | None, cutter: Cutter | None) -> list[Part]:
        """The parts of a span. Pages that turn out not to be in order are read again, a part at a time: those that
        came may miss a row that a later page would have brought."""
        parts: list[Part] = []
        start = span.start
        while start < span.end:
            chain = _Chain(start)
            rest = Window(start, span.end)
            try:
                self._write(slice_, rest, chain, planned, cutter, held=False)
            except Restart as restart:
                if chain.reached == start:
                    raise AssertionError("rows were out of order before any had been handed on") from restart
                log.warning("what came before %s is read again, held", format_instant(chain.reached))
                self._finished.forget(rest)
                for stretch in chain.stretches(start):
                    again = _Chain(stretch.start)
                    self._write(slice_, stretch, again, None, cutter, held=True)
                    parts += again.parts
                start, planned = chain.reached, None
            else:
                return parts + chain.parts
        return parts

    def _write(
        self,
        slice_: Window,
        span: Window,
        chain: _Chain,
        planned: int | None,
        cutter: Cutter | None,
        *,
        held: bool,
    ) -> None:
        account = Account()
        finals = self._fetcher.fetch(span, planned=planned, held=held, account=account, cutter=cutter)
        for part in self._files.write(span, chain.follow(finals), account, planned=planned):
            chain.parts.append(self._finished.add(slice_, part))


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
