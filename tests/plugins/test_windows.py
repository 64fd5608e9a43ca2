"""One rule decides the window of a run, and every wrong window is one sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from hypothesis import given
from hypothesis import strategies as st

from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_SECOND,
    Window,
    format_instant,
    parse_instant,
    to_datetime,
)
from logferry_airflow.windows import run_switch, run_window

pytestmark = pytest.mark.airflow

DAY = {
    "data_interval_start": datetime(2026, 11, 20, tzinfo=UTC),
    "data_interval_end": datetime(2026, 11, 21, tzinfo=UTC),
}
MORNING = {"from": "2026-11-20T06:00:00Z", "to": "2026-11-20T12:00:00Z"}


def window(context: dict[str, Any], start: Any = None, end: Any = None, grid: int = TICK_PER_HOUR) -> Window:
    return run_window(context, start=start, end=end, grid=grid)


def refusal(context: dict[str, Any], start: Any = None, end: Any = None, grid: int = TICK_PER_HOUR) -> str:
    with pytest.raises(AirflowFailException) as caught:
        window(context, start, end, grid)
    return str(caught.value)


def test_a_scheduled_run_is_about_its_data_interval() -> None:
    assert str(window(DAY)) == "[2026-11-20T00:00:00Z, 2026-11-21T00:00:00Z)"


def test_the_params_from_and_to_beat_the_data_interval() -> None:
    assert str(window({**DAY, "params": MORNING})) == "[2026-11-20T06:00:00Z, 2026-11-20T12:00:00Z)"


def test_an_operators_own_bounds_beat_the_params() -> None:
    given_bounds = window({**DAY, "params": MORNING}, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z")
    assert str(given_bounds) == "[2026-11-01T00:00:00Z, 2026-11-02T00:00:00Z)"


@pytest.mark.parametrize("empty", [None, "", "  ", "None"])
def test_params_left_empty_in_the_form_count_as_absent(empty: str | None) -> None:
    assert window({**DAY, "params": {"from": empty, "to": empty}}) == window(DAY)


def test_a_template_of_the_data_interval_is_read_as_rendered() -> None:
    assert window({}, "2026-11-20 00:00:00+00:00", "2026-11-21 00:00:00+00:00") == window(DAY)


def test_bounds_with_an_offset_are_the_same_instants() -> None:
    east = timezone(timedelta(hours=1))
    shifted = {key: moment.astimezone(east) for key, moment in DAY.items()}
    assert window(shifted) == window(DAY)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"from": MORNING["from"]}, "params from is set but params to is not"),
        ({"to": MORNING["to"]}, "params to is set but params from is not"),
    ],
)
def test_half_a_pair_never_falls_back_to_the_data_interval(params: dict[str, str], sentence: str) -> None:
    assert sentence in refusal({**DAY, "params": params})


def test_a_run_without_any_window_says_how_to_give_one() -> None:
    text = refusal({"params": {"from": None, "to": None}})
    assert "no data interval" in text
    assert '"from"' in text


def test_an_empty_data_interval_names_the_timetable_that_helps() -> None:
    same = dict.fromkeys(DAY, DAY["data_interval_start"])
    assert "CronDataIntervalTimetable" in refusal(same)


@pytest.mark.parametrize(
    "naive", ["2026-11-20T00:00:00", "2026-11-20", "yesterday", "now-1d", "1763596800000"]
)
def test_a_time_without_a_zone_or_a_relative_one_is_refused(naive: str) -> None:
    text = refusal({**DAY, "params": {"from": naive, "to": MORNING["to"]}})
    assert text.startswith("params from: ")
    assert naive in text


def test_a_naive_datetime_is_refused() -> None:
    assert "no zone" in refusal({}, datetime(2026, 11, 20), datetime(2026, 11, 21))


def test_a_reversed_window_is_refused() -> None:
    assert "reversed" in refusal({**DAY, "params": {"from": MORNING["to"], "to": MORNING["from"]}})


def test_an_off_grid_bound_names_its_neighbours() -> None:
    text = refusal({"params": {**MORNING, "to": "2026-11-20T12:20:00Z"}})
    assert "2026-11-20T12:00:00Z" in text
    assert "2026-11-20T13:00:00Z" in text


@pytest.mark.parametrize(
    "wrong", ["1969-12-31T23:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z"]
)
@pytest.mark.parametrize("end", ["from", "to"])
def test_a_time_outside_1970_to_2199_is_one_sentence(wrong: str, end: str) -> None:
    text = refusal({"params": {**MORNING, end: wrong}})
    assert text == f"params {end}: {wrong} is not between 1970 and 2200; correct the year"
    argument = {"start": MORNING["from"], "end": MORNING["to"], {"from": "start", "to": "end"}[end]: wrong}
    assert "is not between 1970 and 2200" in refusal({}, argument["start"], argument["end"])


@pytest.mark.parametrize(
    "wrong", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00Z"]
)
def test_a_time_beyond_the_calendar_is_one_sentence(wrong: str) -> None:
    assert refusal({"params": {**MORNING, "from": wrong}}).startswith("params from: ")


LATEST_TICK = parse_instant("2026-11-20T12:20:00Z")


def test_a_window_given_by_hand_that_ends_too_late_names_the_latest_end() -> None:
    late = {**MORNING, "to": "2062-11-20T12:00:00Z"}
    with pytest.raises(AirflowFailException) as caught:
        run_window({"params": late}, start=None, end=None, grid=TICK_PER_HOUR, latest=LATEST_TICK)
    assert str(caught.value) == (
        "params to: 2062-11-20T12:00:00Z lies too far in the future to be waited for; the latest params to now is "
        "2026-11-20T12:00:00Z"
    )
    with pytest.raises(AirflowFailException, match=r"^end: .*the latest end now is 2026-11-20T12:00:00Z"):
        run_window({}, start=late["from"], end=late["to"], grid=TICK_PER_HOUR, latest=LATEST_TICK)
    named = run_window({"params": MORNING}, start=None, end=None, grid=TICK_PER_HOUR, latest=LATEST_TICK)
    assert format_instant(named.end) == "2026-11-20T12:00:00Z"


def test_a_data_interval_is_never_too_late() -> None:
    assert run_window(DAY, start=None, end=None, grid=TICK_PER_HOUR, latest=LATEST_TICK) == window(DAY)


seconds = st.integers(0, 4_000_000_000)


@given(start=seconds, length=st.integers(-100_000, 100_000), grid=st.sampled_from([60, 3600, 86_400]))
def test_a_window_is_accepted_exactly_as_asked_or_not_at_all(start: int, length: int, grid: int) -> None:
    ticks = [moment * TICK_PER_SECOND for moment in (start, start + length)]
    if ticks[1] < 0:
        return
    texts = [format_instant(tick) for tick in ticks]
    valid = length > 0 and start % grid == 0 and length % grid == 0
    if valid:
        assert window({}, texts[0], texts[1], grid * TICK_PER_SECOND) == Window(*ticks)
    else:
        assert refusal({}, texts[0], texts[1], grid * TICK_PER_SECOND)


@given(day=st.integers(0, 40_000))
def test_a_datetime_and_its_text_mean_the_same_window(day: int) -> None:
    start, end = day * TICK_PER_DAY, (day + 1) * TICK_PER_DAY
    as_datetimes = {"data_interval_start": to_datetime(start), "data_interval_end": to_datetime(end)}
    as_texts = window({}, format_instant(start), format_instant(end))
    assert window(as_datetimes) == as_texts
    assert parse_instant(format_instant(start)) == as_texts.start


@pytest.mark.parametrize(
    ("own", "params", "on"),
    [
        (None, {}, False),
        (None, None, False),
        (None, {"only_moved": None}, False),
        (None, {"only_moved": False}, False),
        (None, {"only_moved": True}, True),
        (False, {"only_moved": True}, False),
        (True, {"only_moved": False}, True),
    ],
)
def test_a_switch_is_the_operators_own_then_the_runs_then_off(
    own: bool | None, params: dict[str, Any] | None, on: bool
) -> None:
    assert run_switch({"params": params}, "only_moved", own) is on


@pytest.mark.parametrize("value", ["false", "yes", 1, 0, ["x"]])
def test_a_switch_is_never_guessed_from_text_or_numbers(value: object) -> None:
    with pytest.raises(AirflowFailException, match="write true or false"):
        run_switch({"params": {"allow_shrink": value}}, "allow_shrink", None)
