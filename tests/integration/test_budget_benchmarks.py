"""The measurement of reckoned times runs against the product as it is, and is shared with no other budget."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.limited import environment, limited_sandbox

from logferry.budget.local_board import FOLDER_VARIABLE

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


def test_the_reckoned_and_the_true_time_of_an_export_are_printed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.eta", "--limit", "100", "--period", "1", "--rows", "2000"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = re.search(r"searches planned (\d+), sent (\d+), refused (\d+)", done.stdout)
    assert found is not None
    planned, sent, refused = map(int, found.groups())
    assert sent - refused == planned > 20
    assert "What would change the time: at 1,000 per 1 s" in done.stdout
    assert re.search(r"^ +0 s +\d+ s +\d+ s +-?\d", done.stdout, re.MULTILINE)


def test_a_budget_that_the_machine_shares_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, "/shared/by/all")
    with limited_sandbox(3, 10, events_per_day=10, page_rows=0, latency_s=0) as (sandbox, _):
        assert environment(sandbox, tmp_path, ["one"])[FOLDER_VARIABLE].startswith(str(tmp_path))
