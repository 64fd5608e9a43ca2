"""Airflow's settings for the whole suite, fixed before anything can import it, and the order of its files.

Nothing here imports Airflow: the engine's tests run without paying for it (4 to 6 seconds).
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import botocore.loaders
import botocore.session
import pytest
from hypothesis import HealthCheck, settings
from tests.longest import LONGEST

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

# No deadline: the machines that run this differ, and a slow example is not a wrong one.
settings.register_profile(
    "logferry", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("logferry")

# Every S3 client reads botocore's description of S3 anew, a sixth of a second: all of a process share what was read.
botocore.session.create_loader = functools.cache(botocore.loaders.create_loader)

# What a shell starts in its background ignores Ctrl-C, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the others, and the tests of each file, stay in their order."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


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
