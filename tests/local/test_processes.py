"""Real processes: what a run started is gone afterwards, whatever it does about signals, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from logferry_local import processes
from logferry_local.processes import Children, end_leftovers

pytestmark = pytest.mark.integration

SLEEPER = "import time; time.sleep(600)"
STUBBORN_FAMILY = """
import os, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", '''
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if sys.argv[1] == "own group":
    os.setsid()
print(os.getpid(), flush=True)
time.sleep(600)
''', sys.argv[1]])
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.5)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    children = Children(tmp_path / "processes.json", tmp_path / "logs")
    yield children
    children.stop()


def start(children: Children, name: str, code: str, *arguments: str, folder: Path) -> None:
    command = [sys.executable, "-c", code, *arguments]
    children.start(name, command, {**os.environ, "PYTHONUNBUFFERED": "1"}, folder)


def registered(tmp_path: Path) -> list[int]:
    return [entry["pid"] for entry in json.loads((tmp_path / "processes.json").read_text())]


def printed_pid(log: Path) -> int:
    """The process id that a child writes once it is ready."""
    with subprocess.Popen(["tail", "-n", "+1", "-f", log], stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        pid = int(tail.stdout.readline())
        tail.kill()
    return pid


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_every_child_leads_a_group_of_its_own(children: Children, tmp_path: Path) -> None:
    start(children, "one", SLEEPER, folder=tmp_path)
    start(children, "two", SLEEPER, folder=tmp_path)
    for pid in registered(tmp_path):
        assert os.getpgid(pid) == pid != os.getpgid(0)


def test_stop_ends_all_and_forgets_them(children: Children, tmp_path: Path) -> None:
    start(children, "one", SLEEPER, folder=tmp_path)
    (pid,) = registered(tmp_path)
    children.stop()
    assert not psutil.pid_exists(pid)
    assert not (tmp_path / "processes.json").exists()
    children.stop()


@pytest.mark.parametrize("group", ["same group", "own group"])
def test_a_grandchild_that_ignores_sigterm_is_ended_too(
    children: Children, tmp_path: Path, group: str
) -> None:
    start(children, "family", STUBBORN_FAMILY, group, folder=tmp_path)
    stubborn = printed_pid(children.log_of("family"))
    children.stop()
    assert not is_running(stubborn)


def test_a_child_that_ends_by_itself_is_named(children: Children, tmp_path: Path) -> None:
    start(children, "lasting", SLEEPER, folder=tmp_path)
    assert children.dead() is None
    start(children, "brief", "print('why it ended')", folder=tmp_path)
    psutil.wait_procs([psutil.Process(registered(tmp_path)[1])], timeout=30)
    assert children.dead() == "brief"
    assert children.log_of("brief").read_text() == "why it ended\n"


@pytest.fixture
def killed_run(tmp_path: Path) -> Iterator[tuple[Path, int, int]]:
    """The register of a run that was killed outright, its child, and the grandchild."""
    code = f"""
import sys, time
from pathlib import Path
sys.path[:0] = {sys.path!r}
from logferry_local.processes import Children
children = Children(Path({str(tmp_path)!r}) / "processes.json", Path({str(tmp_path)!r}) / "logs")
children.start("family", [sys.executable, "-c", {STUBBORN_FAMILY!r}, "same group"], {{}}, Path({str(tmp_path)!r}))
print("started", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"started\n"
        grandchild = printed_pid(tmp_path / "logs" / "family.log")
        run.kill()
    (child,) = registered(tmp_path)
    yield tmp_path / "processes.json", child, grandchild
    for pid in (child, grandchild):
        if is_running(pid):
            psutil.Process(pid).kill()


def test_the_next_run_ends_what_a_killed_one_left(killed_run: tuple[Path, int, int]) -> None:
    register, child, grandchild = killed_run
    assert is_running(child)
    assert is_running(grandchild)
    assert end_leftovers(register) == 1
    assert not is_running(child)
    assert not is_running(grandchild)
    assert not register.exists()


def test_a_group_whose_leader_died_is_found_by_its_members(killed_run: tuple[Path, int, int]) -> None:
    register, child, grandchild = killed_run
    leader = psutil.Process(child)
    leader.kill()
    psutil.wait_procs([leader], timeout=30)
    assert end_leftovers(register) == 1
    assert not is_running(grandchild)


def test_a_process_that_got_a_pid_of_old_is_not_touched(tmp_path: Path) -> None:
    register = tmp_path / "processes.json"
    with subprocess.Popen([sys.executable, "-c", SLEEPER], start_new_session=True) as stranger:
        born = psutil.Process(stranger.pid).create_time()
        register.write_text(json.dumps([{"pid": stranger.pid, "born": born - 3600}]))
        assert end_leftovers(register) == 0
        assert is_running(stranger.pid)
        stranger.kill()


@pytest.mark.parametrize("content", [None, "", "not json"])
def test_a_missing_or_torn_register_means_nothing_was_left(tmp_path: Path, content: str | None) -> None:
    register = tmp_path / "processes.json"
    if content is not None:
        register.write_text(content)
    assert end_leftovers(register) == 0
