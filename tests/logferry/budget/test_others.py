"""How much others spend, and how likely they leave nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.budget.others import Others

RATES = st.floats(0.05, 400)
LEFT = st.integers(1, 400)
PARTS = st.floats(0, 1)


def asking(rate: float, watched: float = 1.0) -> Others:
    """Others who were seen for long."""
    return Others(mean=rate * watched, watched=watched, periods=1000)


def test_what_was_seen_in_half_of_each_period_is_half_of_what_they_spend() -> None:
    others = Others()
    for _ in range(100):
        others.spent = 3
        others.next_period(0.5, 1)
    assert others.rate == pytest.approx(6, rel=0.01)


def test_a_period_of_which_nothing_was_told_says_nothing_of_how_much_was_watched() -> None:
    others = asking(5)
    others.next_period(0.0, 1)
    assert (others.watched, others.periods) == (1.0, 1000)


def test_what_was_seen_fades_in_a_period_that_nobody_watched_as_in_many_at_once() -> None:
    one_by_one, at_once, watched = asking(5), asking(5), asking(5)
    for _ in range(30):
        one_by_one.next_period(0.0, 1)
    at_once.next_period(0.0, 30)
    assert one_by_one.rate == pytest.approx(at_once.rate) == pytest.approx(5 * 0.9**30)
    watched.spent = 5
    watched.next_period(1.0, 1)
    assert watched.rate == 5


def test_what_was_seen_long_ago_fades() -> None:
    others = asking(5)
    others.next_period(0.0, 100)
    assert not others.are_about


def test_one_that_was_seen_in_a_moment_is_not_taken_for_a_crowd() -> None:
    others = Others(mean=0.1, watched=0.01, periods=1000)
    assert others.rate <= 0.4


@given(RATES, LEFT, PARTS, PARTS)
def test_the_chance_grows_with_the_time_and_falls_with_what_is_left(
    rate: float, left: int, one: float, other: float
) -> None:
    others = asking(rate)
    sooner, later = sorted((one, other))
    assert 0 <= others.chance_of_refusal(left, sooner) <= others.chance_of_refusal(left, later) + 1e-4
    assert others.chance_of_refusal(left + 1, later) <= others.chance_of_refusal(left, later) + 1e-4
    assert others.chance_of_refusal(left, later) <= 1
    assert others.chance_of_refusal(0, later) == 1


def test_the_last_of_three_is_lost_as_often_as_the_documentation_says() -> None:
    others = asking(0.9)
    others.mean -= 0.05  # What is feared beyond what was seen.
    assert others.chance_of_refusal(1, 0.05) == pytest.approx(0.044, abs=0.0005)


@given(RATES, LEFT, st.sampled_from([0.001, 0.005, 0.05]))
def test_a_safe_part_is_safe(rate: float, left: int, chance: float) -> None:
    others = asking(rate)
    safe = others.safe_part(left, chance)
    assert 0 <= safe <= 1
    assert others.chance_of_refusal(left, safe) <= chance
    assert safe == 1 or others.chance_of_refusal(left, min(1.0, safe + 0.001)) > chance


@given(RATES, st.floats(-1, 400))
def test_they_get_no_more_than_they_ask_for_and_no_more_than_there_is(rate: float, room: float) -> None:
    got = asking(rate).will_get(room)
    assert -1e-9 <= got <= min(rate, max(room, 0.0)) + 1e-6


def test_they_get_less_than_they_ask_for_where_they_come_at_random() -> None:
    # Of 6 asked for on the average, at most 6 each time: 6 - E[(N - 6)+] of a Poisson distribution.
    assert asking(6).will_get(6) == pytest.approx(5.036, abs=0.001)
