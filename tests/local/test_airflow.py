"""The processes of the local Airflow, and what its scheduler imports for the tasks that it forks."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from logferry_local.airflow import component_commands
from logferry_local.scheduler import FOR_TASKS

pytestmark = pytest.mark.airflow


def test_a_local_run_has_the_four_processes_that_deferred_tasks_need_too() -> None:
    commands = component_commands()
    assert list(commands) == ["api-server", "scheduler", "dag-processor", "triggerer"]
    for name in ("scheduler", "triggerer"):
        assert commands[name][-1] == "--skip-serve-logs"


@pytest.mark.parametrize("module", FOR_TASKS)
def test_what_the_scheduler_imports_for_its_tasks_is_there(module: str) -> None:
    assert find_spec(module) is not None
