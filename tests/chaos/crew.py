"""The workers as the harness sees them: started, frozen, killed, waited for.

They are forked from a server that has imported the engine already (multiprocessing's ``forkserver``): each is a
process of its own, for the price of a fork instead of a second of imports.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any

from tests.chaos import worker
from tests.chaos.fate import STEPS, words
from tests.chaos.worker import Job

_LONGEST_LIFE_S = 120.0
_GLANCE_S = 0.01

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.chaos.worker", "logferry.stores.s3", "msal", "pyarrow.dataset"])


@dataclass(frozen=True)
class Ending:
    """How a worker ended: ``result`` is published, refused, crashed, killed or hung; ``step`` its last one."""

    result: str
    step: str
    error: str = ""
    message: str = ""
    rows: int = 0
    status: str = ""


class Worker:
    """One process and its job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        job.folder.mkdir(parents=True, exist_ok=True)
        job.machine.mkdir(parents=True, exist_ok=True)
        self._process = _context.Process(target=worker.carry, args=(job,))
        self._process.start()
        _poll_in_turns(self._process)
        assert self._process.pid is not None
        self._pid: int = self._process.pid
        self._started = time.monotonic()

    def kill(self) -> None:
        """SIGKILL, if it still lives."""
        self._process.kill()

    @property
    def lives(self) -> bool:
        return self._process.is_alive()

    def wait_until_begun(self) -> None:
        """Returns once it is at work, or ended."""
        while self.lives and not words(self.job.trace):
            time.sleep(_GLANCE_S)

    def wait_until_frozen(self) -> bool:
        """True once it stopped itself; False when it ended instead."""
        while self.lives:
            if words(self.job.trace)[-1:] == ["frozen"]:
                return True
            if self._too_old():
                return False
            time.sleep(_GLANCE_S)
        return False

    def thaw(self) -> None:
        """SIGCONT, until it moves: it says that it freezes just before it does."""
        while self.lives and words(self.job.trace)[-1:] == ["frozen"]:
            os.kill(self._pid, signal.SIGCONT)
            time.sleep(_GLANCE_S)

    def wait(self, timeout_s: float | None = None) -> Ending | None:
        """How it ended; None when it still lives after ``timeout_s``. A worker that never ends is a finding."""
        self._process.join(_LONGEST_LIFE_S if timeout_s is None else timeout_s)
        if self.lives:
            if timeout_s is not None and not self._too_old():
                return None
            os.kill(self._pid, signal.SIGUSR1)  # writes its stacks into the run's folder
            time.sleep(0.2)
            self._process.kill()
            self._process.join()
            return Ending("hung", self._step(), message=f"its stacks are in {self.job.folder / 'stacks'}")
        return self._ending()

    def _ending(self) -> Ending:
        if self.job.outcome.exists():
            said: dict[str, Any] = json.loads(self.job.outcome.read_text())
            said.pop("seq", None)
            return Ending(step=self._step(), **said)
        if self._process.exitcode == -signal.SIGKILL:
            return Ending("killed", self._step())
        return Ending("crashed", self._step(), message=f"exit status {self._process.exitcode}")

    def _step(self) -> str:
        return next((word for word in reversed(words(self.job.trace)) if word in STEPS), "start")

    def _too_old(self) -> bool:
        return time.monotonic() - self._started > _LONGEST_LIFE_S


def _poll_in_turns(process: Any) -> None:
    """Starting a process polls all others, from whichever thread; of two that read one's status at once, one finds
    nothing to read and makes it 255."""
    popen = process._popen
    poll, turn = popen.poll, threading.Lock()

    def in_turn(*flags: int) -> int | None:
        with turn:
            status: int | None = poll(*flags)
            return status

    popen.poll = in_turn
