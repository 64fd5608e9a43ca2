"""A request allowance over calendar-aligned windows, as Datadog counts it.

Source: https://docs.datadoghq.com/api/latest/rate-limits/ (the period is calendar aligned, Reset is the
number of seconds until the allowance is full again).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], int]
"""The present as integer milliseconds since the Unix epoch."""


def system_clock() -> int:
    """The machine's clock."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one request found: ``admitted`` or to be answered 429; ``reset`` in whole seconds, at least 1."""

    name: str
    limit: int
    period: int
    remaining: int
    reset: int
    admitted: bool

    def headers(self) -> dict[str, str]:
        """The ``X-RateLimit-*`` headers of the answer."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Period": str(self.period),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
            "X-RateLimit-Name": self.name,
        }


class RateLimiter:
    """Named buckets, each counting the requests of the running period. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._used: dict[str, tuple[int, int]] = {}

    def take(self, name: str, limit: int, period_s: int) -> Allowance:
        """Spend one request of bucket ``name`` if ``limit`` per ``period_s`` allows it."""
        now_ms = self._clock()
        period_number, into_period_ms = divmod(now_ms, period_s * 1000)
        with self._lock:
            counted_period, used = self._used.get(name, (period_number, 0))
            if counted_period != period_number:
                used = 0
            admitted = used < limit
            used += admitted
            self._used[name] = (period_number, used)
        reset = -(-(period_s * 1000 - into_period_ms) // 1000)
        return Allowance(name, limit, period_s, limit - used, reset, admitted)
