"""What was learned from headers is kept through failures, and forgotten when answers stop naming it."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.budget.simulation import START_MS, Api, simulate

from logferry.budget.allowance import UNKNOWN_PERIOD_MS, Allowance
from logferry.budget.headers import LONGEST_MS, RateAnswer
from logferry.budget.learning import SILENT_ANSWERS, learn

HOUR_MS = 3_600_000
SILENT = RateAnswer()
LIMITS = st.integers(1, 300)
PERIODS_MS = st.sampled_from([10_000, 60_000, HOUR_MS, 24 * HOUR_MS])


def learned(limit: int, period_ms: int, *, all_spent: bool = False) -> Allowance:
    state = Allowance()
    state.take(START_MS, "here")
    api = Api(limit, period_ms)
    answer = api.ask(START_MS)
    if all_spent:
        while answer.remaining:
            answer = api.ask(START_MS)
    learn(state, START_MS, START_MS, answer)
    return state


def next_request(state: Allowance, now_ms: int) -> int:
    """When it is let go."""
    while wait_ms := state.take(now_ms, "here"):
        now_ms += wait_ms
    return now_ms


@given(LIMITS, PERIODS_MS, st.integers(0, 50), st.booleans())
def test_an_allowance_that_answers_stop_naming_holds_up_three_requests_and_no_more(
    limit: int, period_ms: int, took_ms: int, all_spent: bool
) -> None:
    state, now = learned(limit, period_ms, all_spent=all_spent), START_MS
    for _ in range(SILENT_ANSWERS):
        assert state.limit == limit
        sent = next_request(state, now)
        now = sent + took_ms
        learn(state, sent, now, SILENT)
    assert now <= START_MS + (SILENT_ANSWERS + 1) * period_ms + SILENT_ANSWERS * took_ms
    assert state.limit is None
    assert state.forecast(now, set()) is None
    assert next_request(state, now) == now
    learn(state, now, now, SILENT)
    for _ in range(2 * limit):
        assert state.take(now, "here") == 0


@given(
    LIMITS,
    PERIODS_MS,
    st.lists(st.sampled_from([400, 401, 403, 429, 500, 502, 503]), max_size=30),
    st.lists(st.integers(0, SILENT_ANSWERS - 1), max_size=5),
)
def test_failures_and_fewer_than_three_silent_answers_forget_nothing(
    limit: int, period_ms: int, failures: list[int], silent: list[int]
) -> None:
    state, now = learned(limit, period_ms), START_MS
    for status in failures:
        learn(state, now, now, RateAnswer(status, wait_ms=1000 if status == 429 else None))
        assert state.limit == limit
    api = Api(limit, period_ms)
    for count in silent:
        for _ in range(count):
            learn(state, now, now, SILENT)
        assert state.limit == limit
        now += period_ms
        learn(state, now, now, api.ask(now))
    assert (state.limit, state.period_ms) == (limit, period_ms)


@given(LIMITS, PERIODS_MS, st.sampled_from([502, 500, 404]))
def test_a_failure_between_silent_answers_says_nothing_either_way(
    limit: int, period_ms: int, failure: int
) -> None:
    state = learned(limit, period_ms)
    for status in (200, failure, 200, failure, 200):
        assert state.limit == limit
        learn(state, START_MS, START_MS, RateAnswer(status))
    assert state.limit is None


def test_after_forgetting_one_request_goes_alone_and_its_answer_teaches_again() -> None:
    state = learned(30, 10_000)
    for _ in range(SILENT_ANSWERS):
        learn(state, START_MS, START_MS, SILENT)
    assert state.take(START_MS, "here") == 0
    assert state.take(START_MS + 1, "other") > 0, "the headers may have been lost on these answers only"
    learn(state, START_MS, START_MS + 100, Api(3, 10_000).ask(START_MS))
    assert state.limit == 3
    sent = 0
    while state.take(START_MS + 100, "here") == 0:
        sent += 1
    assert sent <= 2


def test_a_pause_that_a_429_asked_for_outlives_the_allowance() -> None:
    state = learned(30, 10_000)
    learn(state, START_MS, START_MS, RateAnswer(429, wait_ms=60_000))
    for _ in range(SILENT_ANSWERS):
        learn(state, START_MS, START_MS, SILENT)
    assert state.limit is None
    assert state.take(START_MS, "here") == 60_000


@dataclass
class Stripped(Api):
    """Behind something that takes the headers off after so many answers."""

    named: int = 20
    waits: bool = True

    def ask(self, now_ms: int) -> RateAnswer:
        found = super().ask(now_ms)
        self.named -= 1
        wait_ms = found.wait_ms if self.waits else None
        return found if self.named >= 0 else RateAnswer(found.status, wait_ms=wait_ms)


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize(
    ("limit", "period_s", "least_use", "most_refused"),
    [(3, 10, 0.65, 0.05), (30, 10, 0.9, 0.01), (300, 60, 0.85, 0.01)],
)
def test_an_allowance_whose_headers_are_taken_off_is_kept_to_after_its_first_refusal(
    limit: int, period_s: int, least_use: float, most_refused: float, workers: int, waits: bool
) -> None:
    api = Stripped(limit, period_s * 1000, waits=waits)
    outcome = simulate(api, ["here"] * workers, latency_ms=(0, 300), periods=60)
    assert outcome.refused_share <= most_refused
    if workers * period_s / 0.15 > limit:
        assert least_use <= outcome.use <= 1.02


@given(LIMITS, PERIODS_MS, st.lists(st.sampled_from([200, 200, 200, 429, 500]), max_size=30))
def test_what_a_429_brought_back_is_kept_until_answers_name_an_allowance_again(
    limit: int, period_ms: int, statuses: list[int]
) -> None:
    state, now = forgotten(limit, period_ms), START_MS
    for status in (429, *statuses):
        learn(state, now, now, RateAnswer(status))
        now += 1
        assert (state.limit, state.period_ms) == (limit, period_ms)
        assert state.recent is not None
    now += 10 * LONGEST_MS
    learn(state, now, now, Api(7, 5_000).ask(now))
    assert (state.limit, state.period_ms, state.recent, state.forgotten) == (7, 5_000, None, None)
    for _ in range(SILENT_ANSWERS):
        learn(state, now, now, SILENT)
    assert state.limit is None


@given(LIMITS, PERIODS_MS, st.integers(1, 20))
def test_a_429_without_a_time_after_forgetting_asks_for_no_more_than_at_first_contact(
    limit: int, period_ms: int, under_way: int
) -> None:
    state = forgotten(limit, period_ms)
    for number in range(under_way):
        learn(state, START_MS, START_MS + number, RateAnswer(429))
    assert state.blocked_ms(START_MS + under_way - 1) == UNKNOWN_PERIOD_MS
    now = START_MS + under_way - 1 + UNKNOWN_PERIOD_MS
    sent = sum(state.take(now, "here") == 0 for _ in range(2 * limit + 2))
    assert sent == max(1, int(limit * 0.9)), "those under way say no more than the first of them"


def forgotten(limit: int, period_ms: int) -> Allowance:
    state = learned(limit, period_ms)
    for _ in range(SILENT_ANSWERS):
        learn(state, START_MS, START_MS, SILENT)
    assert state.limit is None
    return state


def test_a_documented_allowance_is_never_forgotten() -> None:
    state = Allowance.documented(200, 30_000)
    for _ in range(10):
        learn(state, START_MS, START_MS, SILENT)
    assert state.limit == 200


def test_what_a_429_took_off_a_documented_allowance_comes_back_by_and_by() -> None:
    state, now = Allowance.documented(200, 30_000), START_MS
    sent = next_request(state, now)
    learn(state, sent, sent, RateAnswer(429, wait_ms=1000))
    found = state.forecast(now, set())
    assert found is not None
    lowered = found.due
    for _ in range(30):
        now = next_request(state, now + 30_000)
        learn(state, now, now, SILENT)
    found = state.forecast(now, set())
    assert found is not None
    assert lowered <= 20 < 170 < found.due


@given(LIMITS, PERIODS_MS)
def test_the_same_answer_twice_teaches_nothing_new_of_the_limit(limit: int, period_ms: int) -> None:
    state = learned(limit, period_ms)
    before = copy.deepcopy(state)
    learn(state, START_MS, START_MS, Api(limit, period_ms).ask(START_MS))
    assert (state.limit, state.period_ms, state.grant) == (before.limit, before.period_ms, before.grant)
    assert state.theirs.spent == 0
