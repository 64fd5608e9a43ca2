"""The gate: answers become rows one after the other, whichever lane they came to.

Decoding needs the interpreter, of which there is one: several threads at it only take it from each other, and hold
several answers' worth of memory for that.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
import time
from collections.abc import Generator, Iterator
from itertools import count
from typing import TypeVar

from logferry.clock import check_stop
from logferry.fetching.pace import Pace
from logferry.sources.base import Request, Response

T = TypeVar("T")


class Gate:
    """Shared by the lanes of a ferry. Of those who wait the earliest in time is next: its rows are wanted first, and
    all others would have to wait somewhere until they are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: list[tuple[int, int, threading.Event]] = []
        self._numbers = count()

    @contextlib.contextmanager
    def turn(self, start: int) -> Iterator[None]:
        """Within it no other answer is worked on. ``start``: the tick at which the answer's rows begin."""
        self._enter(start)
        try:
            yield
        finally:
            self._leave()

    def _enter(self, start: int) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = (start, next(self._numbers), threading.Event())
            heapq.heappush(self._waiting, mine)
        try:
            mine[2].wait()
        except BaseException:
            self._give_up(mine)
            raise

    def _give_up(self, mine: tuple[int, int, threading.Event]) -> None:
        """Interrupted while waiting: the turn may have come meanwhile."""
        with self._lock:
            waits = mine in self._waiting
            if waits:
                self._waiting.remove(mine)
                heapq.heapify(self._waiting)
        if not waits:
            self._leave()

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                heapq.heappop(self._waiting)[2].set()
            else:
                self._taken = False


def guarded(
    exchange: Generator[Request, Response, T], gate: Gate, pace: Pace, start: int
) -> Generator[Request, Response, T]:
    """The exchange, which asks for nothing after its thread was told to stop and takes its answers in turn, by the tick
    ``start`` of its rows; ``pace`` learns what they took."""
    began, worked = time.monotonic(), time.thread_time()
    turns_s = turns_worked_s = 0.0
    size = 0
    check_stop()
    try:
        request = next(exchange)
        while True:
            check_stop()
            response = yield request
            size += len(response.body)
            turn_began, turn_worked = time.monotonic(), time.thread_time()
            try:
                with gate.turn(start):
                    request = exchange.send(response)
            finally:
                turns_s += time.monotonic() - turn_began
                turns_worked_s += time.thread_time() - turn_worked
    except StopIteration as end:
        worked_s = time.thread_time() - worked
        # The wait for a turn is no reason for more lanes, on the contrary.
        waited_s = (time.monotonic() - began - turns_s) - (worked_s - turns_worked_s)
        pace.came(max(0.0, waited_s), worked_s, size)
        result: T = end.value
        return result
