"""The time reckoned beforehand is the time it takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.logferry.budget.simulation import START_MS, Api

from logferry.budget.allowance import Allowance
from logferry.budget.learning import learn


@pytest.mark.parametrize(("limit", "period_s"), [(3, 10), (2, 10), (30, 10), (60, 60), (300, 3600)])
@pytest.mark.parametrize("requests", [1, 2, 5, 40, 333])
@pytest.mark.parametrize("begin_ms", [0, 4_000, 9_900])
def test_the_forecast_is_within_a_tenth_or_two_seconds(
    limit: int, period_s: int, requests: int, begin_ms: int
) -> None:
    api, state = Api(limit, period_s * 1000), Allowance()
    now = START_MS - START_MS % (period_s * 1000) + begin_ms
    one_by_one(api, state, now, 1)
    now += 500
    forecast = state.forecast(now, {"here"})
    assert forecast is not None
    took = (one_by_one(api, state, now, requests) - now) / 1000
    assert forecast.seconds_for(requests) == pytest.approx(took, rel=0.1, abs=2)


def one_by_one(api: Api, state: Allowance, now: int, requests: int) -> int:
    """When the last of so many answers is there."""
    for _ in range(requests):
        while wait_ms := state.take(now, "here"):
            now += wait_ms + 50
        answer = api.ask(now + 20)
        assert answer.status == 200
        learn(state, now, now + 300, answer)
        now += 300
    return now


@pytest.fixture
def learned() -> Callable[[str], Allowance]:
    def make(share: str) -> Allowance:
        api, state = Api(30, 10_000), Allowance()
        state.take(START_MS, share)
        learn(state, START_MS, START_MS + 100, api.ask(START_MS))
        return state

    return make


def test_nothing_is_forecast_before_an_allowance_is_known() -> None:
    assert Allowance().forecast(START_MS, {"here"}) is None


def test_others_at_work_make_it_longer(learned: Callable[[str], Allowance]) -> None:
    alone, shared = learned("here"), learned("here")
    shared.take(START_MS + 200, "another export")
    times = [state.forecast(START_MS + 300, {"here"}) for state in (alone, shared)]
    assert times[0] is not None
    assert times[1] is not None
    assert times[1].sharing == 2
    assert times[1].seconds_for(270) > 1.8 * times[0].seconds_for(270)


def test_a_larger_allowance_makes_it_shorter(learned: Callable[[str], Allowance]) -> None:
    forecast = learned("here").forecast(START_MS + 300, {"here"})
    assert forecast is not None
    assert forecast.seconds_for(540) > 170
    assert forecast.times(10).seconds_for(540, at_once=16) < 30
    assert forecast.seconds_for(0) == 0


def test_where_answers_are_slower_than_the_allowance_they_decide(learned: Callable[[str], Allowance]) -> None:
    state = learned("here")
    state.answer_ms = 60_000
    forecast = state.forecast(START_MS + 300, {"here"})
    assert forecast is not None
    assert forecast.seconds_for(8, at_once=4) == 120
