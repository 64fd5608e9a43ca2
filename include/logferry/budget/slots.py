"""Which export's request may be under way next, of an API that limits how many are at once. No clock, no I/O."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

_WAITING_MS = 2_000
"""A waiting export that did not ask again for so long is not counted any more."""


class Held(msgspec.Struct, array_like=True):
    """A slot in use until ``until_ms``, unless that is renewed."""

    slot: int
    share: str
    holder: str
    until_ms: int


class Waiting(msgspec.Struct, array_like=True):
    share: str
    since_ms: int
    until_ms: int


class Slots(msgspec.Struct):
    """Slots are given to the export that holds fewest, then to the one that has waited longest."""

    held: list[Held] = msgspec.field(default_factory=list)
    waiting: list[Waiting] = msgspec.field(default_factory=list)

    def give(self, share: str, holder: str, now_ms: int, free: Collection[int], lease_ms: int) -> int | None:
        """One of the ``free`` slots for the export; None when there is none or another export is first."""
        self.held = [one for one in self.held if one.slot not in free]
        self.waiting = [
            one for one in self.waiting if now_ms <= one.until_ms <= now_ms + _WAITING_MS + 1 and one.share
        ]
        mine = next((one for one in self.waiting if one.share == share), None)
        since_ms = mine.since_ms if mine is not None else now_ms
        rank = (self._holds(share), since_ms)
        behind = any((self._holds(one.share), one.since_ms) < rank for one in self.waiting if one is not mine)
        if behind or not free:
            if mine is None:
                self.waiting.append(Waiting(share, now_ms, now_ms + _WAITING_MS))
            else:
                mine.until_ms = now_ms + _WAITING_MS
            return None
        slot = min(free)
        if mine is not None:
            self.waiting.remove(mine)
        self.held.append(Held(slot, share, holder, now_ms + lease_ms))
        return slot

    def free(self, most: int, now_ms: int, lease_ms: int) -> list[int]:
        """The slots that nobody holds, or whose holder did not renew its lease."""
        live = {one.slot for one in self.held if now_ms <= one.until_ms <= now_ms + lease_ms}
        return [slot for slot in range(most) if slot not in live]

    def renew(self, holder: str, slots: Collection[int], until_ms: int) -> None:
        for one in self.held:
            if one.holder == holder and one.slot in slots:
                one.until_ms = until_ms

    def release(self, holder: str, slot: int) -> None:
        self.held = [one for one in self.held if (one.holder, one.slot) != (holder, slot)]

    def _holds(self, share: str) -> int:
        return sum(1 for one in self.held if one.share == share)
