"""Where the periods of an allowance end, seen through answers that name the seconds to go.

Periods are aligned to the API's clock, which is not ours. An answer was made between the moment its request was sent
and the moment it came, and Reset is rounded to whole seconds, nobody says how; so each answer bounds the end of its
period to a second or two, and together they bound it ever closer.
"""

from __future__ import annotations

import msgspec

_ROUNDING_MS = 1000


class Border(msgspec.Struct, array_like=True):
    """The ends lie at multiples of the period, later by a shift between ``low`` and ``high`` ms (by our clock)."""

    low: int | None = None
    high: int | None = None

    def see(self, sent_ms: int, now_ms: int, reset_ms: int, period_ms: int) -> tuple[int, int] | None:
        """Learn from an answer; the earliest and latest end of its own period, None when it tells too little."""
        earliest = max(sent_ms + reset_ms - _ROUNDING_MS, sent_ms)
        latest = min(now_ms + reset_ms + _ROUNDING_MS, now_ms + period_ms)
        if not 0 <= latest - earliest < period_ms:
            return None
        near = self.shift if self.low is not None else 0
        turns = ((earliest + latest) // 2 - near + period_ms // 2) // period_ms * period_ms
        low, high = earliest - turns, latest - turns
        if self.low is not None and self.high is not None and max(low, self.low) <= min(high, self.high):
            low, high = max(low, self.low), min(high, self.high)
        self.low, self.high = low, high
        return earliest, latest

    @property
    def shift(self) -> int:
        """Two clocks that agree as far as can be seen do agree; else rather late than early, which is refused."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return 0
        return self.high

    def after(self, now_ms: int, period_ms: int) -> int:
        """The first end later than ``now_ms``."""
        return ((now_ms - self.shift) // period_ms + 1) * period_ms + self.shift

    def nearest(self, moment_ms: int, period_ms: int) -> int:
        """The end nearest to ``moment_ms``."""
        return self.after(moment_ms - period_ms // 2 - 1, period_ms)
