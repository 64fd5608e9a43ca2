"""Whatever the layout of ties, the limit, the order and the page cap: the pages are the truth, once."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from logferry_sandbox.datadog_api import DatadogApi
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore
from logferry_sandbox.http_server import HttpRequest

from .conftest import NOON_MS, SEARCH, event

HOUR_MS = 3_600_000
HEADERS = {"dd-api-key": "sandbox-api-key", "dd-application-key": "sandbox-app-key"}
# Few distinct instants, around an hour's edge, so that ties are the rule.
instants = st.sampled_from([NOON_MS - 1, NOON_MS, NOON_MS + 1, NOON_MS + HOUR_MS, NOON_MS + 3 * HOUR_MS])
facets = st.sampled_from([None, 5, "5", 5.0, 7, "seven", -1])
layouts = st.lists(st.tuples(instants, facets), max_size=60)


def walk(api: DatadogApi, body: dict[str, Any]) -> list[str]:
    found: list[str] = []
    page = dict(body["page"])
    for _ in range(200):
        raw = json.dumps({**body, "page": page}).encode()
        answer = api.app(HttpRequest("POST", SEARCH, {}, HEADERS, raw))
        assert answer.status == 200, answer.body
        parsed = json.loads(answer.whole())
        found += [one["id"] for one in parsed["data"]]
        after = parsed["meta"].get("page", {}).get("after")
        if after is None:
            return found
        page["cursor"] = after
    raise AssertionError("the pagination does not end")


@given(
    layout=layouts,
    bounds=st.tuples(instants, instants).map(sorted),
    limit=st.integers(1, 70),
    short_pages=st.integers(0, 5),
    final_cursor=st.booleans(),
    sort=st.sampled_from(["timestamp", "-timestamp", "@n", "-@n"]),
    shuffled=st.randoms(use_true_random=False),
)
def test_paging_returns_the_truth_once(
    layout: list[tuple[int, Any]],
    bounds: list[int],
    limit: int,
    short_pages: int,
    final_cursor: bool,
    sort: str,
    shuffled: Any,
) -> None:
    events = [
        event(f"id{number:02d}", at_ms, attributes={} if facet is None else {"n": facet})
        for number, (at_ms, facet) in enumerate(layout)
    ]
    shuffled.shuffle(events)
    settings = DatadogSettings(short_pages=short_pages, final_cursor=final_cursor, search_limit=10**6)
    api = DatadogApi(DatadogStore(events=events), settings=settings, clock=lambda: NOON_MS)
    from_ms, to_ms = bounds
    body = {"filter": {"from": from_ms, "to": to_ms}, "sort": sort, "page": {"limit": limit}}
    found = walk(api, body)
    truth = [
        (at_ms, f"id{number:02d}") for number, (at_ms, _) in enumerate(layout) if from_ms <= at_ms < to_ms
    ]
    if sort == "timestamp":
        assert found == [event_id for _, event_id in sorted(truth)]
    elif sort == "-timestamp":
        assert found == [event_id for _, event_id in sorted(truth, reverse=True)]
    else:
        assert sorted(found) == sorted(event_id for _, event_id in truth)
    assert DatadogStore(events=events).truth(from_ms, to_ms) == [event_id for _, event_id in sorted(truth)]
