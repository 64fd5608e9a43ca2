"""Processes that read answers beside this one, where there are processors for them.

Making rows of answers takes half of the processor time of an export and the interpreter for all of it. A process costs
some 80 MB and a third of a second to start, so one is started only when answers are found waiting.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from logferry.clock import check_stop
from logferry.fetching.reader_messages import READY, Ended, ask, receive_answer
from logferry.sources.base import Page
from logferry.sources.reading import Reading

log = logging.getLogger(__name__)

_MOST = 2
"""More than that read faster than one process can write what was read."""
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ", "TMPDIR", "ARROW_DEFAULT_MEMORY_POOL")
"""Of the environment, which holds credentials, a reader gets what an interpreter may need to start."""
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CPU_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
"""Where a container finds its limit: by cgroups of version 2, and of version 1."""
_PROGRAM = "logferry.fetching.reader_process"
_READINGS = ("logferry.sources.azure_reading", "logferry.sources.datadog_reading")
"""Modules that make pages of answers: those that this process has loaded are what a reader will be asked for."""
_END_S = 5.0
"""Between the end of its socket and its own."""


def spare_processors() -> int:
    """Processors that this process may use beside its first, by its affinity and by the limit of its container."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in _quotas():
        processors = min(processors, math.ceil(quota / period))
    return max(0, processors - 1)


def _quotas() -> Iterator[tuple[int, int]]:
    """Microseconds of processor time that this container is allowed in each period of so many."""
    with contextlib.suppress(OSError, ValueError):  # https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu
        quota, period = _CPU_MAX.read_text().split()
        if quota != "max":
            yield int(quota), int(period)
    with contextlib.suppress(OSError, ValueError):  # https://docs.kernel.org/scheduler/sched-bwc.html
        quota, period = _CPU_QUOTA.read_text(), _CPU_PERIOD.read_text()
        if int(quota) > 0:  # -1: no limit
            yield int(quota), int(period)


class Reader:
    """One process that reads one answer at a time. ``cpu_s``: processor seconds that the last one took there."""

    def __init__(self) -> None:
        loaded = [name for name in _READINGS if name in sys.modules]
        here, there = socket.socketpair()
        for channel in (here, there):
            channel.settimeout(None)  # whatever somebody made the default of this process
        with there:
            try:
                self._process = subprocess.Popen(
                    # -P: the current folder is no place to import from.
                    [sys.executable, "-P", "-m", _PROGRAM, str(there.fileno()), *loaded],
                    pass_fds=(there.fileno(),),
                    # Ctrl-C is meant for this process, which then ends the other one.
                    process_group=0,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env={name: os.environ[name] for name in _KEPT if name in os.environ}
                    | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            except BaseException:
                here.close()
                raise
        self._channel = here
        self._ready = False
        self.lost = False
        self.cpu_s = 0.0

    def is_ready(self) -> bool:
        """Whether it can be given answers, or is ``lost`` already. Does not wait."""
        if not self._ready:
            try:
                said = self._channel.recv(len(READY), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return False
            except OSError:
                said = b""
            self._ready = True
            if said != READY:
                self._lose("before it began")
        return True

    def read(self, reading: Reading, body: bytes) -> Page:
        """``reading(body)``, with the errors it raises. What a process that dies leaves undone is read here."""
        if self.lost:
            return reading(body)
        answered: Page | Exception
        try:
            ask(self._channel, pickle.dumps(reading), body)
            answered, self.cpu_s = receive_answer(self._channel)
        except (Ended, OSError) as error:
            closed, self.lost = self.lost, True
            check_stop()
            if not closed:
                self._lose(str(error))
            return reading(body)
        except BaseException:
            self.lost = True  # What comes next from it would be the answer to this question.
            raise
        if isinstance(answered, Exception):
            raise answered
        return answered

    def _lose(self, detail: str) -> None:
        self.lost = True
        log.warning(
            "a process that reads answers has ended (%s%s); going on without it",
            self._ending(),
            f", {detail}" if detail else "",
        )

    def close(self) -> None:
        """End it, whatever it is at. A thread that waits for it goes on at once."""
        self.lost = True
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()

    def _ending(self) -> str:
        try:
            code = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        return f"exit status {code}"


class Readers:
    """At most ``most`` of them; by default as many as there are processors to spare, where ``among`` so many processes
    share those of the machine."""

    def __init__(self, most: int | None = None, *, among: int = 1) -> None:
        self._most = min(_MOST, (spare_processors() + 1) // among - 1) if most is None else most
        self._all: list[Reader] = []
        self._lock = threading.Lock()

    def another(self) -> Reader | None:
        """One more, which is ready later; None when there are enough, or none can be started."""
        with self._lock:
            if len(self._all) >= self._most:
                return None
            try:
                reader = Reader()
            except OSError as error:  # no memory or no processes left: that is no reason to fail
                log.warning("cannot start a process that reads answers (%s); going on without", error)
                self._most = 0
                return None
            self._all.append(reader)
            return reader

    def close(self) -> None:
        with self._lock:
            self._most = 0
            while self._all:
                self._all.pop().close()
