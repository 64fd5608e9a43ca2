"""Which of two ways to the same result takes less: learned by going both now and then."""

from __future__ import annotations

from collections import deque

_TRIALS = 2
"""Of each way that count: the better of them, for a disturbance only ever makes one dearer."""
_AGAIN = 32
"""Turns after which the dearer way is tried once more: what is read changes with the hours of a day."""


class Cheaper:
    """Two ways, 0 and 1, by the processor time that they took for each byte. Several threads may overwrite each other's
    findings, which makes a choice late, never a result wrong."""

    def __init__(self) -> None:
        self._costs: tuple[deque[float], deque[float]] = (deque(maxlen=_TRIALS), deque(maxlen=_TRIALS))
        self._turns = 0

    def choose(self) -> tuple[int, bool]:
        """The way to go now, and whether that is a trial, for which a part of what is to be done is enough."""
        first, second = self._costs
        if len(second) < _TRIALS:
            return (0 if len(first) <= len(second) else 1), True
        self._turns += 1
        better = 0 if min(first) <= min(second) else 1
        return (1 - better, True) if self._turns % _AGAIN == 0 else (better, False)

    def took(self, way: int, seconds: float, size: int) -> None:
        """What ``size`` bytes took by one of the ways."""
        self._costs[way].append(seconds / size)
