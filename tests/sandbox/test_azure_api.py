"""The query API: what it refuses, what it truncates, and each fault, asked without a socket."""

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlencode

import pytest

from logferry_sandbox.azure_data import DayTable
from logferry_sandbox.azure_sandbox import CLIENT_ID, OUTSIDER_ID, WORKSPACE, AzureSandbox
from logferry_sandbox.entra import QUERY_AUDIENCE
from logferry_sandbox.faults import FaultRuleError
from logferry_sandbox.http_server import HttpRequest, HttpResponse
from logferry_sandbox.kql_frame import Batch

NOW = 1_795_348_800  # 2026-11-22T12:00:00Z
PATH = f"/v1/workspaces/{WORKSPACE.guid}/query"
TODAY = "where TimeGenerated >= datetime(2026-11-20) and TimeGenerated < datetime(2026-11-21)"
COUNT = f"AppRequests | {TODAY} | count"
ROWS = f"AppRequests | {TODAY} | project TimeGenerated, _ItemId"


class Service:
    """A sandbox whose clocks stand still until moved, and one signed-in caller."""

    def __init__(self, state_dir: Path) -> None:
        self.wall = float(NOW)
        self.clock = 0.0
        self.sandbox = AzureSandbox(
            state_dir=state_dir, wall_clock=lambda: self.wall, clock=lambda: self.clock
        )
        self.knobs = self.sandbox.query.knobs
        self.token = self.issue()

    def issue(self, audience: str = QUERY_AUDIENCE, client: str = CLIENT_ID, lifetime_s: int = 3600) -> str:
        return self.sandbox.tokens.issue(audience, client, lifetime_s)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> HttpResponse:
        path, _, query = path.partition("?")
        parsed = {
            name: [value] for name, _, value in (part.partition("=") for part in query.split("&") if part)
        }
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.sandbox.query.app(HttpRequest(method, path, parsed, sent, body))

    def post(
        self, query: str, path: str = PATH, body: dict[str, Any] | None = None, **headers: str
    ) -> HttpResponse:
        usual = {
            "content_type": "application/json",
            "authorization": f"Bearer {self.token}",
            "cache_control": "no-cache",
        }
        return self.send(
            "POST", path, json.dumps({"query": query, **(body or {})}).encode(), **usual | headers
        )

    def rows(self, query: str, body: dict[str, Any] | None = None, **headers: str) -> list[Any]:
        response = self.post(query, body=body, **headers)
        assert response.status == 200, response.body
        parsed = json.loads(response.body)
        assert "error" not in parsed
        found: list[Any] = parsed["tables"][0]["rows"]
        return found

    def fault(self, kind: str, **rule: Any) -> None:
        self.sandbox.plan.replace([{"fault": f"azure:{kind}", "times": 1, **rule}])

    def truth(self, table: str, from_tick: int, to_tick: int) -> dict[str, Any]:
        query = urlencode({"table": table, "from_tick": from_tick, "to_tick": to_tick})
        parsed: dict[str, Any] = json.loads(self.send("GET", f"/_sandbox/truth?{query}").body)
        return parsed


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.sandbox.stop()


def codes(response: HttpResponse) -> list[str]:
    """The error codes from the outside in."""
    found, error = [], json.loads(response.body)["error"]
    assert error["correlationId"]
    while error:
        found.append(error["code"])
        error = error.get("innererror")
    return found


def test_a_missing_token_is_401_and_a_bad_one_403(service: Service) -> None:
    refused = service.post(COUNT, authorization="")
    assert (refused.status, codes(refused)) == (401, ["AuthenticationFailed"])
    assert "header is missing" in refused.body.decode()
    for token in ("made-up", service.issue(lifetime_s=0)):
        refused = service.post(COUNT, authorization=f"Bearer {token}")
        assert (refused.status, codes(refused)) == (403, ["InvalidAuthenticationToken"])
    refused = service.post(COUNT, authorization=f"Bearer {service.issue('https://management.azure.com')}")
    assert (refused.status, codes(refused)) == (403, ["InvalidAuthenticationTokenAudience"])


def test_a_token_expires_with_the_wall_clock(service: Service) -> None:
    assert service.post(COUNT).status == 200
    service.wall += 3600
    assert service.post(COUNT).status == 403


def test_an_application_without_a_role_is_refused(service: Service) -> None:
    refused = service.post(COUNT, authorization=f"Bearer {service.issue(client=OUTSIDER_ID)}")
    assert (refused.status, codes(refused)) == (403, ["InsufficientAccessError", "AuthorizationFailedError"])


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/v1/workspaces/{WORKSPACE.name}/query", "PathNotFoundError"),
        ("/v1/workspaces/00000000-0000-0000-0000-000000000000/query", "ResourceNotFoundError"),
        (f"/v2/workspaces/{WORKSPACE.guid}/query", "PathNotFoundError"),
        ("/v1/subscriptions/x/resourceGroups/y/query", "ResourceNotFoundError"),
    ],
)
def test_a_wrong_path_is_404(service: Service, path: str, code: str) -> None:
    refused = service.post(COUNT, path)
    assert (refused.status, codes(refused)) == (404, [code])


def test_workspace_and_resource_paths_answer_get_and_post(service: Service) -> None:
    for path in (PATH, f"/v1{WORKSPACE.resource_id}/query", f"/v1{WORKSPACE.component_id.upper()}/query"):
        assert json.loads(service.post(COUNT, path).body)["tables"][0]["rows"] == [[3000]]
    got = service.send("GET", f"{PATH}?query={COUNT}", authorization=f"Bearer {service.token}")
    assert json.loads(got.body)["tables"] == [
        {"name": "PrimaryResult", "columns": [{"name": "Count", "type": "long"}], "rows": [[3000]]}
    ]


def test_without_a_json_body_the_answer_is_an_empty_200(service: Service) -> None:
    for response in (
        service.post(COUNT, content_type="text/plain"),
        service.send(
            "POST", PATH, b"", content_type="application/json", authorization=f"Bearer {service.token}"
        ),
    ):
        assert (response.status, response.body) == (200, b"")


def test_a_body_that_is_no_query_is_400(service: Service) -> None:
    headers = {"content_type": "application/json", "authorization": f"Bearer {service.token}"}
    assert codes(service.send("POST", PATH, b"{", **headers)) == ["BadArgumentError", "InvalidJsonBody"]
    assert codes(service.send("POST", PATH, b"[]", **headers)) == ["BadArgumentError", "QueryValidationError"]
    assert codes(service.post(COUNT, body={"timespan": "1 day"})) == [
        "BadArgumentError",
        "QueryValidationError",
    ]
    assert codes(service.post(COUNT, body={"workspaces": ["other"]})) == [
        "BadArgumentError",
        "FailedToResolveResource",
    ]


def test_query_errors_have_the_recorded_shape(service: Service) -> None:
    semantic = json.loads(service.post("Apps | where a == 1").body)["error"]
    semantic.pop("correlationId")
    assert semantic == {
        "message": "The request had some invalid properties",
        "code": "BadArgumentError",
        "innererror": {
            "code": "SemanticError",
            "message": "A semantic error occurred.",
            "innererror": {
                "code": "SEM0100",
                "message": "'where' operator: Failed to resolve table or column expression named 'Apps'",
            },
        },
    }
    syntax = service.post("AppRequests\n| where")
    assert syntax.status == 400
    assert codes(syntax) == ["BadArgumentError", "SyntaxError", "SYN0002"]
    inner = json.loads(syntax.body)["error"]["innererror"]["innererror"]
    assert (inner["line"], inner["pos"], inner["token"]) == (2, 7, "<EOF>")


def test_the_timespan_is_intersected_with_the_query_and_its_end_is_a_choice(service: Service) -> None:
    edge = {"timespan": "2026-11-20T01:00:00Z/2026-11-20T02:00:00Z"}
    inclusive = service.rows(ROWS, edge)
    service.knobs.timespan_end_inclusive = False
    exclusive = service.rows(ROWS, edge)
    assert {row[0] for row in inclusive} - {row[0] for row in exclusive} == {"2026-11-20T02:00:00Z"}
    query = "AppRequests | where TimeGenerated >= datetime(2026-11-20T02:00:00Z) | count"
    assert service.rows(query, edge) == [[0]]
    last_day = f"AppRequests | summarize min(TimeGenerated) > datetime({'2026-11-21T11:59:59Z'})"
    assert service.post(last_day, body={"timespan": "P1D"}).status == 400


def test_the_timespan_cuts_time_generated_whatever_time_the_query_filters(service: Service) -> None:
    query = f"FerryLate_CL | {TODAY.replace('TimeGenerated', 'EventTime')} | count"
    ((whole,),) = service.rows(query)
    ((cut,),) = service.rows(query, {"timespan": "2026-11-20T00:00:00Z/2026-11-21T00:00:00Z"})
    assert whole > 2 * cut > 0


def test_preferences_are_echoed_and_statistics_come_on_request(service: Service) -> None:
    response = service.post(COUNT, prefer="wait=600, include-statistics=true, unheard=of")
    assert response.headers["Preference-Applied"] == "wait=600, include-statistics=true"
    assert "query" in json.loads(response.body)["statistics"]
    assert "statistics" not in json.loads(service.post(COUNT).body)


def test_the_client_request_id_comes_back(service: Service) -> None:
    assert service.post(COUNT, x_ms_client_request_id="abc").headers["x-ms-client-request-id"] == "abc"


def test_some_good_answers_carry_retry_after_zero(service: Service) -> None:
    answers = [service.post(f"{COUNT} | where {n} == {n}").headers.get("retry-after") for n in range(40)]
    assert {None, "0"} == set(answers)


def test_rows_come_unordered_unless_sorted(service: Service) -> None:
    times = [row[0] for row in service.rows(ROWS)]
    assert times != sorted(times)
    ordered = [row[0] for row in service.rows(f"{ROWS} | sort by TimeGenerated asc")]
    assert sorted(map(len, times)) == sorted(map(len, ordered))
    assert [text[:19] for text in ordered] == sorted(text[:19] for text in times)
    service.knobs.shuffle = False
    assert [row[0][:19] for row in service.rows(ROWS)] == [text[:19] for text in ordered]


def test_an_answer_is_cached_for_two_minutes_unless_the_request_says_no(service: Service) -> None:
    first = service.post(COUNT, cache_control="")
    assert "Age" not in first.headers
    service.sandbox.tables["AppRequests"].state.late_every = 2
    service.clock = 119.0
    cached = service.post(COUNT, cache_control="")
    assert (cached.headers["Age"], cached.body) == ("119", first.body)
    assert service.post(COUNT, cache_control="no-cache").body != first.body
    assert service.post(COUNT, cache_control="no-store").body != first.body
    service.sandbox.tables["AppRequests"].state.late_every = 0
    service.clock = 300.0
    assert "Age" not in service.post(COUNT, cache_control="max-age=60").headers


def test_too_many_rows_give_the_first_ones_and_an_error_beside_them(service: Service) -> None:
    service.knobs.max_rows = 100
    answer = json.loads(service.post(ROWS).body)
    assert len(answer["tables"][0]["rows"]) == 100
    assert answer["error"]["code"] == "PartialError"
    inner = answer["error"]["details"][0]["innererror"]
    assert inner["code"] == "-2133196797"
    assert "set limit of 100 records" in inner["message"]
    service.knobs.max_rows = 3000
    assert len(service.rows(ROWS)) == 3000


def test_too_many_bytes_give_the_rows_that_fit(service: Service) -> None:
    service.knobs.max_bytes = 10_000
    answer = json.loads(service.post(ROWS).body)
    rows = answer["tables"][0]["rows"]
    assert 0 < sum(len(json.dumps(row, separators=(",", ":"))) for row in rows) <= 10_000
    assert "internal data size limit 10000" in answer["error"]["details"][0]["innererror"]["message"]


@pytest.mark.parametrize(
    ("variant", "text"),
    [
        (1, "internal data size limit 64000000 (E_QUERY_RESULT_SET_TOO_LARGE"),
        (2, "set limit of 64000000 bytes"),
        (3, "set limit of 500000 records"),
        (4, "internal record count limit 500000"),
        (5, "Maximum response size of 100000000 bytes exceeded"),
        (6, "E_OVERFLOW"),
    ],
)
@pytest.mark.parametrize("with_rows", [True, False])
def test_every_partial_error_can_be_asked_for(
    service: Service, variant: int, text: str, with_rows: bool
) -> None:
    service.fault("partial_error", params={"variant": variant, "rows": with_rows})
    response = service.post(ROWS)
    answer = json.loads(response.body)
    assert response.status == 200
    assert len(answer["tables"][0]["rows"]) == (1500 if with_rows else 0)
    inner = answer["error"]["details"][0]["innererror"]
    assert (inner["severityName"], text in inner["message"]) == ("Error", True)
    assert len(service.rows(ROWS)) == 3000


def test_a_warning_stands_beside_all_rows(service: Service) -> None:
    service.fault("warning")
    answer = json.loads(service.post(ROWS).body)
    assert len(answer["tables"][0]["rows"]) == 3000
    assert answer["error"]["details"][0]["innererror"]["severityName"] == "Warning"


def test_the_rate_limit_is_per_principal_and_its_window_slides(service: Service) -> None:
    service.knobs.rate_limit = 3
    assert [service.post(COUNT).status for _ in range(3)] == [200, 200, 200]
    service.clock = 10.0
    refused = service.post(COUNT)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "20")
    assert codes(refused) == ["ThrottledError", "ThrottledError"]
    service.knobs.retry_after = False
    assert "Retry-After" not in service.post(COUNT).headers
    assert service.post(COUNT, authorization=f"Bearer {service.issue(client='other')}").status == 200
    service.clock = 30.0
    assert service.post(COUNT).status == 200


def test_a_sixth_query_at_the_same_time_is_throttled(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = Event(), Event()
    scan = DayTable.scan

    def held(table: DayTable, start: int, stop: int) -> Iterator[Batch]:
        entered.set()
        leave.wait(30)
        return scan(table, start, stop)

    service.knobs.concurrency = 1
    monkeypatch.setattr(DayTable, "scan", held)
    slow = Thread(target=service.post, args=(COUNT,))
    slow.start()
    assert entered.wait(30)
    refused = service.post(COUNT)
    leave.set()
    slow.join()
    assert (refused.status, codes(refused)[0]) == (429, "ThrottledError")
    assert service.post(COUNT).status == 200


def test_a_query_that_reads_too_much_times_out(service: Service) -> None:
    service.knobs.scan_limit = 2999
    timed_out = service.post(COUNT)
    assert (timed_out.status, codes(timed_out)) == (504, ["GatewayTimeout", "GatewayTimeout"])
    assert "ADX query timed out" in timed_out.body.decode()
    assert len(service.rows("AppRequests | take 5")) == 5


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("expired_token", 403, "InvalidAuthenticationToken"),
        ("throttled", 429, "ThrottledError"),
        ("gateway_timeout", 504, "GatewayTimeout"),
        ("network_denied", 403, "InsufficientAccessError"),
    ],
)
def test_a_fault_hits_once_and_is_gone(service: Service, fault: str, status: int, code: str) -> None:
    service.fault(fault)
    refused = service.post(COUNT)
    assert (refused.status, codes(refused)[0]) == (status, code)
    assert service.rows(COUNT) == [[3000]]


def test_no_content_has_no_body(service: Service) -> None:
    service.fault("no_content")
    response = service.post(COUNT)
    assert (response.status, response.body) == (204, b"")


def test_a_stale_cache_answers_even_a_request_that_refuses_caches(service: Service) -> None:
    before = service.post(COUNT).body
    service.sandbox.tables["AppRequests"].state.late_every = 2
    service.fault("stale_cache")
    stale = service.post(COUNT)
    assert (stale.body, stale.headers["Age"]) == (before, "0")
    assert service.post(COUNT).body != before


def test_late_rows_appear_when_released(service: Service) -> None:
    service.fault("late_rows", params={"every": 10})
    early = len(service.rows(ROWS))
    assert early < 3000
    assert len(service.rows(ROWS)) == early
    assert service.send("POST", "/_sandbox/release_late").status == 200
    assert len(service.rows(ROWS)) == 3000


def test_a_dropped_row_is_missing_from_one_answer_only(service: Service) -> None:
    service.fault("drop_row")
    assert len(service.rows(ROWS)) == 2999
    assert len(service.rows(ROWS)) == 3000


@pytest.mark.parametrize("query", [ROWS, f"AppRequests | {TODAY} | extend _lf_item = _ItemId"])
def test_a_row_can_come_twice_in_place_of_another_under_a_new_id(service: Service, query: str) -> None:
    whole = service.rows(query)
    service.fault("swap_row")
    swapped = service.rows(query)
    lost = [row for row in whole if row not in swapped]
    made_up = [row for row in swapped if row not in whole]
    assert (len(swapped), len(lost), len(made_up)) == (3000, 1, 1)
    assert made_up[0][-1].endswith("twin")
    (twin,) = [row for row in whole if row[-1][:-4] == made_up[0][-1][:-4]]
    assert twin[:-1] == made_up[0][:-1]


def test_a_column_appears_after_some_queries(service: Service) -> None:
    service.fault("column_added", after=1, params={"name": "Fresh"})
    schemas = [[row[0] for row in service.rows("AppRequests | getschema")] for _ in range(2)]
    assert schemas[1] == [*schemas[0], "Fresh"]


def test_the_truth_knows_rows_and_ids_by_unix_ticks(service: Service) -> None:
    start = 1_795_132_800 * 10_000_000
    truth = service.truth("AppRequests", start, start + 864_000_000_000)
    assert truth["rows"] == 3000
    hour = service.truth("AppRequests", start, start + 1)
    assert hour["rows"] == 1
    assert hour["item_ids_sha256"] != truth["item_ids_sha256"]
    assert service.truth("FerryPlain_CL", start, start + 864_000_000_000) == {
        "rows": 480,
        "item_ids_sha256": None,
    }
    assert "unknown table" in service.truth("Nope", 0, 1)["error"]


def test_knobs_are_set_over_http_and_checked(service: Service) -> None:
    assert service.send("POST", "/_sandbox/knobs", b'{"max_rows": 7}').status == 200
    assert service.knobs.max_rows == 7
    assert service.send("POST", "/_sandbox/knobs", b'{"max_rows": 8, "nope": 1}').status == 400
    assert service.send("POST", "/_sandbox/knobs", b'{"max_rows": "9"}').status == 400
    assert service.knobs.max_rows == 7


def test_an_unknown_fault_is_refused(service: Service) -> None:
    with pytest.raises(FaultRuleError, match="unknown fault"):
        service.fault("meteor")
