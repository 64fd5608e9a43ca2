"""Time as a parameter: what the engine asks of the wall clock, so that tests never wait.

A thread that works ahead for another is told to stop by an event (``stoppable``): its sleeps end at once then.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Protocol

from logferry.window import TICK_PER_SECOND

_thread = threading.local()


class Stopped(BaseException):
    """What this thread does is not wanted any more. No error, so that nothing that handles errors holds it up."""


class Clock(Protocol):
    def now(self) -> int:
        """Ticks since the Unix epoch, UTC."""
        ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        return time.time_ns() // (1_000_000_000 // TICK_PER_SECOND)

    def sleep(self, seconds: float) -> None:
        """Raises Stopped as soon as the thread is told to stop."""
        stop = _stop()
        if stop is None:
            time.sleep(seconds)
        elif stop.wait(seconds):
            raise Stopped


@contextlib.contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """Within it this thread is told to stop by the event."""
    _thread.stop = stop
    try:
        yield
    finally:
        _thread.stop = None


def check_stop() -> None:
    """Raise Stopped when this thread was told to stop; call it before anything that others would notice."""
    stop = _stop()
    if stop is not None and stop.is_set():
        raise Stopped


def _stop() -> threading.Event | None:
    stop: threading.Event | None = getattr(_thread, "stop", None)
    return stop
