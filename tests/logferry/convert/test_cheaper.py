"""Which of two ways takes less, by what they took."""

from __future__ import annotations

import pytest

from logferry.convert.cheaper import Cheaper


def settled(first: float, second: float) -> Cheaper:
    ways = Cheaper()
    for way, trial in [(0, first), (1, second)] * 2:
        assert ways.choose() == (way, True)
        ways.took(way, trial, 10)
    return ways


@pytest.mark.parametrize(("first", "second", "better"), [(1.0, 2.0, 0), (2.0, 1.0, 1), (1.0, 1.0, 0)])
def test_both_are_tried_twice_and_then_the_better_is_gone(first: float, second: float, better: int) -> None:
    ways = settled(first, second)
    for _ in range(31):
        assert ways.choose() == (better, False)
        ways.took(better, (first, second)[better], 10)


def test_what_disturbed_one_trial_does_not_decide() -> None:
    ways = Cheaper()
    for way, took in [(0, 90.0), (1, 2.0), (0, 1.0), (1, 2.0)]:
        assert ways.choose() == (way, True)
        ways.took(way, took, 10)
    assert ways.choose() == (0, False)


def test_what_is_counted_is_the_time_of_a_byte() -> None:
    ways = Cheaper()
    for way, size in [(0, 10), (1, 100)] * 2:
        ways.choose()
        ways.took(way, 5.0, size)
    assert ways.choose() == (1, False)


def test_rows_that_change_are_noticed_by_trying_the_other_way_again() -> None:
    ways = settled(1.0, 2.0)
    gone = []
    for _ in range(100):
        way, _ = ways.choose()
        gone.append(way)
        ways.took(way, 1.0 if way == 0 else 0.5, 10)
    assert gone[:31] == [0] * 31
    assert gone[31:63] == [1] * 32
