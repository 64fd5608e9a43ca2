"""How long so many requests will take, by the learned allowance."""

from __future__ import annotations

import math
from typing import Any

import msgspec


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """How one bucket hands out requests from now on.

    Of ``limit`` per ``period_s`` the part ``reserve`` is kept free and ``others`` a period go to somebody else; ``due``
    is what remains for us. ``left`` may be sent at once; the next period begins in ``next_s``. ``sharing``: exports
    at work, this one included. ``answer_s``: what an answer takes, 0 while unknown.
    """

    limit: int
    period_s: float
    reserve: float
    others: float
    due: float
    left: int
    carried: float
    next_s: float
    sharing: int
    answer_s: float

    def seconds_for(self, requests: int, *, at_once: int = 1) -> float:
        """Seconds until so many answers are there, ``at_once`` of them under way together.

        A period's requests go at its beginning and then everybody waits for the next, so this grows in steps.
        """
        if requests <= 0:
            return 0.0
        by_answers = self._answers_s(requests, at_once)
        left = self.left / self.sharing
        if requests <= left:
            return by_answers
        due, carried = self.due / self.sharing, self.carried / self.sharing
        need = requests - math.floor(left)
        periods = max(1, math.ceil((need - carried) / due - 1e-9))
        last = need - math.floor((periods - 1) * due + carried)
        by_periods = self.next_s + (periods - 1) * self.period_s + self._answers_s(max(1, last), at_once)
        return max(by_answers, by_periods)

    def times(self, factor: float) -> Forecast:
        """The same with an allowance larger by ``factor``."""
        more = {
            "limit": round(self.limit * factor),
            "due": self.due * factor,
            "left": round(self.left * factor),
        }
        return msgspec.structs.replace(self, **more)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return {"limit": self.limit, "period_s": self.period_s, "reserve": self.reserve, "others": self.others,
                "left": self.left, "sharing": self.sharing}  # fmt: skip

    def _answers_s(self, requests: int, at_once: int) -> float:
        return math.ceil(requests / max(1, at_once)) * self.answer_s
