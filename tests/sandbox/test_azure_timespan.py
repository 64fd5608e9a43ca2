"""The request's timespan in all its forms."""

import pytest

from logferry_sandbox.azure_timespan import parse_duration, parse_timespan, unix_seconds_to_ticks
from logferry_sandbox.kql_values import TICKS_PER_SECOND, format_datetime, parse_datetime

NOW = parse_datetime("2026-11-22T12:00:00Z") or 0


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("PT12H", "2026-11-22T00:00:00Z", "2026-11-22T12:00:00Z"),
        ("P1D", "2026-11-21T12:00:00Z", "2026-11-22T12:00:00Z"),
        ("PT259200.0S", "2026-11-19T12:00:00Z", "2026-11-22T12:00:00Z"),
        ("2026-11-20T00:00:00Z/2026-11-21T00:00:00Z", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
        ("2026-11-20T00:00:00.0000001Z/PT1H", "2026-11-20T00:00:00.0000001Z", "2026-11-20T01:00:00.0000001Z"),
        ("PT1M/2026-11-20T00:00:00+01:00", "2026-11-19T22:59:00Z", "2026-11-19T23:00:00Z"),
    ],
)
def test_every_documented_form_is_understood(text: str, start: str, stop: str) -> None:
    first, last = parse_timespan(text, NOW, end_inclusive=False)
    assert (format_datetime(first), format_datetime(last)) == (start, stop)
    assert parse_timespan(text, NOW, end_inclusive=True) == (first, last + 1)


@pytest.mark.parametrize("text", ["", "1h", "P", "PT", "2026-11-20", "P1D/P1D", "P1D/", "a/b"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Invalid timespan"):
        parse_timespan(text, NOW, end_inclusive=True)


def test_a_month_is_no_minute() -> None:
    assert parse_duration("P1M") == 30 * 86_400 * TICKS_PER_SECOND
    assert parse_duration("PT1M") == 60 * TICKS_PER_SECOND


def test_a_clock_reading_becomes_ticks() -> None:
    assert format_datetime(unix_seconds_to_ticks(1_795_348_800.5)) == "2026-11-22T12:00:00.5Z"
