"""Every fault the Log Analytics query API can show, over real sockets, signed in through MSAL: the exact rows and
`proven`, the exact error, or `short`."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.azure_port import MORNING, AzurePort, assert_is_the_truth
from tests.integration.datadog_port import ManualClock

from logferry.errors import (
    CredentialsError,
    FailedAnswer,
    LogferryError,
    QueryRejected,
    SourceError,
    TooMuch,
    Unavailable,
)
from logferry.publishing.results import SliceResult
from logferry.window import TICK_PER_HOUR, Window, parse_instant
from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.kql_values import UNIX_EPOCH_TICKS

pytestmark = pytest.mark.integration

HOT = "2026-11-20T09:30:00.1234567Z"
WALL_S = 1_795_348_800.0  # 2026-11-22T12:00:00Z
ROWS, COUNTS = {"body_contains": "project "}, {"body_contains": "summarize"}
HTML = {"status": 502, "body": "<html><body><h1>502 Bad Gateway</h1></body></html>"}


class Shore:
    """One sandbox for all tests here, with a wall clock that tests may move."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.wall_s = WALL_S
        self.sandbox = AzureSandbox(
            state_dir=folder,
            rows_per_day=1_200,
            hot_tick=(HOT, 150),
            wall_clock=lambda: self.wall_s,
            clock=lambda: self.clock.tick / 10_000_000,
        )
        self.sandbox.tables["FerryPlain_CL"].hot_ticks = {parse_instant(HOT) + UNIX_EPOCH_TICKS: 150}


@pytest.fixture(scope="module")
def shore(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shore]:
    made = Shore(tmp_path_factory.mktemp("azure"))
    with made.sandbox:
        yield made


@pytest.fixture
def port(shore: Shore, tmp_path: Path, own_budget: None) -> Iterator[AzurePort]:
    knobs = shore.sandbox.query.knobs.as_json()
    yield AzurePort(shore.sandbox, shore.clock, tmp_path / "lake")
    shore.sandbox.plan.replace([])
    shore.sandbox.query.knobs.update(knobs)
    shore.sandbox.tables["AppRequests"].state.late_every = 0


PASSING: dict[str, dict[str, Any]] = {
    "503": {"fault": "http_error", "params": {"status": 503, "body": ""}, "times": 2},
    "a page of a gateway with 502": {"fault": "non_json", "params": HTML, "times": 2},
    "a page of a gateway with 200": {"fault": "non_json", "times": 2},
    "500 of the service": {
        "fault": "http_error",
        "params": {
            "status": 500,
            "body": {"error": {"code": "InternalServerFault", "message": "Unexpected"}},
        },
        "times": 2,
    },
    "504 of the engine": {"fault": "azure:gateway_timeout", "times": 2, "match": ROWS},
    "504 of the engine on counts": {"fault": "azure:gateway_timeout", "times": 2, "match": COUNTS},
    "504 of a gateway": {"fault": "non_json", "params": {**HTML, "status": 504}, "times": 2},
    "429 with a wish": {"fault": "azure:throttled", "params": {"retry_after": 3}, "times": 2},
    "429 without one": {"fault": "azure:throttled", "times": 2},
    "a body cut on the way": {"fault": "cut_body", "times": 2},
    "a body cut with a length that agrees": {
        "fault": "cut_body",
        "params": {"whole_length": False},
        "times": 2,
    },
    "a reset before the answer": {"fault": "reset", "times": 2},
    "a reset within the body": {"fault": "reset", "params": {"fraction": 0.5}, "times": 2},
    "an empty 200": {"fault": "empty_200", "times": 2},
    "a 204": {"fault": "azure:no_content", "times": 2},
    "Retry-After 0 on every 200": {"fault": "headers", "params": {"headers": {"Retry-After": "0"}}},
    "a token that expires": {"fault": "azure:expired_token", "after": 3, "times": 1},
    **{
        f"a cut answer, wording {variant}, {'with' if rows else 'without'} rows": {
            "fault": "azure:partial_error",
            "params": {"variant": variant, "rows": rows},
            "times": 3,
            "match": ROWS,
        }
        for variant in (1, 2, 3, 4, 5)
        for rows in (True, False)
    },
    "a partial answer for another reason": {
        "fault": "azure:partial_error",
        "params": {"variant": 6},
        "times": 2,
    },
    "a warning beside all rows": {"fault": "azure:warning", "times": 2},
    "answers that drop a row": {"fault": "azure:drop_row", "times": 2, "match": ROWS},
    "a plan's count that misses a bin": {"fault": "azure:drop_row", "times": 1, "match": COUNTS},
    "a proof's count that misses a bin": {"fault": "azure:drop_row", "times": 1, "after": 1, "match": COUNTS},
    "answers with one row lost and one doubled": {"fault": "azure:swap_row", "times": 2, "match": ROWS},
}


@pytest.mark.parametrize("name", PASSING)
def test_whatever_goes_wrong_on_the_way_the_rows_are_the_truth(port: AzurePort, name: str) -> None:
    rule = PASSING[name]
    port.faults(rule)
    assert_is_the_truth(port, port.carry())
    assert port.fired().get(rule["fault"], 0) > 0


@pytest.mark.parametrize("fault", ["slow", "slow_body"])
def test_an_answer_that_comes_too_slowly_is_asked_for_again(
    port: AzurePort, hurried: None, fault: str
) -> None:
    port.faults({"fault": fault, "params": {"delay_s": 60, "stall_s": 60}, "match": ROWS, "times": 2})
    assert_is_the_truth(port, port.carry())
    assert port.fired()[fault] >= 2


@pytest.mark.parametrize(
    "knobs",
    [
        {"max_rows": 100, "partial_rows": 3},
        {"max_rows": 100, "partial_rows": 4},
        {"max_bytes": 90_000, "partial_bytes": 1},
        {"max_bytes": 90_000, "partial_bytes": 2},
        {"max_bytes": 90_000, "partial_bytes": 5},
    ],
    ids=lambda knobs: "-".join(f"{name}{value}" for name, value in knobs.items()),
)
def test_a_service_that_gives_little_at_once_gives_every_row_even_of_one_tick(
    port: AzurePort, knobs: dict[str, int]
) -> None:
    """150 rows share one tick of 100 ns: below it only shares of a hash fit into an answer."""
    port.knobs(**knobs)
    assert_is_the_truth(port, port.carry())


def test_ties_of_a_table_without_ids_are_divided_by_all_they_hold(port: AzurePort) -> None:
    port.knobs(max_rows=60)
    manifest = port.carry(table="FerryPlain_CL")
    assert_is_the_truth(port, manifest, column="Message", table="FerryPlain_CL")


def test_a_query_that_runs_out_of_time_is_cut_up(port: AzurePort) -> None:
    port.knobs(scan_limit=260)
    assert_is_the_truth(port, port.carry())


def test_an_account_with_a_small_allowance_is_paced(port: AzurePort) -> None:
    port.knobs(rate_limit=2, rate_window_s=10, max_rows=60)
    assert_is_the_truth(port, port.carry())


def test_a_token_whose_time_runs_out_between_two_answers_is_renewed(port: AzurePort, shore: Shore) -> None:
    class Overslept:
        def page(self, rows: int, body_bytes: int) -> None:
            shore.wall_s += 4_000

        def slice_done(self, result: SliceResult) -> None: ...

    assert_is_the_truth(port, port.carry(progress=Overslept()))
    assert port.sandbox.plan.stats()["requests"]
    refused = port.sandbox.plan.stats()["requests"]
    (statuses,) = [counts for path, counts in refused.items() if path.endswith("/query")]
    assert statuses["403"] >= 1


def test_rows_that_arrive_between_the_fetch_and_the_proof_are_fetched(port: AzurePort) -> None:
    port.sandbox.tables["AppRequests"].state.late_every = 7

    class Arriving:
        def page(self, rows: int, body_bytes: int) -> None:
            port.sandbox.tables["AppRequests"].state.late_every = 0

        def slice_done(self, result: SliceResult) -> None: ...

    assert_is_the_truth(port, port.carry(progress=Arriving()))


def test_retry_after_zero_on_whole_answers_costs_neither_time_nor_requests(port: AzurePort) -> None:
    # One at a time: several may wait a moment for each other's turn.
    port.in_flight = 1
    quiet = port.carry()
    started = port.clock.tick
    port.faults({"fault": "headers", "params": {"headers": {"Retry-After": "0"}}})
    assert port.carry().requests == quiet.requests
    assert port.clock.tick == started


def test_many_faults_at_once_still_end_in_the_truth(port: AzurePort) -> None:
    port.knobs(max_rows=60)
    chances = {"probability": 0.05}
    port.faults(
        {"fault": "http_error", "params": {"status": 503}, "seed": 1, **chances},
        {"fault": "cut_body", "seed": 2, **chances},
        {"fault": "reset", "seed": 3, **chances},
        {"fault": "azure:expired_token", "after": 8, "times": 1},
        {"fault": "azure:partial_error", "params": {"variant": 6}, "seed": 5, **chances},
        {"fault": "azure:drop_row", "times": 1, "match": ROWS},
    )
    assert_is_the_truth(port, port.carry())
    assert len(port.fired()) >= 4


STAYING: dict[str, tuple[dict[str, Any], type[LogferryError], str]] = {
    "warnings": (
        {"fault": "azure:warning", "match": ROWS},
        FailedAnswer,
        "gave a partial answer.*E_OVERFLOW",
    ),
    "partial answers": (
        {"fault": "azure:partial_error", "params": {"variant": 6}, "match": ROWS},
        FailedAnswer,
        "gave a partial answer",
    ),
    "partial counts": (
        {"fault": "azure:partial_error", "params": {"variant": 6}, "match": COUNTS},
        FailedAnswer,
        "gave a partial answer",
    ),
    "counts that miss a bin": (
        {"fault": "azure:drop_row", "match": COUNTS},
        FailedAnswer,
        "total .* is no single whole number|contradict each other",
    ),
    "empty answers": ({"fault": "empty_200", "match": ROWS}, FailedAnswer, "200 with an empty body"),
    "204": ({"fault": "azure:no_content"}, FailedAnswer, "answered 204 without a body"),
    "cut bodies": ({"fault": "cut_body", "match": ROWS}, FailedAnswer, "did not send its answer whole"),
    "resets": ({"fault": "reset"}, Unavailable, "could not be reached or broke off"),
    "pages of a gateway with 503": (
        {"fault": "non_json", "params": {**HTML, "status": 503}},
        Unavailable,
        "answered 503: <html>",
    ),
    "pages of a gateway with 200": ({"fault": "non_json"}, FailedAnswer, "is a page, not JSON"),
    "refused tokens": (
        {"fault": "azure:expired_token"},
        CredentialsError,
        r"refused access \(403: InvalidAuthenticationToken.*check tenant, client id and secret",
    ),
    "a network that is not admitted": (
        {"fault": "azure:network_denied"},
        CredentialsError,
        "accepts no queries from this network.*Private Link",
    ),
    "a workspace that is not known": (
        {
            "fault": "http_error",
            "params": {"status": 404, "body": {"error": {"code": "PathNotFoundError", "message": "no"}}},
        },
        QueryRejected,
        "is the Workspace ID, a GUID",
    ),
}


@pytest.mark.parametrize("name", STAYING)
def test_a_fault_that_stays_is_one_sentence_and_publishes_nothing(port: AzurePort, name: str) -> None:
    rule, error, says = STAYING[name]
    port.faults(rule)
    with pytest.raises(error, match=says) as caught:
        port.carry()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == {QueryRejected: 2, CredentialsError: 4}.get(error, 5)
    assert port.published() == []


def test_rows_that_no_answer_can_hold_are_an_error_that_names_them(port: AzurePort) -> None:
    port.faults({"fault": "azure:partial_error", "params": {"variant": 3, "keep": 0}, "match": ROWS})
    with pytest.raises(TooMuch, match=r"Z, 2026-11-20T\S+Z\) .*answer can") as caught:
        port.carry()
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
    assert port.published() == []


@pytest.mark.parametrize("fault", ["azure:drop_row", "azure:swap_row"])
def test_a_row_that_is_never_given_right_is_never_proven(port: AzurePort, fault: str) -> None:
    port.faults({"fault": fault, "match": ROWS})
    manifest = port.carry()
    truth = len(port.truth(MORNING, "_ItemId"))
    assert (manifest.status, manifest.source_rows) == ("short", truth)
    assert manifest.rows == port.table(manifest).num_rows
    assert manifest.rows < truth if fault == "azure:drop_row" else manifest.rows == truth
    port.faults()
    assert_is_the_truth(port, port.carry())


def test_a_host_without_an_address_ends_in_one_sentence(
    port: AzurePort, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = socket.getaddrinfo

    def look_up(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "logs.nowhere.test":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    port.query_endpoint = "http://logs.nowhere.test"
    with pytest.raises(Unavailable, match="name cannot be resolved") as caught:
        port.carry()
    assert caught.value.exit_code == 5
    assert port.published() == []


def test_a_server_that_went_away_ends_in_one_sentence(
    make_azure_port: Callable[..., AzurePort],
) -> None:
    port = make_azure_port()
    port.sandbox._servers["query"].stop()
    with pytest.raises(SourceError, match=r"could not be reached.*refused") as caught:
        port.carry()
    assert caught.value.exit_code == 5
    assert port.published() == []


def test_the_hour_of_the_hot_tick_is_carried_alone_as_well(port: AzurePort) -> None:
    port.knobs(max_rows=30)
    tick = parse_instant(HOT)
    hour = Window(
        tick // TICK_PER_HOUR * TICK_PER_HOUR, tick // TICK_PER_HOUR * TICK_PER_HOUR + TICK_PER_HOUR
    )
    assert_is_the_truth(port, port.carry(hour), hour)
