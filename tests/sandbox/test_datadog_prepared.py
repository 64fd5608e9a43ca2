"""Prepared events behind the API: whatever is asked, the answer is that of the same events held one by one."""

import json
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logferry_sandbox import datadog_prepared
from logferry_sandbox.datadog_api import DatadogApi
from logferry_sandbox.datadog_prepared import PreparedEvents
from logferry_sandbox.datadog_search import SEARCH_FAULTS
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore, ids_sha256
from logferry_sandbox.datadog_time import format_instant
from logferry_sandbox.faults import FaultPlan
from logferry_sandbox.http_server import HttpRequest, Made

from .conftest import AGGREGATE, NOON_MS, SEARCH

ROWS, SECONDS = 600, 7200
START_MS = NOON_MS - 3_600_000
HEADERS = {"dd-api-key": "sandbox-api-key", "dd-application-key": "sandbox-app-key"}
UNLIMITED = DatadogSettings(search_limit=10**9, aggregate_limit=10**9)


@lru_cache(maxsize=1)
def prepared() -> PreparedEvents:
    return PreparedEvents(ROWS, start_s=START_MS // 1000, seconds=SECONDS, odd_every=20, block_rows=250)


def api_of(store: DatadogStore, *rules: dict[str, Any], **settings: Any) -> DatadogApi:
    plan = FaultPlan(rules, api_kinds=SEARCH_FAULTS)
    return DatadogApi(store, settings=UNLIMITED.updated(settings), plan=plan, clock=lambda: NOON_MS * 2)


@lru_cache(maxsize=1)
def held() -> DatadogStore:
    return DatadogStore(events=prepared().bodies(0, ROWS))


def ask(api: DatadogApi, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = api.app(HttpRequest("POST", path, {}, HEADERS, json.dumps(body).encode()))
    raw = answer.whole()
    assert len(raw) == answer.size
    parsed: dict[str, Any] = json.loads(raw, parse_float=str)
    assert answer.status == 200, parsed
    return parsed


def test_events_are_of_the_size_asked_for_and_all_distinct() -> None:
    events = PreparedEvents(3000, start_s=START_MS // 1000, seconds=60, event_bytes=1300, odd_every=0)
    bodies = events.bodies(0, 3000)
    assert 0.95 < sum(map(len, bodies)) / 3000 / 1300 < 1.05
    parsed = [json.loads(body) for body in bodies]
    assert [(one["id"], one["attributes"]["timestamp"]) for one in parsed] == [
        (event_id, format_instant(at_ms)) for event_id, at_ms in map(events.row, range(3000))
    ]
    assert len({one["id"] for one in parsed}) == len({one["attributes"]["message"] for one in parsed}) == 3000
    assert all(10 <= len(one["attributes"]["tags"]) <= 15 for one in parsed)
    assert {type(one["attributes"]["attributes"]["http"]["status_code"]) for one in parsed} == {int, str}


def test_one_in_so_many_is_odd() -> None:
    odd = [body for body in prepared().bodies(0, 250) if len(body) < 800]
    assert len(odd) >= 10


@settings(deadline=None)
@given(
    bounds=st.tuples(st.integers(-5000, 7_205_000), st.integers(-5000, 7_205_000)).map(sorted),
    limit=st.integers(1, 1000),
    sort=st.sampled_from(["timestamp", "timestamp", "-timestamp", "@duration"]),
    query=st.sampled_from(["*", "*", "status:error", "service:auth @http.status_code:>400"]),
    final_cursor=st.booleans(),
)
def test_every_page_is_that_of_the_same_events_held_one_by_one(
    bounds: list[int], limit: int, sort: str, query: str, final_cursor: bool
) -> None:
    ours = api_of(DatadogStore(prepared()), final_cursor=final_cursor)
    theirs = api_of(held(), final_cursor=final_cursor)
    span = {"from": START_MS + bounds[0], "to": START_MS + bounds[1], "query": query}
    page: dict[str, Any] = {"limit": max(limit, 20)}
    for _ in range(40):
        body = {"filter": span, "sort": sort, "page": page}
        answer = ask(ours, SEARCH, body)
        assert answer == ask(theirs, SEARCH, body)
        after = answer["meta"].get("page", {}).get("after")
        if after is None:
            return
        page["cursor"] = after
    raise AssertionError("the pagination does not end")


@given(
    bounds=st.tuples(st.integers(-5000, 7_205_000), st.integers(-5000, 7_205_000)).map(sorted),
    interval=st.sampled_from(["1s", "1m", "17m", "1h", "1d"]),
    query=st.sampled_from(["*", "-status:error"]),
)
def test_counts_are_those_of_the_same_events_held_one_by_one(
    bounds: list[int], interval: str, query: str
) -> None:
    body = {
        "filter": {"from": START_MS + bounds[0], "to": START_MS + bounds[1], "query": query},
        "compute": [
            {"aggregation": "count", "type": "timeseries", "interval": interval},
            {"aggregation": "count", "type": "total"},
        ],
    }
    assert ask(api_of(DatadogStore(prepared())), AGGREGATE, body) == ask(api_of(held()), AGGREGATE, body)


@pytest.mark.parametrize(
    "fault", ["drop_row", "swap_row", "duplicate_rows", "out_of_order", "status_timeout", "repeat_cursor"]
)
def test_faults_strike_prepared_pages_as_they_strike_others(fault: str) -> None:
    rule = {"fault": f"datadog:{fault}"}
    body: dict[str, Any] = {"filter": {"from": START_MS, "to": START_MS + 10**7}, "sort": "timestamp"}
    body["page"] = {"limit": 300}
    body["page"]["cursor"] = ask(api_of(held()), SEARCH, body)["meta"]["page"]["after"]
    answer = ask(api_of(DatadogStore(prepared()), rule), SEARCH, body)
    assert answer == ask(api_of(held(), rule), SEARCH, body)
    assert answer["data"] != ask(api_of(held()), SEARCH, body)["data"] or fault in {
        "status_timeout",
        "repeat_cursor",
    }


def test_the_truth_of_a_range_is_known_without_making_an_event() -> None:
    store = DatadogStore(prepared())
    from_ms, to_ms = START_MS + 100_000, START_MS + 5_000_000
    ids = held().truth(from_ms, to_ms)
    assert store.digest(from_ms, to_ms) == held().digest(from_ms, to_ms) == (len(ids), ids_sha256(ids))
    assert store.digest(from_ms, to_ms, "status:error") == held().digest(from_ms, to_ms, "status:error")
    assert [prepared().row(row)[0] for row in prepared().rows_between(from_ms, to_ms)] == ids


def test_ten_million_events_are_served_from_one_block() -> None:
    events = PreparedEvents(10_000_000, start_s=START_MS // 1000, seconds=86_400, block_rows=500)
    last_ms = events.row(9_999_999)[1]
    page = {"filter": {"from": last_ms, "to": last_ms + 1}, "sort": "timestamp", "page": {"limit": 1000}}
    data = ask(api_of(DatadogStore(events)), SEARCH, page)["data"]
    assert data[-1]["id"] == events.row(9_999_999)[0]
    total = {"filter": {"from": START_MS, "to": START_MS + 86_400_000}, "compute": [{"aggregation": "count"}]}
    buckets = ask(api_of(DatadogStore(events)), AGGREGATE, total)["data"]["buckets"]
    assert buckets == [{"by": {}, "computes": {"c0": 10_000_000}}]


@pytest.mark.parametrize("wrong", [{"event_bytes": 999}, {"odd_every": -1}])
def test_what_cannot_be_made_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"999|-1"):
        PreparedEvents(10, start_s=0, seconds=60, **wrong)


def test_a_page_of_long_events_is_made_while_it_is_sent_and_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = DatadogStore(prepared())
    body = {"filter": {"from": START_MS, "to": START_MS + SECONDS * 1000}, "page": {"limit": 500}}
    at_once = ask(api_of(store), SEARCH, body | {"sort": "timestamp"})
    monkeypatch.setattr(datadog_prepared, "_MOST_HELD_BYTES", 2_000)
    runs = [prepared().joined(first, 100) for first in (0, 99)]
    assert [isinstance(run, Made) for run in runs] == [True, False]
    assert [len(run) for run in runs] == [len(b"".join(runs[0])), len(bytes(runs[1]))]  # type: ignore[arg-type]
    later = ask(api_of(store), SEARCH, body | {"sort": "timestamp"})
    assert (later["data"], len(later["data"])) == (at_once["data"], 500)
