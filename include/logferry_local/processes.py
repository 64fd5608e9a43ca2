"""Child processes that end with the run, whatever ends it.

Each child leads a process group of its own (Airflow forks workers that outlive a signalled parent). Their groups
are written down, so that a run that was killed outright is cleaned up by the next one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

STOP_SECONDS = 12.0


class Children:
    """Started processes by name. ``stop()`` ends them and everything they started."""

    def __init__(self, register: Path, logs: Path) -> None:
        self._register = register
        self._logs = logs
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start ``command``; its output goes to ``<name>.log``."""
        with (self._logs / f"{name}.log").open("wb") as log:
            self._started[name] = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._write_down()

    def dead(self) -> str | None:
        """The name of a child that ended by itself, None while all run."""
        return next((name for name, child in self._started.items() if child.poll() is not None), None)

    def log_of(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def stop(self) -> None:
        """Ask every process to end, wait, then end what is left. Nothing started here survives."""
        family = _families([child.pid for child in self._started.values()])
        _end(family, [child.pid for child in self._started.values()])
        for child in self._started.values():
            child.wait()
        self._started = {}
        self._register.unlink(missing_ok=True)

    def _write_down(self) -> None:
        known = [{"pid": child.pid, "born": _born(child.pid)} for child in self._started.values()]
        self._register.write_text(json.dumps(known))


def end_leftovers(register: Path) -> int:
    """End the processes that a killed run left behind; how many groups there were."""
    try:
        known = json.loads(register.read_text())
    except (OSError, ValueError):
        return 0
    alive = [entry["pid"] for entry in known if _group_lives(entry["pid"], entry["born"])]
    _end(_families(alive), alive)
    register.unlink(missing_ok=True)
    return len(alive)


def _born(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def _group_lives(leader: int, born: float) -> bool:
    """A group may outlive its leader; a reused pid is told by its time of birth."""
    if psutil.pid_exists(leader):
        return abs(_born(leader) - born) < 1
    return any(_group_of(process.pid) == leader for process in psutil.process_iter())


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def _families(leaders: Sequence[int]) -> list[psutil.Process]:
    """The leaders' descendants and group members; a task's process may have left its group, not its parent."""
    wanted: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if _group_of(process.pid) in leaders:
            wanted[process.pid] = process
    for leader in leaders:
        try:
            for process in psutil.Process(leader).children(recursive=True):
                wanted[process.pid] = process
        except psutil.NoSuchProcess:
            continue
    return list(wanted.values())


def _end(family: Sequence[psutil.Process], leaders: Sequence[int]) -> None:
    for leader in leaders:
        _signal_group(leader, signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for leader in leaders:
        _signal_group(leader, signal.SIGKILL)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(alive, timeout=STOP_SECONDS)


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return
