"""The parts of a run that the end-to-end test cannot reach: what fails, and with which exit code."""

from __future__ import annotations

import io
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from tests.free_port import free_port
from tests.local.conftest import MakeSpec
from tests.local.lake import DAY, put_window
from tests.local.scripted_api import ScriptedApi

from logferry.spec import ExportSpec
from logferry.stores.opening import open_store
from logferry_local import __main__ as local
from logferry_local.lakes import Lakes
from logferry_local.watch import Watched

SCHEMA = pa.schema([("id", pa.string()), ("timestamp", pa.timestamp("us", "UTC"))])
ROW = {"id": "a", "timestamp": None}


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def spec(make_spec: MakeSpec, tmp_path: Path) -> ExportSpec:
    return make_spec("shop", destination={"url": (tmp_path / "lake").as_uri()})


@pytest.fixture
def lakes() -> Lakes:
    return Lakes({"DD_API_KEY": "a", "DD_APP_KEY": "b"}, set())


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def failed_api(exception: str, sentence: str) -> ScriptedApi:
    task = {
        "dag_id": "export_shop",
        "dag_run_id": "r1",
        "task_id": "plan",
        "state": "failed",
        "map_index": -1,
        "try_number": 1,
    }
    api = ScriptedApi()
    run = "/dags/export_shop/dagRuns/r1"
    api.answers[f"{run}/taskInstances"] = {"task_instances": [task]}
    detail = {"exc_type": exception, "exc_value": sentence}
    api.answers[f"{run}/taskInstances/plan/logs/1"] = {
        "content": [{"level": "error", "event": "Task failed", "error_detail": [detail]}]
    }
    return api


def test_refused_keys_end_with_exit_code_4_and_the_sentence(
    console: Console, spec: ExportSpec, lakes: Lakes
) -> None:
    api = failed_api("CredentialsError", "Datadog refused the application key [403]")
    code = local._report([Watched(spec, DAY, "r1", state="failed")], api, lakes, console)
    assert code == 4
    assert "shop failed  task plan: Datadog refused the application key [403]" in text_of(console)


def test_a_short_window_ends_with_exit_code_3(
    console: Console, spec: ExportSpec, lakes: Lakes, tmp_path: Path
) -> None:
    store = open_store((tmp_path / "lake").as_uri(), None)
    put_window(store, tmp_path, "shop", [[ROW]], schema=SCHEMA, status="short", source_rows=2, run_id="r1")
    api = failed_api("AirflowFailException", "the window is short: 1 row is written, the source counts 2")
    assert local._report([Watched(spec, DAY, "r1", state="failed")], api, lakes, console) == 3
    assert "short" in text_of(console)


def test_a_failure_is_not_hidden_by_the_proof_of_an_earlier_run(
    console: Console, spec: ExportSpec, lakes: Lakes, tmp_path: Path
) -> None:
    store = open_store((tmp_path / "lake").as_uri(), None)
    put_window(store, tmp_path, "shop", [[ROW]], schema=SCHEMA, source_rows=1, run_id="r0")
    api = failed_api("Unavailable", "Datadog answered 503")
    assert local._report([Watched(spec, DAY, "r1", state="failed")], api, lakes, console) == 5
    assert "failed, proven before" in text_of(console)
    assert "rows read back" not in text_of(console)


def test_the_gravest_of_several_failures_is_the_exit_code(
    console: Console, spec: ExportSpec, lakes: Lakes, tmp_path: Path, make_spec: MakeSpec
) -> None:
    store = open_store((tmp_path / "lake").as_uri(), None)
    put_window(store, tmp_path, "fine", [[ROW]], schema=SCHEMA, source_rows=1, run_id="r1")
    fine = make_spec("fine", destination={"url": (tmp_path / "lake").as_uri()})
    runs = [Watched(fine, DAY, "r1", state="success"), Watched(spec, DAY, "r1", state="failed")]
    assert local._report(runs, failed_api("StoreError", "disk full"), lakes, console) == 6
    assert local._report(runs[:1], ScriptedApi(), lakes, console) == 0


def test_missing_pools_are_made_because_a_task_would_wait_for_ever(make_spec: MakeSpec) -> None:
    api = ScriptedApi()
    api.answers["/pools/default_pool"] = {"name": "default_pool"}
    local._ensure_pools(api, [make_spec("a"), make_spec("b", pool="datadog"), make_spec("c", pool="datadog")])
    assert [(path, body["name"]) for path, body in api.posted] == [("/pools", "datadog")]


def test_what_an_earlier_run_unpaused_and_would_disturb_is_paused() -> None:
    api = ScriptedApi()
    api.answers["/dags/export_known"] = {}
    local._pause(api, ["export_known", "export_never_seen"])
    assert api.patched == [("/dags/export_known", {"is_paused": True})]


@pytest.fixture
def at_home(tmp_path: Path, clean_environment: pytest.MonkeyPatch) -> dict[str, Any]:
    """``main`` in an empty home, with a free port."""
    variables = {
        "LOGFERRY_HOME": str(tmp_path / "home"),
        "LOGFERRY_ENV_FILE": str(tmp_path / "my.env"),
        "AIRFLOW_PORT": str(free_port()),
    }
    for name, value in variables.items():
        clean_environment.setenv(name, value)
    clean_environment.setattr("signal.signal", lambda number, action: None)
    return variables


def test_a_busy_port_is_exit_code_2_and_one_line(
    at_home: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(at_home["AIRFLOW_PORT"])))
        taken.listen()
        assert local.main() == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"logferry: port {at_home['AIRFLOW_PORT']} is in use on 127.0.0.1; ")
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_folder_without_definitions_in_the_env_file_is_exit_code_2_and_named(
    at_home: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "torn.yaml").write_text("name: [")
    (tmp_path / "my.env").write_text(f"LOGFERRY_EXPORTS_DIR={tmp_path}/mine\n")
    assert local.main() == 2
    said = capsys.readouterr()
    assert said.out.startswith(f"left out {tmp_path}/mine/torn.yaml: ")
    assert said.err == (
        f"logferry: there is no export definition to run in {tmp_path}/mine; add one, for example a copy of "
        "include/exports/web_errors.yaml\n"
    )


def test_a_folder_that_does_not_exist_is_exit_code_2(
    at_home: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.env").write_text(f"LOGFERRY_EXPORTS_DIR={tmp_path}/nowhere\n")
    assert local.main() == 2
    assert f"the exports folder {tmp_path}/nowhere does not exist" in capsys.readouterr().err
