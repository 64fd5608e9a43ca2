"""A process measured from outside."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from benchmarks.measure import Measured, run_measured
from benchmarks.places import ROOT
from benchmarks.process_tree import TreeMemory, descendants, pss_bytes, resident_bytes

from benchmarks import process_tree

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


def test_memory_is_that_of_all_processes_together(tmp_path: Path) -> None:
    hold = "block = b'x' * 150_000_000; print(flush=True); input()"
    start = (
        "import subprocess, sys\n"
        f"children = [subprocess.Popen([sys.executable, '-c', {hold!r}], stdin=-1, stdout=-1) for _ in range(2)]\n"
        "for child in children: child.stdout.readline()\n"
        "print('held', flush=True); input()\n"
        "for child in children: child.communicate(b'\\n')"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "held\n"
    tree = TreeMemory(parent.pid)
    tree.look()
    assert len(descendants(parent.pid)) == 2
    assert 300_000_000 < tree.peak_bytes < 500_000_000
    parent.communicate("\n")
    assert (descendants(parent.pid), pss_bytes(parent.pid), resident_bytes(parent.pid)) == ([], 0, 0)
    tree.look()
    assert tree.peak_bytes > 300_000_000


def test_of_a_process_without_children_the_tree_tells_nothing(tmp_path: Path) -> None:
    measured = run("import time; block = b'x' * 50_000_000", tmp_path)
    assert measured.tree_bytes == 0
    assert measured.peak_bytes > 50_000_000


def test_samples_are_taken_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = threading.Semaphore(0)
    monkeypatch.setattr(TreeMemory, "look", lambda tree: taken.release())
    with TreeMemory(os.getpid()) as tree:
        assert all(taken.acquire(timeout=60) for _ in range(3))
    assert not tree._thread.is_alive()


def test_what_costs_much_is_read_only_when_memory_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    resident, read = iter([500, 501, 490, 530, 531]), []
    monkeypatch.setattr(process_tree, "descendants", lambda pid: [0])
    monkeypatch.setattr(process_tree, "resident_bytes", lambda pid: next(resident) if pid else 0)
    monkeypatch.setattr(process_tree, "pss_bytes", lambda pid: read.append(pid) or len(read))
    tree = TreeMemory(1)
    for _ in range(5):
        tree.look()
    assert read == [1, 0, 1, 0]


def test_the_peak_is_that_of_all_processes_where_they_hold_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_tree, "descendants", lambda pid: [pid])
    monkeypatch.setattr(process_tree, "pss_bytes", lambda pid: 10**12)
    monkeypatch.setattr(process_tree, "_EVERY_S", 0.0)
    measured = run("import sys; sys.exit(0)", tmp_path)
    assert measured.peak_bytes == measured.tree_bytes == 2 * 10**12


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
