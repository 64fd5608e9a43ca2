"""The memory of a process together with those it started, sampled from outside; Linux only."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_EVERY_S = 0.05
_GROWN = 1.03
_PROC = Path("/proc")


class TreeMemory:
    """While it is entered: every 50 ms a look at ``pid`` and all its descendants, as long as it has any.

    Their resident memory is looked at each time, which costs next to nothing; once it has grown by 3 %, their PSS is
    read, for which the kernel walks through all their pages. PSS counts a page that several processes share once,
    split between them (https://man7.org/linux/man-pages/man5/proc_pid_smaps.5.html). So the peak may be 3 % higher
    than what is told.
    Of a process by itself ``ru_maxrss`` tells the peak exactly and for nothing.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="tree-memory", daemon=True)
        self._resident_bytes = 0
        self.peak_bytes = 0
        """The most seen at once; 0 while the process never had a child."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def look(self) -> None:
        """Take one sample."""
        others = descendants(self._pid)
        if not others:
            return
        resident = sum(map(resident_bytes, [self._pid, *others]))
        if resident > _GROWN * self._resident_bytes:
            self._resident_bytes = resident
            self.peak_bytes = max(self.peak_bytes, sum(map(pss_bytes, [self._pid, *others])))

    def _sample(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self.look()


def descendants(pid: int) -> list[int]:
    """The processes that ``pid`` started, and those they started; none where it is gone."""
    found = []
    for thread in _listed(_PROC / str(pid) / "task"):
        for child in _read(thread / "children").split():
            found += [int(child), *descendants(int(child))]
    return found


def resident_bytes(pid: int) -> int:
    """With all that it shares; 0 where the process is gone."""
    fields = _read(_PROC / str(pid) / "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def pss_bytes(pid: int) -> int:
    """0 where the process is gone."""
    for line in _read(_PROC / str(pid) / "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended meanwhile
        return ""
