"""A process measured from outside."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.measure import Measured, run_measured
from benchmarks.places import ROOT

pytestmark = pytest.mark.integration


def run(code: str, folder: Path, *, limit_s: float = 60.0) -> Measured:
    return run_measured([sys.executable, "-c", code], folder=folder, environment=os.environ, limit_s=limit_s)


def test_exit_code_and_last_words_of_a_failure_are_kept(tmp_path: Path) -> None:
    measured = run(
        "import sys; print('why', file=sys.stderr); print('because', file=sys.stderr); sys.exit(3)", tmp_path
    )
    assert (measured.code, measured.last_words) == (3, "because")


def test_memory_and_cpu_are_those_of_the_child(tmp_path: Path) -> None:
    # By a process that is small itself: a child's peak begins at its parent's.
    measuring = (
        "import json, sys; from pathlib import Path; from tests.benchmarks.test_measure import run; "
        "large = run('block = b\"x\" * 400_000_000', Path(sys.argv[1])); "
        "print(json.dumps([large.peak_bytes, large.code, large.cpu_s]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", measuring, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    peak_bytes, code, cpu_s = json.loads(done.stdout)
    assert 400_000_000 < peak_bytes < 500_000_000
    assert code == 0
    assert cpu_s > 0


def test_a_child_that_outlives_the_limit_is_stopped_with_all_it_started(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    hold = f"import fcntl, os; fcntl.flock(os.open({str(lock)!r}, os.O_CREAT | os.O_RDWR), fcntl.LOCK_EX)"
    wait = f"{hold}; os.write(1, b'held'); os.read(os.pipe()[0], 1)"
    measured = run(
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {wait!r}])", tmp_path, limit_s=1.0
    )
    assert measured.code is None
    assert (tmp_path / "stdout").read_text() == "held"
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # comes back once the grandchild is gone


def test_output_goes_to_files(tmp_path: Path) -> None:
    run("print('found')", tmp_path)
    assert (tmp_path / "stdout").read_text() == "found\n"
