"""Airflow's settings for the whole suite, fixed before anything can import it.

Nothing here imports Airflow: the engine's tests run without paying for it (4 to 6 seconds).
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
AIRFLOW_HOME = Path(tempfile.mkdtemp(prefix="logferry-airflow-"))

os.environ.update(
    {
        "AIRFLOW_HOME": str(AIRFLOW_HOME),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
        # For what outlives one test; see budget_folder.
        "LOGFERRY_BUDGET_DIR": str(AIRFLOW_HOME / "budgets" / "suite"),
    }
)
_number = itertools.count()


@pytest.fixture(autouse=True)
def budget_folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test's own: what one server said it allows must not hold up a later test whose server has its port."""
    folder = AIRFLOW_HOME / "budgets" / str(next(_number))
    monkeypatch.setenv("LOGFERRY_BUDGET_DIR", str(folder))
    return folder


def pytest_unconfigure() -> None:
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)
