"""The processes of the local Airflow, and what its scheduler imports for the tasks that it forks."""

from __future__ import annotations

import stat
from importlib.util import find_spec
from pathlib import Path

import pytest

from logferry_local.airflow import component_commands, write_command
from logferry_local.scheduler import FOR_TASKS
from logferry_local.settings import Settings

pytestmark = pytest.mark.airflow


def test_a_local_run_has_the_four_processes_that_deferred_tasks_need_too() -> None:
    commands = component_commands()
    assert list(commands) == ["api-server", "scheduler", "dag-processor", "triggerer"]
    for name in ("scheduler", "triggerer"):
        assert commands[name][-1] == "--skip-serve-logs"


@pytest.mark.parametrize("module", FOR_TASKS)
def test_what_the_scheduler_imports_for_its_tasks_is_there(module: str) -> None:
    assert find_spec(module) is not None


def test_the_command_of_a_run_sees_the_exports_of_the_run_from_every_shell(tmp_path: Path) -> None:
    own = {
        "LOGFERRY_EXPORTS_DIR": "/home/me/exports",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PATH": "/bin",
    }
    file = tmp_path / "airflow-cli"
    write_command(file, Settings(tmp_path, tmp_path, 8080, own), own)
    assert file.read_text().splitlines()[2:4] == [
        "export LOGFERRY_EXPORTS_DIR=/home/me/exports",
        "export AIRFLOW__CORE__LOAD_EXAMPLES=False",
    ]


def test_the_command_of_a_run_holds_only_what_the_run_adds_and_is_for_its_user_alone(tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path, 8080, {"PATH": "/bin", "DD_API_KEY": "of the user's own .env"})
    file = tmp_path / "airflow-cli"
    write_command(file, settings, {**settings.environment, "AIRFLOW_HOME": "/a b", "ODD": "it's"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o700
    text = file.read_text()
    assert "DD_API_KEY" not in text
    lines = text.splitlines()
    assert lines[2:4] == ["export AIRFLOW_HOME='/a b'", "export ODD='it'\"'\"'s'"]
    assert lines[4].startswith("exec ")
    assert lines[4].endswith(' -m airflow "$@"')
