"""The schedule's boundaries: where windows begin and end."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from logferry.schedule import PRESETS, Schedule, largest_slice
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    Window,
    format_instant,
    from_datetime,
    parse_instant,
    to_datetime,
)

NEW_YEAR = parse_instant("2026-01-01T00:00:00Z")

minutes = st.integers(0, 59)
crons = st.one_of(
    st.sampled_from(list(PRESETS)),
    st.builds("{} {} * * *".format, minutes, st.integers(0, 23)),
    st.builds("*/{} * * * *".format, st.sampled_from([5, 7, 15, 20])),
    st.builds(
        "{} */{} * * {}".format, minutes, st.integers(1, 12), st.sampled_from(["*", "MON", "1-5", "0,6"])
    ),
    st.builds("0 0 {} * *".format, st.integers(1, 28)),
)


def minutes_from(start: int, length: int) -> Window:
    first = NEW_YEAR + start * TICK_PER_MINUTE
    return Window(first, first + length * TICK_PER_MINUTE)


ranges = st.builds(minutes_from, st.integers(0, 525_600), st.integers(1, 20_000))


@pytest.mark.parametrize(
    ("expression", "after"),
    [
        ("@hourly", "2026-01-01T01:00:00Z"),
        ("@daily", "2026-01-02T00:00:00Z"),
        ("@weekly", "2026-01-04T00:00:00Z"),
        ("@monthly", "2026-02-01T00:00:00Z"),
        ("@yearly", "2027-01-01T00:00:00Z"),
        ("30 3 * * *", "2026-01-01T03:30:00Z"),
        ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
        ("0 6 * * MON", "2026-01-05T06:00:00Z"),
        ("0 0 L * *", "2026-01-31T00:00:00Z"),
    ],
)
def test_the_next_boundary_after_new_year(expression: str, after: str) -> None:
    assert format_instant(Schedule(expression).next_after(NEW_YEAR)) == after


def test_day_and_weekday_together_mean_either_as_in_cron() -> None:
    week = Window(NEW_YEAR, NEW_YEAR + 7 * TICK_PER_DAY)
    days = [format_instant(tick)[:10] for tick in Schedule("0 3 2 * MON").boundaries(week)]
    assert days == ["2026-01-02", "2026-01-05"]


@settings(max_examples=60, deadline=None)
@given(crons, ranges)
def test_pieces_tile_the_range_and_are_cut_at_boundaries_only(expression: str, window: Window) -> None:
    schedule = Schedule(expression)
    pieces = schedule.cut(window)
    assert (pieces[0].start, pieces[-1].end) == (window.start, window.end)
    assert all(a.end == b.start for a, b in pairwise(pieces))
    boundaries = set(schedule.boundaries(window))
    assert {piece.start for piece in pieces[1:]} == boundaries - {window.start}


@settings(max_examples=60, deadline=None)
@given(crons, ranges)
def test_stepping_with_next_after_meets_the_same_boundaries(expression: str, window: Window) -> None:
    schedule = Schedule(expression)
    boundaries = schedule.boundaries(window)[:20]
    tick, stepped = window.start - 1, []
    for _ in boundaries:
        tick = schedule.next_after(tick)
        stepped.append(tick)
    assert stepped == boundaries


@settings(max_examples=60, deadline=None)
@given(crons, st.integers(0, 525_600), st.integers(0, TICK_PER_MINUTE - 1))
def test_previous_and_next_boundary_enclose_every_tick(expression: str, minute: int, rest: int) -> None:
    schedule = Schedule(expression)
    tick = NEW_YEAR + minute * TICK_PER_MINUTE + rest
    before, after = schedule.previous_at_or_before(tick), schedule.next_after(tick)
    assert before <= tick < after
    assert schedule.boundaries(Window(before, after)) == [before]


@settings(max_examples=60, deadline=None)
@given(crons, st.integers(1, 1440))
def test_the_slice_that_fits_divides_every_boundary_and_no_longer_one_does(cron: str, asked: int) -> None:
    schedule = Schedule(cron)
    grid = schedule.grid(NEW_YEAR)
    fits = largest_slice(grid, asked * TICK_PER_MINUTE)
    boundaries = schedule.boundaries(Window(NEW_YEAR, NEW_YEAR + 60 * TICK_PER_DAY))
    assert all(tick % fits == 0 for tick in boundaries)
    assert TICK_PER_MINUTE <= fits <= asked * TICK_PER_MINUTE
    longer = range(fits + TICK_PER_MINUTE, asked * TICK_PER_MINUTE + 1, TICK_PER_MINUTE)
    assert all(grid % slice_ for slice_ in longer)


@given(
    minute=st.sampled_from(["*", "0", "7", "07", "59"]),
    hour=st.sampled_from(["*", "0", "00", "3", "23"]),
    since=st.integers(0, 525_600),
)
def test_a_plain_time_of_every_day_fires_when_croniter_says_so(minute: str, hour: str, since: int) -> None:
    tick = NEW_YEAR + since * TICK_PER_MINUTE
    schedule = Schedule(f"{minute} {hour} * * *")
    iterator = croniter(schedule.expression, to_datetime(tick))
    later = [from_datetime(iterator.get_next(datetime)) for _ in range(3)]
    before = from_datetime(croniter(schedule.expression, to_datetime(tick)).get_prev(datetime))
    assert schedule.boundaries(Window(tick + 1, later[-1] + 1)) == later
    assert schedule.previous_at_or_before(tick - 1) == before


@pytest.mark.parametrize("expression", ["60 * * * *", "0 24 * * *", "99 * * * *"])
def test_a_time_that_no_day_has_is_refused_as_croniter_words_it(expression: str) -> None:
    with pytest.raises(ValueError, match=r"is not a schedule that fires \(.*out of range"):
        Schedule(expression)


def test_a_yearly_grid_meets_a_leap_year() -> None:
    assert TICK_PER_DAY % (Schedule("@yearly").grid(NEW_YEAR) % (5 * TICK_PER_HOUR)) == 0
    assert Schedule("@yearly").grid(NEW_YEAR) == TICK_PER_DAY


@pytest.mark.parametrize(
    "expression",
    ["", "@never", "@reboot", "* * * *", "* * * * * *", "61 * * * *", "0 0 * * 9", "0 0 30 2 *", "R * * * *",
     "H 0 * * *", "0 0 1 FOO *", "a b c d e", "-1 * * * *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_with_the_forms_there_are(expression: str) -> None:
    with pytest.raises(ValueError, match=r"@hourly, @daily, @weekly, @monthly, @yearly$"):
        Schedule(expression)
