"""Search over HTTP: the recorded shapes, the undocumented traits as knobs, the refusals, the faults."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from logferry_sandbox.datadog_settings import DatadogSettings

from .conftest import MINUTE_FILTER, NOON_MS, SEARCH, Org, StartOrg, event

pytestmark = pytest.mark.integration


def ids(answer: dict[str, Any]) -> list[str]:
    return [one["id"] for one in answer["data"]]


def ascending(limit: int = 1000, **filter_: Any) -> dict[str, Any]:
    return {"filter": {**MINUTE_FILTER, **filter_}, "sort": "timestamp", "page": {"limit": limit}}


def test_a_page_has_the_recorded_shape(five_events: Org) -> None:
    answer = five_events.search({**ascending(2), "options": {"timezone": "GMT"}})
    assert list(answer) == ["data", "meta", "links"]
    assert answer["data"][0] == {
        "id": "e0",
        "type": "log",
        "attributes": {"timestamp": "2026-11-20T12:00:00.000Z", "message": "number 0"},
    }
    assert list(answer["meta"]) == ["elapsed", "page", "request_id", "status"]
    assert answer["meta"]["status"] == "done"
    cursor = answer["meta"]["page"]["after"]
    assert json.loads(base64.urlsafe_b64decode(cursor + "=="))["after"] == "e1"
    next_url = urlsplit(answer["links"]["next"])
    assert next_url.path == "/api/v2/logs/events"
    assert parse_qs(next_url.query)["page[cursor]"] == [cursor]


def test_the_next_link_leads_to_the_next_page(five_events: Org) -> None:
    answer = five_events.search(ascending(2, query="*", indexes=["main"]))
    following = five_events.session.get(answer["links"]["next"]).json()
    assert ids(following) == ["e2", "e3"]


def test_newest_come_first_ten_of_the_last_quarter_of_an_hour_by_default(start_org: StartOrg) -> None:
    org = start_org(*(event(f"e{n:02d}", NOON_MS - n * 60_000) for n in range(30)))
    org.clock[0] = NOON_MS + 1
    assert ids(org.search()) == [f"e{n:02d}" for n in range(10)]
    assert len(list(org.walk({"page": {"limit": 4}}))) == 5
    assert sum(len(page["data"]) for page in org.walk({"page": {"limit": 4}})) == 15


@pytest.mark.parametrize(
    ("page_end", "expected"),
    [
        ("no_page", {"data": [], "meta": {"elapsed": 12, "status": "done"}}),
        ("no_meta", {"data": []}),
        ("null_data", {"data": None, "meta": {"elapsed": 12, "status": "done"}}),
        ("page_null", {"data": [], "meta": {"elapsed": 12, "status": "done", "page": None}}),
    ],
)
def test_pagination_ends_in_each_recorded_shape(
    five_events: Org, page_end: str, expected: dict[str, Any]
) -> None:
    five_events.set(page_end=page_end)
    *full, last = five_events.walk(ascending(3))
    assert [ids(page) for page in full] == [["e0", "e1", "e2"], ["e3", "e4"]]
    last.get("meta", {}).pop("request_id", None)
    assert last == expected


def test_pagination_can_end_empty_but_with_a_cursor(five_events: Org) -> None:
    five_events.set(page_end="empty_with_cursor")
    *_, last = five_events.walk(ascending(3))
    assert last["data"] == []
    assert last["meta"]["page"]["after"]
    assert last["links"]["next"]


def test_the_last_page_with_rows_can_lack_a_cursor(five_events: Org) -> None:
    five_events.set(final_cursor=False)
    pages = list(five_events.walk(ascending(3)))
    assert [ids(page) for page in pages] == [["e0", "e1", "e2"], ["e3", "e4"]]
    assert "page" not in pages[-1]["meta"]
    assert len(list(five_events.walk(ascending(5)))) == 1


def test_short_pages_still_lead_to_every_row(five_events: Org) -> None:
    five_events.set(short_pages=2)
    pages = [ids(page) for page in five_events.walk(ascending(1000))]
    assert pages == [["e0", "e1"], ["e2", "e3"], ["e4"], []]


@pytest.mark.parametrize(
    ("inclusive_from", "inclusive_to", "expected"),
    [
        (True, False, ["e1", "e2"]),
        (True, True, ["e1", "e2", "e3"]),
        (False, False, ["e2"]),
        (False, True, ["e2", "e3"]),
    ],
)
def test_bounds_are_inclusive_as_told(
    five_events: Org, inclusive_from: bool, inclusive_to: bool, expected: list[str]
) -> None:
    five_events.set(inclusive_from=inclusive_from, inclusive_to=inclusive_to)
    body = ascending()
    body["filter"] = {"from": str(NOON_MS + 1000), "to": NOON_MS + 3000}
    assert ids(five_events.search(body)) == expected


def test_sorting_by_a_facet_pages_through_numbers_texts_and_events_without_it(start_org: StartOrg) -> None:
    values = [500, "750", 9, "abc", None, 500, 2**60, 2**60 + 1]
    org = start_org(
        *(
            event(f"e{n}", NOON_MS + n, attributes={} if value is None else {"views": value})
            for n, value in enumerate(values)
        )
    )
    for sort, expected in (
        ("@views", ["e2", "e0", "e5", "e1", "e6", "e7", "e3", "e4"]),
        ("-@views", ["e3", "e7", "e6", "e1", "e5", "e0", "e2", "e4"]),
    ):
        for limit in (1, 3, 100):
            body = {**ascending(limit), "sort": sort}
            assert [one for page in org.walk(body) for one in ids(page)] == expected


def test_a_facet_cursor_carries_the_value_as_recorded(start_org: StartOrg) -> None:
    org = start_org(event("e0", attributes={"views": 500}), event("e1", attributes={"views": 750}))
    cursor = org.search({**ascending(1), "sort": "@views"})["meta"]["page"]["after"]
    assert json.loads(base64.urlsafe_b64decode(cursor + "==")) == {"after": "e0", "values": ["500"]}


def test_a_cursor_survives_the_death_of_its_own_row(start_org: StartOrg) -> None:
    with_row = start_org(event("a"), event("b"), event("c"))
    without_row = start_org(event("a"), event("c"))
    cursor = with_row.search(ascending(2))["meta"]["page"]["after"]
    body = ascending(2)
    body["page"]["cursor"] = cursor
    assert ids(without_row.search(body)) == ["c"]


def test_an_unknown_index_is_a_warning_with_status_200(five_events: Org) -> None:
    answer = five_events.search(ascending(indexes=["main", "foo", "bar"]))
    assert ids(answer) == ["e0", "e1", "e2", "e3", "e4"]
    assert answer["meta"]["warnings"] == [
        {
            "code": "unknown_index",
            "detail": "indexes: foo, bar",
            "title": "One or several indexes are missing or invalid, "
            "results hold data from the other indexes",
        }
    ]
    assert five_events.search(ascending(indexes=["foo"]))["data"] == []


def test_the_default_tier_is_silent_about_flex_only_events(start_org: StartOrg) -> None:
    org = start_org(event("standard"), flex_only=[event("flexed")])
    assert ids(org.search(ascending())) == ["standard"]
    refused = org.post(SEARCH, ascending(storage_tier="flex"))
    assert refused.status_code == 403
    assert "storage_tier flex" in refused.json()["errors"][0]
    org.set(flex_enabled=True)
    assert sorted(ids(org.search(ascending(storage_tier="flex")))) == ["flexed", "standard"]
    assert ids(org.search(ascending(storage_tier="online-archives"))) == ["standard"]


def test_late_events_appear_when_released(start_org: StartOrg) -> None:
    org = start_org(settings=DatadogSettings(late_every=10))
    body = {
        "filter": {"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T11:00:00Z"},
        "sort": "timestamp",
        "page": {"limit": 1000},
    }
    truth = org.get("/_sandbox/truth", params=body["filter"]).json()["rows"]
    before = sum(len(page["data"]) for page in org.walk(body))
    assert 0 < before < truth
    assert org.post("/_sandbox/release_late").json() == {"released": True}
    assert sum(len(page["data"]) for page in org.walk(body)) == truth


def test_the_future_is_hidden_when_told_so(start_org: StartOrg) -> None:
    org = start_org(event("past", NOON_MS), event("future", NOON_MS + 30_000))
    org.clock[0] = NOON_MS + 10_000
    assert ids(org.search(ascending())) == ["past", "future"]
    org.set(hide_future=True)
    assert ids(org.search(ascending())) == ["past"]
    org.clock[0] = NOON_MS + 30_000
    assert ids(org.search(ascending())) == ["past", "future"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"page": {"limit": 1001}}, "page.limit"),
        ({"page": {"limit": 0}}, "page.limit"),
        ({"page": {"limit": "5"}}, "page.limit"),
        ({"page": {"limit": True}}, "page.limit"),
        ({"page": {"cursor": "nonsense"}}, "page.cursor"),
        ({"page": {"cursor": ""}}, "page.cursor"),
        ({"page": {"cursor": 5}}, "page.cursor"),
        ({"page": {"cursor": base64.urlsafe_b64encode(b'{"after":"e1"}').decode()}}, "page.cursor"),
        ({"page": []}, "page"),
        ({"sort": "message"}, "sort"),
        ({"sort": "--timestamp"}, "sort"),
        ({"filter": []}, "filter"),
        ({"filter": {"from": "yesterday"}}, "filter.from"),
        ({"filter": {"from": "2026-11-20T12:00:00", "to": "now"}}, "filter.from"),
        ({"filter": {"to": 1.5}}, "filter.to"),
        ({"filter": {"from": "now", "to": "now-1h"}}, "filter.from"),
        ({"filter": {"query": "service:("}}, "filter.query"),
        ({"filter": {"query": 5}}, "filter.query"),
        ({"filter": {"indexes": "main"}}, "filter.indexes"),
        ({"filter": {"storage_tier": "cold"}}, "filter.storage_tier"),
    ],
)
def test_a_wrong_request_is_a_400_in_the_words_of_the_api(
    five_events: Org, change: dict[str, Any], field: str
) -> None:
    answer = five_events.post(SEARCH, {**ascending(), **change})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error.startswith(f"input_validation_error(Field '{field}' is invalid: ")


def test_a_time_cursor_is_no_facet_cursor_and_the_other_way_round(five_events: Org) -> None:
    facet_cursor = five_events.search({**ascending(1), "sort": "@nothing"})["meta"]["page"]["after"]
    body = ascending(1)
    body["page"]["cursor"] = facet_cursor
    assert five_events.post(SEARCH, body).status_code == 400


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"text"', b"\xff"])
def test_a_body_that_is_no_json_object_is_a_400(five_events: Org, raw: bytes) -> None:
    answer = five_events.session.post(five_events.sandbox.base_url + SEARCH, data=raw)
    assert answer.status_code == 400
    assert answer.json()["errors"][0].startswith("input_validation_error(")


def test_unknown_members_and_no_body_at_all_are_fine(five_events: Org) -> None:
    assert ids(five_events.search({**ascending(), "surprise": 1, "filter": {**MINUTE_FILTER, "x": 2}}))
    assert five_events.session.post(five_events.sandbox.base_url + SEARCH).status_code == 200


def test_the_get_endpoint_takes_the_same_filters(five_events: Org) -> None:
    params = {
        "filter[query]": "number",
        "filter[indexes]": "main,nowhere",
        "filter[from]": "2026-11-20T13:00:01+01:00",
        "filter[to]": str(NOON_MS + 4000),
        "filter[storage_tier]": "indexes",
        "sort": "timestamp",
        "page[limit]": "2",
    }
    first = five_events.get("/api/v2/logs/events", params=params).json()
    assert ids(first) == ["e1", "e2"]
    assert first["meta"]["warnings"][0]["detail"] == "indexes: nowhere"
    params["page[cursor]"] = first["meta"]["page"]["after"]
    assert ids(five_events.get("/api/v2/logs/events", params=params).json()) == ["e3"]
    assert five_events.get("/api/v2/logs/events", params={"page[limit]": "many"}).status_code == 400


def test_a_timeout_is_a_200_with_half_of_the_rows(five_events: Org) -> None:
    five_events.fault("datadog:status_timeout", times=1)
    answer = five_events.search(ascending(4))
    assert (ids(answer), answer["meta"]["status"]) == (["e0", "e1"], "timeout")
    assert five_events.search(ascending(4))["meta"]["status"] == "done"


def test_warnings_on_demand(five_events: Org) -> None:
    five_events.fault("datadog:warnings", params={"code": "shard", "detail": "7 of 9"})
    assert five_events.search(ascending())["meta"]["warnings"] == [
        {"code": "shard", "title": "Partial results", "detail": "7 of 9"}
    ]


def pages_with(org: Org, kind: str, limit: int = 2) -> list[list[str]]:
    """Pages around one fault on the second page."""
    org.fault(kind, times=1, after=0 if kind in _NEED_A_CURSOR else 1)
    body = ascending(limit)
    first = org.search(body)
    body["page"]["cursor"] = first["meta"]["page"]["after"]
    return [ids(first), ids(org.search(body))]


_NEED_A_CURSOR = {"datadog:duplicate_rows", "datadog:repeat_cursor", "datadog:expired_cursor"}


def test_a_page_can_repeat_the_last_row_of_the_page_before(five_events: Org) -> None:
    assert pages_with(five_events, "datadog:duplicate_rows") == [["e0", "e1"], ["e1", "e2", "e3"]]


def test_a_page_can_be_out_of_order(five_events: Org) -> None:
    assert pages_with(five_events, "datadog:out_of_order") == [["e0", "e1"], ["e3", "e2"]]


def test_a_page_can_lose_a_row(five_events: Org) -> None:
    assert pages_with(five_events, "datadog:drop_row") == [["e0", "e1"], ["e2"]]
    five_events.fault("datadog:drop_row", times=1)
    assert [one for page in five_events.walk(ascending(2)) for one in ids(page)] == ["e0", "e2", "e3", "e4"]


def test_a_page_can_be_empty_in_the_middle_with_a_new_cursor(five_events: Org) -> None:
    five_events.fault("datadog:empty_page_with_cursor", times=2)
    body, seen, cursors = ascending(3), [], set()
    for _ in range(4):
        answer = five_events.search(body)
        seen.append(ids(answer))
        cursors.add(answer["meta"]["page"]["after"])
        body["page"]["cursor"] = answer["meta"]["page"]["after"]
    assert seen == [[], [], ["e0", "e1", "e2"], ["e3", "e4"]]
    assert len(cursors) == 4


@pytest.mark.parametrize("sort", ["-timestamp", "@n", "-@n"])
def test_an_empty_first_page_leads_on_in_every_order(start_org: StartOrg, sort: str) -> None:
    org = start_org(*(event(f"e{n}", NOON_MS + n, attributes={"n": n}) for n in range(3)))
    body = {**ascending(), "sort": sort}
    honest = ids(org.search(body))
    org.fault("datadog:empty_page_with_cursor", times=1)
    body["page"]["cursor"] = org.search(body)["meta"]["page"]["after"]
    assert ids(org.search(body)) == honest


def test_a_cursor_can_come_back_unchanged(five_events: Org) -> None:
    five_events.fault("datadog:repeat_cursor", times=1)
    body = ascending(2)
    body["page"]["cursor"] = five_events.search(body)["meta"]["page"]["after"]
    assert five_events.search(body)["meta"]["page"]["after"] == body["page"]["cursor"]


def test_a_cursor_can_expire(five_events: Org) -> None:
    five_events.fault("datadog:expired_cursor", times=1)
    body = ascending(2)
    body["page"]["cursor"] = five_events.search(body)["meta"]["page"]["after"]
    assert five_events.post(SEARCH, body).status_code == 400
    assert ids(five_events.search(body)) == ["e2", "e3"]


def test_bodies_are_served_byte_for_byte(start_org: StartOrg) -> None:
    raw = b'{"id":"x", "attributes":{"timestamp":"2026-11-20T12:00:00Z","attributes":{"n":1e400,"f":2.0}}}'
    org = start_org(raw)
    answer = org.post(SEARCH, ascending())
    assert answer.content.startswith(b'{"data":[' + raw + b"]")


def test_a_cursor_can_be_given_that_the_api_itself_refuses(five_events: Org) -> None:
    five_events.fault("datadog:malformed_cursor", times=1)
    cursor = five_events.search({"page": {"limit": 2}})["meta"]["page"]["after"]
    refused = five_events.post(SEARCH, {"page": {"cursor": cursor}})
    assert refused.status_code == 400
    assert "invalid cursor" in refused.json()["errors"][0]


def test_a_page_can_hold_one_row_twice_in_place_of_another(five_events: Org) -> None:
    five_events.fault("datadog:swap_row", times=1)
    rows = five_events.search(ascending())["data"]
    assert [row["attributes"]["message"] for row in rows] == [f"number {n}" for n in (0, 1, 1, 3, 4)]
    assert len({row["id"] for row in rows}) == 5


def test_an_answer_can_be_too_long_for_the_way(five_events: Org) -> None:
    five_events.set(most_body_bytes=700)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        five_events.post(SEARCH, ascending())
    assert ids(five_events.search(ascending(limit=1))) == ["e0"]
