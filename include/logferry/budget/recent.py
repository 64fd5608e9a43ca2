"""Our requests of the last period, of an allowance that no answer names: it is counted over a sliding period."""

from __future__ import annotations

import msgspec


class Recent(msgspec.Struct, array_like=True):
    """``taken_ms``: when each was let go."""

    taken_ms: list[int] = msgspec.field(default_factory=list)

    def count(self, now_ms: int, period_ms: int) -> int:
        # A time that has not been yet was written by a clock that was set back since.
        self.taken_ms = [one for one in self.taken_ms if now_ms - period_ms < one <= now_ms]
        return len(self.taken_ms)

    def until_room_ms(self, now_ms: int, period_ms: int, most: int) -> int:
        """Milliseconds until fewer than ``most`` are counted; 0 when it is so now."""
        if len(self.taken_ms) < most:
            return 0
        return max(1, self.taken_ms[len(self.taken_ms) - most] + period_ms - now_ms)
