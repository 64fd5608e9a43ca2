"""Stretches of time, against the set of ticks that they stand for."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from logferry.audit.stretches import Stretches
from logferry.window import Window

windows = st.builds(
    lambda start, length: Window(start, start + length), st.integers(0, 60), st.integers(1, 12)
)


def ticks(found: Window | None) -> set[int]:
    return set() if found is None else set(range(found.start, found.end))


@given(st.lists(windows, max_size=12))
def test_together_they_are_the_windows_and_no_two_touch(given_windows: list[Window]) -> None:
    found = list(Stretches(given_windows))
    assert set().union(*map(ticks, found)) == set().union(*map(ticks, given_windows))
    assert all(one.end < other.start for one, other in pairwise(found))


@given(st.lists(windows, max_size=12), windows)
def test_around_a_tick_is_all_that_is_covered_without_a_break(
    given_windows: list[Window], within: Window
) -> None:
    covered = set().union(*map(ticks, given_windows)) & ticks(within)
    found = ticks(Stretches(given_windows).around(within.start, within))
    assert found == {tick for tick in covered if set(range(within.start, tick)) <= covered}


@given(st.lists(windows, max_size=12), st.integers(0, 15), st.integers(1, 4))
def test_gaps_are_the_whole_cells_that_nothing_touches_in_full_between_two_stretches(
    given_windows: list[Window], cells: int, grid: int
) -> None:
    window = Window(grid * 2, grid * (3 + cells))
    covered = set().union(*map(ticks, given_windows))
    free = {
        start
        for start in range(window.start, window.end, grid)
        if not covered & set(range(start, start + grid))
    }
    found = [
        start
        for gap in Stretches(given_windows).gaps(window, grid)
        for start in range(gap.start, gap.end, grid)
    ]
    assert found == sorted(free)
