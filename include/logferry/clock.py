"""Time as a parameter: what the engine asks of the wall clock, so that tests never wait."""

from __future__ import annotations

import time
from typing import Protocol

from logferry.window import TICK_PER_SECOND


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
        time.sleep(seconds)
