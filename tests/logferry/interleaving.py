"""Runs real publications in threads, one store operation at a time, in any order a test asks for.

A publication stands still before each of its operations until the schedule lets it go on, or lets it die there. Time
passes by ``STEP_S`` with every operation, and by sleeping when all of them sleep.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.logferry.memory_store import MemoryStore
from tests.logferry.publishing_runs import Publisher

from logferry.window import TICK_PER_SECOND

Choose = Callable[[Sequence[str]], str]
"""Of the publications that can go on, by name, the one whose next operation is done."""


STEP_S = 0.1


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass
class Runner:
    publisher: Publisher
    thread: threading.Thread | None = None
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    steps: int = 0
    killed: bool = False
    outcome: object = None
    at: tuple[str, str] = ("", "")
    wakes: int = 0

    @property
    def failed(self) -> Exception | None:
        return self.outcome if isinstance(self.outcome, Exception) else None

    @property
    def done(self) -> bool:
        return self.outcome is not None


class Interleaving:
    """``kill``: per run the number of the operation before which it dies. ``after_each`` sees every new state."""

    def __init__(
        self,
        store: MemoryStore,
        publishers: Sequence[Publisher],
        *,
        kill: dict[str, int] | None = None,
        after_each: Callable[[tuple[str, str]], None] = lambda operation: None,
    ) -> None:
        self.store = store
        for one in publishers:
            one.clock = self
        self.runners = {one.run: Runner(one) for one in publishers}
        self.trace: list[str] = []
        self._kill = kill or {}
        self._after_each = after_each
        self._stopped = threading.Semaphore(0)
        self._local = threading.local()

    def run(self, choose: Choose) -> None:
        self.store.before = self._pause
        for runner in self.runners.values():
            runner.publisher.stage(self.store)
            runner.thread = threading.Thread(target=self._work, args=(runner,), daemon=True)
            runner.thread.start()
            self._stopped.acquire()
        try:
            while waiting := self._waiting():
                name = choose(waiting)
                runner = self.runners[name]
                operation = runner.at
                runner.steps += 1
                self.store.now += round(STEP_S * TICK_PER_SECOND)
                runner.killed = self._kill.get(name) == runner.steps
                self.trace.append(f"{name}: {'killed before ' if runner.killed else ''}{' '.join(operation)}")
                runner.go.release()
                self._stopped.acquire()
                self._after_each(operation)
        finally:
            for runner in self.runners.values():
                if not runner.done:
                    runner.killed = True
                    runner.go.release()
                    self._stopped.acquire()
                assert runner.thread is not None
                runner.thread.join()
            self.store.before = lambda operation, key: None

    def now(self) -> int:
        """With ``sleep`` this is the clock of its publications."""
        return self.store.now

    def sleep(self, seconds: float) -> None:
        runner: Runner = self._local.runner
        runner.wakes = self.store.now + round(seconds * TICK_PER_SECOND)
        self._pause("sleep", f"{seconds} s")

    def _waiting(self) -> list[str]:
        """Those that can go on; when all sleep, the first to wake."""
        living = {name: runner for name, runner in self.runners.items() if not runner.done}
        if living:
            self.store.now = max(self.store.now, min(runner.wakes for runner in living.values()))
        return [name for name, runner in living.items() if runner.wakes <= self.store.now]

    def _work(self, runner: Runner) -> None:
        self._local.runner = runner
        try:
            runner.outcome = runner.publisher.publish(self.store)
        except BaseException as error:
            runner.outcome = error
        finally:
            self._stopped.release()

    def _pause(self, operation: str, key: str) -> None:
        runner: Runner = self._local.runner
        if not runner.killed:
            runner.at = (operation, key)
            self._stopped.release()
            runner.go.acquire()
        if runner.killed:
            raise Killed
