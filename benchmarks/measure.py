"""One process and those it starts, measured from outside: seconds on the clock, CPU seconds, peak memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process_tree import TreeMemory


@dataclass(frozen=True, slots=True)
class Measured:
    """``cpu_s`` covers the process and those it waited for.

    ``peak_bytes``: the larger of ``ru_maxrss`` (of the process, or the largest one it waited for) and ``tree_bytes``,
    the most that it and its children held at once (see ``TreeMemory``; 0 without children).
    A child's peak begins with what this process held when it started the child: keep this one small.
    ``code``: its exit code; None when it was stopped at the time limit.
    """

    code: int | None
    wall_s: float
    cpu_s: float
    peak_bytes: int
    last_words: str
    tree_bytes: int = 0


def run_measured(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], limit_s: float
) -> Measured:
    """Run ``command`` to its end, or to ``limit_s``; its output goes to files in ``folder``."""
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        before = time.perf_counter()
        child = subprocess.Popen(
            command, stdout=out, stderr=err, env=dict(environment), start_new_session=True
        )
        stopped = threading.Event()
        timer = threading.Timer(limit_s, _stop, (child.pid, stopped))
        timer.start()
        try:
            with TreeMemory(child.pid) as tree:
                _, status, usage = os.wait4(child.pid, 0)
                wall_s = time.perf_counter() - before
        except BaseException:
            _stop(child.pid, stopped)
            os.wait4(child.pid, 0)
            raise
        finally:
            timer.cancel()
            # Popen must not wait for a process that is gone.
            child.returncode = 0
    return Measured(
        code=None if stopped.is_set() else os.waitstatus_to_exitcode(status),
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_bytes=max(tree.peak_bytes, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)),
        last_words=last_words(folder / "stderr"),
        tree_bytes=tree.peak_bytes,
    )


def last_words(path: Path) -> str:
    """The last line a program wrote, at most 300 characters of it."""
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""


def _stop(pid: int, stopped: threading.Event) -> None:
    stopped.set()
    # The child leads a group of its own: what it started goes with it.
    os.killpg(pid, signal.SIGKILL)
