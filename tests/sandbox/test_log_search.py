"""The retired Log Search API: submit, poll, caps, and the ways it says 410."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests

from logferry_sandbox.azure_sandbox import CLIENT_ID, OUTSIDER_ID, AzureSandbox
from logferry_sandbox.log_search_data import BUSY_ROWS, EVENTS_PER_DAY
from logferry_sandbox.log_search_query import LegacyQueryError, compile_query

VERSION = "2015-11-01-preview"
DAY = {"start": "2026-11-20T00:00:00", "end": "2026-11-20T23:59:59.999"}
BUSY = {"start": "2026-11-19T13:00:00Z", "end": "2026-11-19T13:59:59.999Z"}
ROW = {"Type": "Event", "EventLevelName": "Error", "Source": "Service Control Manager", "EventID": 7036}


class Searches:
    """A running sandbox and a caller with an ARM token; `now` is its clock in seconds."""

    def __init__(self, state_dir: Path) -> None:
        self.now = 0.0
        self.sandbox = AzureSandbox(
            state_dir=state_dir,
            busy_days=[date(2026, 11, 19)],
            wall_clock=lambda: 1_795_348_800.0,
            clock=lambda: self.now,
        )
        self.knobs = self.sandbox.log_search.knobs
        described = self.sandbox.describe()
        self.url = (
            f"{described['arm_endpoint']}/subscriptions/{described['subscription']}/resourcegroups/"
            f"{described['resource_group']}/providers/Microsoft.OperationalInsights/workspaces/"
            f"{described['workspace_name']}/search"
        )
        self.token = self.issue("https://management.core.windows.net/")

    def issue(self, audience: str, client: str = CLIENT_ID, lifetime_s: int = 3600) -> str:
        return self.sandbox.tokens.issue(audience, client, lifetime_s)

    def call(self, method: str, url: str, body: Any = None, **options: Any) -> requests.Response:
        return requests.request(
            method,
            url,
            json=body,
            params={"api-version": options.get("version", VERSION)},
            headers={"Authorization": f"Bearer {options.get('token', self.token)}"},
            timeout=30,
        )

    def submit(self, query: str = "Type=Event", **body: Any) -> requests.Response:
        return self.call("POST", self.url, {"query": query, **body})

    def poll(self, submitted: requests.Response, method: str = "GET") -> requests.Response:
        return self.call(method, f"{self.url}/{submitted.json()['id'].rpartition('/')[2]}")

    def result(self, query: str = "Type=Event", **body: Any) -> dict[str, Any]:
        self.knobs.pending_polls = 0
        answer: dict[str, Any] = self.submit(query, **body).json()
        return answer


@pytest.fixture
def searches(tmp_path: Path) -> Iterator[Searches]:
    made = Searches(tmp_path)
    with made.sandbox:
        yield made


@pytest.mark.integration
def test_a_search_is_pending_then_successful_under_one_fixed_url(searches: Searches) -> None:
    searches.knobs.pending_polls = 3
    submitted = searches.submit(top=20, **DAY)
    answers = [submitted, *(searches.poll(submitted, method) for method in ("GET", "POST", "GET"))]
    assert [answer.json()["__metadata"]["Status"] for answer in answers] == [
        "Pending",
        "Pending",
        "Pending",
        "Successful",
    ]
    assert [len(answer.json()["value"]) for answer in answers] == [0, 0, 0, 20]
    assert answers[-1].json()["__metadata"]["total"] == EVENTS_PER_DAY
    growing = f"{searches.url}/{'/'.join([submitted.json()['id'].rpartition('/')[2]] * 2)}"
    assert searches.call("GET", growing).status_code == 404


@pytest.mark.integration
def test_a_search_done_at_once_is_not_kept(searches: Searches) -> None:
    searches.knobs.pending_polls = 0
    submitted = searches.submit(**DAY)
    assert submitted.json()["__metadata"]["Status"] == "Successful"
    gone = searches.poll(submitted)
    assert (gone.status_code, gone.content) == (410, b"")


@pytest.mark.integration
def test_a_search_is_dropped_after_six_minutes_or_on_request(searches: Searches) -> None:
    submitted = searches.submit(**DAY)
    searches.now = 361.0
    assert searches.poll(submitted).status_code == 410
    searches.sandbox.arm_plan.replace([{"fault": "log_search:gone", "times": 1}])
    again = searches.submit(**DAY)
    assert searches.poll(again).status_code == 410
    assert searches.poll(again).status_code == 410
    third = searches.submit(**DAY)
    assert searches.poll(third).json()["__metadata"]["Status"] == "Successful"


@pytest.mark.integration
def test_a_retired_api_answers_410_to_every_submit(searches: Searches) -> None:
    knobs = f"{searches.sandbox.describe()['arm_endpoint']}/_sandbox/knobs"
    assert requests.post(knobs, json={"retired": True}, timeout=30).status_code == 200
    gone = searches.submit(**DAY)
    assert (gone.status_code, gone.content) == (410, b"")
    assert requests.post(knobs, json={"retired": "yes"}, timeout=30).status_code == 400


@pytest.mark.integration
def test_top_is_ten_by_default_and_5000_at_most(searches: Searches) -> None:
    first = searches.result(**BUSY)
    assert (len(first["value"]), first["__metadata"]["top"]) == (10, 10)
    capped = searches.result(top=9000, **BUSY)
    assert (len(capped["value"]), capped["__metadata"]["top"]) == (5000, 5000)
    assert capped["__metadata"]["total"] > BUSY_ROWS


@pytest.mark.integration
def test_rows_come_newest_first_with_ties_and_milliseconds(searches: Searches) -> None:
    rows = searches.result(top=5000, **DAY)["value"]
    times = [row["TimeGenerated"] for row in rows]
    assert times == sorted(times, reverse=True)
    assert len(times) == EVENTS_PER_DAY > len(set(times))
    assert len({row["id"] for row in rows}) == EVENTS_PER_DAY
    assert rows[0]["__metadata"] == {"Type": "Event", "TimeGenerated": times[0]}


@pytest.mark.integration
def test_the_end_belongs_to_the_range_or_not_as_set(searches: Searches) -> None:
    edge = {"start": "2026-11-20T00:00:00.000Z", "end": "2026-11-20T01:00:00Z"}
    inclusive = searches.result(top=5000, **edge)["__metadata"]["total"]
    searches.knobs.end_inclusive = False
    assert inclusive - searches.result(top=5000, **edge)["__metadata"]["total"] == 1


@pytest.mark.integration
def test_neighbouring_ranges_share_nothing_when_the_end_is_one_millisecond_earlier(
    searches: Searches,
) -> None:
    halves = [
        {"start": "2026-11-20T00:00:00", "end": "2026-11-20T11:59:59.999"},
        {"start": "2026-11-20T13:00:00+01:00", "end": "2026-11-20T23:59:59.999"},
    ]
    assert sum(searches.result(**half)["__metadata"]["total"] for half in halves) == EVENTS_PER_DAY


@pytest.mark.integration
@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"version": "2017-01-01"}, 400, "InvalidApiVersionParameter"),
        ({"version": ""}, 400, "MissingApiVersionParameter"),
        ({"token": "made-up"}, 401, "InvalidAuthenticationToken"),
    ],
)
def test_arm_refuses_what_is_wrong(
    searches: Searches, options: dict[str, str], status: int, code: str
) -> None:
    refused = searches.call("POST", searches.url, {"query": "*"}, **options)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


@pytest.mark.integration
def test_tokens_must_be_for_arm_alive_and_of_someone_with_a_role(searches: Searches) -> None:
    arm = "https://management.azure.com"
    for token, status, code in (
        (searches.issue("https://api.loganalytics.io"), 401, "InvalidAuthenticationTokenAudience"),
        (searches.issue(arm, lifetime_s=0), 401, "ExpiredAuthenticationToken"),
        (searches.issue(arm, OUTSIDER_ID), 403, "AuthorizationFailed"),
    ):
        refused = searches.call("POST", searches.url, {"query": "*"}, token=token)
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
    assert searches.call("POST", searches.url, {"query": "*"}, token=searches.issue(arm)).status_code == 200


@pytest.mark.integration
def test_the_path_is_compared_without_case_but_must_name_the_workspace(searches: Searches) -> None:
    odd = searches.url.replace("resourcegroups", "resourceGroups").replace("Operational", "operational")
    assert searches.call("POST", odd, {"query": "*"}, version="2015-03-20").status_code == 200
    for part, code in (
        ("ferry-logs", "ResourceNotFound"),
        ("ferry-rg", "ResourceGroupNotFound"),
        (searches.sandbox.describe()["subscription"], "SubscriptionNotFound"),
    ):
        refused = searches.call("POST", searches.url.replace(part, "other"), {"query": "*"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, code)


@pytest.mark.integration
def test_a_failed_search_carries_an_error_object(searches: Searches) -> None:
    searches.sandbox.arm_plan.replace([{"fault": "log_search:error", "times": 1}])
    failed = searches.submit(**DAY)
    assert failed.status_code == 200
    assert failed.json()["error"] == {"type": "ServiceError", "message": "The search could not be completed."}
    assert "value" not in failed.json()
    bodies: list[Any] = [
        {"query": "Type=Event | measure count()"},
        {"query": "*", "top": 0},
        {"start": "now"},
        [],
    ]
    for body in bodies:
        refused = searches.call("POST", searches.url, body)
        assert (refused.status_code, set(refused.json()["error"])) == (400, {"type", "message"})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("*", True),
        ("Type=Event", True),
        ("type=event EventLevelName=error", True),
        ("Type=Event AND EventLevelName=Warning", False),
        ("Type=Heartbeat OR EventID=7036", True),
        ("Type=Event (EventLevelName=Warning OR EventLevelName:Error)", True),
        ("NOT Type=Event", False),
        ("EventID!=7036", False),
        ('Source="service control manager"', True),
        ("Error", True),
        ('"control man"', True),
        ("absent", False),
        ("Computer=*", False),
    ],
)
def test_the_legacy_language_subset(query: str, found: bool) -> None:
    assert compile_query(query)(ROW) is found


@pytest.mark.parametrize(
    "query", ["", "Type=Event |", "(Type=Event", "AND", "Type=Event OR", ")", 'Source="open']
)
def test_what_the_subset_does_not_know_is_refused(query: str) -> None:
    with pytest.raises(LegacyQueryError):
        compile_query(query)
