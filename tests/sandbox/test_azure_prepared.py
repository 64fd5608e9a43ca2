"""A prepared table behind the query API: whatever is asked, the answer is that of its rows read one by one."""

import json
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry_sandbox.azure_prepared import PreparedTable
from logferry_sandbox.azure_sandbox import CLIENT_ID, WORKSPACE, AzureSandbox
from logferry_sandbox.azure_tables import app_requests
from logferry_sandbox.azure_workspace import AzureKnobs
from logferry_sandbox.entra import QUERY_AUDIENCE
from logferry_sandbox.http_server import HttpRequest
from logferry_sandbox.kql import run_query
from logferry_sandbox.kql_frame import Batch, Column
from logferry_sandbox.kql_values import UNIX_EPOCH_TICKS, format_datetime, parse_datetime

START_S, ROWS, SECONDS = 1_795_176_000, 500, 3600  # 2026-11-20T12:00:00Z
DEFINITION = app_requests(WORKSPACE.guid, WORKSPACE.component_id)
START = START_S * 10_000_000 + UNIX_EPOCH_TICKS


@lru_cache(maxsize=1)
def prepared() -> PreparedTable:
    return PreparedTable(
        DEFINITION,
        ROWS,
        start_s=START_S,
        seconds=SECONDS,
        odd_every=20,
        block_rows=200,
    )


class RowByRow:
    """The same table, its rows no longer known by number."""

    name, time_column = "AppRequests", "TimeGenerated"

    @property
    def schema(self) -> tuple[Column, ...]:
        return prepared().schema

    def rows_between(self, start: int, stop: int) -> int:
        return prepared().rows_between(start, stop)

    def scan(self, start: int, stop: int) -> Iterator[Batch]:
        return prepared().scan(start, stop)


SIZED = (
    "| project Name, t = TimeGenerated, Properties, _ItemId"
    " | summarize n = count(), size = sum(estimate_data_size(*)) by b = bin(t, 10m)"
    " | sort by b asc | extend total = row_cumsum(n) | sort by b desc | extend total = total + row_cumsum(n) - n"
)
PIPELINES = [
    "",
    "| extend _lf_time = TimeGenerated, _lf_item = _ItemId",
    "| extend _lf_time = TimeGenerated | project Name, again = _lf_time, Properties, _lf_time, DurationMs, _ItemId",
    "| project Name, ResultCode",
    "| project TimeGenerated",
    "| sort by TimeGenerated asc",
    "| where Success == false | project Id, TimeGenerated",
    "| where hash(_ItemId, 3) == 1 | extend _lf_item = _ItemId",
    "| project-away Properties, Url",
    "| take 7",
    "| count",
    "| summarize count()",
    "| summarize n = count() by bin(TimeGenerated, 7m)",
    "| extend t = TimeGenerated | summarize n = count() by b = bin_at(t, 90s, datetime(2026-11-20T12:00:00.0000003Z))",
    SIZED,
    "| summarize sum(estimate_data_size(*))",
    "| summarize dcount(_ItemId) by Name",
    "| getschema",
]


@given(
    pipeline=st.sampled_from(PIPELINES),
    bounds=st.tuples(st.integers(-(10**8), 37 * 10**9), st.integers(-(10**8), 37 * 10**9)).map(sorted),
    on_a_row=st.booleans(),
)
def test_every_answer_is_that_of_the_rows_read_one_by_one(
    pipeline: str, bounds: list[int], on_a_row: bool
) -> None:
    start, stop = (START + bound for bound in bounds)
    if on_a_row and start < stop:
        start = prepared().time_of(max(0, prepared().rows_before(start) - 1))
    where = f"| where TimeGenerated >= {_at(start)} and TimeGenerated < {_at(stop)}"
    query = f"AppRequests {where} {pipeline}"
    ours = run_query(query, {"AppRequests": prepared()}, scan_limit=10**9)
    theirs = run_query(query, {"AppRequests": RowByRow()})
    assert (ours.columns, ours.ordered) == (theirs.columns, theirs.ordered)
    expected = [row for batch in theirs.rows() for row in batch]
    assert [row for batch in ours.rows() for row in batch] == expected
    if ours.numbered is not None:
        found = ours.numbered
        text = bytes(found.written().text(found.start, found.stop))
        assert text.decode() == "".join(f"{row}," for row in expected)
        assert len(text) == found.written().bytes_before(found.stop) - found.written().bytes_before(
            found.start
        )


def _at(tick: int) -> str:
    return f"datetime({format_datetime(tick)})"


def test_the_forms_an_exporter_sends_need_no_row() -> None:
    class Untouchable(PreparedTable):
        def scan(self, start: int, stop: int) -> Iterator[Batch]:
            raise AssertionError("a row was made")
            yield Batch(0, {})

    table = Untouchable(DEFINITION, 20, start_s=START_S, seconds=60)
    for pipeline in (*PIPELINES[:6], *PIPELINES[10:16], PIPELINES[-1]):
        answer = run_query(f"AppRequests {pipeline}", {"AppRequests": table}, scan_limit=1)
        if answer.numbered is None:
            assert list(answer.rows())


def test_rows_are_distinct_and_told_by_their_numbers() -> None:
    answer = run_query("AppRequests | project _ItemId, TimeGenerated", {"AppRequests": prepared()})
    rows = [json.loads(row) for batch in answer.rows() for row in batch]
    known = [prepared().row(number) for number in range(ROWS)]
    assert [(item, parse_datetime(at)) for item, at in rows] == [
        (item, tick + UNIX_EPOCH_TICKS) for item, tick in known
    ]
    assert len({item for item, _ in known}) == ROWS
    assert sorted(known) == known


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureSandbox]:
    knobs = AzureKnobs(rate_limit=10**9)
    made = AzureSandbox(state_dir=tmp_path_factory.mktemp("azure"), prepared=prepared(), knobs=knobs)
    yield made
    made.stop()


def ask(sandbox: AzureSandbox, query: str) -> dict[str, Any]:
    token = sandbox.tokens.issue(QUERY_AUDIENCE, CLIENT_ID, 3600)
    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "cache-control": "no-cache",
    }
    body = json.dumps({"query": query}).encode()
    answer = sandbox.query.app(
        HttpRequest("POST", f"/v1/workspaces/{WORKSPACE.guid}/query", {}, headers, body)
    )
    size, raw = answer.size, answer.whole()
    assert (answer.status, len(raw)) == (200, size), raw[:500]
    parsed: dict[str, Any] = json.loads(raw)
    return parsed


def test_an_answer_holds_all_rows_in_no_order_unless_sorted(sandbox: AzureSandbox) -> None:
    rows = ask(sandbox, "AppRequests | project _ItemId")["tables"][0]["rows"]
    assert sorted(item for (item,) in rows) == [prepared().row(number)[0] for number in range(ROWS)]
    ordered = ask(sandbox, "AppRequests | project _ItemId, TimeGenerated | sort by TimeGenerated asc")
    assert [item for item, _ in ordered["tables"][0]["rows"]] == sorted(item for (item,) in rows)
    assert ask(sandbox, "AppRequests | where TimeGenerated < datetime(2020-01-01)")["tables"][0]["rows"] == []


@pytest.mark.parametrize(
    ("knobs", "words"),
    [({"max_rows": 123}, "limit of 123 records"), ({"max_bytes": 30_000}, "data size limit 30000")],
)
def test_the_caps_of_the_service_cut_an_answer_and_say_so(
    sandbox: AzureSandbox, knobs: dict[str, int], words: str
) -> None:
    before = sandbox.query.knobs.as_json()
    sandbox.query.knobs.update(knobs)
    answer = ask(sandbox, "AppRequests | sort by TimeGenerated asc")
    sandbox.query.knobs.update(before)
    rows = answer["tables"][0]["rows"]
    assert words in json.dumps(answer["error"])
    expected = [
        json.loads(row)
        for batch in run_query("AppRequests", {"AppRequests": prepared()}).rows()
        for row in batch
    ]
    assert rows == expected[: len(rows)]
    sizes = [len(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()) for row in expected]
    if "max_rows" in knobs:
        assert len(rows) == 123
    else:
        assert sum(sizes[: len(rows)]) <= 30_000 < sum(sizes[: len(rows) + 1]) + 200


def test_the_truth_is_known_without_making_a_row(sandbox: AzureSandbox) -> None:
    span = {"from_tick": START - UNIX_EPOCH_TICKS + 10**9, "to_tick": START - UNIX_EPOCH_TICKS + 2 * 10**10}
    asked = {"table": ["AppRequests"], **{name: [str(tick)] for name, tick in span.items()}}
    told = json.loads(sandbox.query.app(HttpRequest("GET", "/_sandbox/truth", asked, {}, b"")).body)
    by_row = [prepared().row(number) for number in range(ROWS)]
    inside = [item for item, tick in by_row if span["from_tick"] <= tick < span["to_tick"]]
    assert told["rows"] == len(inside) > 100
    assert told["item_ids_sha256"] == sha256("".join(f"{item}\n" for item in inside).encode()).hexdigest()


def test_a_prepared_table_does_not_change(sandbox: AzureSandbox) -> None:
    sandbox.plan.replace([{"fault": "azure:late_rows", "times": 1}])
    token = sandbox.tokens.issue(QUERY_AUDIENCE, CLIENT_ID, 3600)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    body = json.dumps({"query": "AppRequests | count"}).encode()
    answer = sandbox.query.app(
        HttpRequest("POST", f"/v1/workspaces/{WORKSPACE.guid}/query", {}, headers, body)
    )
    sandbox.plan.replace([])
    assert (answer.status, "are prepared" in answer.body.decode()) == (400, True)


def test_a_fault_strikes_a_prepared_answer(sandbox: AzureSandbox) -> None:
    sandbox.plan.replace([{"fault": "azure:drop_row", "times": 1}])
    rows = ask(sandbox, "AppRequests | project Name")["tables"][0]["rows"]
    sandbox.plan.replace([])
    assert len(rows) == ROWS - 1


def test_every_query_takes_the_latency_while_it_counts_as_running(tmp_path: Path) -> None:
    slept: list[float] = []
    knobs = AzureKnobs(latency_s=0.25)
    with AzureSandbox(state_dir=tmp_path, prepared=prepared(), knobs=knobs, sleep=slept.append) as sandbox:
        assert ask(sandbox, "AppRequests | count")["tables"][0]["rows"] == [[ROWS]]
    assert slept == [0.25]


def test_the_stats_tell_what_queries_were_for(sandbox: AzureSandbox) -> None:
    before = sandbox.plan.stats()["purposes"]
    for query in (
        "AppRequests | getschema",
        "AppRequests | count",
        "AppRequests | summarize count()",
        "AppRequests",
    ):
        ask(sandbox, query)
    after = sandbox.plan.stats()["purposes"]
    assert {name: after[name] - before.get(name, 0) for name in after} == {
        "schema": 1,
        "count": 2,
        "search": 1,
    }


@pytest.mark.parametrize("wrong", [{"row_bytes": 699}, {"odd_every": -1}])
def test_what_cannot_be_made_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"699|-1"):
        PreparedTable(DEFINITION, 10, start_s=0, seconds=60, **wrong)
