"""The command line against the sandbox's servers, over real sockets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from logferry import project
from logferry.cli import main
from logferry.clock import SystemClock
from logferry.window import parse_instant
from logferry_sandbox.azure_sandbox import OUTSIDER_ID, AzureSandbox
from logferry_sandbox.datadog_sandbox import DatadogSandbox
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.faults import FaultRule

pytestmark = pytest.mark.integration

SHIPPED = Path(project.__file__).parents[1] / "exports"
DAY = ["--from", "2026-06-10T00:00:00Z", "--to", "2026-06-11T00:00:00Z"]
HOURS = ["--from", "2026-06-10T10:00:00Z", "--to", "2026-06-10T12:00:00Z"]


def ms(text: str) -> int:
    return parse_instant(text) // 10_000


@pytest.fixture(scope="module")
def datadog() -> Iterator[DatadogSandbox]:
    sandbox = DatadogSandbox(events_per_day=3000, burst=1200)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureSandbox]:
    with AzureSandbox(state_dir=tmp_path_factory.mktemp("azure"), rows_per_day=2000) as sandbox:
        yield sandbox


def azure_connection(azure: AzureSandbox, **changes: str) -> str:
    access = {**azure.describe(), **changes}
    extra = {
        "tenantId": access["tenant_id"],
        "authority": access["authority"].rsplit("/", 1)[0],
        "query_endpoint": access["query_endpoint"],
        "arm_endpoint": access["arm_endpoint"],
        "ca_bundle": access["ca_bundle"],
        "sandbox": True,
    }
    conn = {
        "conn_type": "azure_log_analytics",
        "login": access["client_id"],
        "password": access["client_secret"],
        "extra": extra,
    }
    return json.dumps(conn)


def datadog_connection(datadog: DatadogSandbox, **changes: str) -> str:
    access = {**datadog.describe(), **changes}
    extra = {"api_key": access["api_key"], "app_key": access["app_key"], "sandbox": True}
    return json.dumps({"conn_type": "datadog_logs", "host": access["base_url"], "extra": extra})


@pytest.fixture(autouse=True)
def world(
    datadog: DatadogSandbox, azure: AzureSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """The shipped exports with a lake of their own, both connections, and a clock that never waits."""
    folder = tmp_path / "exports"
    folder.mkdir()
    lake = tmp_path / "lake"
    for path in SHIPPED.glob("*.yaml"):
        (folder / path.name).write_text(f"{path.read_text()}\ndestination: {{url: '{lake.as_uri()}'}}\n")
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(folder))
    monkeypatch.setenv("AIRFLOW_CONN_DATADOG_DEFAULT", datadog_connection(datadog))
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", azure_connection(azure))
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: None)
    datadog.api.settings = DatadogSettings()
    yield lake
    datadog.api.plan.replace([])
    azure.plan.replace([])


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("inclusive", [True, False])
def test_a_search_finds_every_event_of_the_range_whatever_the_bounds_mean(
    datadog: DatadogSandbox, inclusive: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    datadog.api.settings = DatadogSettings(inclusive_from=inclusive, inclusive_to=inclusive)
    assert main(["search", "--kind", "datadog", *DAY, "--limit", "100000", "--ndjson"]) == 0
    captured = capsys.readouterr()
    ids = [json.loads(line)["id"] for line in captured.out.splitlines()]
    assert sorted(ids) == sorted(datadog.store.truth(ms("2026-06-10T00:00:00Z"), ms("2026-06-11T00:00:00Z")))
    assert "searching 2026-06-10T00:00:00Z to 2026-06-11T00:00:00Z" in captured.err


def test_a_search_is_sorted_limited_and_shown_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "web_errors", *DAY, "--sort", "timestamp", "--limit", "3"]) == 0
    captured = capsys.readouterr()
    header, *rows, last = captured.out.splitlines()
    assert header.split() == ["timestamp", "status", "service", "host", "message"]
    times = [row.split()[0] for row in rows]
    assert len(times) == 3
    assert times == sorted(times)
    assert last == "3 events"
    assert "stopped at --limit 3" in captured.err


@pytest.mark.parametrize(("sort", "reverse"), [("@duration", False), ("-@duration", True)])
def test_a_search_may_be_sorted_by_a_facet(
    sort: str, reverse: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = run_json(capsys, "search", "web_errors", *DAY, "--sort", sort, "--limit", "30")
    values = [row["attributes"].get("attributes", {}).get("duration") for row in found["rows"]]
    numbers = [value for value in values if isinstance(value, int | float)]
    assert code == 0
    assert found["returned"] == len(found["rows"]) == 30
    assert len(numbers) > 5
    assert numbers == sorted(numbers, reverse=reverse)


def test_relative_and_local_times_are_resolved_once_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, found = run_json(
        capsys, "search", "web_errors", "--from", "2026-06-10T02:00:00", "--to", "2026-06-10T03:00:00",
        "--timezone", "Europe/Paris",
    )  # fmt: skip
    assert code == 0
    assert (found["from"], found["to"]) == ("2026-06-10T00:00:00Z", "2026-06-10T01:00:00Z")
    assert main(["search", "web_errors", "--from", "-2h", "--to", "now"]) == 0
    assert "searching 20" in capsys.readouterr().err


def test_log_analytics_tells_the_total_and_what_was_returned_then_the_rows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["search", "app_requests", *HOURS, "--limit", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert int(lines[0].removeprefix("Total records: ")) > 2
    assert lines[1] == "Returned top: 2"
    assert lines[2] == "-- 1"
    assert any(line.startswith("TimeGenerated") for line in lines)


def test_a_free_kql_query_is_cut_by_time_after_its_table(
    azure: AzureSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "search", "--kind", "azure_monitor", "--workspace", azure.describe()["workspace"], *HOURS,
        "--query", "AppRequests | summarize Rows = count() by Success", "--sort", "-@Rows",
    ]  # fmt: skip
    code, found = run_json(capsys, *arguments)
    assert code == 0
    assert found["total"] == 2
    assert [sorted(row) for row in found["rows"]] == [["Rows", "Success"]] * 2
    assert found["rows"][0]["Rows"] > found["rows"][1]["Rows"] > 0


def test_the_legacy_search_prints_what_its_api_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "legacy_events", *HOURS, "--top", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert int(lines[0].removeprefix("Total records: ")) > 4
    assert lines[1] == "Returned top: 4"
    assert [line for line in lines if line.startswith("-- ")] == ["-- 1", "-- 2", "-- 3", "-- 4"]


def test_a_plan_counts_every_slice_and_fetches_nothing(
    datadog: DatadogSandbox, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = datadog.api.plan.stats()
    code, plan = run_json(capsys, "plan", "web_errors", *DAY)
    truth = datadog.store.truth(
        ms("2026-06-10T00:00:00Z"), ms("2026-06-11T00:00:00Z"), query="service:web-store"
    )
    assert code == 0
    assert plan["rows"] == sum(one["rows"] for one in plan["windows"][0]["slices"]) == len(truth)
    assert len(plan["windows"][0]["slices"]) == 24
    assert plan["requests"] > 0
    assert plan["bytes"] > 0
    assert searches(datadog) == searches_in(before)
    assert not world.exists() or not list(world.rglob("*.parquet"))


def test_a_plan_of_many_slices_is_told_by_its_windows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "web_errors", "--from", "2026-06-01T00:00:00Z", "--to", "2026-06-08T00:00:00Z"]) == 0
    head, *lines, total, _ = capsys.readouterr().out.splitlines()
    assert head.split() == ["from", "to", "rows", "requests", "about"]
    assert len(lines) == 7
    rows = sum(int(line.split()[2].replace(",", "")) for line in lines)
    assert total.startswith(f"in all: {rows:,} rows in 7 windows, ")


def searches(datadog: DatadogSandbox) -> int:
    return searches_in(datadog.api.plan.stats())


def searches_in(stats: dict[str, Any]) -> int:
    endpoints = stats.get("requests", stats)
    return sum(count for name, count in _flat(endpoints) if "search" in name)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}/{name}")
    elif isinstance(value, int):
        yield path, value


@pytest.mark.parametrize(("export", "hours"), [("web_errors", 2), ("app_requests", 2), ("legacy_events", 6)])
def test_an_export_over_midnight_is_two_proven_publications(
    export: str, hours: int, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start, end = f"2026-06-09T{24 - hours}:00:00Z", f"2026-06-10T{hours:02d}:00:00Z"
    span = ["--from", start, "--to", end]
    assert main(["export", export, *span]) == 0
    captured = capsys.readouterr()
    slices = [line for line in captured.out.splitlines() if " proven: " in line]
    assert f"{start} to 2026-06-10T00:00:00Z" in captured.err
    files = sorted((world / export).rglob("*.parquet"))
    assert len(files) == len(slices) >= 2
    written = sum(pq.read_metadata(path).num_rows for path in files)
    code, again = run_json(capsys, "export", export, *span)
    assert code == 0
    assert set(again) == {"export", "status", "windows"}
    assert (again["export"], again["status"]) == (export, "proven")
    assert [one["window"] for one in again["windows"]] == [
        {"from": start, "to": "2026-06-10T00:00:00Z"},
        {"from": "2026-06-10T00:00:00Z", "to": end},
    ]
    assert sum(one["rows"] for one in again["windows"]) == written > 0


def test_a_refused_key_stops_the_export_at_once_with_exit_code_4(
    datadog: DatadogSandbox, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = datadog.describe()["app_key_without_logs"]
    monkeypatch.setenv("AIRFLOW_CONN_DATADOG_DEFAULT", datadog_connection(datadog, app_key=key))
    span = ["--from", "2026-06-09T22:00:00Z", "--to", "2026-06-11T02:00:00Z"]
    code, result = run_json(capsys, "export", "web_errors", *span)
    assert code == 4
    assert (result["status"], result["windows"], len(result["errors"])) == ("failed", [], 1)
    assert not list(world.rglob("*.parquet"))


def test_a_source_that_stays_down_is_exit_code_5_for_each_window(
    azure: AzureSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.plan.replace([FaultRule(fault="http_error", params={"status": 503})])
    span = ["--from", "2026-06-09T23:00:00Z", "--to", "2026-06-10T01:00:00Z"]
    code, result = run_json(capsys, "export", "app_requests", *span)
    assert code == 5
    assert [error["exit_code"] for error in result["errors"]] == [5, 5]


def test_a_destination_that_cannot_be_written_is_exit_code_6(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.write_text("a file where the lake should be")
    assert main(["export", "web_errors", *HOURS]) == 6
    assert "logferry: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("inclusive", "words"),
    [(True, "from is inclusive, to is inclusive"), (False, "from is exclusive, to is exclusive")],
)
def test_the_doctor_measures_the_bounds(
    datadog: DatadogSandbox, inclusive: bool, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    datadog.api.settings = DatadogSettings(inclusive_from=inclusive, inclusive_to=inclusive)
    assert main(["doctor", "datadog_default"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 7
    assert lines[1] == "ok    datadog: credentials: present (DD-API-KEY, DD-APPLICATION-KEY)"
    assert any(words in line for line in lines)
    assert any("requests per 10 s" in line for line in lines)


def test_the_doctor_examines_each_kind_that_uses_a_connection(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = run_json(capsys, "doctor", "azure_default")
    assert code == 0
    assert report["status"] == "ok"
    kinds = {check["kind"] for check in report["checks"]}
    assert kinds == {"azure_monitor", "azure_log_search"}
    code, report = run_json(capsys, "doctor", "azure_default", "--kind", "azure_monitor")
    assert {check["kind"] for check in report["checks"]} == {"azure_monitor"}


def test_the_doctor_says_which_permission_is_missing(
    datadog: DatadogSandbox,
    azure: AzureSandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    key = datadog.describe()["app_key_without_logs"]
    monkeypatch.setenv("AIRFLOW_CONN_DATADOG_DEFAULT", datadog_connection(datadog, app_key=key))
    assert main(["doctor", "datadog_default"]) == 4
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("fail  datadog: read permission:")
    assert "logs_read_data" in last
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", azure_connection(azure, client_id=OUTSIDER_ID))
    assert main(["doctor", "azure_default", "--kind", "azure_monitor"]) == 4
    assert "fail  azure_monitor: read permission:" in capsys.readouterr().out


def test_the_doctor_tries_a_workspace_that_no_export_names(
    azure: AzureSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = azure.describe()["workspace"]
    code, report = run_json(
        capsys, "doctor", "azure_default", "--workspace", workspace, "--table", "AppTraces"
    )
    assert code == 0
    assert {check["status"] for check in report["checks"]} <= {"ok", "warn"}


def test_a_wrong_site_is_refused_before_anything_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "web_errors", "--site", "app.datadoghq.eu"]) == 2
    assert "is not a Datadog site" in capsys.readouterr().err


@pytest.mark.parametrize("spelling", ["api_host", "extra__datadog__api_host"])
def test_a_site_replaces_the_address_of_a_stock_connection_too(
    datadog: DatadogSandbox,
    spelling: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = {name: datadog.describe()[name] for name in ("api_key", "app_key")}
    stock = {"conn_type": "datadog", "extra": {spelling: datadog.base_url, **keys}}
    monkeypatch.setenv("AIRFLOW_CONN_DATADOG_DEFAULT", json.dumps(stock))
    assert main(["search", "web_errors", *HOURS]) == 0
    monkeypatch.setattr("logferry.cli.search.DatadogSearch", lambda **asked: pytest.fail(asked["base_url"]))
    with pytest.raises(pytest.fail.Exception, match=r"^https://api\.us3\.datadoghq\.com$"):
        main(["search", "web_errors", *HOURS, "--site", "us3.datadoghq.com"])


def test_a_short_window_is_published_marked_and_exit_code_3_with_both_numbers(
    datadog: DatadogSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    datadog.api.plan.replace([FaultRule(fault="datadog:drop_row")])
    code, result = run_json(capsys, "export", "web_errors", *HOURS)
    assert (code, result["status"]) == (3, "short")
    (window,) = result["windows"]
    assert window["rows"] < window["source_rows"]
    assert main(["export", "web_errors", *HOURS]) == 3
    err = capsys.readouterr().err
    assert "is short: " in err
    assert "counted at the source" in err


def test_an_answer_that_stays_partial_is_an_error_and_never_fewer_rows(
    datadog: DatadogSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    datadog.api.plan.replace([FaultRule(fault="datadog:status_timeout")])
    assert main(["search", "web_errors", *HOURS]) == 5
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "its status is 'timeout'" in captured.err


def test_the_doctor_fails_when_a_count_and_the_rows_differ(
    datadog: DatadogSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    datadog.api.plan.replace([FaultRule(fault="datadog:drop_row")])
    code, report = run_json(capsys, "doctor", "datadog_default")
    (failed,) = [check for check in report["checks"] if check["status"] == "fail"]
    assert code == failed["exit_code"] == 3
    assert failed["check"] == "count exactness"
