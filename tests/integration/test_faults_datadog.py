"""Every fault a Datadog API can show, over real sockets: the exact rows and `proven`, the exact error, or `short`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.datadog_port import DAY, HOURS, DatadogPort, assert_is_the_truth

from logferry.errors import (
    CredentialsError,
    FailedAnswer,
    LogferryError,
    QueryRejected,
    SourceError,
    Unavailable,
)
from logferry.window import TICK_PER_HOUR, TICK_PER_SECOND, Window
from logferry_sandbox.datadog_store import DatadogStore

pytestmark = pytest.mark.integration

SEARCH, COUNT = {"path_contains": "search"}, {"path_contains": "aggregate"}
HTML = {"status": 502, "body": "<html><body><h1>502 Bad Gateway</h1></body></html>"}
PASSING: dict[str, dict[str, Any]] = {
    "503": {"fault": "http_error", "params": {"status": 503}, "times": 2},
    "504": {"fault": "http_error", "params": {"status": 504}, "times": 2},
    "500 without a body": {"fault": "http_error", "params": {"status": 500, "body": ""}, "times": 2},
    "a page of a gateway with 502": {"fault": "non_json", "params": HTML, "times": 2},
    "a page of a gateway with 200": {"fault": "non_json", "times": 2},
    "429 with a wish": {
        "fault": "http_error",
        "params": {"status": 429, "headers": {"Retry-After": "3"}},
        "times": 2,
    },
    "429 with a reset": {
        "fault": "http_error",
        "params": {"status": 429, "headers": {"X-RateLimit-Reset": "7"}},
        "times": 2,
    },
    "a query given up in so many words": {
        "fault": "http_error",
        "params": {"status": 400, "body": {"errors": ["deadline_exceeded(Request timeout)"]}},
        "times": 2,
    },
    "too many pending queries": {
        "fault": "http_error",
        "params": {
            "status": 503,
            "body": {"errors": ["resource_exhausted(RateLimited: Too many pending queries)"]},
        },
        "times": 2,
    },
    "a body cut on the way": {"fault": "cut_body", "times": 2},
    "a body cut with a length that agrees": {
        "fault": "cut_body",
        "params": {"whole_length": False},
        "times": 2,
    },
    "a reset before the answer": {"fault": "reset", "times": 2},
    "a reset within the body": {"fault": "reset", "params": {"fraction": 0.5}, "times": 2},
    "an empty 200": {"fault": "empty_200", "times": 2},
    "a 204": {"fault": "http_error", "params": {"status": 204, "body": ""}, "times": 2},
    "Retry-After 0 on every 200": {"fault": "headers", "params": {"headers": {"Retry-After": "0"}}},
    "a search that timed out": {"fault": "datadog:status_timeout", "times": 5, "match": SEARCH},
    "a count that timed out": {"fault": "datadog:status_timeout", "times": 2, "match": COUNT},
    "a search with warnings": {"fault": "datadog:warnings", "times": 2, "match": SEARCH},
    "a count with warnings": {"fault": "datadog:warnings", "times": 2, "match": COUNT},
    "every page with a row of the one before": {"fault": "datadog:duplicate_rows"},
    "rows out of order": {"fault": "datadog:out_of_order", "probability": 0.5, "seed": 3},
    "rows out of order in every page": {"fault": "datadog:out_of_order"},
    "expired cursors": {"fault": "datadog:expired_cursor", "after": 1, "times": 2},
    "expired cursors now and then": {
        "fault": "datadog:expired_cursor",
        "probability": 0.5,
        "seed": 1,
        "times": 4,
    },
    "malformed cursors": {"fault": "datadog:malformed_cursor", "after": 1, "times": 2},
    "a repeated cursor": {"fault": "datadog:repeat_cursor", "times": 1},
    "an empty page with a cursor": {"fault": "datadog:empty_page_with_cursor", "times": 1},
    "a series cut short in the plan": {"fault": "datadog:truncated_series", "times": 1},
    "every series cut short": {"fault": "datadog:truncated_series", "params": {"points": 25}},
    "pages that drop a row": {"fault": "datadog:drop_row", "times": 2},
    "pages with one row lost and one doubled": {"fault": "datadog:swap_row", "times": 2},
}


@pytest.mark.parametrize("in_flight", [1, None], ids=["one by one", "in lanes"])
@pytest.mark.parametrize("name", PASSING)
def test_whatever_goes_wrong_on_the_way_the_rows_are_the_truth(
    port: DatadogPort, name: str, in_flight: int | None
) -> None:
    rule = PASSING[name]
    port.in_flight = in_flight
    port.settings(short_pages=60)
    port.faults(rule)
    assert_is_the_truth(port, port.carry())
    assert port.fired().get(rule["fault"], 0) > 0


@pytest.mark.parametrize("name", ["a series cut short in the plan", "every series cut short"])
def test_an_api_that_counts_series_and_totals_apart_only_proves_as_much(port: DatadogPort, name: str) -> None:
    port.settings(mixed_computes=False)
    port.faults(PASSING[name])
    assert_is_the_truth(port, port.carry())


@pytest.mark.parametrize("fault", ["slow", "slow_body"])
def test_an_answer_that_comes_too_slowly_is_asked_for_again(
    port: DatadogPort, hurried: None, fault: str
) -> None:
    port.faults(
        {"fault": fault, "params": {"delay_s": 60, "stall_s": 60}, "match": SEARCH, "after": 1, "times": 2}
    )
    assert_is_the_truth(port, port.carry())
    assert port.fired() == {fault: 2}


def test_pages_too_long_for_the_way_are_asked_smaller_until_they_come_whole(port: DatadogPort) -> None:
    port.settings(most_body_bytes=60_000)
    manifest = port.carry()
    assert_is_the_truth(port, manifest)
    assert manifest.requests["search"] > 10


def test_long_pages_of_a_crowded_millisecond_come_smaller_too(port: DatadogPort) -> None:
    """No time is left to halve there: only fewer rows to a page, and the cursor, lead through."""
    hour = max(DAY.slices(TICK_PER_HOUR), key=lambda one: len(port.truth(one)))
    assert len(port.truth(hour)) > 1_200
    port.settings(most_body_bytes=250_000)
    manifest = port.carry(hour)
    assert_is_the_truth(port, manifest, hour)
    assert manifest.requests["search"] < 40


def test_retry_after_zero_on_whole_answers_costs_neither_time_nor_requests(port: DatadogPort) -> None:
    quiet = port.carry()
    started = port.clock.tick
    port.faults({"fault": "headers", "params": {"headers": {"Retry-After": "0"}}})
    again = port.carry()
    assert again.requests == quiet.requests
    assert port.clock.tick - started < TICK_PER_SECOND


def test_many_faults_at_once_still_end_in_the_truth(port: DatadogPort) -> None:
    port.settings(short_pages=60)
    chances = {"probability": 0.06}
    port.faults(
        {"fault": "http_error", "params": {"status": 503}, "seed": 1, **chances},
        {"fault": "cut_body", "seed": 2, **chances},
        {"fault": "reset", "seed": 3, **chances},
        {"fault": "datadog:status_timeout", "seed": 4, **chances},
        {"fault": "datadog:duplicate_rows", "seed": 5, **chances},
        {"fault": "datadog:expired_cursor", "seed": 6, **chances},
        {"fault": "datadog:drop_row", "times": 2},
    )
    assert_is_the_truth(port, port.carry())
    assert len(port.fired()) >= 4


STAYING: dict[str, tuple[dict[str, Any], type[LogferryError], str]] = {
    "searches that time out": (
        {"fault": "datadog:status_timeout", "match": SEARCH},
        FailedAnswer,
        r"page is partial: its status is 'timeout'",
    ),
    "counts that time out": (
        {"fault": "datadog:status_timeout", "match": COUNT},
        FailedAnswer,
        r"count is partial: its status is 'timeout'",
    ),
    "warnings": ({"fault": "datadog:warnings", "match": SEARCH}, FailedAnswer, "a shard did not answer"),
    "empty answers": ({"fault": "empty_200", "match": SEARCH}, FailedAnswer, r"not whole JSON \(0 bytes\)"),
    "204": (
        {"fault": "http_error", "params": {"status": 204, "body": ""}, "match": SEARCH},
        FailedAnswer,
        "answered 204 with 0 bytes, not 200",
    ),
    "cut bodies": ({"fault": "cut_body", "match": SEARCH}, FailedAnswer, "did not send its answer whole"),
    "resets": ({"fault": "reset"}, Unavailable, "could not be reached or broke off"),
    "pages of a gateway": ({"fault": "non_json", "params": HTML}, Unavailable, "answered 502: <html>"),
    "lost cursors": (
        {"fault": "datadog:expired_cursor"},
        SourceError,
        "cursor of .* was lost 3 times without a whole tick gained",
    ),
    "repeated cursors": (
        {"fault": "datadog:repeat_cursor"},
        SourceError,
        "was lost 3 times without a whole tick gained.*twice",
    ),
    "a redirect of the edge": (
        {"fault": "http_error", "params": {"status": 302, "headers": {"Location": "https://x.test"}}},
        LogferryError,
        "a redirect; check the connection's site or host",
    ),
    "a query that is refused": (
        {"fault": "http_error", "params": {"status": 400, "body": {"errors": ["input_validation_error(x)"]}}},
        QueryRejected,
        r"refused the query \(400: input_validation_error\(x\)\)",
    ),
}


@pytest.mark.parametrize("name", STAYING)
def test_a_fault_that_stays_is_one_sentence_and_publishes_nothing(
    make_port: Callable[..., DatadogPort], name: str
) -> None:
    rule, error, says = STAYING[name]
    crowded = [
        {"id": f"e{n:03}", "attributes": {"timestamp": "2026-11-20T09:30:00Z", "message": "m"}}
        for n in range(40)
    ]
    port = make_port(store=DatadogStore(events=crowded))
    port.settings(short_pages=10)
    port.faults(rule)
    with pytest.raises(error, match=says) as caught:
        port.carry()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == (2 if error in (QueryRejected, LogferryError) else 5)
    assert [info.key for info in port.store().list("") if info.key.endswith(".parquet")] == []


def test_a_row_that_is_never_given_makes_the_window_short_with_both_numbers(port: DatadogPort) -> None:
    port.faults({"fault": "datadog:drop_row"})
    manifest = port.carry()
    assert manifest.status == "short"
    assert manifest.source_rows == len(port.truth(HOURS))
    assert manifest.rows == port.table(manifest).num_rows < manifest.source_rows
    port.faults()
    assert_is_the_truth(port, port.carry())


def test_a_row_that_is_always_lost_for_another_under_a_new_id_is_never_proven(
    make_port: Callable[..., DatadogPort],
) -> None:
    """All counts are equal; only asking for the doubled row's own millisecond tells that it is no row."""
    events = [
        {
            "id": f"event-{n:03}",
            "attributes": {"timestamp": f"2026-11-20T09:30:00.{n:03}Z", "message": f"m{n}"},
        }
        for n in range(9)
    ]
    port = make_port(store=DatadogStore(events=events))
    hour = Window(HOURS.start, HOURS.start + TICK_PER_HOUR)
    port.faults({"fault": "datadog:swap_row", "match": SEARCH})
    manifest = port.carry(hour)
    assert manifest.status == "short"
    port.faults()
    assert_is_the_truth(port, port.carry(hour), hour)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"bearer_token": "ddpat_expired"}, r"refused the keys \(401"),
        ({"bearer_token": "ddpat_sandbox_no_logs"}, r"forbids this search \(403.*logs_read_data"),
    ],
)
def test_a_token_that_has_expired_or_may_not_read_is_told_with_what_to_check(
    port: DatadogPort, keys: dict[str, str], says: str
) -> None:
    port.keys = keys
    with pytest.raises(CredentialsError, match=says) as caught:
        port.carry()
    assert caught.value.exit_code == 4
    assert keys["bearer_token"] not in str(caught.value)
    assert list(port.store().list("")) == []


def test_a_key_that_is_withdrawn_in_the_middle_of_a_window_publishes_nothing(port: DatadogPort) -> None:
    port.settings(short_pages=60)
    forbidden = {"status": 403, "body": {"errors": ["Forbidden"]}}
    port.faults({"fault": "http_error", "params": forbidden, "match": SEARCH, "after": 4})
    with pytest.raises(CredentialsError, match=r"forbids this search \(403"):
        port.carry()
    assert [info.key for info in port.store().list("") if info.key.endswith(".parquet")] == []


def test_a_host_without_an_address_ends_in_one_sentence(
    port: DatadogPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "api.nowhere.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    port.host = "http://api.nowhere.test"
    with pytest.raises(Unavailable, match=r"name cannot be resolved.*check the connection's site") as caught:
        port.carry()
    assert caught.value.exit_code == 5


def test_a_server_that_went_away_ends_in_one_sentence(port: DatadogPort) -> None:
    port.sandbox.stop()
    with pytest.raises(Unavailable, match=r"could not be reached.*refused") as caught:
        port.carry()
    assert caught.value.exit_code == 5
    assert list(port.store().list("")) == []
