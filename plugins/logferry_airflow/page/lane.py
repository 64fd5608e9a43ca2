"""Where lakes are read: a few threads of their own, so that a lake which hangs never uses up Airflow's."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

LIMIT_S = 20.0
"""Seconds after which the page is told that a lake does not answer. The thread goes on to its own time limits."""
_THREADS = 8
_MOST_OF_ONE_EXPORT = 2

Answer = TypeVar("Answer")


class SlowLake(Exception):
    """A lake has not answered within ``LIMIT_S``, or was not asked because others keep the threads."""


class Lane:
    """Runs blocking work about an export. At most two threads are busy with one export, so its neighbours go on."""

    def __init__(self, *, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="logferry-page")
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._asking: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def run(self, export: str, work: Callable[[], Answer]) -> Answer:
        """What ``work`` returns or raises. SlowLake when it takes too long, or waited too long for its turn.

        ``export``: one that exists, because a turn is remembered for each.
        """
        try:
            async with asyncio.timeout(self._limit_s):
                return await self._in_turn(export, work)
        except TimeoutError:
            with self._lock:
                asked = self._asking[export] > 0
            if not asked:
                raise SlowLake(
                    f"the page is busy with lakes that do not answer, so that of {export} was not asked yet; try again"
                ) from None
            raise SlowLake(
                f"the lake of {export} has not answered for {self._limit_s:.0f} s; try again, and look at its "
                "connection when it stays so"
            ) from None

    async def _in_turn(self, export: str, work: Callable[[], Answer]) -> Answer:
        loop = asyncio.get_running_loop()
        turn = self._turns.setdefault(export, asyncio.Semaphore(_MOST_OF_ONE_EXPORT))
        await turn.acquire()
        future = self._threads.submit(self._ask, export, work)
        # The turn ends with the work, also when nobody waits for it any more.
        future.add_done_callback(lambda _: _release(turn, loop))
        return await asyncio.wrap_future(future)

    def _ask(self, export: str, work: Callable[[], Answer]) -> Answer:
        with self._lock:
            self._asking[export] += 1
        try:
            return work()
        finally:
            with self._lock:
                self._asking[export] -= 1


def _release(turn: asyncio.Semaphore, loop: asyncio.AbstractEventLoop) -> None:
    # A thread may outlive the server it worked for.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(turn.release)
