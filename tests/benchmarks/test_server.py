"""What the server did between two looks at its counters."""

from __future__ import annotations

from typing import Any

from benchmarks.server import served_between

NOTHING: dict[str, Any] = {
    "requests": {},
    "purposes": {},
    "throttled": 0,
    "rows_served": 0,
    "body_bytes": 0,
    "cpu_s": 1.0,
}


def test_datadog_requests_are_named_by_their_endpoints() -> None:
    before = NOTHING | {"requests": {"POST /api/v2/logs/events/search": {"200": 5}}}
    after = before | {
        "requests": {
            "POST /api/v2/logs/events/search": {"200": 7, "429": 1},
            "POST /api/v2/logs/analytics/aggregate": {"200": 2},
        },
        "throttled": 1,
        "cpu_s": 1.5,
    }
    served = served_between(before, after)
    assert served.requests == {"search": 3, "count": 2}
    assert (served.throttled, served.cpu_s) == (1, 0.5)


def test_azure_requests_are_named_by_what_they_ask_and_none_is_counted_twice() -> None:
    after = NOTHING | {
        "requests": {"POST /v1/workspaces/x/query": {"200": 5, "429": 1}},
        "purposes": {"search": 3, "count": 2},
        "rows_served": 30,
        "body_bytes": 3000,
    }
    served = served_between(NOTHING, after)
    assert served.requests == {"search": 3, "count": 2, "other": 1}
    assert (served.rows, served.bytes) == (30, 3000)
