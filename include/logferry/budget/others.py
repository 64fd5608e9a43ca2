"""What somebody else spends of an allowance, seen through ``Remaining``, and how likely they leave nothing for us.

Answers tell of a period up to the last of them only: after a burst at its beginning the rest goes unseen. So what is
kept is how much was seen in how long, and the rate is their quotient. Nothing tells when they will come; they are taken
to come independently of us and of each other (Poisson).
"""

from __future__ import annotations

import math

import msgspec

_NEWEST = 0.10
"""Weight of the newest period in the averages: ten periods."""
_ABOUT = 0.02
_LEAST_WATCHED = 0.25
"""A stranger seen in the little that was watched of ten periods says next to nothing about the rest of them."""
_UNSEEN = 0.05
"""Half a request in ten periods may have gone unseen; so much of a period is watched at least."""
_MANY = 500
"""Of so many a period the average is what is asked for."""
_SURELY_ENOUGH = 40
"""Where so many are left, and less than half of them are expected to go, one remains but for 1 in 10,000."""


class Others(msgspec.Struct, array_like=True):
    """``spent``: what they are known to have spent in this period; ``mean``: what was seen of it in a period on the
    average of ten, in the part ``watched`` of it; ``periods``: how many were seen."""

    spent: int = 0
    mean: float = 0.0
    watched: float = 1.0
    periods: int = 0

    @property
    def rate(self) -> float:
        """Requests a period."""
        return self.mean / max(self.watched, _LEAST_WATCHED)

    @property
    def _feared(self) -> float:
        """The rate, as it may well be after so little was seen."""
        return (self.mean + _UNSEEN) / max(self.watched, _UNSEEN)

    @property
    def are_about(self) -> bool:
        return self.mean > _ABOUT * self.watched

    def next_period(self, watched: float, gone: int) -> None:
        """``watched``: the part of the period that answers told of, 0 where none came; ``gone``: periods that are over
        since it began, itself included. What was seen fades in each that nobody watched: else an estimate that keeps
        us from asking would never be corrected."""
        if watched or self.spent:
            gone -= 1
            self.periods = min(self.periods + 1, 1000)
            weight = max(_NEWEST, 1 / (self.periods + 3))
            self.mean += (self.spent - self.mean) * weight
            self.watched += (watched - self.watched) * weight
        self.mean *= (1 - _NEWEST) ** min(gone, 1000)
        self.spent = 0

    def will_get(self, room: float) -> float:
        """What of a period they will get on the average, of which ``room`` is left to them: they ask for ``rate``, more
        at one time and less at another, and what is not there when they ask they do not get."""
        if room <= 0:
            return 0.0
        if room > self.rate + 6 * math.sqrt(self.rate) + 2 or self.rate > _MANY:
            return min(self.rate, room)
        got, term, fewer = 0.0, math.exp(-self.rate), 0.0
        for number in range(math.ceil(room)):
            fewer += term
            got += (1 - fewer) * min(1.0, room - number)
            term *= self.rate / (number + 1)
        return got

    def chance_of_refusal(self, left: int, unseen: float) -> float:
        """That they take all ``left`` requests in the part ``unseen`` of a period."""
        expected = self._feared * max(0.0, unseen)
        if left <= 0:
            return 1.0
        if left >= _SURELY_ENOUGH and expected < left / 2:
            return 0.0
        if left > _MANY or expected > _MANY:
            return float(expected >= left)
        term = fewer = math.exp(-expected)
        for number in range(1, left):
            term *= expected / number
            fewer += term
        return max(0.0, 1 - fewer)

    def safe_part(self, left: int, chance: float) -> float:
        """The longest part of a period that may go unseen for them to take all ``left`` with this chance at most."""
        if self.chance_of_refusal(left, 1.0) <= chance:
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(12):
            middle = (low + high) / 2
            if self.chance_of_refusal(left, middle) <= chance:
                low = middle
            else:
                high = middle
        return low
