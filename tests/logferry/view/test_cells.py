"""The cells of a range that is mostly gaps."""

from __future__ import annotations

from tests.logferry.memory_store import MemoryStore
from tests.logferry.view.made_year import make_year, year_spec
from tests.logferry.view.states import state_of

from logferry.view.cells import MOST_SLICES, cells
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    Window,
    format_instant,
    parse_instant,
)

DAYS = 60


def test_of_very_many_gaps_the_newest_are_listed_and_the_others_counted() -> None:
    spec = year_spec()
    store = MemoryStore()
    make_year(store, spec, slices=DAYS * 24, missing=set(range(0, DAYS * 24, 2)))
    window = Window(spec.start, spec.start + DAYS * TICK_PER_DAY)
    answer = cells(state_of(store, spec), window, now=window.end + TICK_PER_HOUR)
    gaps = answer["gaps"]
    assert (len(gaps), answer["gaps_more"]) == (500, DAYS * 12 - 500)
    assert gaps[-1]["from"] == format_instant(window.end - 2 * TICK_PER_HOUR)
    assert gaps[0]["from"] == format_instant(window.end - 1000 * TICK_PER_HOUR)


def test_a_gap_across_a_page_is_one_gap_and_counts_once() -> None:
    spec = year_spec(slice_="1m", schedule="@hourly")
    store = MemoryStore()
    # Holes all over the second page, more than are listed, and one over the border of the two.
    holes = {*range(MOST_SLICES - 60, MOST_SLICES + 60), *range(MOST_SLICES + 120, MOST_SLICES + 1_920, 3)}
    make_year(store, spec, slices=MOST_SLICES + 1_960, per_window=60, missing=holes, recorded=1)
    window = Window(spec.start, spec.start + (MOST_SLICES + 1_960) * TICK_PER_MINUTE)
    state = state_of(store, spec)
    first = cells(state, window, now=window.end + TICK_PER_HOUR)
    pages = [first]
    while (at := pages[-1]["next"]) is not None:
        pages.append(cells(state, window, now=window.end + TICK_PER_HOUR, page=parse_instant(at)))
    assert [len(one["cells"]) for one in pages] == [MOST_SLICES, 1_960]
    assert sum(len(one.get("gaps", [])) + one.get("gaps_more", 0) for one in pages) == 1 + 600
    assert first["totals"]["cells"]["M"] == 120 + 600
    short = Window(window.start, window.start + (MOST_SLICES + 120) * TICK_PER_MINUTE)
    (gap,) = cells(state, short, now=window.end + TICK_PER_HOUR)["gaps"]
    assert gap["slices"] == 120
