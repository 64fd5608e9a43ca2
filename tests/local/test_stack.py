"""``python -m logferry_local`` as a person meets it: a real PostgreSQL, a real Airflow, the sandbox, the shipped
definitions, Ctrl-C; then a second start without a terminal.

One run serves the whole module; the tests that end it come last, in the order of this file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import requests
from tests.free_port import free_port
from tests.local.terminal import Terminal
from tests.open_folder import open_folder

from logferry_local.airflow import Api
from logferry_local.failures import failure_of

pytestmark = [pytest.mark.airflow, pytest.mark.integration, pytest.mark.timeout(1200)]

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "logferry_local"]
NAMES = ("app_requests", "legacy_events", "web_errors")
PREFIXES = ("COLUMNS", "LINES", "DD_", "AZURE_", "AWS_", "AIRFLOW_", "LOGFERRY_")
STARTED_S, FINISHED_S = 600.0, 400.0
"""Many times what it takes, for a machine that others use as well."""


@dataclass
class Stack:
    """The folders of the run, its environment, and Airflow's API while it is up."""

    home: Path
    lake: Path
    broken: Path
    environment: dict[str, str]
    port: int
    terminal: Terminal
    api: Api
    sandbox: dict[str, Any]
    day: datetime
    """Whose window the run exported: the newest UTC day that had settled."""

    def manifest(self, name: str, window: str | None = None) -> dict[str, Any]:
        (path,) = (self.lake / f"_manifests/{name}").glob(f"{window or '*T000000Z-*T000000Z'}.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def trigger(self, name: str, conf: dict[str, str]) -> str:
        run = self.api.post(f"/dags/export_{name}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def finished(self, dag_id: str, run_id: str) -> str:
        """The final state of a run."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}"
        until(lambda: self.api.get(path)["state"] in ("success", "failed"), run_id)
        return str(self.api.get(path)["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")[
            "task_instances"
        ]
        return found

    def backfill(self, day: datetime) -> int:
        """Start Airflow's own backfill of one day that may have been exported before; its number."""
        asked = {
            "dag_id": "export_web_errors",
            "from_date": day.isoformat(),
            "to_date": day.isoformat(),
            "reprocess_behavior": "completed",
        }
        return int(self.api.post("/backfills", asked)["id"])


def until(done: Callable[[], object], what: str, seconds: float = FINISHED_S) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"{what} was not finished within {seconds:.0f} s"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    home, lake, exports = folder / "home", folder / "lake", folder / "exports"
    exports.mkdir()
    for name in NAMES:
        shipped = (PROJECT / f"include/exports/{name}.yaml").read_text()
        (exports / f"{name}.yaml").write_text(f"{shipped}\ndestination: {{url: {lake.as_uri()}}}\n")
    broken = exports / "broken.yaml"
    broken.write_text((exports / "web_errors.yaml").read_text().replace("schedule:", "shedule:"))
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    environment |= {
        "LOGFERRY_HOME": str(home),
        "LOGFERRY_EXPORTS_DIR": str(exports),
        "LOGFERRY_ENV_FILE": str(folder / "no.env"),
        "AIRFLOW_PORT": str(port),
    }
    terminal = Terminal(COMMAND, environment, PROJECT)
    try:
        terminal.wait_for("until Ctrl-C", STARTED_S)
        api = Api(f"http://127.0.0.1:{port}", (home / "secrets/airflow-password").read_text())
        api.log_in()
        sandbox = json.loads((home / "sandbox.json").read_text())
        day = day_shown(terminal.text)
        yield Stack(home, lake, broken, environment, port, terminal, api, sandbox, day)
    finally:
        if terminal.process.poll() is None:
            terminal.process.terminate()
            terminal.wait(60)
        terminal.close()


@pytest.fixture(scope="module")
def extra_runs(stack: Stack) -> dict[str, str]:
    """Started together, because most of a task's time is Airflow's own start."""
    day = stack.day
    asked = {
        "two hours": {"from": f"{day:%Y-%m-%d}T06:00:00Z", "to": f"{day:%Y-%m-%d}T08:00:00Z"},
        "half a window": {"from": f"{day:%Y-%m-%d}T06:00:00Z"},
    }
    return {what: stack.trigger("web_errors", conf) for what, conf in asked.items()}


@pytest.fixture(scope="module")
def backfilled(stack: Stack, extra_runs: dict[str, str]) -> datetime:
    """The day of a finished backfill; Airflow allows one at a time for each DAG."""
    day = stack.day - timedelta(days=2)
    number = stack.backfill(day)
    until(lambda: stack.api.get(f"/backfills/{number}")["completed_at"], "the backfill")
    return day


def day_shown(text: str) -> datetime:
    """The window of the run, as the table shows it: midnight must not change what the tests look for."""
    found = re.search(r"^ *web_errors +\[(\d{4}-\d{2}-\d{2})T00:00:00Z, ", text, re.MULTILINE)
    assert found, text
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC)


def windows_shown(text: str) -> dict[str, str]:
    """The window in the line of each export in the table."""
    return dict(re.findall(rf"^ *({'|'.join(NAMES)}) +(\[\S+ \S+\)) ", text, re.MULTILINE))


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def counts(text: str, name: str) -> tuple[str, str, str]:
    """Rows at the source, rows written and the status in the line of an export in the table."""
    found = re.search(rf"^ *{name} +\[\S+ \S+\) +([\d,]+) +([\d,]+) +(\w+) ", text, re.MULTILINE)
    assert found, text
    return found[1], found[2], found[3]


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes that belong to the run, by their environment or their arguments."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if str(home) in command or process.environ().get("LOGFERRY_HOME") == str(home):
                found.append(f"{process.pid} {command}")
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def test_the_table_shows_a_proven_window_of_every_definition(stack: Stack) -> None:
    for name in NAMES:
        at_source, written, status = counts(stack.terminal.text, name)
        assert (status, at_source) == ("proven", written)
        assert int(written.replace(",", "")) > 0


def test_three_rows_of_every_export_are_shown(stack: Stack) -> None:
    day = f"{stack.day:%Y-%m-%d}"
    for name in NAMES:
        sample = stack.terminal.text.partition(f"{name}: 3 rows read back from Parquet")[2]
        lines = sample.partition("rows read back")[0].splitlines()
        assert sum(line.strip().startswith(day) for line in lines) == 3, sample


def test_the_last_lines_say_where_to_look_and_what_a_shell_needs(stack: Stack) -> None:
    """And they are whole, so that they can be copied."""
    lines = [line.strip() for line in stack.terminal.text.splitlines()]
    page = f"http://127.0.0.1:{stack.port}/plugin/logferry"
    assert any(line.startswith(f"archive   {page} ") for line in lines)
    assert f"password  {(stack.home / 'secrets/airflow-password').read_text().strip()}" in lines
    (shell,) = [line for line in lines if line.startswith("shell ")]
    assert str(stack.home / "sandbox.env") in shell
    (command,) = [line.split()[1] for line in lines if line.startswith("command ")]
    # What the page and `logferry gaps` print for Airflow, asked of this one.
    day = f"{stack.day - timedelta(days=9):%Y-%m-%d}T00:00:00+00:00"
    options = ["--dag-id", "export_web_errors", "--from-date", day, "--to-date", day]
    told = subprocess.run(
        [command, "backfill", "create", *options, "--reprocess-behavior", "completed", "--dry-run"],
        env={"PATH": os.environ["PATH"], "HOME": str(stack.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-3000:]
    assert day[:10] in told.stdout
    answer = requests.get(f"http://127.0.0.1:{stack.port}/logferry/", timeout=60)
    assert answer.status_code == 401


def test_the_broken_definition_is_named_and_the_others_run(stack: Stack) -> None:
    assert f"left out {stack.broken}: " in stack.terminal.text
    assert f"{stack.broken}: shedule: is not a key" in stack.terminal.text


def test_the_broken_definition_is_an_import_error_of_its_own(stack: Stack) -> None:
    (error,) = stack.api.get("/importErrors")["import_errors"]
    assert error["filename"].endswith("broken_exports.py")
    assert str(stack.broken) in error["stack_trace"]
    dags = {dag["dag_id"] for dag in stack.api.get("/dags")["dags"]}
    assert dags >= {f"export_{name}" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_parquet_files_hold_exactly_the_rows_of_the_manifest(stack: Stack, name: str) -> None:
    manifest = stack.manifest(name, f"{stamp(stack.day)}-{stamp(stack.day + timedelta(days=1))}")
    assert manifest["status"] == "proven"
    read = {
        entry["file"]["key"]: pq.read_table(stack.lake / entry["file"]["key"]).num_rows
        for entry in manifest["slices"]
    }
    assert read == {entry["file"]["key"]: entry["rows"] for entry in manifest["slices"]}
    assert sum(read.values()) == manifest["rows"] == manifest["source_rows"]


def test_the_rows_are_the_sandbox_s_own_truth(stack: Stack) -> None:
    day = stack.day
    folder = stack.lake / "web_errors" / f"dt={day:%Y-%m-%d}"
    ids = [row for path in sorted(folder.rglob("*.parquet")) for row in pq.read_table(path)["id"].to_pylist()]
    asked = {"from": stamp_iso(day), "to": stamp_iso(day + timedelta(days=1)), "query": "service:web-store"}
    truth = requests.get(
        f"{stack.sandbox['datadog']['base_url']}/_sandbox/truth", params=asked, timeout=30
    ).json()
    assert len(ids) == truth["rows"]
    assert hashlib.sha256("\n".join(ids).encode()).hexdigest() == truth["ids_sha256"]


def stamp_iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_airflow_knows_the_connection_types(stack: Stack) -> None:
    answer = requests.get(
        f"http://127.0.0.1:{stack.port}/ui/connections/hook_meta",
        headers={"Authorization": f"Bearer {token(stack)}"},
        timeout=60,
    )
    assert answer.status_code == 200
    assert {"datadog_logs", "azure_log_analytics"} <= {hook["connection_type"] for hook in answer.json()}


def token(stack: Stack) -> str:
    password = (stack.home / "secrets/airflow-password").read_text()
    answer = requests.post(
        f"http://127.0.0.1:{stack.port}/auth/token",
        json={"username": "admin", "password": password},
        timeout=30,
    )
    return str(answer.json()["access_token"])


def test_the_api_refuses_strangers(stack: Stack) -> None:
    answer = requests.get(f"http://127.0.0.1:{stack.port}/api/v2/dags", timeout=30)
    assert answer.status_code == 401


def test_a_manual_run_exports_the_two_hours_of_its_params(stack: Stack, extra_runs: dict[str, str]) -> None:
    run_id = extra_runs["two hours"]
    assert stack.finished("export_web_errors", run_id) == "success"
    start = stack.day.replace(hour=6)
    manifest = stack.manifest("web_errors", f"{stamp(start)}-{stamp(start + timedelta(hours=2))}")
    assert manifest["run"]["id"] == run_id
    assert (manifest["status"], len(manifest["slices"])) == ("proven", 2)


def test_half_a_window_fails_at_once_with_one_sentence(stack: Stack, extra_runs: dict[str, str]) -> None:
    run_id = extra_runs["half a window"]
    assert stack.finished("export_web_errors", run_id) == "failed"
    tasks = stack.tasks("export_web_errors", run_id)
    assert {task["try_number"] for task in tasks if task["state"] == "failed"} == {1}
    assert failure_of(stack.api, tasks).sentence == (
        "task plan: params from is set but params to is not; give both ends of the window, or neither"
    )


def test_a_backfill_of_a_past_day_is_proven(stack: Stack, backfilled: datetime) -> None:
    manifest = stack.manifest("web_errors", f"{stamp(backfilled)}-{stamp(backfilled + timedelta(days=1))}")
    assert manifest["status"] == "proven"
    assert manifest["rows"] > 0
    assert manifest["run"]["id"].startswith("backfill__")


def test_the_same_backfill_again_uploads_nothing_new(stack: Stack, backfilled: datetime) -> None:
    window = f"{stamp(backfilled)}-{stamp(backfilled + timedelta(days=1))}"
    folder = stack.lake / "web_errors" / f"dt={backfilled:%Y-%m-%d}"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    first = stack.manifest("web_errors", window)
    stack.backfill(backfilled)
    until(lambda: stack.manifest("web_errors", window)["seq"] > first["seq"], "the second backfill")
    second = stack.manifest("web_errors", window)
    assert stack.finished("export_web_errors", second["run"]["id"]) == "success"
    assert second["slices"] != []
    assert row_hashes(second) == row_hashes(first)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")} == before
    assert len(before) == 24


def test_the_upkeep_is_at_work_and_finds_nothing_to_do(stack: Stack) -> None:
    def run_id() -> str | None:
        runs = stack.api.get("/dags/archive_upkeep/dagRuns")["dag_runs"]
        return runs[0]["dag_run_id"] if runs else None

    until(run_id, "the first run of the upkeep")
    assert stack.finished("archive_upkeep", str(run_id())) == "success"
    for name in NAMES:
        started = stack.api.get(f"/dags/export_{name}/dagRuns")["dag_runs"]
        assert not [run for run in started if run["dag_run_id"].startswith("upkeep__")]


def row_hashes(manifest: dict[str, Any]) -> list[str]:
    return [entry["file"]["row_hash"] for entry in manifest["slices"]]


def test_asset_events_carry_the_proof(stack: Stack) -> None:
    day = stack.day
    manifest = stack.manifest("web_errors", f"{stamp(day)}-{stamp(day + timedelta(days=1))}")
    events = stack.api.get("/assets/events", source_dag_id="export_web_errors")["asset_events"]
    (event,) = [event for event in events if event["source_run_id"] == manifest["run"]["id"]]
    assert event["partition_key"] == f"{day:%Y-%m-%d}T00:00:00"
    assert event["extra"]["rows"] == manifest["rows"]
    assert event["extra"]["window"] == manifest["window"]
    assert event["extra"]["manifest"] == (
        f"_manifests/web_errors/{stamp(day)}-{stamp(day + timedelta(days=1))}.json"
    )


def test_no_secret_reaches_a_log_or_an_xcom(stack: Stack, backfilled: datetime) -> None:
    datadog, azure = stack.sandbox["datadog"], stack.sandbox["azure"]
    # Tokens of the sandbox begin with "sandbox."; nobody but the token endpoint and its clients may see them.
    secrets = [datadog["api_key"], datadog["app_key"], datadog["bearer_token"], azure["client_secret"]]
    kept = [path.read_text() for path in (stack.home / "secrets").iterdir()]
    token_text = re.compile(r"sandbox\.[A-Za-z0-9_-]{40,}")
    # The sandbox itself prints the keys it invents.
    logs = [path for path in (stack.home / "airflow/logs").rglob("*") if path.is_file()]
    logs += [path for path in (stack.home / "logs").iterdir() if path.name != "sandbox.log"]
    texts = {str(path): path.read_text(errors="replace") for path in logs}
    texts |= {str(entry): json.dumps(entry) for entry in xcoms(stack)}
    assert any("attempt=1.log" in name for name in texts)
    for where, text in texts.items():
        assert not [secret for secret in (*secrets, *kept) if secret in text], where
        assert not token_text.search(text), where


def xcoms(stack: Stack) -> list[dict[str, Any]]:
    every = "/dags/~/dagRuns/~/taskInstances/~/xcomEntries"
    found = []
    for entry in stack.api.get(every, limit=1000)["xcom_entries"]:
        run = f"/dags/{entry['dag_id']}/dagRuns/{entry['run_id']}"
        path = f"{run}/taskInstances/{entry['task_id']}/xcomEntries/{entry['key']}"
        found.append(stack.api.get(path, map_index=entry["map_index"]))
    assert len(found) > 9
    return found


@pytest.fixture(scope="module")
def stopped(stack: Stack) -> int:
    """Ctrl-C at the terminal; the exit code."""
    stack.terminal.type(b"\x03")
    return stack.terminal.wait(60)


def test_ctrl_c_after_the_work_is_the_ordinary_end_and_leaves_no_process(stack: Stack, stopped: int) -> None:
    assert stopped == 0
    assert processes_of(stack.home) == []
    assert "Traceback" not in stack.terminal.text


@pytest.fixture(scope="module")
def second(stack: Stack, stopped: int) -> subprocess.CompletedProcess[str]:
    """A second start on the same home, without a terminal, that shows the same windows."""
    run = subprocess.run(
        COMMAND,
        env=stack.environment,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STARTED_S,
        check=False,
    )
    if windows_shown(run.stdout) not in (windows_shown(stack.terminal.text), {}):
        pytest.skip("between the two starts a day has settled, so that the second one shows another")
    return run


def test_a_second_start_without_a_terminal_uses_what_is_there(
    stack: Stack, second: subprocess.CompletedProcess[str]
) -> None:
    assert second.returncode == 0, second.stdout + second.stderr
    assert "tables" not in second.stdout
    for name in NAMES:
        assert counts(second.stdout, name) == counts(stack.terminal.text, name)
    assert "\x1b" not in second.stdout
    assert processes_of(stack.home) == []


def test_a_second_start_writes_no_file_again(stack: Stack, second: subprocess.CompletedProcess[str]) -> None:
    day = stack.day
    manifest = stack.manifest("web_errors", f"{stamp(day)}-{stamp(day + timedelta(days=1))}")
    assert manifest["run"]["id"].startswith("manual__")
    # Else everything of the first start would be of another definition.
    assert manifest["source"]["endpoint"] == stack.sandbox["datadog"]["base_url"]
    oldest = min(path.stat().st_mtime_ns for path in stack.home.glob("airflow/migrated-*"))
    newest = max(path.stat().st_mtime_ns for path in stack.lake.glob("web_errors/dt=*/**/*.parquet"))
    assert oldest < newest < datetime.fromisoformat(manifest["run"]["started_at"]).timestamp() * 1e9
