"""Windows and ticks: exact arithmetic, whatever the numbers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.window import (
    FIRST_INSTANT,
    LAST_INSTANT,
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MICROSECOND,
    TICK_PER_MINUTE,
    TICK_PER_MS,
    TICK_PER_SECOND,
    Window,
    format_compact,
    format_duration,
    format_instant,
    from_datetime,
    parse_duration,
    parse_instant,
    to_datetime,
)

ticks = st.integers(min_value=0, max_value=parse_instant("2200-01-01T00:00:00Z"))
windows = (
    st.tuples(ticks, ticks).filter(lambda ends: ends[0] != ends[1]).map(lambda e: Window(min(e), max(e)))
)
grids = st.sampled_from([TICK_PER_MINUTE, TICK_PER_HOUR, TICK_PER_DAY])


@given(ticks)
def test_an_instant_survives_being_written_and_read_to_the_last_tick(tick: int) -> None:
    assert parse_instant(format_instant(tick)) == tick


@given(ticks, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_the_same_instant_reads_the_same_at_every_offset(tick: int, minutes: int) -> None:
    local = format_instant(tick + minutes * TICK_PER_MINUTE).removesuffix("Z")
    sign = "-" if minutes < 0 else "+"
    hours, rest = divmod(abs(minutes), 60)
    assert parse_instant(f"{local}{sign}{hours:02d}:{rest:02d}") == tick


@given(st.integers(0, 4_000_000_000), st.sampled_from("smhd"))
def test_a_duration_survives_being_written_and_read(count: int, unit: str) -> None:
    duration = parse_duration(f"{count % 100_000}{unit}")
    assert parse_duration(format_duration(duration)) == duration


def test_a_zero_duration_is_written_in_minutes() -> None:
    assert format_duration(0) == "0m"


def test_a_part_of_a_second_is_no_duration() -> None:
    with pytest.raises(ValueError, match="whole number of seconds"):
        format_duration(TICK_PER_SECOND + 1)


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2199, 12, 31)))
def test_a_datetime_survives_the_way_through_ticks(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    assert to_datetime(from_datetime(aware)) == aware


@given(ticks)
def test_a_datetime_is_at_or_just_before_its_tick(tick: int) -> None:
    assert 0 <= tick - from_datetime(to_datetime(tick)) < TICK_PER_MICROSECOND


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(ValueError, match="has no zone"):
        from_datetime(datetime(2026, 1, 1))


def test_an_aware_datetime_of_another_zone_is_the_same_tick() -> None:
    from datetime import timezone

    paris = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    assert from_datetime(paris) == parse_instant("2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "text",
    ["2026-01-01", "2026-01-01T00:00:00", "now", "now-1h", "1767225600000", "", "2026-02-30T00:00:00Z",
     "2026-01-01T24:00:00Z", "2026-01-01T00:00:00+25:00", "2026-01-01T00:00:00.12345678Z", "26-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_time_that_is_not_absolute_and_zoned_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an absolute time|not a date that exists|beyond a day"):
        parse_instant(text)


@pytest.mark.parametrize(
    "text",
    ["0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00.9999999+00:01", "9999-12-31T23:59:59-01:00",
     "9999-12-31T23:59:59.9999999-00:01"],
)  # fmt: skip
def test_an_instant_beyond_the_years_of_the_calendar_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="not within the years 1 to 9999 of UTC; correct the year"):
        parse_instant(text)


def test_the_first_and_the_last_instant_are_the_edges_of_the_calendar() -> None:
    assert parse_instant("0001-01-01T01:00:00+01:00") == FIRST_INSTANT
    assert parse_instant("9999-12-31T23:59:59.9999999Z") == LAST_INSTANT
    assert format_instant(FIRST_INSTANT) == "0001-01-01T00:00:00Z"
    assert format_instant(LAST_INSTANT) == "9999-12-31T23:59:59.9999999Z"
    assert format_compact(FIRST_INSTANT) == "00010101T000000Z"
    assert to_datetime(LAST_INSTANT) == datetime.max.replace(tzinfo=UTC)


@given(
    st.datetimes(), st.integers(0, 9_999_999), st.sampled_from("+-"), st.integers(0, 99), st.integers(0, 99)
)
def test_whatever_the_offset_a_time_is_read_or_refused(
    local: datetime, fraction: int, sign: str, hours: int, minutes: int
) -> None:
    text = f"{local.replace(microsecond=0).isoformat()}.{fraction:07d}{sign}{hours:02d}:{minutes:02d}"
    try:
        tick = parse_instant(text)
    except ValueError:
        return
    assert parse_instant(format_instant(tick)) == tick


@pytest.mark.parametrize("tick", [FIRST_INSTANT - 1, LAST_INSTANT + 1, -(10**30), 10**30])
@pytest.mark.parametrize("write", [to_datetime, format_instant, lambda tick: str(Window(tick, tick + 1))])
def test_a_tick_beyond_the_calendar_cannot_be_written(write: Callable[[int], object], tick: int) -> None:
    with pytest.raises(ValueError, match="not within the years 1 to 9999; correct the time"):
        write(tick)


def test_a_reversed_window_beyond_the_calendar_is_still_a_value_error() -> None:
    with pytest.raises(ValueError, match="not within the years 1 to 9999"):
        Window(LAST_INSTANT + 2, LAST_INSTANT + 1)


@pytest.mark.parametrize("text", ["", "30", "m", "1.5h", "-1h", "2w", "1 h", "٣m", "1H"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("tick", "text"),
    [(0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.0000001Z"), (TICK_PER_MS, "1970-01-01T00:00:00.001Z"),
     (TICK_PER_MICROSECOND, "1970-01-01T00:00:00.000001Z")],
)  # fmt: skip
def test_an_instant_is_written_with_as_many_decimals_as_it_needs(tick: int, text: str) -> None:
    assert format_instant(tick) == text


def test_object_keys_take_whole_seconds_only() -> None:
    assert format_compact(parse_instant("2026-11-20T03:00:00Z")) == "20261120T030000Z"
    with pytest.raises(ValueError, match="not a whole second"):
        format_compact(1)


@given(windows, st.integers(1, 40), st.sampled_from([1, TICK_PER_MS, TICK_PER_HOUR]))
def test_pieces_tile_the_window_exactly_with_edges_on_the_tick(window: Window, count: int, tick: int) -> None:
    pieces = window.pieces(count, tick)
    assert (pieces[0].start, pieces[-1].end) == (window.start, window.end)
    assert all(a.end == b.start for a, b in pairwise(pieces))
    assert len(pieces) <= count
    assert all(piece.start % tick == 0 for piece in pieces[1:])


@given(st.integers(0, 10_000), st.integers(1, 200), grids)
def test_slices_tile_the_window_on_the_grid(first: int, count: int, grid: int) -> None:
    window = Window(first * grid, (first + count) * grid)
    slices = list(window.slices(grid))
    assert len(slices) == count
    assert slices[0].start == window.start
    assert slices[-1].end == window.end
    assert all(a.end == b.start for a, b in pairwise(slices))
    assert all(piece.ticks == grid and piece.on_grid(grid) and window.covers(piece) for piece in slices)


def test_a_window_off_the_grid_has_no_slices() -> None:
    with pytest.raises(ValueError, match="does not lie on the grid of 1h"):
        list(Window(1, TICK_PER_HOUR).slices(TICK_PER_HOUR))


@given(windows)
def test_a_window_holds_its_start_and_not_its_end(window: Window) -> None:
    assert window.start in window
    assert window.end not in window
    assert window.start - 1 not in window


@pytest.mark.parametrize(("end", "what"), [(5, "empty"), (4, "reversed")])
def test_an_empty_or_reversed_window_cannot_be_made(end: int, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Window(5, end)
