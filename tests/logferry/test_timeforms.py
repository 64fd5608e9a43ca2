"""Every form of time an ad-hoc search takes, resolved against a present that stands still."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.errors import DefinitionError
from logferry.timeforms import TimeForms, zone_of
from logferry.window import TICK_PER_SECOND, format_instant, parse_duration, parse_instant

NOW = parse_instant("2026-11-20T12:00:00Z")
FORMS = TimeForms(NOW)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2020-10-07T00:00:00+00:00", "2020-10-07T00:00:00Z"),
        ("2020-10-07T00:15:00Z", "2020-10-07T00:15:00Z"),
        ("2020-10-07T02:00:00+02:00", "2020-10-07T00:00:00Z"),
        ("2020-10-06T19:00:00-0500", "2020-10-07T00:00:00Z"),
        ("2020-10-07T00:02:33.461Z", "2020-10-07T00:02:33.461Z"),
        ("1602028800000", "2020-10-07T00:00:00Z"),
        ("1602028800123", "2020-10-07T00:00:00.123Z"),
        ("now", "2026-11-20T12:00:00Z"),
        ("now-1h", "2026-11-20T11:00:00Z"),
        ("now+30m", "2026-11-20T12:30:00Z"),
        ("+1h", "2026-11-20T13:00:00Z"),
        ("-2d", "2026-11-18T12:00:00Z"),
        ("-90s", "2026-11-20T11:58:30Z"),
        ("now-1d+2h", "2026-11-19T14:00:00Z"),
        (" now ", "2026-11-20T12:00:00Z"),
    ],
)
def test_each_form_of_the_guide_is_resolved(text: str, instant: str) -> None:
    assert format_instant(FORMS.resolve(text)) == instant


@pytest.mark.parametrize(
    ("zone", "offset_s", "instant"),
    [
        ("Europe/Paris", None, "2026-06-30T22:00:00Z"),
        ("UTC+3", None, "2026-06-30T21:00:00Z"),
        ("UTC-03:30", None, "2026-07-01T03:30:00Z"),
        ("+05:30", None, "2026-06-30T18:30:00Z"),
        ("UTC", None, "2026-07-01T00:00:00Z"),
        (None, 3600, "2026-06-30T23:00:00Z"),
        ("Europe/Paris", -1000, "2026-07-01T00:16:40Z"),
    ],
)
def test_a_time_without_a_zone_gets_the_one_given_and_an_offset_beats_a_region(
    zone: str | None, offset_s: int | None, instant: str
) -> None:
    forms = TimeForms(NOW, zone_of(zone, offset_s))
    assert format_instant(forms.resolve("2026-07-01T00:00:00")) == instant
    assert format_instant(forms.resolve("2026-07-01")) == instant


def test_a_zone_does_not_move_a_time_that_has_its_own() -> None:
    forms = TimeForms(NOW, zone_of("Europe/Paris", None))
    assert forms.resolve("2026-07-01T00:00:00Z") == parse_instant("2026-07-01T00:00:00Z")
    assert forms.resolve("now") == NOW


@pytest.mark.parametrize(
    ("text", "reason"),
    [("2026-03-29T02:30:00", "does not exist in Europe/Paris"), ("2026-10-25T02:30:00", "occurs twice")],
)
def test_a_local_time_that_the_clock_change_makes_doubtful_is_refused(text: str, reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason):
        TimeForms(NOW, zone_of("Europe/Paris", None)).resolve(text)


def test_a_time_without_a_zone_is_refused_when_none_is_given() -> None:
    with pytest.raises(DefinitionError, match=r"has no zone; add Z .* --timezone or --time-offset"):
        FORMS.resolve("2026-11-20T00:00:00")


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "now-1w", "1h", "now - 1h", "2026-13-01T00:00:00Z", "2026-11-20T25:00:00Z", "1.5"],
)
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"now-1h, \+1h or -2d"):
        FORMS.resolve(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_beyond_the_calendar_is_refused_too(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"not within the years 1 to 9999 of UTC; write 2026"):
        FORMS.resolve(text)


@pytest.mark.parametrize("text", ["-99999d", "-1", "now+999999999d", "999999999999999"])
def test_a_time_out_of_this_world_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match="not between 1970 and 2200"):
        FORMS.resolve(text)


@pytest.mark.parametrize(
    ("start", "end", "what"), [("now", "now-1h", "is reversed"), ("now", "now", "ends where it begins")]
)
def test_a_reversed_or_empty_range_is_refused_in_one_sentence(start: str, end: str, what: str) -> None:
    with pytest.raises(DefinitionError, match=what) as caught:
        FORMS.range(start, end)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "UTC+25", "", "/etc/passwd"])
def test_an_unknown_timezone_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="is not known; write a region"):
        zone_of(name, None)


def test_an_offset_of_a_day_is_refused() -> None:
    with pytest.raises(DefinitionError, match="a day or more"):
        zone_of(None, 86_400)


@given(st.integers(1, 5_000), st.sampled_from("smhd"), st.sampled_from("+-"))
def test_date_math_is_exact(count: int, unit: str, sign: str) -> None:
    distance = parse_duration(f"{count}{unit}") * (1 if sign == "+" else -1)
    assert FORMS.resolve(f"now{sign}{count}{unit}") == FORMS.resolve(f"{sign}{count}{unit}") == NOW + distance


@given(st.integers(0, 4_000_000_000), st.integers(-86_399, 86_399))
def test_local_times_at_a_fixed_offset_are_exact(seconds: int, offset_s: int) -> None:
    tick = seconds * TICK_PER_SECOND
    local = format_instant(tick + (offset_s + 86_400) * TICK_PER_SECOND).removesuffix("Z")
    resolved = TimeForms(NOW, zone_of(None, offset_s)).resolve(local)
    assert resolved == tick + 86_400 * TICK_PER_SECOND
