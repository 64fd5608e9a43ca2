"""Answers that are too much to be read, and what is said of what cannot be."""

from __future__ import annotations

import msgspec
import pytest

from logferry.errors import FailedAnswer, QueryRejected, TooMuch
from logferry.sources import bounds
from logferry.sources.azure_errors import query_refusal
from logferry.sources.azure_query import read_answer
from logferry.sources.base import Response
from logferry.sources.bounds import check_values, reason, text_of
from logferry.sources.datadog_answers import read_counts, whole_rows

DEEP = "[" * 100_000 + "]" * 100_000


def test_an_answer_of_more_values_than_memory_holds_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_VALUES", 1_000)
    monkeypatch.setattr(bounds, "_SURELY_FEW_BYTES", 1_000)
    rows = b'{"tables":[{"name":"PrimaryResult","columns":[],"rows":[' + b"0," * 1_001 + b"0]}]}"
    with pytest.raises(TooMuch, match="more than 1,000 values"):
        read_answer(rows)
    check_values(b"," * 1_000 + b"x" * 1_000, "an answer")


def test_an_answer_too_short_for_that_many_values_is_not_counted_through() -> None:
    check_values(b"," * (2 * bounds.MOST_VALUES), "an answer")
    with pytest.raises(TooMuch, match="more than 10,000,000 values"):
        check_values(b"0," * (bounds.MOST_VALUES + 1) + b"0", "an answer")


def test_a_document_nested_too_deep_is_said_to_be() -> None:
    with pytest.raises(RecursionError) as caught:
        msgspec.json.decode(DEEP)
    assert reason(caught.value) == "it is nested more than some 900 levels deep, which no log is"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ("x" * 5_000, "x" * 2_000), (7, "7"), ([[1]], "(list)"), ({"a": 1}, "(dict)"), (1.5, "1.5")],
)
def test_messages_hold_no_more_than_a_piece_of_a_value(value: object, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize("depth", range(900, 1_000, 3))
def test_an_error_nested_to_the_very_edge_of_what_is_read_is_still_told(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    body = f'{{"error":{{"code":"BadArgumentError","message":{nested}}}}}'.encode()
    assert isinstance(query_refusal(Response(400, {}, body)), QueryRejected)
    with pytest.raises(FailedAnswer):
        read_answer(b'{"tables":[],' + body[1:])


def test_a_message_made_to_take_for_ever_is_read_at_once() -> None:
    """A megabyte of beginnings without an end would take the search for the name an hour."""
    message = "Failed to resolve " * 58_000
    body = f'{{"error":{{"code":"SEM0100","message":"{message}"}}}}'.encode()
    assert len(str(query_refusal(Response(400, {}, body)))) < 500


@pytest.mark.parametrize(
    "value", ["NaN", "[1]", '{"a":1}', "-1", "1e999999", "1.5", '"x"', "true", "1" * 400]
)
def test_a_count_that_is_no_number_of_rows_is_refused(value: str) -> None:
    body = f'{{"data":{{"buckets":[{{"computes":{{"c0":{value}}}}}]}}}}'.encode()
    with pytest.raises(FailedAnswer):
        [whole_rows(bucket.computes["c0"]) for bucket in read_counts(body)]
