"""Aggregations over HTTP: totals, wall-clock buckets, groups, and the refusals."""

from collections import Counter
from typing import Any

import pytest

from .conftest import AGGREGATE, MINUTE_FILTER, NOON_MS, Org, StartOrg, event

pytestmark = pytest.mark.integration

TOTAL = {"aggregation": "count"}


def aggregate(org: Org, **body: Any) -> list[dict[str, Any]]:
    answer = org.post(AGGREGATE, {"filter": MINUTE_FILTER, **body})
    assert answer.status_code == 200, answer.text
    parsed = answer.json()
    assert parsed["meta"]["status"] == "done"
    buckets: list[dict[str, Any]] = parsed["data"]["buckets"]
    return buckets


def series(interval: str) -> dict[str, str]:
    return {"aggregation": "count", "type": "timeseries", "interval": interval}


def test_the_recorded_answer_to_an_empty_window_has_no_buckets(five_events: Org) -> None:
    body = {
        "compute": [{"aggregation": "count", "interval": "5m", "type": "timeseries"}],
        "filter": {"from": "now-15m", "indexes": ["main"], "query": "service:none", "to": "now"},
    }
    answer = five_events.post(AGGREGATE, body).json()
    answer["meta"].pop("request_id")
    assert answer == {"meta": {"elapsed": 12, "status": "done"}, "data": {"buckets": []}}


def test_a_count_of_events_is_the_default(five_events: Org) -> None:
    assert aggregate(five_events) == [{"by": {}, "computes": {"c0": 5}}]
    assert five_events.post(AGGREGATE).json()["data"]["buckets"] == [{"by": {}, "computes": {"c0": 5}}]


def test_buckets_are_aligned_to_the_wall_clock_and_zero_ones_are_absent(start_org: StartOrg) -> None:
    offsets = [0, 299_999, 300_000, 899_999]
    org = start_org(*(event(f"e{n}", NOON_MS + offset) for n, offset in enumerate(offsets)))
    (bucket,) = aggregate(
        org,
        compute=[series("5m"), series("3600000"), TOTAL],
        filter={"from": NOON_MS + 1, "to": NOON_MS + 900_000},
    )
    assert bucket["computes"] == {
        "c0": [
            {"time": "2026-11-20T12:00:00.000Z", "value": 1},
            {"time": "2026-11-20T12:05:00.000Z", "value": 1},
            {"time": "2026-11-20T12:10:00.000Z", "value": 1},
        ],
        "c1": [{"time": "2026-11-20T12:00:00.000Z", "value": 3}],
        "c2": 3,
    }


def test_a_timeseries_without_an_interval_has_about_150_points(start_org: StartOrg) -> None:
    org = start_org(*(event(f"e{n}", NOON_MS + n * 100) for n in range(600)))
    (bucket,) = aggregate(org, compute=[{"aggregation": "count", "type": "timeseries"}])
    assert 149 <= len(bucket["computes"]["c0"]) <= 151
    assert sum(point["value"] for point in bucket["computes"]["c0"]) == 600


def test_counts_agree_with_the_truth_for_any_query_and_grouping(start_org: StartOrg) -> None:
    org = start_org()
    filter_ = {"from": "2026-11-20T00:00:00Z", "to": "2026-11-21T00:00:00Z"}
    for query in ("*", "service:auth env:prod", "order", "@http.status_code:>=500"):
        truth = org.get("/_sandbox/truth", params={**filter_, "query": query}).json()["rows"]
        asked = {"filter": {**filter_, "query": query}}
        (total,) = aggregate(org, compute=[TOTAL, series("1h"), series("7m")], **asked)
        assert truth > 0
        assert total["computes"]["c0"] == truth
        assert sum(point["value"] for point in total["computes"]["c1"]) == truth
        assert sum(point["value"] for point in total["computes"]["c2"]) == truth
        grouped = aggregate(org, group_by=[{"facet": "host", "limit": 1000, "missing": "(none)"}], **asked)
        assert sum(bucket["computes"]["c0"] for bucket in grouped) == truth


SHOP = [
    event("a", NOON_MS, service="shop", attributes={"ms": 10, "code": 200}),
    event("b", NOON_MS + 1, service="shop", attributes={"ms": 30.5, "code": "200"}),
    event("c", NOON_MS + 2, service="auth", attributes={"ms": "20", "code": 500}),
    event("d", NOON_MS + 3, attributes={"ms": "slow"}),
]


def test_groups_come_largest_first_and_events_without_the_facet_are_left_out(start_org: StartOrg) -> None:
    org = start_org(*SHOP)
    assert aggregate(org, group_by=[{"facet": "service"}]) == [
        {"by": {"service": "shop"}, "computes": {"c0": 2}},
        {"by": {"service": "auth"}, "computes": {"c0": 1}},
    ]
    assert aggregate(org, group_by=[{"facet": "service", "limit": 1}]) == [
        {"by": {"service": "shop"}, "computes": {"c0": 2}}
    ]


def test_missing_names_the_group_of_events_without_the_facet(start_org: StartOrg) -> None:
    org = start_org(*SHOP)
    sort = {"type": "alphabetical", "order": "asc"}
    grouped = aggregate(
        org, compute=[series("1d")], group_by=[{"facet": "service", "missing": "(none)", "sort": sort}]
    )
    day = "2026-11-20T00:00:00.000Z"
    assert [(bucket["by"]["service"], bucket["computes"]["c0"]) for bucket in grouped] == [
        ("(none)", [{"time": day, "value": 1}]),
        ("auth", [{"time": day, "value": 1}]),
        ("shop", [{"time": day, "value": 2}]),
    ]


def test_two_facets_make_pairs_and_text_and_number_of_one_value_are_one_group(start_org: StartOrg) -> None:
    grouped = aggregate(start_org(*SHOP), group_by=[{"facet": "service"}, {"facet": "@code"}])
    assert Counter({tuple(b["by"].values()): b["computes"]["c0"] for b in grouped}) == Counter(
        {("shop", "200"): 2, ("auth", "500"): 1}
    )


def test_statistics_of_a_metric(start_org: StartOrg) -> None:
    kinds = ["sum", "min", "max", "avg", "pc50", "pc99", "cardinality", "count"]
    compute = [{"aggregation": kind, "metric": "@ms"} for kind in kinds]
    (bucket,) = aggregate(start_org(*SHOP), compute=compute)
    assert list(bucket["computes"].values()) == [60.5, 10.0, 30.5, 60.5 / 3, 20.0, 30.5, 4, 4]


def test_many_groups_come_in_pages_of_a_thousand(start_org: StartOrg) -> None:
    org = start_org(*(event(f"e{n}", host=f"h{n:04d}") for n in range(1500)))
    body: dict[str, Any] = {"filter": MINUTE_FILTER, "group_by": [{"facet": "host", "limit": 5000}]}
    first = org.post(AGGREGATE, body).json()
    body["page"] = {"cursor": first["meta"]["page"]["after"]}
    second = org.post(AGGREGATE, body).json()
    hosts = [bucket["by"]["host"] for page in (first, second) for bucket in page["data"]["buckets"]]
    assert (len(hosts), len(set(hosts))) == (1500, 1500)
    assert "page" not in second["meta"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"compute": [{"aggregation": "median", "metric": "@ms"}]}, "aggregation"),
        ({"compute": [{"aggregation": "total"}]}, "aggregation"),
        ({"compute": [{}]}, "aggregation"),
        ({"compute": {}}, "compute"),
        ({"compute": [{"aggregation": "sum"}]}, "metric"),
        ({"compute": [{"aggregation": "count", "type": "series"}]}, "type"),
        ({"compute": [series("soon")]}, "interval"),
        ({"compute": [series("0m")]}, "interval"),
        ({"group_by": [{}]}, "group_by.facet"),
        ({"group_by": [{"facet": "host", "limit": 0}]}, "group_by.limit"),
        ({"group_by": [{"facet": "host", "limit": 10_001}]}, "group_by"),
        ({"group_by": [{"facet": "host", "sort": {"aggregation": "count"}}]}, "group_by.sort"),
        ({"filter": {"from": "now", "to": "now-1h"}}, "filter.from"),
        ({"filter": {"query": '"open'}}, "filter.query"),
        ({"group_by": [{"facet": "host"}], "page": {"cursor": "x"}}, "page.cursor"),
    ],
)
def test_a_wrong_request_is_a_400(five_events: Org, change: dict[str, Any], field: str) -> None:
    answer = five_events.post(AGGREGATE, {"filter": MINUTE_FILTER, **change})
    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith(f"input_validation_error(Field '{field}' is invalid: ")


def test_a_timeout_halves_the_counts_and_says_so(five_events: Org) -> None:
    five_events.fault("datadog:status_timeout", match={"path_contains": "aggregate"})
    answer = five_events.post(AGGREGATE, {"filter": MINUTE_FILTER}).json()
    assert answer["meta"]["status"] == "timeout"
    assert answer["data"]["buckets"] == [{"by": {}, "computes": {"c0": 2}}]


def test_an_unknown_index_is_a_warning_here_too(five_events: Org) -> None:
    answer = five_events.post(AGGREGATE, {"filter": {**MINUTE_FILTER, "indexes": ["nowhere"]}}).json()
    assert answer["meta"]["warnings"][0]["code"] == "unknown_index"
    assert answer["data"] == {"buckets": []}


def test_a_series_can_break_off_while_the_total_stays_whole(five_events: Org) -> None:
    five_events.fault("datadog:truncated_series", params={"points": 2})
    (bucket,) = aggregate(five_events, compute=[series("1s")])
    assert [point["value"] for point in bucket["computes"]["c0"]] == [1, 1]
    (bucket,) = aggregate(five_events, compute=[TOTAL])
    assert bucket["computes"]["c0"] == 5


def test_a_total_beside_a_series_is_answered_or_refused_as_told(five_events: Org) -> None:
    (bucket,) = aggregate(five_events, compute=[series("1m"), TOTAL])
    assert ([point["value"] for point in bucket["computes"]["c0"]], bucket["computes"]["c1"]) == ([5], 5)
    five_events.fault("datadog:truncated_series", params={"points": 0})
    (bucket,) = aggregate(five_events, compute=[series("1m"), TOTAL])
    assert bucket["computes"] == {"c0": [], "c1": 5}
    five_events.set(mixed_computes=False)
    refused = five_events.post(AGGREGATE, {"filter": MINUTE_FILTER, "compute": [series("1m"), TOTAL]})
    assert refused.status_code == 400
