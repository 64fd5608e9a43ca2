"""Windows that cannot be exported are refused before anything is asked."""

from __future__ import annotations

import pytest
from tests.logferry.harbour import START, WINDOW, Harbour

from logferry.errors import DefinitionError
from logferry.window import TICK_PER_HOUR, Window


@pytest.mark.parametrize(("start", "end"), [(1, TICK_PER_HOUR), (0, TICK_PER_HOUR - 1)])
def test_a_window_off_the_grid_is_refused_with_the_neighbour(harbour: Harbour, start: int, end: int) -> None:
    with pytest.raises(
        DefinitionError, match=r"the nearest is \[2026-11-20T00:00:00Z, 2026-11-20T01:00:00Z\)"
    ):
        harbour.carry(Window(START + start, START + end))
    assert harbour.source.counts == 0


def test_a_window_before_the_exports_start_is_refused(harbour: Harbour) -> None:
    before = Window(harbour.spec.start - TICK_PER_HOUR, harbour.spec.start)
    with pytest.raises(DefinitionError, match="begins before 2026-01-01T00:00:00Z"):
        harbour.ferry().plan(before)


def test_a_window_that_has_not_settled_is_refused_with_the_time(harbour: Harbour) -> None:
    harbour.clock.tick = WINDOW.end + 30 * 60 * 10_000_000 - 1
    with pytest.raises(DefinitionError, match="can be exported from 2026-11-20T04:30:00Z"):
        harbour.carry()
    harbour.clock.tick += 1
    assert harbour.carry().status == "proven"
