import json
from typing import Any

import pytest

from logferry_sandbox.faults import FaultPlan, FaultRule, FaultRuleError, with_faults
from logferry_sandbox.http_server import HttpRequest, HttpResponse


def request(path: str = "/api", method: str = "GET", body: bytes = b"") -> HttpRequest:
    return HttpRequest(method, path, {}, {}, body)


def healthy(_: HttpRequest) -> HttpResponse:
    return HttpResponse(body=b"0123456789")


def post_rules(plan: FaultPlan, rules: Any) -> HttpResponse:
    return with_faults(healthy, plan)(request("/_sandbox/faults", "POST", json.dumps(rules).encode()))


def test_a_rule_skips_then_fires_then_is_spent() -> None:
    plan = FaultPlan([{"fault": "http_error", "params": {"status": 502}, "after": 1, "times": 2}])
    app = with_faults(healthy, plan)
    assert [app(request()).status for _ in range(5)] == [200, 502, 502, 200, 200]


def test_a_rule_hits_only_what_it_matches() -> None:
    match = {"path_contains": "/query", "body_contains": "needle"}
    app = with_faults(healthy, FaultPlan([{"fault": "http_error", "match": match}]))
    assert app(request("/other", body=b"needle")).status == 200
    assert app(request("/query", body=b"hay")).status == 200
    assert app(request("/query/1", body=b"a needle here")).status == 503


def test_chance_is_the_same_for_the_same_seed() -> None:
    def outcomes(seed: int) -> list[int]:
        rule = FaultRule("http_error", probability=0.5, seed=seed)
        app = with_faults(healthy, FaultPlan([rule]))
        return [app(request()).status for _ in range(40)]

    assert outcomes(1) == outcomes(1)
    assert set(outcomes(1)) == {200, 503}
    assert outcomes(1) != outcomes(2)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"fault": "cut_body", "params": {"fraction": 0.3}}, HttpResponse(body=b"0123456789", cut_after=3)),
        ({"fault": "cut_body", "params": {"whole_length": False}}, HttpResponse(body=b"01234")),
        ({"fault": "slow", "params": {"delay_s": 7}}, HttpResponse(body=b"0123456789", delay_s=7)),
        (
            {"fault": "slow_body", "params": {"fraction": 0.2, "stall_s": 9.0}},
            HttpResponse(body=b"0123456789", cut_after=2, stall_s=9.0),
        ),
        ({"fault": "reset"}, HttpResponse(reset=True)),
        (
            {"fault": "reset", "params": {"fraction": 0.4}},
            HttpResponse(body=b"0123456789", cut_after=4, reset=True),
        ),
        (
            {"fault": "headers", "params": {"headers": {"Retry-After": "0"}}},
            HttpResponse(200, {"Retry-After": "0"}, b"0123456789"),
        ),
        ({"fault": "empty_200"}, HttpResponse(200, {"Content-Type": "application/json"})),
        (
            {"fault": "http_error", "params": {"status": 429, "headers": {"Retry-After": "3"}, "body": "no"}},
            HttpResponse(429, {"Content-Type": "application/json", "Retry-After": "3"}, b"no"),
        ),
    ],
)
def test_each_kind_does_what_its_name_says(rule: dict[str, Any], expected: HttpResponse) -> None:
    assert with_faults(healthy, FaultPlan([rule]))(request()) == expected


def test_non_json_is_html_with_status_200() -> None:
    answer = with_faults(healthy, FaultPlan([{"fault": "non_json"}]))(request())
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")
    assert answer.body.startswith(b"<html>")


def test_rules_are_replaced_and_deleted_over_http() -> None:
    plan = FaultPlan()
    app = with_faults(healthy, plan)
    assert post_rules(plan, [{"fault": "empty_200"}]).status == 200
    assert app(request()).body == b""
    assert app(request("/_sandbox/faults", "DELETE")).status == 200
    assert app(request()).body == b"0123456789"


@pytest.mark.parametrize(
    ("rules", "complaint"),
    [
        ({"fault": "reset"}, "JSON list"),
        (["reset"], "a fault rule is a JSON object"),
        ([{"match": {}}], "needs fault"),
        ([{"fault": "explode"}], "unknown fault 'explode'"),
        ([{"fault": "reset", "tmies": 3}], "tmies"),
        ([{"fault": "reset", "match": {"path": "/"}}], "path"),
    ],
)
def test_a_rule_with_a_mistake_is_refused_and_the_old_rules_stay(rules: Any, complaint: str) -> None:
    plan = FaultPlan([{"fault": "empty_200"}])
    answer = post_rules(plan, rules)
    assert answer.status == 400
    assert complaint in json.loads(answer.body)["error"]
    assert with_faults(healthy, plan)(request()).body == b""


def test_kinds_of_an_api_are_known_only_when_it_names_them() -> None:
    plan = FaultPlan([{"fault": "azure:partial", "params": {"rows": 1}}], api_kinds={"azure:partial"})
    assert plan.take("azure:partial", request()) == {"rows": 1}
    assert plan.take("azure:other", request()) is None
    with pytest.raises(FaultRuleError, match="unknown fault"):
        FaultPlan([{"fault": "azure:partial"}])


def test_stats_count_answers_rows_and_faults_but_not_the_controls() -> None:
    plan = FaultPlan([{"fault": "http_error", "params": {"status": 429}, "times": 1}])
    app = with_faults(healthy, plan, endpoint_of=lambda _: "/named")
    for _ in range(3):
        app(request())
    plan.count_rows(10)
    plan.count_purpose("search")
    stats = json.loads(app(request("/_sandbox/stats")).body)
    assert stats.pop("cpu_s") > 0
    assert stats == {
        "requests": {"GET /named": {"200": 2, "429": 1}},
        "purposes": {"search": 1},
        "throttled": 1,
        "rows_served": 10,
        "body_bytes": 20 + len('{"errors": ["Service Unavailable"]}'),
        "faults": {"http_error": 1},
    }
