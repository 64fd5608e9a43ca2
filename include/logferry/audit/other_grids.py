"""Slices that were published on another grid than the present one: where they lie, and what they cover of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from logferry.records.ledger import Ledger, Published
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window


class OtherGrids:
    """Published slices of other lengths than the present grid's, by the hours that they touch: by single slices one of
    a day would be kept 1,440 times on a grid of minutes.
    """

    def __init__(self, published: Iterable[Published], grid: int) -> None:
        self.windows: list[Window] = []
        self._ticks = grid * max(1, TICK_PER_HOUR // grid)
        self._at: dict[int, list[Published]] = {}
        for one in published:
            ours = one.window.ticks == grid and one.window.on_grid(grid)
            forged = one.window.ticks > TICK_PER_DAY  # No slice is longer.
            if ours or forged:
                continue
            self.windows.append(one.window)
            for hour in range(one.window.start // self._ticks, -(-one.window.end // self._ticks)):
                self._at.setdefault(hour, []).append(one)
        for found in self._at.values():
            found.sort(key=lambda one: one.window)

    def covering(self, slice_: Window) -> tuple[Published, ...]:
        """The slices of other grids that hold every instant of this one; none when some instant is in none."""
        found = [
            one
            for one in self._at.get(slice_.start // self._ticks, ())
            if one.window.start < slice_.end and slice_.start < one.window.end
        ]
        at = slice_.start
        for one in found:
            if one.window.start > at:
                return ()
            at = max(at, one.window.end)
        return tuple(found) if at >= slice_.end else ()


def known_stretches(ledger: Ledger, elsewhere: OtherGrids, grid: int) -> list[tuple[int, int]]:
    """The slices, ascending, of which anything is known, as multiples of the grid since the epoch: stretches, from the
    first to the one after the last, in which the same is known of every slice.

    Of every other slice it is known that nothing was published, and that no run began to.
    """
    own = {
        window.start // grid
        for known in (ledger.slices, ledger.open_intents)
        for window in known
        if window.ticks == grid and window.on_grid(grid)
    }
    known = [(number, number + 1) for number in sorted(own)]
    if not elsewhere.windows:
        return known
    edges: set[int] = set()
    begun: Counter[int] = Counter()
    for window in elsewhere.windows:
        first, end = window.start // grid, -(-window.end // grid)
        # What it covers in part only is another stretch.
        edges.update((first, -(-window.start // grid), window.end // grid, end))
        begun[first] += 1
        begun[end] -= 1
    for first, end in known:
        edges.update((first, end))
        begun[first] += 1
        begun[end] -= 1
    found = []
    under_way = 0
    for first, end in pairwise(sorted(edges)):
        under_way += begun[first]
        if under_way:
            found.append((first, end))
    return found
