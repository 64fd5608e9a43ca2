"""Ticks, timespans and the JSON of every KQL type."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry_sandbox.kql_values import (
    MAX_TICKS,
    TICKS_PER_DAY,
    UNIX_EPOCH_TICKS,
    convert,
    encode_cells,
    format_datetime,
    format_timespan,
    parse_datetime,
    parse_timespan,
)


@given(st.integers(min_value=0, max_value=MAX_TICKS - 1))
def test_every_tick_survives_being_written_and_read(ticks: int) -> None:
    text = format_datetime(ticks)
    assert parse_datetime(text) == ticks
    assert text.endswith("Z")
    assert not text.endswith("0Z") or "." not in text


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))
def test_ticks_agree_with_the_standard_library(at: datetime) -> None:
    expected = (at - datetime(1, 1, 1)) // timedelta(microseconds=1) * 10
    assert parse_datetime(at.isoformat()) == expected


@given(st.integers(min_value=-(10**6) * TICKS_PER_DAY, max_value=10**6 * TICKS_PER_DAY))
def test_every_timespan_survives_being_written_and_read(ticks: int) -> None:
    assert parse_timespan(format_timespan(ticks)) == ticks


def test_the_unix_epoch_is_where_python_says() -> None:
    assert parse_datetime("1970-01-01") == UNIX_EPOCH_TICKS
    assert (datetime(1970, 1, 1, tzinfo=UTC) - datetime(1, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    ) * 10 == UNIX_EPOCH_TICKS


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("2026-11-20T01:00:00+01:00", "2026-11-20T00:00:00Z"),
        ("2026-11-19T19:30:00.5-0430", "2026-11-20T00:00:00.5Z"),
        ("2026-11-20 00:00", "2026-11-20"),
    ],
)
def test_zones_and_short_forms_mean_the_same_tick(text: str, other: str) -> None:
    assert parse_datetime(text) == parse_datetime(other) is not None


@pytest.mark.parametrize("text", ["2026-02-30", "2026-11-20T24:00:00", "yesterday", ""])
def test_what_is_no_datetime_is_none(text: str) -> None:
    assert parse_datetime(text) is None


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("bool", True, "true"),
        ("long", 9223372036854775807, "9223372036854775807"),
        ("real", float("nan"), '"NaN"'),
        ("real", float("inf"), '"Infinity"'),
        ("real", float("-inf"), '"-Infinity"'),
        ("real", 0.5, "0.5"),
        ("decimal", Decimal("79228162514264337593543950335"), '"79228162514264337593543950335"'),
        ("timespan", 1, '"00:00:00.0000001"'),
        ("timespan", -(TICKS_PER_DAY + 1), '"-1.00:00:00.0000001"'),
        ("datetime", UNIX_EPOCH_TICKS + 1, '"1970-01-01T00:00:00.0000001Z"'),
        ("dynamic", {"a": 123}, '"{\\"a\\":123}"'),
        ("dynamic", "boundedElastic-1", '"boundedElastic-1"'),
        ("dynamic", None, "null"),
        ("string", "", '""'),
        ("int", None, "null"),
    ],
)
def test_a_value_goes_on_the_wire_as_recorded(kind: str, value: object, cell: str) -> None:
    assert encode_cells(kind, [value]) == [cell]


@given(st.text())
def test_any_text_is_valid_json_on_the_wire(text: str) -> None:
    assert json.loads(encode_cells("string", [text])[0]) == text


def test_a_value_that_does_not_convert_becomes_null() -> None:
    assert convert("string", "many", "long") is None
    assert convert("string", "9223372036854775808", "long") is None
    assert convert("real", 3.9, "int") == 3
    assert convert("string", "TRUE", "bool") is True
    assert convert("long", None, "string") == ""
