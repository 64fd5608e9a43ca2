"""The time for which a 429 lets nobody send."""

from __future__ import annotations

import msgspec

from logferry.budget.headers import LONGEST_MS


class Pause(msgspec.Struct, array_like=True):
    """Nothing is sent before ``until_ms``, because an answer said 429 at ``from_ms``."""

    until_ms: int = 0
    from_ms: int = 0

    def left_ms(self, now_ms: int) -> int:
        """A 429 that has not been yet was seen by a clock that was set back since, and holds nobody up."""
        if now_ms < self.from_ms:
            return 0
        return min(max(0, self.until_ms - now_ms), LONGEST_MS)

    def asked_for(self, now_ms: int, wait_ms: int) -> None:
        self.until_ms = now_ms + max(self.left_ms(now_ms), wait_ms)
        self.from_ms = now_ms
