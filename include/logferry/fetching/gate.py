"""The gate: answers become rows one after the other, whichever lane they came to.

Decoding needs the interpreter, of which there is one: several threads at it only take it from each other, and hold
several answers' worth of memory for that.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

from logferry.clock import check_stop
from logferry.fetching.pace import Pace
from logferry.sources.base import Request, Response

T = TypeVar("T")


class Gate:
    """Shared by the lanes of a ferry."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Within it no other answer is worked on."""
        with self._turn:
            yield


def guarded(
    exchange: Generator[Request, Response, T], gate: Gate, pace: Pace
) -> Generator[Request, Response, T]:
    """The exchange, which asks for nothing after its thread was told to stop and takes its answers in turn; ``pace``
    learns what they took."""
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
                with gate.turn():
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
