"""``logferry export`` by two processes: the same archive as by one, and nothing lost or left when one of them goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.integration.azure_port import AzurePort
from tests.integration.datadog_port import DatadogPort

from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore
from logferry_sandbox.prepared import PreparedHistory

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="there are no mates elsewhere"),
]

PROJECT = Path(__file__).resolve().parents[2]
RANGE = ["--from", "2026-06-10T08:00:00Z", "--to", "2026-06-10T12:00:00Z"]
HISTORY = PreparedHistory(
    24_000, datetime(2026, 6, 10, 8, tzinfo=UTC), datetime(2026, 6, 10, 12, tzinfo=UTC), odd_every=500
)
SEARCHES = 24

PROGRAM = """
import os, signal, sys, threading
from logferry import mate
from logferry.cli import main
from logferry.errors import StoreError

processors, acting = sys.argv[1:3]
mate.spare_processors = lambda: int(processors)

class Acting(mate._Work):
    def slice_done(self, result):
        super().slice_done(result)
        if acting == "tell":
            print("the mate has finished a slice", file=sys.stderr, flush=True)
        if acting == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if acting == "fail":
            raise StoreError("its disk is full")
        if acting == "interrupt":
            os.killpg(os.getpgid(0), signal.SIGINT)
            threading.Event().wait()

mate._Work = Acting
del sys.argv[1:3]
sys.exit(main())
"""
"""``PROCESSORS ACTING arguments…``; what the mate does when it has finished its first slice is ``ACTING``."""


class Command:
    """The command line in a process of its own, with one thread when it starts."""

    def __init__(self, folder: Path, source: dict[str, Any], connection: dict[str, Any]) -> None:
        self.folder = folder
        self._source = source
        self._env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")]),
            "LOGFERRY_EXPORTS_DIR": str(folder),
            "AIRFLOW_CONN_SANDBOX": json.dumps(connection),
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir()

    def export(self, lake: str, *, processors: int, acting: str = "") -> subprocess.CompletedProcess[str]:
        """The export of RANGE, which all has in one window, to a lake of this name."""
        definition = {
            "name": "web",
            "source": {**self._source, "connection": "sandbox"},
            "schedule": "0 */4 * * *",
            "start": "2026-01-01T00:00:00Z",
            "slice": "1h",
            "destination": {"url": (self.folder / lake).as_uri()},
        }
        (self.folder / "web.yaml").write_text(json.dumps(definition))
        command = [sys.executable, "-c", PROGRAM, str(processors), acting, "export", "web", *RANGE, "--json"]
        return subprocess.run(
            command,
            # What one learns of the source is none of the other's business.
            env={**self._env, "LOGFERRY_BUDGET_DIR": str(self.folder / f"{lake}-budget")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            start_new_session=True,
        )

    def left(self, lake: str) -> list[Path]:
        """What is staged, and what lies in the folder for temporary files."""
        staged = [path for path in (self.folder / lake / "_staging").rglob("*") if path.is_file()]
        return staged + list((self.folder / "tmp").iterdir())


@pytest.fixture
def datadog(make_port: Callable[..., DatadogPort]) -> DatadogPort:
    settings = DatadogSettings(search_limit=10**9, aggregate_limit=10**9, compress=False)
    return make_port(store=DatadogStore(HISTORY.datadog()), settings=settings)


@pytest.fixture
def command(tmp_path: Path, datadog: DatadogPort) -> Command:
    place = datadog.sandbox.describe()
    keys = {"api_key": place["api_key"], "app_key": place["app_key"], "sandbox": True}
    connection = {"conn_type": "datadog_logs", "host": place["base_url"], "extra": keys}
    return Command(tmp_path, {"kind": "datadog", "query": "*"}, connection)


@pytest.fixture
def azure_command(tmp_path: Path, make_azure_port: Callable[..., AzurePort]) -> Command:
    port = make_azure_port(prepared=HISTORY.azure())
    connection = port.connect("sandbox", "azure_monitor")
    return Command(
        tmp_path,
        {"kind": "azure_monitor", "workspace": port.sandbox.describe()["workspace"], "table": "AppRequests"},
        {
            "conn_type": connection.conn_type,
            "login": connection.login,
            "password": connection.password,
            "extra": dict(connection.extra),
        },
    )


def manifest(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["windows"][0]
    return found


def asked(datadog: DatadogPort) -> int:
    """Requests that the sandbox has answered."""
    requests: dict[str, dict[str, int]] = datadog.sandbox.api.plan.stats()["requests"]
    return sum(sum(by_status.values()) for by_status in requests.values())


def contents(manifest: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (one["from"], one["status"], one["rows"], one["source_rows"], one["file"]["row_hash"])
        for one in manifest["slices"]
    ]


def test_two_write_what_one_writes_and_ask_for_one_count_more(command: Command, datadog: DatadogPort) -> None:
    alone = manifest(command.export("alone", processors=0))
    before = asked(datadog)
    done = command.export("together", processors=1, acting="tell")
    together = manifest(done)
    assert "the mate has finished a slice" in done.stderr
    assert contents(together) == contents(alone)
    assert together["rows"] == HISTORY.rows
    assert together["status"] == "proven"
    assert together["requests"]["search"] == alone["requests"]["search"] == SEARCHES
    assert together["requests"]["count"] == alone["requests"]["count"] + 1 == 3
    assert asked(datadog) - before == SEARCHES + 3
    assert not command.left("together")


def test_azure_rows_are_the_same_by_two(azure_command: Command) -> None:
    alone = manifest(azure_command.export("alone", processors=0))
    done = azure_command.export("together", processors=1, acting="tell")
    together = manifest(done)
    assert "the mate has finished a slice" in done.stderr
    assert contents(together) == contents(alone)
    assert (together["rows"], together["status"]) == (HISTORY.rows, "proven")
    assert together["requests"]["count"] == alone["requests"]["count"] + 1
    assert not azure_command.left("together")


def test_what_a_killed_mate_was_at_is_fetched_again(command: Command) -> None:
    alone = manifest(command.export("alone", processors=0))
    done = command.export("together", processors=1, acting="die")
    assert contents(manifest(done)) == contents(alone)
    assert "the second process of this export has ended (exit status -9)" in done.stderr
    assert not command.left("together")


def test_an_error_of_the_mate_is_that_of_the_export(command: Command) -> None:
    done = command.export("together", processors=1, acting="fail")
    assert done.returncode == 6
    assert json.loads(done.stdout)["errors"][0]["error"] == "its disk is full"
    assert "Traceback" not in done.stderr
    assert not command.left("together")
    assert not list((command.folder / "together").rglob("*.parquet"))


def test_ctrl_c_leaves_nothing_of_either(command: Command) -> None:
    done = command.export("together", processors=1, acting="interrupt")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.splitlines()[-1] == "logferry: interrupted"
    assert "has ended" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not command.left("together")
    assert not list((command.folder / "together").rglob("*.parquet"))
