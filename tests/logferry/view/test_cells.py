"""The cells of a range that is mostly gaps."""

from __future__ import annotations

from tests.logferry.memory_store import MemoryStore
from tests.logferry.view.made_year import make_year, year_spec
from tests.logferry.view.states import state_of

from logferry.view.cells import cells
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window, format_instant

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
