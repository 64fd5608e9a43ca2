from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry_sandbox.datadog_time import format_instant, parse_instant, parse_interval

NOW_MS = 1_795_176_000_000  # 2026-11-20T12:00:00Z
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-20T12:00:00Z", NOW_MS),
        ("2026-11-20T12:00:00.25Z", NOW_MS + 250),
        ("2026-11-20T12:00:00.0019999Z", NOW_MS + 1),
        ("2026-11-20T13:00:00+01:00", NOW_MS),
        ("2026-11-20T06:30:00-0530", NOW_MS),
        ("2026-11-20T12:00Z", NOW_MS),
        ("1795176000000", NOW_MS),
        (1795176000000, NOW_MS),
        ("now", NOW_MS),
        ("now-1h", NOW_MS - HOUR_MS),
        ("now+1h", NOW_MS + HOUR_MS),
        ("now-2d", NOW_MS - 48 * HOUR_MS),
        ("+1h", NOW_MS + HOUR_MS),
        ("-15m", NOW_MS - HOUR_MS // 4),
        ("now-30s", NOW_MS - 30_000),
    ],
)
def test_each_documented_form_is_an_instant(value: Any, expected: int) -> None:
    assert parse_instant(value, NOW_MS) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2026-11-20",
        "2026-11-20T12:00:00",
        "2026-13-01T00:00:00Z",
        "now-1y",
        "now -1h",
        True,
        None,
        1.5,
        -1,
        [],
        "2026-11-20T12:00:00 01:00",
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a date"):
        parse_instant(value, NOW_MS)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)))
def test_formatting_and_parsing_are_inverse_to_the_millisecond(moment: datetime) -> None:
    ms = int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000
    assert parse_instant(format_instant(ms), NOW_MS) == ms


@pytest.mark.parametrize(
    ("text", "expected"), [("5m", 300_000), ("1h", HOUR_MS), ("1d", 24 * HOUR_MS), ("300000", 300_000)]
)
def test_intervals(text: str, expected: int) -> None:
    assert parse_interval(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0m", "m", "-5m", "1y", 5, None])
def test_bad_intervals(text: Any) -> None:
    with pytest.raises(ValueError, match="not an interval"):
        parse_interval(text)
