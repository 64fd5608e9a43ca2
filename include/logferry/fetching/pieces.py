"""Where a slice is cut: into pieces of equal work, at the edges of the bins that were counted.

A ``Cell`` is a counted part of a slice. Pieces are chosen one at a time, because every answer teaches how many rows
the next one may hold; a cell too dense for one piece is counted again by finer bins where the source can do that,
else taken to be even.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from logferry.fetching.portions import equal_portion, short_chains, thrifty_portion
from logferry.sources.base import BINS, LogSource
from logferry.window import Window

_COARSE = 8
"""Cells larger than this part of a piece waste too much of it; slices of more pieces than this are worth a count."""

Recount = Callable[[Window, int], Mapping[int, int] | None]
"""``recount(window, bin)``: rows by bin start; None when the source cannot count (any more)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a slice and its rows, as they were ``counted`` for this window or reckoned from a count of that
    one; None: taken to be spread evenly."""

    window: Window
    rows: int
    counted: Window | None

    @property
    def exact(self) -> bool:
        return self.counted == self.window


@dataclass(frozen=True, slots=True)
class Piece:
    """What is fetched as one: ``rows`` when they are known exactly, else None."""

    window: Window
    rows: int | None


def finest_bin(source: LogSource, window: Window, grid: int) -> int:
    """The shortest bin, a divisor of ``grid``, of which one count request carries the window; else ``grid``."""
    if source.most_bins < 2:
        return grid
    return next(
        (bin_ for bin_ in BINS if grid % bin_ == 0 and window.ticks // bin_ <= source.most_bins), grid
    )


def _fine_bin(source: LogSource, counted: Window) -> int | None:
    """The shortest bin by which one count request carries a counted cell; None when there is none shorter than it.

    Within a second, where the source's times are as fine as a tick, that is any whole number of ticks that divides
    the cell: 0.25 ms within a second, then single ticks.
    """
    bin_ = finest_bin(source, counted, counted.ticks)
    if bin_ == counted.ticks and source.tick == 1 and source.most_bins > 1:
        bins = next(bins for bins in range(source.most_bins, 0, -1) if counted.ticks % bins == 0)
        bin_ = counted.ticks // bins
    return bin_ if bin_ < counted.ticks and counted.start % bin_ == 0 else None


def coarsened(bins: Sequence[int], most: int) -> list[int]:
    """As few equal bins as still let a slice be cut well: none fuller than a tenth of ``most`` where possible."""
    for size in range(len(bins), 1, -1):
        if len(bins) % size == 0:
            coarse = [sum(bins[at : at + size]) for at in range(0, len(bins), size)]
            if max(coarse) * 10 <= most:
                return coarse
    return list(bins)


def merged(bins: Sequence[int], most: int) -> list[int]:
    """The bins as at most ``most`` equal ones."""
    size = next(
        size for size in range(1, len(bins) + 1) if len(bins) % size == 0 and len(bins) // size <= most
    )
    return [sum(bins[at : at + size]) for at in range(0, len(bins), size)]


def cells_of(slice_: Window, rows: int, bins: Sequence[int] | None) -> list[Cell]:
    """The slice as cells: its equal ``bins``, or itself."""
    if not bins:
        return [Cell(slice_, rows, slice_)]
    step = slice_.ticks // len(bins)
    edges = range(slice_.start, slice_.end, step)
    return [_counted(start, start + step, count) for start, count in zip(edges, bins, strict=True)]


def too_coarse(cells: Sequence[Cell], most: int) -> bool:
    """Whether a count of finer bins would save more answers of ``most`` rows than the request it costs."""
    return (
        max(cell.rows for cell in cells) * _COARSE > most
        and sum(cell.rows for cell in cells) > _COARSE * most
    )


def finer_cells(
    slice_: Window, cells: Sequence[Cell], *, source: LogSource, recount: Recount
) -> Sequence[Cell]:
    """The slice as the shortest bins of one count of its own; its ``cells`` where they are as short already, or where
    it cannot be counted."""
    bin_ = finest_bin(source, slice_, slice_.ticks)
    counts = recount(slice_, bin_) if bin_ < cells[0].window.ticks else None
    if counts is None:
        return cells
    return _bins(slice_, bin_, counts)


class Cutter:
    """Cuts one stretch of a slice. Whatever is asked, the windows given tile the stretch exactly.

    Safe for use by several threads; the others wait while one has a cell counted.
    """

    def __init__(
        self, stretch: Window, cells: Sequence[Cell], *, source: LogSource, recount: Recount
    ) -> None:
        self._cells = _within(cells, stretch)
        self._source = source
        self._recount = recount
        self._lock = threading.Lock()

    def next(self, start: int, most: int, least: int | None = None) -> Piece:
        """The piece that begins at ``start``, of at most ``most`` rows where that can be known.

        Pieces are few and of equal work; with ``least`` as small as that many rows where it costs no more pages.
        """
        with self._lock:
            return self._next(start, most, least)

    def _next(self, start: int, most: int, least: int | None) -> Piece:
        at = self._at(start)
        # With a cursor, a piece of any size is fetched page by page; only a whole answer must fit.
        while self._source.answer_rows is not None and self._refined(at, most):
            pass
        ahead = self._cells[at:]
        rows_ahead = [cell.rows for cell in ahead]
        if least is None:
            chosen = ahead[: equal_portion(rows_ahead, most)]
        else:
            chosen = ahead[: thrifty_portion(rows_ahead, least, most, self._source.page_rows)]
        exact = all(cell.exact for cell in chosen)
        rows = sum(cell.rows for cell in chosen)
        return Piece(Window(start, chosen[-1].window.end), rows if exact else None)

    def chains(self, piece: Piece) -> list[Piece]:
        """The piece in parts that can be fetched at the same time for hardly more pages; itself where its rows are not
        known so exactly."""
        if piece.rows is None:
            return [piece]
        with self._lock:
            inside = _within(self._cells, piece.window)
        if not all(cell.exact for cell in inside):
            return [piece]
        found = []
        at = 0
        for cells in short_chains([cell.rows for cell in inside], self._source.page_rows):
            chosen = inside[at : at + cells]
            at += cells
            window = Window(chosen[0].window.start, chosen[-1].window.end)
            found.append(Piece(window, sum(cell.rows for cell in chosen)))
        return found

    def fitting(self, span: Window, most: int) -> Window:
        """The beginning of ``span`` that is of at most ``most`` rows, or all of it. Nothing is counted for that."""
        with self._lock:
            inside = _within(self._cells, span)
        if sum(cell.rows for cell in inside) <= most or len(inside) < 2:
            return span
        chosen = inside[: equal_portion([cell.rows for cell in inside], most)]
        return Window(span.start, chosen[-1].window.end)

    def rows(self, span: Window) -> int:
        """The rows of ``span``, as far as is known."""
        with self._lock:
            return sum(cell.rows for cell in _within(self._cells, span))

    def halves(self, span: Window) -> list[Window]:
        """The span cut at its middle row, as near as is known; as itself when it is one tick.

        A tick that holds most of the rows is cut out, which can make three of it.
        """
        with self._lock:
            return self._halves(span)

    def _halves(self, span: Window) -> list[Window]:
        while True:
            inside = _within(self._cells, span)
            rows = sum(cell.rows for cell in inside)
            before = 0
            for cell in inside:
                if 2 * (before + cell.rows) >= rows > 0:
                    break
                before += cell.rows
            else:
                return span.pieces(2, self._source.tick)
            edge = _edge_near_half(cell, before, rows, span)
            if edge is not None:
                return [Window(span.start, edge), Window(edge, span.end)]
            if cell not in self._cells or not self._finer(self._cells.index(cell)):
                break
        # The middle row lies in a cell that holds most rows and of which no more is known.
        edges = sorted({span.start, cell.window.start, cell.window.end, span.end})
        if cell.window.ticks <= self._source.tick and len(edges) > 2:
            return [Window(start, end) for start, end in pairwise(edges)]
        middle = (cell.window.start + cell.window.ticks // 2) // self._source.tick * self._source.tick
        if span.start < middle < span.end:
            return [Window(span.start, middle), Window(middle, span.end)]
        return span.pieces(2, self._source.tick)

    def _at(self, start: int) -> int:
        at = bisect_left(self._cells, start, key=lambda cell: cell.window.start)
        if at == len(self._cells) or self._cells[at].window.start != start:
            raise AssertionError("pieces are asked for in order, each where the one before ended")
        return at

    def _refined(self, start: int, most: int) -> bool:
        """Whether a cell that was too dense could be cut; each is tried until it is one tick."""
        dense = (at for at in range(start, len(self._cells)) if self._cells[at].rows > most)
        return any(self._finer(at) or self._even(at, most) for at in dense)

    def _finer(self, at: int) -> bool:
        """Put the bins of a count of its own in the cell's place."""
        cell = self._cells[at]
        if cell.counted is None:
            return False
        bin_ = _fine_bin(self._source, cell.counted)
        if bin_ is None:
            return False
        counts = self._recount(cell.counted, bin_)
        if counts is None:
            return False
        finer = _bins(cell.counted, bin_, counts)
        self._cells[at : at + 1] = _within(finer, cell.window)
        return True

    def _even(self, at: int, most: int) -> bool:
        cell = self._cells[at]
        parts = cell.window.pieces(-(-cell.rows // most), self._source.tick)
        if len(parts) < 2:
            return False
        share = min(most, -(-cell.rows // len(parts)))
        self._cells[at : at + 1] = [Cell(part, share, None) for part in parts]
        return True


def _edge_near_half(cell: Cell, before: int, rows: int, span: Window) -> int | None:
    """The edge of the middle row's cell that leaves at least a quarter of the rows on both sides."""
    sides = [(before, cell.window.start), (before + cell.rows, cell.window.end)]
    fair = [
        (abs(2 * left - rows), edge)
        for left, edge in sides
        if rows <= 4 * left <= 3 * rows and span.start < edge < span.end
    ]
    return min(fair)[1] if fair else None


def _bins(counted: Window, bin_: int, counts: Mapping[int, int]) -> list[Cell]:
    starts = range(counted.start, counted.end, bin_)
    return [_counted(start, start + bin_, counts.get(start, 0)) for start in starts]


def _counted(start: int, end: int, rows: int) -> Cell:
    window = Window(start, end)
    return Cell(window, rows, window)


def _within(cells: Iterable[Cell], stretch: Window) -> list[Cell]:
    return [clipped for cell in cells if (clipped := _clipped(cell, stretch)) is not None]


def _clipped(cell: Cell, stretch: Window) -> Cell | None:
    start, end = max(cell.window.start, stretch.start), min(cell.window.end, stretch.end)
    if start >= end:
        return None
    if cell.window.start == start and cell.window.end == end:
        return cell
    return Cell(Window(start, end), -(-cell.rows * (end - start) // cell.window.ticks), cell.counted)
