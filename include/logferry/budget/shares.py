"""Turns between exports: an allowance is shared by export, not by thread.

Every export that was seen lately has a claim on an equal part of the period's requests; each request it sends is
taken off its claim. An export may go on beyond its own claim with what the others leave: their claims melt as the
period passes, so that nothing of the allowance is left over while somebody has work. Fractions are carried to the
next period, so that four exports that share three requests are passed over in turn.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from logferry.budget.headers import LONGEST_MS

LEASE_MS = 15_000
"""An export that neither asked nor waited for so long is not counted any more."""
_MOST = 32
_MELTED = 0.7
"""Part of the period after which no claim holds anybody up."""
_BANKED = 1.0


class Share(msgspec.Struct, array_like=True):
    """One export: ``claim`` in requests, ``seen_ms`` when it last asked or will ask, ``waits``: it was refused."""

    name: str
    claim: float
    seen_ms: int
    waits: bool = False


class Shares(msgspec.Struct, array_like=True):
    """The exports that spend one allowance."""

    active: list[Share] = msgspec.field(default_factory=list)

    def seen(self, name: str, now_ms: int, room: int) -> Share:
        """The export's share, made when it is new: an equal part of the ``room`` that is left."""
        self.active = [one for one in self.active if -LONGEST_MS <= now_ms - one.seen_ms <= LEASE_MS]
        for one in self.active:
            if one.name == name:
                one.seen_ms = now_ms
                return one
        count = len(self.active) + 1
        for one in self.active:
            one.claim = one.claim * (count - 1) / count if one.claim > 0 else one.claim
        mine = Share(name, max(0, room) / count, now_ms)
        self.active = [*self.active[-_MOST + 1 :], mine]
        return mine

    def next_period(self, room: int) -> None:
        """Everybody gets an equal part of the new period's requests."""
        for one in self.active:
            one.claim = min(max(one.claim, -_BANKED), _BANKED) + room / len(self.active)

    def may_take(self, mine: Share, room: int, passed: float) -> bool:
        """Whether a request of the ``room`` is for this export now; ``passed``: part of the period that is over."""
        others = [one for one in self.active if one is not mine]
        if all(mine.claim >= one.claim for one in others):
            return True
        left = max(0.0, 1 - passed / _MELTED)
        return room - sum(max(0.0, one.claim) for one in others) * left >= 1

    def may_follow(self, mine: Share, room: int) -> bool:
        """The same where requests come free one by one: those who wait and were served less come first."""
        ahead = sum(1 for one in self.active if one is not mine and one.waits and one.claim > mine.claim)
        return room - ahead >= 1

    def others(self, ours: Collection[str], now_ms: int) -> int:
        """How many exports other than these are at work."""
        return sum(1 for one in self.active if one.name not in ours and now_ms - one.seen_ms <= LEASE_MS)
