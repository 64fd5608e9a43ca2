"""The arithmetic of one allowance: when a request may be sent. No clock, no I/O; ``learning``: what an answer teaches.

Rules, for an allowance of ``limit`` requests per period:

- **Reserve.** A tenth is left to the people of the same organisation, on the average of periods: of 3 requests a
  period 27 are used in ten.
- **Others.** What ``Remaining`` shows to be spent by somebody else is theirs: our part is the allowance less the
  reserve less what others get on the average of the last ten periods, and never less than a tenth of the allowance.
  In any one period we stop at what is left. What a burst of theirs kept us from sending is made up for later, a quarter
  of a period's worth at a time. Where others are about, the first request of a period goes alone, so that its answer
  tells what is left, and the rest is spread over the period (but none is held back for more than a minute), so that the
  answers show what others spend all the time.
- **Refusals.** Where others are about, what they take between our last answer and our next request cannot be known: if
  they ask ``n`` times a period at random, a request that goes ``d`` after the one whose answer said that one is left is
  refused with a chance of ``1 - exp(-n * d)`` (``d`` in periods). At 3 requests in 10 s, others who ask for another 0.9
  and answers that take half a second this is 4.4 %, of every third request; no arithmetic can use the last one of each
  period and have less. So it goes only as long as of our requests one in a hundred may be expected to fail (``risk``),
  and where waiting for its turn in the spread would endanger it, it goes earlier. The first of a period goes in any
  case, since nothing more can be known by waiting: of an allowance of 1 the chance is the same, ``d`` after the
  period's beginning. Where others come in crowds, not at random, more is refused; after a refusal fewer risks are run.
  Who wakes up late may find the whole period too dangerous. What is known of others fades in each period that nobody
  watched, so that one goes after a hundred of them at the latest, and far sooner where few others are about.
- **First contact.** Until an answer came, requests go one by one: nothing is known yet.
- **Borders.** A request sent shortly before a period's end may be counted in the next one; it is held against both
  until its answer tells.
- **No headers.** An allowance that answers do not mention, because it is documented or because they stopped naming it
  and a 429 says that it is still there, is counted over a sliding period; a 429 lowers our part as above.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from logferry.budget.forecast import Forecast
from logferry.budget.headers import LONGEST_MS
from logferry.budget.others import Others
from logferry.budget.pause import Pause
from logferry.budget.period import Period
from logferry.budget.recent import Recent
from logferry.budget.shares import Share, Shares

RESERVE = 0.10
UNKNOWN_PERIOD_MS = 10_000
"""What a 429 that names no time is taken to ask for, where no period is known."""
_LEAST_PART = 0.10
ALMOST_ONE = 1 - RESERVE
_PROBE_MS = 2_000
"""The longest that everybody waits for the answer to a request that went alone."""
_SPREAD = 0.98
"""Part of a period over which its requests are spread where others are about."""
_LONGEST_SPREAD_MS = 60_000
_RISK = 0.01
"""Of our requests, the part that may be expected to be refused because of others."""
_MOST_CARRIED = 0.25
"""What is made up for in one period, of our part of it: where more is missing, our part was thought too large."""
_ROUNDS = 12
"""Steps in which our part and what is left to others are brought to agree."""
_MOST_RISK = 0.05
"""What may be saved up of it by requests that ran none."""
_NO_RISK = 0.001
"""What goes even after refusals: else an estimate of others that is too high would keep us out for ever."""
_FAR_MS = 60_000
_WORTH_TRYING = 0.25
"""Where the next period is further away than ``_FAR_MS``, its first request may fail with this chance: a refusal costs
the same wait."""
_BEGINNING = 0.05
"""Part of a period in which its first request goes whatever the risk."""


class Allowance(msgspec.Struct):
    """What is known of one bucket; times in milliseconds since the Unix epoch, by the clock of whoever keeps it.

    ``limit``: requests per ``period_ms``, None while unknown; ``grant``: how many of them are for us in this period;
    ``carried``: what is made up for later; ``kept_out``: others kept us from sending all of the grant; ``risk``: how
    much more probably than usual the next request may fail, below 0 after a refusal; ``silent``: successful answers in
    a row that named no allowance; ``forgotten``: the ``limit`` and ``period_ms`` of one that they stopped naming, until
    they name one again.
    """

    limit: int | None = None
    period_ms: int = UNKNOWN_PERIOD_MS
    grant: int = 0
    carried: float = 0.0
    kept_out: bool = False
    risk: float = 0.0
    silent: int = 0
    forgotten: tuple[int, int] | None = None
    answer_ms: float = 0.0
    period: Period = msgspec.field(default_factory=Period)
    theirs: Others = msgspec.field(default_factory=Others)
    pause: Pause = msgspec.field(default_factory=Pause)
    recent: Recent | None = None
    shares: Shares = msgspec.field(default_factory=Shares)

    @classmethod
    def documented(cls, limit: int, period_ms: int) -> Allowance:
        """An allowance that no answer will name."""
        return cls(limit=limit, period_ms=period_ms, recent=Recent(), carried=ALMOST_ONE)

    @property
    def is_sane(self) -> bool:
        """Whether it can be what this module wrote."""
        limit, period_ms = self.forgotten or (1, 1)
        return (
            0 < self.period_ms <= LONGEST_MS
            and (self.limit is None or self.limit > 0)
            and 0 < period_ms <= LONGEST_MS
            and limit > 0
        )

    def take(self, now_ms: int, share: str, *, divided_by: int = 1) -> int:
        """Take one request for the export ``share``: 0, or the milliseconds after which to ask again.

        ``divided_by``: how many machines are taken to spend this allowance without seeing each other.
        """
        if blocked_ms := self.blocked_ms(now_ms):
            return blocked_ms
        self.roll(now_ms, divided_by)
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
        if self._others_about:
            spared = _RISK - self._chance_of_refusal(now_ms)
            self.risk = min(max(self.risk + spared, min(self.risk, 0.0)), _MOST_RISK)
        self.period.sent(now_ms, None if self.limit is None or self.recent is not None else self.period_ms)
        if self.recent is not None:
            self.recent.taken_ms.append(now_ms)
        return 0

    def blocked_ms(self, now_ms: int) -> int:
        """Milliseconds for which a 429 lets nobody send."""
        return self.pause.left_ms(now_ms)

    def wait_ms(self, now_ms: int) -> int:
        """Milliseconds until the period or a 429 lets anybody send; 0 when a request could go now."""
        if blocked_ms := self.blocked_ms(now_ms):
            return blocked_ms
        if self.limit is None or (self.recent is None and now_ms >= self.period.ends_ms):
            return 0
        if self._room(now_ms, 1) > 0 and (not self._is_unsafe(now_ms) or self._is_awaited(now_ms)):
            return 0
        return self._until_room_ms(now_ms)

    def forecast(self, now_ms: int, ours: Collection[str]) -> Forecast | None:
        """How requests will be handed out from now on; None while nothing is known. Shares that are not ``ours`` and
        are at work are taken to stay."""
        if self.limit is None:
            return None
        due = self._due(1)
        if self.recent is not None or now_ms < self.period.ends_ms:
            left = max(0, self._room(now_ms, 1))
            next_ms = self._until_room_ms(now_ms) if self.recent is not None else self.period.ends_ms - now_ms
        else:
            left = int(due + self.carried)
            next_ms = self.period.border.after(now_ms, self.period_ms) - now_ms
        return Forecast(
            limit=self.limit,
            period_s=self.period_ms / 1000,
            reserve=RESERVE,
            others=round(self.theirs.rate, 2),
            due=due,
            left=left,
            carried=self.carried,
            next_s=max(next_ms, self.blocked_ms(now_ms), 0) / 1000,
            sharing=1 + self.shares.others(ours, now_ms),
            answer_s=self.answer_ms / 1000,
        )

    def roll(self, now_ms: int, divided_by: int) -> None:
        """Start the period that is now, when another one was."""
        if self.limit is None:
            return
        if gone := self.period.over(now_ms, self.period_ms):
            self.begin(self.period.border.after(now_ms, self.period_ms), gone, divided_by)

    def begin(self, ends_ms: int, gone: int, divided_by: int = 1) -> None:
        """``gone``: periods that are over since the last one began, that one included."""
        watched = self.period.watched(self.period_ms) if self.recent is None else float(self.period.answered)
        self.theirs.next_period(watched, gone)
        if self.kept_out and gone == 1:
            self.carried += max(0, self.grant - self.period.spent)
        self.renew_grant(divided_by)
        self.period.begin(ends_ms, gone)
        self.kept_out = False
        self.shares.next_period(self.grant)

    def renew_grant(self, divided_by: int) -> None:
        assert self.limit is not None
        due = self._due(divided_by)
        exact = due + min(self.carried, max(1.0, due * _MOST_CARRIED))
        self.grant = min(int(exact), self.limit)
        self.carried = exact - self.grant

    def _due(self, divided_by: int) -> float:
        """Our part of a period, in requests."""
        limit = self.limit or 0
        most = limit / divided_by * (1 - RESERVE)
        # What other machines spend of their parts takes nothing off ours.
        peers = limit * (1 - RESERVE) - most
        due = max(0.0, most - self.theirs.rate)
        for _ in range(_ROUNDS if self.theirs.mean else 0):
            # What we take they do not get, and what they do not get is there for us.
            due = most - max(0.0, self.theirs.will_get(limit - due) - peers)
        return max(due, limit / divided_by * _LEAST_PART)

    def _room(self, now_ms: int, divided_by: int) -> int:
        """Requests that may still be sent in this period."""
        if self.limit is None:
            return 1
        if self.recent is not None:
            return max(1, int(self._due(divided_by))) - self.recent.count(now_ms, self.period_ms)
        most = self.limit - int(self.limit * RESERVE)
        room = min(self.grant, max(1, most // divided_by), most - self.theirs.spent) - self.period.spent
        if room <= 0 < self.theirs.spent and self.grant > self.period.spent:
            self.kept_out = True
        return room

    def _wait_ms(self, now_ms: int, room: int) -> int:
        if room <= 0:
            return self._until_room_ms(now_ms)
        if self.limit is not None and not self._others_about:
            return 0
        soon_ms = min(max(self.period_ms // 100, 20), 100)
        if not self.period.answered and self.period.is_awaited(
            self.period.asked_ms, now_ms, self._patience_ms
        ):
            return soon_ms
        if self.limit is None:
            return 0
        if self._is_unsafe(now_ms):
            if self._is_awaited(now_ms):
                return soon_ms
            self.kept_out = True
            return self._until_room_ms(now_ms)
        return max(0, self._best_ms() - now_ms)

    @property
    def _patience_ms(self) -> int:
        return _PROBE_MS if self.limit is None else min(_PROBE_MS, self.period_ms // 4)

    def _is_awaited(self, now_ms: int) -> bool:
        """Whether an answer under way will tell what is left."""
        return self.period.is_awaited(self.period.sent_ms, now_ms, self._patience_ms)

    def _best_ms(self) -> int:
        """When the next request is to go where others are about: spread over the period, as long as that is safe."""
        if self.risk < 0 and not self.period.asked_ms:
            return 0  # At once: at its beginning the period is surely whole.
        starts_ms = self.period.ends_ms - self.period_ms
        spread = (self.period.spent + 0.5) / self.grant * _SPREAD
        safe = self.theirs.safe_part(self._left, _RISK / 2)
        longest_ms = min(int(safe * self.period_ms), _LONGEST_SPREAD_MS)
        return min(starts_ms + int(spread * self.period_ms), self._last_known_ms + longest_ms)

    @property
    def _left(self) -> int:
        """What is left of the allowance itself, as far as is known."""
        return (self.limit or 0) - self.period.spent - self.theirs.spent

    @property
    def _last_known_ms(self) -> int:
        """The last moment of this period of which it is known what was left; at its beginning all was."""
        return max(self.period.told_ms, self.period.ends_ms - self.period_ms)

    def _chance_of_refusal(self, now_ms: int) -> float:
        return self.theirs.chance_of_refusal(self._left, (now_ms - self._last_known_ms) / self.period_ms)

    def _is_unsafe(self, now_ms: int) -> bool:
        """Whether others may have taken what was left, so probably that the next period is to be waited for."""
        if not self._others_about:
            return False
        chance = self._chance_of_refusal(now_ms)
        if not self.period.asked_ms:
            if self.period.passed(now_ms, self.period_ms) < _BEGINNING:
                return False
            if self.period.ends_ms - now_ms > _FAR_MS:
                return chance > _WORTH_TRYING
        return chance > max(self.risk + _RISK, _NO_RISK)

    @property
    def _others_about(self) -> bool:
        return self.recent is None and self.theirs.are_about

    def _until_room_ms(self, now_ms: int) -> int:
        if self.recent is not None:
            return self.recent.until_room_ms(now_ms, self.period_ms, max(1, int(self._due(1))))
        return max(1, self.period.ends_ms - now_ms)

    def _is_turn(self, mine: Share, room: int, now_ms: int) -> bool:
        if self.recent is not None:
            return self.shares.may_follow(mine, room)
        return self.shares.may_take(mine, room, self.period.passed(now_ms, self.period_ms))
