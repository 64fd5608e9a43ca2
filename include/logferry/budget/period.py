"""One period of an allowance: when it ends, which requests of ours count in it, and what answers have told of it."""

from __future__ import annotations

import msgspec

from logferry.budget.border import Border

_CROSSING_MS = 2_000
"""The longest that a request is taken to travel to the API."""


class Period(msgspec.Struct, array_like=True):
    """``spent``: requests of ours that count in it, or may. ``asked_ms``: when its first was let go, or the last one
    that went alone; 0 before. ``answered``: whether an answer told of it; ``told_ms``: when the last one that said what
    is left was asked for, ``sent_ms``: when the last one was let go, 0 before.
    ``crossing``: sent so shortly before its end that they may count in the next one; ``crossed``: such of the period
    before. ``border``: what is known of where periods end."""

    ends_ms: int = 0
    spent: int = 0
    asked_ms: int = 0
    answered: bool = False
    told_ms: int = 0
    sent_ms: int = 0
    crossing: int = 0
    crossed: int = 0
    border: Border = msgspec.field(default_factory=Border)

    def over(self, now_ms: int, length_ms: int) -> int:
        """How many periods are over since this one began, itself included; 0 while it lasts."""
        if self.ends_ms > now_ms + length_ms + abs(self.border.shift):
            # A clock that was set back must not make anyone wait for a time that never was.
            self.ends_ms = self.border.after(now_ms, length_ms)
        if now_ms < self.ends_ms:
            return 0
        return 1 + (now_ms - self.ends_ms) // length_ms if self.ends_ms else 1

    def begin(self, ends_ms: int, gone: int) -> None:
        """The one that ends then; ``gone``: see ``over``."""
        self.ends_ms = ends_ms
        # What was sent just before the border may count on this side of it.
        self.crossed = self.crossing if gone == 1 else 0
        self.spent, self.crossing = self.crossed, 0
        self.answered, self.asked_ms, self.told_ms, self.sent_ms = False, 0, 0, 0

    def watched(self, length_ms: int) -> float:
        """The part of it that answers told of."""
        if not self.told_ms:
            return 0.0
        return min(max((self.told_ms - self.ends_ms + length_ms) / length_ms, 0.0), 1.0)

    def passed(self, now_ms: int, length_ms: int) -> float:
        return 1 - (self.ends_ms - now_ms) / length_ms

    def sent(self, now_ms: int, length_ms: int | None) -> None:
        """A request was let go; ``length_ms``: None where no answer tells of periods."""
        self.spent += 1
        self.sent_ms = now_ms
        if self.asked_ms == 0 or not self.answered:
            self.asked_ms = now_ms
        if length_ms is not None and self._may_cross(now_ms, length_ms):
            self.crossing += 1

    def is_awaited(self, sent_ms: int, now_ms: int, patience_ms: int) -> bool:
        """Whether what a request sent then found may still be told."""
        return sent_ms > self.told_ms and 0 <= now_ms - sent_ms < patience_ms

    def settle(self, sent_ms: int, length_ms: int, *, before: bool, refused: bool) -> None:
        """An answer came that belongs to the period ``before``, or to this one: what is refused is not counted."""
        starts_ms = self.ends_ms - length_ms
        if sent_ms < starts_ms:
            if self.crossed:
                self.crossed -= 1
                if before:
                    self.spent = max(0, self.spent - 1)
        elif not before and self.crossing and self._may_cross(sent_ms, length_ms):
            self.crossing -= 1
        if refused and (not before or sent_ms >= starts_ms):
            # Where it belongs to the period before although it was sent in this one, we were early.
            self.spent = max(0, self.spent - 1)
        if not before:
            self.answered = True

    def _may_cross(self, sent_ms: int, length_ms: int) -> bool:
        return self.ends_ms - sent_ms <= min(_CROSSING_MS, length_ms // 5)
