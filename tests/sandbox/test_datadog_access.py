"""Who may ask, how often, and what the sandbox tells about itself."""

from typing import Any

import pytest
import requests

from .conftest import AGGREGATE, MINUTE_FILTER, NOON_MS, SEARCH, Org, StartOrg, event

pytestmark = pytest.mark.integration

FULL_KEYS = {"DD-API-KEY": "sandbox-api-key", "DD-APPLICATION-KEY": "sandbox-app-key"}


def ask(org: Org, headers: dict[str, str], path: str = SEARCH) -> requests.Response:
    return requests.post(org.sandbox.base_url + path, json={}, headers=headers, timeout=10)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"DD-API-KEY": "sandbox-api-key"},
        {"DD-APPLICATION-KEY": "sandbox-app-key"},
        {**FULL_KEYS, "DD-API-KEY": "wrong"},
        {**FULL_KEYS, "DD-APPLICATION-KEY": "wrong"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic ddpat_sandbox"},
        {"Authorization": "Bearer "},
    ],
)
@pytest.mark.parametrize("path", [SEARCH, AGGREGATE])
def test_a_wrong_or_missing_key_is_a_401(five_events: Org, headers: dict[str, str], path: str) -> None:
    answer = ask(five_events, headers, path)
    assert (answer.status_code, answer.json()) == (401, {"errors": ["Unauthorized"]})


@pytest.mark.parametrize(
    "headers",
    [FULL_KEYS, {"Authorization": "Bearer ddpat_sandbox"}, {"DD-APPLICATION-KEY": "ddpat_sandbox"}],
)
def test_keys_bearer_and_token_in_place_of_the_application_key_are_all_good(
    five_events: Org, headers: dict[str, str]
) -> None:
    assert ask(five_events, headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {**FULL_KEYS, "DD-APPLICATION-KEY": "sandbox-app-key-no-logs"},
        {"Authorization": "Bearer ddpat_sandbox_no_logs"},
    ],
)
def test_a_key_without_the_permission_is_a_403(five_events: Org, headers: dict[str, str]) -> None:
    answer = ask(five_events, headers)
    assert (answer.status_code, answer.json()) == (403, {"errors": ["Forbidden"]})


def test_a_restricted_key_sees_less_and_is_not_told(start_org: StartOrg) -> None:
    org = start_org(event("seen", tags=["env:prod"]), event("hidden", tags=["env:dev"]))
    body: dict[str, Any] = {"filter": MINUTE_FILTER}
    assert len(org.search(body)["data"]) == 2
    org.session.headers["DD-APPLICATION-KEY"] = org.sandbox.describe()["app_key_restricted"]
    answer = org.search(body)
    assert [one["id"] for one in answer["data"]] == ["seen"]
    assert "warnings" not in answer["meta"]
    counted = org.post(AGGREGATE, body).json()
    assert counted["data"]["buckets"] == [{"by": {}, "computes": {"c0": 1}}]


def test_validate_knows_the_api_key_and_nothing_more(five_events: Org) -> None:
    url = five_events.sandbox.base_url + "/api/v1/validate"
    good = requests.get(url, headers={"DD-API-KEY": "sandbox-api-key"}, timeout=10)
    assert (good.status_code, good.json()) == (200, {"valid": True})
    assert requests.get(url, headers={"DD-API-KEY": "wrong"}, timeout=10).status_code == 403


def test_other_addresses_do_not_exist(five_events: Org) -> None:
    assert five_events.get("/api/v1/logs/config/indexes").status_code == 404
    assert five_events.get(SEARCH).status_code == 404


def test_every_answer_tells_the_allowance_and_the_excess_is_a_429(five_events: Org) -> None:
    five_events.set(search_limit=3, aggregate_limit=2)
    five_events.clock[0] = NOON_MS + 4_000
    answers = [five_events.post(SEARCH, {"sort": "bad"} if n == 1 else {}) for n in range(4)]
    assert [answer.status_code for answer in answers] == [200, 400, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    refused = answers[-1]
    assert refused.json() == {"errors": ["Too many requests"]}
    assert refused.headers["X-RateLimit-Reset"] == "6"
    assert refused.headers["X-RateLimit-Limit"] == "3"
    assert refused.headers["X-RateLimit-Period"] == "10"
    assert refused.headers["X-RateLimit-Name"] == "logs_public_search_api"
    counted = five_events.post(AGGREGATE, {})
    assert (counted.status_code, counted.headers["X-RateLimit-Remaining"]) == (200, "1")
    assert counted.headers["X-RateLimit-Name"] == "logs_public_analytics_aggregate"
    assert five_events.get("/api/v2/logs/events").status_code == 429
    five_events.clock[0] = NOON_MS + 10_000
    assert five_events.post(SEARCH, {}).status_code == 200


def test_stats_tell_requests_rows_and_throttling(five_events: Org) -> None:
    five_events.set(search_limit=1)
    five_events.search({"filter": MINUTE_FILTER})
    five_events.post(SEARCH, {})
    stats = five_events.get("/_sandbox/stats").json()
    assert stats["requests"] == {f"POST {SEARCH}": {"200": 1, "429": 1}}
    assert (stats["throttled"], stats["rows_served"], stats["faults"]) == (1, 5, {})
    assert stats["body_bytes"] > 500


@pytest.mark.parametrize(
    "changes",
    [{"page_ends": "no_meta"}, {"page_end": "weird"}, {"short_pages": "2"}, {"inclusive_to": 1}, ["x"]],
)
def test_a_setting_with_a_mistake_is_refused(five_events: Org, changes: Any) -> None:
    url = five_events.sandbox.base_url + "/_sandbox/settings"
    before = requests.get(url, timeout=10).json()
    answer = requests.patch(url, json=changes, timeout=10)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert requests.get(url, timeout=10).json() == before


def test_keys_can_be_changed_while_it_runs(five_events: Org) -> None:
    five_events.set(api_key="new", credentials=[{"app_key": "k", "bearer": "b"}])
    assert ask(five_events, FULL_KEYS).status_code == 401
    assert ask(five_events, {"DD-API-KEY": "new", "DD-APPLICATION-KEY": "k"}).status_code == 200


def test_truth_needs_no_key_and_no_allowance(five_events: Org) -> None:
    five_events.set(search_limit=0)
    url = five_events.sandbox.base_url + "/_sandbox/truth"
    params = {**MINUTE_FILTER, "query": "number"}
    truth = requests.get(url, params=params, timeout=10).json()
    # printf 'e0\ne1\ne2\ne3\ne4' | sha256sum
    assert truth["rows"] == 5
    assert truth["ids_sha256"] == "a2d5c490fa94eb02b70615ad8abb1d5e12fd32533388bd3b1421349b6cf372ed"
    assert requests.get(url, params={"from": "now"}, timeout=10).status_code == 400
