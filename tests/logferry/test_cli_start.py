"""What a command loads before it can begin: most of the time of a short export."""

from __future__ import annotations

import gc
import inspect
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import logferry
from logferry.cli import main
from logferry.cli.app import COMMANDS
from logferry.cli.narrow import lines_for, lines_on_stderr
from logferry.cli.output import console
from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.datadog_sandbox import DatadogSandbox

RANGE = ["--from", "2026-06-10T10:00:00Z", "--to", "2026-06-10T12:00:00Z"]
SENTENCE = "2026-06-10T10:00:00Z to 2026-06-10T12:00:00Z: " + "a plan that is told in one line; " * 8

NEVER = {
    "airflow",
    "numpy",
    "pandas",
    "sqlalchemy",
    # What reads folders of files and other formats.
    "pyarrow.acero",
    "pyarrow.csv",
    "pyarrow.dataset",
    "pyarrow.feather",
    "pyarrow.orc",
}
OF_S3 = {"boto3", "botocore", "s3transfer", "logferry.stores.s3", "logferry.credentials.aws"}
OF_SHARED_BUDGETS = {"psycopg", "psycopg2", "redis"}
OF_A_TERMINAL = {"rich", "logferry.cli.progress_bar", "logferry.cli.published"}
OF_OTHER_COMMANDS = {
    "logferry.adhoc",
    "logferry.audit.coverage",
    "logferry.audit.verify",
    "logferry.cli.coverage",
    "logferry.cli.doctor",
    "logferry.cli.plan",
    "logferry.cli.search",
    "logferry.view",
}
OF_AZURE = {"logferry.credentials.azure", "logferry.sources.azure_monitor", "msal"}
OF_DATADOG = {"logferry.credentials.datadog", "logferry.sources.datadog"}
OF_CERTIFICATES = {"cryptography"}
OF_KQL = {"logferry.kql_checks", "logferry.kql_functions", "logferry.kql_pipeline", "logferry.kql_tokens"}
OF_RARE_SCHEDULES = {"croniter"}

RUN = """
import gc, json, sys
from pathlib import Path
from logferry.cli import main
code = main()
told = {"code": code, "loaded": list(sys.modules), "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}
Path("told.json").write_text(json.dumps(told))
"""


class Told:
    """How a command ended that ran in a process of its own."""

    def __init__(self, folder: Path) -> None:
        told = json.loads((folder / "told.json").read_text())
        self.code: int = told["code"]
        self.loaded: set[str] = set(told["loaded"])
        self.collects: bool = told["collects"]
        self.frozen: int = told["frozen"]


def told_by(folder: Path, *arguments: str, **environ: str) -> Told:
    """Run a command whose output is a pipe, as under a scheduler."""
    folder.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "LOGFERRY_BUDGET_DIR") if name in os.environ}
    subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(Path(logferry.__file__).parents[1])} | environ,
        capture_output=True,
        check=True,
    )
    return Told(folder)


def definition(folder: Path, source: str) -> str:
    """A folder of definitions with one export, ``logs``, to a lake on the disk."""
    exports = folder / "exports"
    exports.mkdir()
    lake = (folder / "lake").as_uri()
    text = f'name: logs\nsource: {source}\nschedule: "@daily"\nstart: 2026-01-01T00:00:00Z\n'
    (exports / "logs.yaml").write_text(f"{text}destination: {{url: '{lake}'}}\n")
    return str(exports)


def test_the_command_line_itself_loads_no_library_but_its_own() -> None:
    code = "import json, sys, logferry.cli; print(json.dumps(list(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(Path(logferry.__file__).parents[1])},
        capture_output=True,
        check=True,
    )
    heavy = {"msgspec", "pyarrow", "pydantic", "requests", "rich", "urllib3", "yaml"}
    everything = heavy | NEVER | OF_S3 | OF_SHARED_BUDGETS | OF_AZURE | OF_CERTIFICATES
    assert set(json.loads(run.stdout)) & everything == set()


@pytest.mark.integration
def test_an_export_from_datadog_to_a_disk_loads_nothing_of_other_sources_stores_and_commands(
    tmp_path: Path,
) -> None:
    with DatadogSandbox(events_per_day=1000) as datadog:
        access = datadog.describe()
        extra = {"api_key": access["api_key"], "app_key": access["app_key"]}
        connection = {"conn_type": "datadog_logs", "host": access["base_url"], "extra": extra}
        told = told_by(
            tmp_path,
            *("export", "logs", *RANGE, "--json"),
            LOGFERRY_EXPORTS_DIR=definition(tmp_path, "{kind: datadog, connection: here}"),
            AIRFLOW_CONN_HERE=json.dumps(connection),
        )
    assert told.code == 0
    assert "pyarrow.parquet" in told.loaded
    others = OF_AZURE | OF_CERTIFICATES | OF_KQL | OF_OTHER_COMMANDS | OF_S3 | OF_SHARED_BUDGETS
    assert told.loaded & (NEVER | OF_A_TERMINAL | OF_RARE_SCHEDULES | others) == set()
    assert told.collects
    assert told.frozen > 10_000


@pytest.mark.integration
def test_an_export_from_azure_with_a_client_secret_loads_nothing_of_certificates(tmp_path: Path) -> None:
    with AzureSandbox(state_dir=tmp_path / "state", rows_per_day=500) as azure:
        access = azure.describe()
        connection = {
            "conn_type": "azure_log_analytics",
            "login": access["client_id"],
            "password": access["client_secret"],
            "extra": {
                "tenantId": access["tenant_id"],
                "authority": access["authority"].rsplit("/", 1)[0],
                "query_endpoint": access["query_endpoint"],
                "ca_bundle": access["ca_bundle"],
            },
        }
        source = (
            f"{{kind: azure_monitor, connection: here, workspace: {access['workspace']}, table: AppRequests}}"
        )
        told = told_by(
            tmp_path,
            *("export", "logs", *RANGE, "--json"),
            LOGFERRY_EXPORTS_DIR=definition(tmp_path, source),
            AIRFLOW_CONN_HERE=json.dumps(connection),
        )
    assert told.code == 0
    assert "msal" in told.loaded
    others = OF_CERTIFICATES | OF_DATADOG | OF_OTHER_COMMANDS | OF_S3 | OF_SHARED_BUDGETS
    assert told.loaded & (NEVER | OF_A_TERMINAL | OF_RARE_SCHEDULES | others) == set()


def test_what_others_plug_into_pydantic_has_no_part_in_a_command(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    about = installed / "plugged-1.0.dist-info"
    about.mkdir(parents=True)
    (installed / "plugged.py").write_text("plugin = None\n")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[pydantic]\nplugged = plugged:plugin\n")
    path = os.pathsep.join([str(Path(logferry.__file__).parents[1]), str(installed)])
    exports = definition(tmp_path, "{kind: datadog, connection: here}")
    told = told_by(tmp_path, "record", "logs", LOGFERRY_EXPORTS_DIR=exports, PYTHONPATH=path)
    assert "pydantic" in told.loaded
    assert "plugged" not in told.loaded


@pytest.mark.parametrize("arguments", [["--help"], [], ["--debug", "--version"]])
def test_what_calls_no_command_loads_none(arguments: list[str], tmp_path: Path) -> None:
    told = told_by(tmp_path, *arguments)
    assert told.loaded & {"msgspec", "pyarrow", "pydantic", "requests", "yaml"} == set()


def test_the_version_alone_loads_nothing_at_all(tmp_path: Path) -> None:
    assert "typer" not in told_by(tmp_path, "--version").loaded


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_all_says_of_a_command_what_its_own_help_begins_with(name: str) -> None:
    command = getattr(import_module(f"logferry.cli.{name}"), name)
    assert " ".join(inspect.cleandoc(command.__doc__).split("\n\n")[0].split()) == COMMANDS[name]


def test_a_command_inside_another_program_leaves_its_garbage_collector_alone() -> None:
    before = gc.get_freeze_count()
    assert main(["--version"]) == 0
    assert (gc.isenabled(), gc.get_freeze_count()) == (True, before)


@pytest.mark.parametrize(
    ("environ", "wraps"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": ""}, False),
        ({"TTY_COMPATIBLE": "1"}, True),
        ({"TTY_COMPATIBLE": "0", "FORCE_COLOR": "1"}, False),
    ],
)
def test_a_pipe_is_a_terminal_to_a_line_on_stderr_when_rich_would_take_it_for_one(
    environ: dict[str, str], wraps: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    lines = list(lines_on_stderr(SENTENCE))
    assert (len(lines) > 1) == wraps
    assert lines == list(lines_for(console(stderr=True), SENTENCE))
