"""Airflow's settings for the whole suite, fixed before anything can import it.

Nothing here imports Airflow: the engine's tests run without paying for it (4 to 6 seconds).
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
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
def budget_folder() -> Iterator[Path]:
    """Each test's own: what one server said it allows must not hold up a later test whose server has its port.

    Not by the test's ``monkeypatch``: this would be set up before a module's own patches, and so be undone after them.
    """
    folder = AIRFLOW_HOME / "budgets" / str(next(_number))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("LOGFERRY_BUDGET_DIR", str(folder))
        yield folder


def pytest_unconfigure() -> None:
    shutil.rmtree(AIRFLOW_HOME, ignore_errors=True)
