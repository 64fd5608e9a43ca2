"""The arithmetic of one allowance: when a request may be sent, and what an answer teaches. No clock, no I/O.

Rules, for an allowance of ``limit`` requests per period:

- **Reserve.** A tenth is left to the people of the same organisation, on the average of periods: of 3 requests a
  period 27 are used in ten.
- **Others.** What ``Remaining`` shows to be spent by somebody else is theirs: our part is the allowance less the
  reserve less what others spent on the average of the last ten periods, and never less than a tenth of the allowance.
  In any one period we stop at what is left. What a burst of theirs kept us from sending is made up for later (one
  period's worth at most). Where others are about, the first request of a period goes alone, so that its answer tells
  what is left, and the rest is spread over the period, so that the answers show what others spend all the time.
  An allowance of fewer than ten is too small for that: there its requests follow at once, one is left to others who
  spend more than half the reserve, and any others are reckoned to spend as much as the reserve.
- **First contact.** Until an answer came, requests go one by one: nothing is known yet.
- **Borders.** A request sent shortly before a period's end may be counted in the next one; it is held against both
  until its answer tells.
- **No headers.** A documented allowance that answers do not mention is counted over a sliding period; a 429 lowers our
  part as above.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from logferry.budget.border import Border
from logferry.budget.forecast import Forecast
from logferry.budget.headers import LONGEST_MS, RateAnswer
from logferry.budget.shares import Share, Shares

RESERVE = 0.10
_LEAST_PART = 0.10
_NEWEST = 0.10
"""Weight of the newest period in the average of what others spend: ten periods."""
_ALMOST_ONE = 1 - RESERVE
_PROBE_MS = 2_000
"""The longest that everybody waits for the answer to a request that went alone."""
_CROSSING_MS = 2_000
"""The longest that a request is taken to travel to the API."""
_OTHERS_ABOUT = 0.02
_SPREAD = 0.95
"""Part of a period over which its requests are spread where others are about."""
_NEWEST_ANSWER = 0.2


class Allowance(msgspec.Struct):
    """What is known of one bucket; times in milliseconds since the Unix epoch, by the clock of whoever keeps it.

    ``spent``: requests of ours that count in this period; ``grant``: how many may; ``others``: what somebody else is
    known to have spent in it. ``blocked_until_ms``: before it nothing is sent, because an answer said 429 at
    ``blocked_from_ms``.
    """

    limit: int | None = None
    period_ms: int = 10_000
    ends_ms: int = 0
    spent: int = 0
    grant: int = 0
    carried: float = 0.0
    others: int = 0
    others_mean: float = 0.0
    seen_periods: int = 0
    kept_out: bool = False
    blocked_until_ms: int = 0
    blocked_from_ms: int = 0
    asked_ms: int = 0
    answered: bool = False
    crossing: int = 0
    crossed: int = 0
    sliding: bool = False
    taken: list[int] = msgspec.field(default_factory=list)
    answer_ms: float = 0.0
    border: Border = msgspec.field(default_factory=Border)
    shares: Shares = msgspec.field(default_factory=Shares)

    @classmethod
    def documented(cls, limit: int, period_ms: int) -> Allowance:
        """An allowance that no answer will name."""
        return cls(limit=limit, period_ms=period_ms, sliding=True, carried=_ALMOST_ONE)

    @property
    def is_sane(self) -> bool:
        """Whether it can be what this module wrote."""
        return 0 < self.period_ms <= LONGEST_MS and (self.limit is None or self.limit > 0)

    def take(self, now_ms: int, share: str, *, divided_by: int = 1) -> int:
        """Take one request for the export ``share``: 0, or the milliseconds after which to ask again.

        ``divided_by``: how many machines are taken to spend this allowance without seeing each other.
        """
        if blocked_ms := self.blocked_ms(now_ms):
            return blocked_ms
        self._roll(now_ms, divided_by)
        room = self._room(now_ms, divided_by)
        mine = self.shares.seen(share, now_ms, room)
        wait_ms = self._wait_ms(now_ms, room)
        if wait_ms == 0 and self.limit is not None and not self._is_turn(mine, room, now_ms):
            wait_ms = min(max(self.period_ms // 40, 20), 1000)
        if wait_ms:
            mine.waits = True
            mine.seen_ms = now_ms + wait_ms
            return wait_ms
        mine.waits = False
        mine.claim -= 1
        self.spent += 1
        if self.asked_ms == 0 or not self.answered:
            self.asked_ms = now_ms
        if self.sliding:
            self.taken.append(now_ms)
        elif self.limit is not None and self.ends_ms - now_ms <= self._tail_ms:
            self.crossing += 1
        return 0

    def blocked_ms(self, now_ms: int) -> int:
        """Milliseconds for which a 429 lets nobody send.

        A 429 that has not been yet was seen by a clock that was set back since, and holds nobody up.
        """
        if now_ms < self.blocked_from_ms:
            return 0
        return min(max(0, self.blocked_until_ms - now_ms), LONGEST_MS)

    def wait_ms(self, now_ms: int) -> int:
        """Milliseconds until the period or a 429 lets anybody send; 0 when a request could go now."""
        if blocked_ms := self.blocked_ms(now_ms):
            return blocked_ms
        if self.limit is None or (not self.sliding and now_ms >= self.ends_ms):
            return 0
        room = self._room(now_ms, 1)
        return 0 if room > 0 else self._until_room_ms(now_ms)

    def learn(self, sent_ms: int | None, now_ms: int, answer: RateAnswer) -> None:
        """Correct what is known by an answer that came now to a request sent at ``sent_ms`` (None: not known)."""
        sent_ms = now_ms if sent_ms is None else min(sent_ms, now_ms)
        known = self.limit is not None and not self.sliding
        if answer.limit is not None and answer.period_ms is not None:
            self._learn_limit(answer.limit, answer.period_ms, now_ms)
        if answer.status < 400:
            took_ms = now_ms - sent_ms
            self.answer_ms += (took_ms - self.answer_ms) * (_NEWEST_ANSWER if self.answer_ms else 1.0)
        if self.limit is not None and not self.sliding and answer.limit is not None:
            self._learn_period(sent_ms, now_ms, answer, known=known)
        else:
            self.answered = True
        if answer.status == 429:
            self._learn_refusal(now_ms, answer)

    def forecast(self, now_ms: int, ours: Collection[str]) -> Forecast | None:
        """How requests will be handed out from now on; None while nothing is known. Shares that are not ``ours`` and
        are at work are taken to stay."""
        if self.limit is None:
            return None
        due = self._due(1)
        if self.sliding or now_ms < self.ends_ms:
            left = max(0, self._room(now_ms, 1))
            next_ms = self._until_room_ms(now_ms) if self.sliding else self.ends_ms - now_ms
        else:
            left = int(due + self.carried)
            next_ms = self.border.after(now_ms, self.period_ms) - now_ms
        return Forecast(
            limit=self.limit,
            period_s=self.period_ms / 1000,
            reserve=RESERVE,
            others=round(self.others_mean, 2),
            due=due,
            left=left,
            carried=self.carried,
            next_s=max(next_ms, self.blocked_ms(now_ms), 0) / 1000,
            sharing=1 + self.shares.others(ours, now_ms),
            answer_s=self.answer_ms / 1000,
        )

    def _roll(self, now_ms: int, divided_by: int) -> None:
        """Start the period that is now, when another one was."""
        if self.limit is None:
            return
        if self.ends_ms > now_ms + self.period_ms + abs(self.border.shift):
            # A clock that was set back must not make anyone wait for a time that never was.
            self.ends_ms = self.border.after(now_ms, self.period_ms)
        if now_ms < self.ends_ms:
            return
        gone = 1 + (now_ms - self.ends_ms) // self.period_ms if self.ends_ms else 1
        self._begin(self.border.after(now_ms, self.period_ms), gone, divided_by)

    def _begin(self, ends_ms: int, gone: int, divided_by: int = 1) -> None:
        """``gone``: periods that are over since the last one began, that one included."""
        if self.answered or self.others:
            self.seen_periods = min(self.seen_periods + 1, 1000)
            self.others_mean += (self.others - self.others_mean) * max(_NEWEST, 1 / (self.seen_periods + 3))
        self.others_mean *= (1 - _NEWEST) ** min(gone - 1, 1000)
        if self.kept_out and gone == 1:
            self.carried += max(0, self.grant - self.spent)
        self._grant(divided_by)
        self.ends_ms = ends_ms
        # What was sent just before the border may count on this side of it.
        self.crossed = self.crossing if gone == 1 else 0
        self.spent, self.crossing, self.others = self.crossed, 0, 0
        self.answered, self.asked_ms, self.kept_out = False, 0, False
        self.shares.next_period(self.grant)

    def _grant(self, divided_by: int) -> None:
        assert self.limit is not None
        exact = self._due(divided_by) + min(self.carried, float(self.limit))
        self.grant = min(int(exact), self.limit)
        self.carried = exact - self.grant

    def _due(self, divided_by: int) -> float:
        """Our part of a period, in requests."""
        limit = (self.limit or 0) / divided_by
        others = self.others_mean
        if self._is_tiny and self._others_about:
            others = max(others, limit * RESERVE)
        return max(limit * (1 - RESERVE) - others, limit * _LEAST_PART)

    def _room(self, now_ms: int, divided_by: int) -> int:
        """Requests that may still be sent in this period."""
        if self.limit is None:
            return 1
        if self.sliding:
            since = now_ms - self.period_ms
            # A time that has not been yet was written by a clock that was set back since.
            self.taken = [one for one in self.taken if since < one <= now_ms]
            return max(1, int(self._due(divided_by))) - len(self.taken)
        free = int(self.limit * RESERVE)
        if self._is_tiny and self.others_mean > self.limit * RESERVE / 2:
            free = 1
        most = max(1, (self.limit - free) // divided_by)
        room = min(self.grant - self.spent, most - self.spent - self.others)
        if room <= 0 < self.others and self.grant > self.spent:
            self.kept_out = True
        return room

    def _wait_ms(self, now_ms: int, room: int) -> int:
        if room <= 0:
            return self._until_room_ms(now_ms)
        if self.limit is not None and not self._others_about:
            return 0
        if not self.answered and self.asked_ms:
            patience_ms = _PROBE_MS if self.limit is None else min(_PROBE_MS, self.period_ms // 4)
            if 0 <= now_ms - self.asked_ms < patience_ms:
                return min(max(self.period_ms // 100, 20), 100)
        if self.limit is None or self._is_tiny:
            return 0
        due_ms = self.ends_ms - self.period_ms + int((self.spent - 1) / self.grant * self.period_ms * _SPREAD)
        return max(0, due_ms - now_ms)

    @property
    def _others_about(self) -> bool:
        return self.others_mean > _OTHERS_ABOUT and not self.sliding

    @property
    def _is_tiny(self) -> bool:
        """Whether a tenth of it is less than a request."""
        return self.limit is not None and self.limit * RESERVE < 1

    def _until_room_ms(self, now_ms: int) -> int:
        if not self.sliding:
            return max(1, self.ends_ms - now_ms)
        most = max(1, int(self._due(1)))
        if len(self.taken) < most:
            return 0
        return max(1, self.taken[len(self.taken) - most] + self.period_ms - now_ms)

    def _is_turn(self, mine: Share, room: int, now_ms: int) -> bool:
        if self.sliding:
            return self.shares.may_follow(mine, room)
        passed = 1 - (self.ends_ms - now_ms) / self.period_ms
        return self.shares.may_take(mine, room, passed)

    @property
    def _tail_ms(self) -> int:
        return min(_CROSSING_MS, self.period_ms // 5)

    def _learn_limit(self, limit: int, period_ms: int, now_ms: int) -> None:
        if (limit, period_ms, False) == (self.limit, self.period_ms, self.sliding):
            return
        if self.limit is None or self.sliding:
            self.spent = 0  # Counted over another time than the period that is now.
            self.taken = []
        same = self.limit is not None and period_ms == self.period_ms and not self.sliding
        self.limit, self.period_ms, self.sliding = limit, period_ms, False
        self.carried = _ALMOST_ONE
        self.others_mean = min(self.others_mean, float(limit))
        self._grant(1)
        if not same:
            self.border = Border()
            self.ends_ms = self.border.after(now_ms, period_ms)

    def _learn_period(self, sent_ms: int, now_ms: int, answer: RateAnswer, *, known: bool) -> None:
        """Which period the answer belongs to, where its border lies, and what others spent in it."""
        self._roll(now_ms, 1)
        starts_ms = self.ends_ms - self.period_ms
        before = sent_ms < starts_ms
        if answer.reset_ms is not None:
            seen = self.border.see(sent_ms, now_ms, answer.reset_ms, self.period_ms)
            if seen is not None:
                earliest, latest = seen
                middle = (earliest + latest) // 2
                before = middle < starts_ms + self.period_ms // 2
                if earliest >= self.ends_ms:
                    # The API has begun its next period already.
                    self._begin(self.border.nearest(middle, self.period_ms), 1)
                    self.spent = max(self.spent, 1)
                    starts_ms = self.ends_ms - self.period_ms
                elif known:
                    nearest = self.border.nearest(self.ends_ms, self.period_ms)
                    self.ends_ms = min(nearest, self.border.after(now_ms, self.period_ms))
                else:
                    self.ends_ms = self.border.after(now_ms, self.period_ms)
        if self.crossed and sent_ms < starts_ms:
            self.crossed -= 1
            if before:
                self.spent = max(0, self.spent - 1)
        if not before and self.crossing and starts_ms <= sent_ms and self.ends_ms - sent_ms <= self._tail_ms:
            self.crossing -= 1
        if before:
            if answer.status == 429 and sent_ms >= starts_ms:
                self.spent = max(0, self.spent - 1)  # We were early, and what is refused is not counted.
            return
        self.answered = True
        if answer.status == 429:
            self.spent = max(0, self.spent - 1)
        if answer.remaining is not None and self.limit is not None:
            used = self.limit - answer.remaining
            if known:
                self.others = max(self.others, used - self.spent)
            else:
                self.spent = max(self.spent, used)  # Whose it was cannot be known at first sight.

    def _learn_refusal(self, now_ms: int, answer: RateAnswer) -> None:
        wait_ms = self.period_ms if answer.wait_ms is None else max(answer.wait_ms, 1000)
        if answer.reset_ms is not None and self.limit is not None and not self.sliding:
            wait_ms = min(wait_ms, max(self.period_ms, 1000))  # No period ends later than that.
        self.blocked_until_ms = now_ms + max(self.blocked_ms(now_ms), wait_ms)
        self.blocked_from_ms = now_ms
        self.kept_out = True
        if self.sliding and self.limit is not None:
            self.others_mean = max(self.others_mean, float(self.limit - len(self.taken)))
