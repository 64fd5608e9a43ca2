"""When a worker dies or freezes, decided before it starts: at the n-th thing it does in a step.

Nothing in the product knows of it: the worker's store, its progress and its task state are wrapped from outside.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from logferry.stores.base import Store

Step = Literal["plan", "fetch", "stage", "publish"]
STEPS: tuple[Step, ...] = ("plan", "fetch", "stage", "publish")


@dataclass(frozen=True)
class Fate:
    """``signal``: SIGKILL or SIGSTOP, sent to itself right before the ``at``-th event of ``step`` (from 1).

    Events: each page, each call of the store, each save of progress; with ``writes`` only what changes something.
    """

    step: Step
    at: int
    signal: signal.Signals
    writes: bool


class Trace:
    """Where a worker is, kept in a file that outlives it; and the place where its fate meets it."""

    def __init__(self, path: Path, fate: Fate | None) -> None:
        self._path = path
        self._fate = fate
        self._in_step: Counter[tuple[Step, bool]] = Counter()
        self._step: Step | None = None

    def enter(self, step: Step) -> None:
        """From now on the worker is in this step."""
        if step != self._step:
            self._step = step
            self._write(step)

    def event(self, step: Step | None = None, *, writes: bool = False) -> None:
        """The worker is about to do something, in the present step if none is given."""
        if step is not None:
            self.enter(step)
        assert self._step is not None
        self._in_step[self._step, False] += 1
        self._in_step[self._step, True] += writes
        fate = self._fate
        if fate is None or fate.step != self._step or (fate.writes and not writes):
            return
        if self._in_step[fate.step, fate.writes] == fate.at:
            self._write("frozen" if fate.signal == signal.SIGSTOP else "killed")
            os.kill(os.getpid(), fate.signal)
            self._write("thawed")

    def _write(self, word: str) -> None:
        with self._path.open("a") as file:
            file.write(f"{word}\n")


def words(path: Path) -> list[str]:
    """What a trace says, oldest first; nothing when the worker never began."""
    return path.read_text().split() if path.exists() else []


_WRITES = frozenset({"put_file", "put_bytes", "place", "renew", "delete", "sweep"})


class FatedStore:
    """A store whose every call is an event of the trace."""

    def __init__(self, store: Store, trace: Trace) -> None:
        self._inner = store
        self._trace = trace

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            self._trace.event(writes=name in _WRITES)
            return value(*arguments, **options)

        return call
