"""Workers, an API and somebody else, in made-up time: what share of an allowance is used and how much is refused.

The API counts as the sandbox does (and Datadog documents): requests of the running period, aligned to its clock; what
is refused is not counted; Reset is rounded up. Or over a sliding period and without headers, as Azure does.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from logferry.budget.allowance import RESERVE, Allowance
from logferry.budget.headers import RateAnswer
from logferry.budget.learning import learn

START_MS = 1_795_348_803_700


@dataclass
class Api:
    limit: int
    period_ms: int
    skew_ms: int = 0
    sliding: bool = False
    used: Counter[int] = field(default_factory=Counter)
    recent: deque[int] = field(default_factory=deque)

    def ask(self, now_ms: int) -> RateAnswer:
        if self.sliding:
            while self.recent and self.recent[0] <= now_ms - self.period_ms:
                self.recent.popleft()
            if len(self.recent) >= self.limit:
                wait_ms = -(-(self.recent[0] + self.period_ms - now_ms) // 1000) * 1000
                return RateAnswer(429, wait_ms=max(1000, wait_ms))
            self.recent.append(now_ms)
            return RateAnswer(200)
        period, into = divmod(now_ms + self.skew_ms, self.period_ms)
        admitted = self.used[period] < self.limit
        self.used[period] += admitted
        reset_ms = -(-(self.period_ms - into) // 1000) * 1000
        return RateAnswer(
            200 if admitted else 429,
            limit=self.limit,
            period_ms=self.period_ms,
            remaining=self.limit - self.used[period],
            reset_ms=reset_ms,
            wait_ms=None if admitted else reset_ms,
        )


@dataclass
class Outcome:
    seconds: float = 0.0
    answered: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    foreign: int = 0
    periods: float = 0.0
    limit: int = 0

    @property
    def use(self) -> float:
        """Of the allowance less the reserve less what somebody else spent."""
        return self.answered.total() / (self.periods * self.limit * (1 - RESERVE) - self.foreign)

    @property
    def refused_share(self) -> float:
        return self.refused / max(1, self.answered.total() + self.refused)


def simulate(
    api: Api,
    workers: Sequence[str],
    *,
    latency_ms: tuple[int, int] = (0, 2000),
    periods: int = 30,
    foreign_per_period: float = 0.0,
    seed: int = 0,
    allowance: Allowance | None = None,
    boards: int = 1,
    divided_by: int = 1,
    uplink: float = 0.1,
    late_ms: int = 0,
    on_time: Callable[[int], None] = lambda now_ms: None,
) -> Outcome:
    """``workers``: the export of each. ``uplink``: part of the latency before the API counts a request.
    ``late_ms``: how much later than it was told to a worker asks again. ``boards``: machines that do not
    see each other, ``divided_by``: as how many they know themselves to be."""
    rng = random.Random(seed)
    states = [allowance or Allowance()] if boards == 1 else [Allowance() for _ in range(boards)]
    order = itertools.count()
    events: list[tuple[int, int, Callable[[int], None]]] = []
    outcome = Outcome(limit=api.limit, periods=periods)
    # From a border to a border, after a period to get to know each other.
    first = (START_MS // api.period_ms + 2) * api.period_ms - api.skew_ms
    end = first + periods * api.period_ms

    def at(moment: int, act: Callable[[int], None]) -> None:
        heapq.heappush(events, (moment, next(order), act))

    def work(name: str, state: Allowance) -> Callable[[int], None]:
        def ask(now: int) -> None:
            wait = state.take(now, name, divided_by=divided_by)
            if wait:
                at(now + wait + late_ms + rng.randint(10, 100), ask)
                return
            took = rng.randint(*latency_ms)
            at(now + int(took * uplink), lambda arrived: arrive(arrived, now, now + took))

        def arrive(now: int, sent: int, back: int) -> None:
            answer = api.ask(now)
            if first <= now < end:
                if answer.status == 429:
                    outcome.refused += 1
                else:
                    outcome.answered[name] += 1
            at(back, lambda then: hear(then, sent, answer))

        def hear(now: int, sent: int, answer: RateAnswer) -> None:
            learn(state, sent, now, answer)
            at(now, ask)

        return ask

    def somebody_else(now: int) -> None:
        if api.ask(now).status == 200 and first <= now < end:
            outcome.foreign += 1
        at(now + max(1, int(rng.expovariate(foreign_per_period / api.period_ms))), somebody_else)

    for number, name in enumerate(workers):
        at(START_MS + rng.randint(0, 200), work(name, states[number % len(states)]))
    if foreign_per_period:
        at(START_MS, somebody_else)
    while events and events[0][0] < end:
        now, _, act = heapq.heappop(events)
        on_time(now)
        act(now)
    return outcome
