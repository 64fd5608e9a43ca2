"""Slices merged into the longest contiguous stretches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from logferry.window import Window


class Stretches:
    """The time that some windows cover; they may touch and overlap, in any order. Iterates over the stretches."""

    def __init__(self, slices: Iterable[Window]) -> None:
        self._stretches: list[Window] = []
        for slice_ in sorted(slices):
            if self._stretches and slice_.start <= self._stretches[-1].end:
                last = self._stretches.pop()
                slice_ = Window(last.start, max(last.end, slice_.end))
            self._stretches.append(slice_)
        self._starts = [stretch.start for stretch in self._stretches]

    def __iter__(self) -> Iterator[Window]:
        return iter(self._stretches)

    def around(self, tick: int, within: Window) -> Window | None:
        """The part of the stretch that holds ``tick`` which lies within the window."""
        at = bisect_right(self._starts, tick) - 1
        if at < 0 or tick not in self._stretches[at]:
            return None
        stretch = self._stretches[at]
        return Window(max(stretch.start, within.start), min(stretch.end, within.end))

    def gaps(self, window: Window, grid: int) -> Iterator[Window]:
        """The parts of the window that no stretch touches, in whole steps of ``grid``."""
        edges = [window.start]
        for stretch in self._stretches[max(bisect_right(self._starts, window.start) - 1, 0) :]:
            if stretch.start >= window.end:
                break
            if stretch.end > window.start:
                edges += [stretch.start, stretch.end]
        edges.append(window.end)
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            first, last = -(-start // grid) * grid, end // grid * grid
            if first < last:
                yield Window(first, last)
