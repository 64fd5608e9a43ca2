"""How many lanes are worth having, by what the pages took."""

from __future__ import annotations

import pytest

from logferry.fetching.pace import Pace

MIB = 1024 * 1024


def pace_of(waited_s: float, worked_s: float, size: int = MIB) -> Pace:
    pace = Pace()
    for _ in range(20):
        pace.came(waited_s, worked_s, size)
    return pace


@pytest.mark.parametrize(
    ("waited_s", "worked_s", "lanes"),
    [
        (0.0, 0.010, 2),
        (0.004, 0.010, 2),
        (0.010, 0.010, 3),
        (0.065, 0.010, 14),
        (0.100, 0.010, 17),
        (10.0, 0.010, 17),
        (1.0, 0.0, 17),
    ],
)
def test_the_longer_a_page_is_under_way_the_more_lanes(waited_s: float, worked_s: float, lanes: int) -> None:
    assert pace_of(waited_s, worked_s).lanes(16, places=1, per_second=None, memory=64 * MIB) == lanes


@pytest.mark.parametrize(("places", "lanes"), [(1, 3), (2, 6), (3, 9)])
def test_each_place_where_pages_are_worked_on_is_fed(places: int, lanes: int) -> None:
    assert pace_of(0.010, 0.010).lanes(16, places=places, per_second=None, memory=64 * MIB) == lanes
    assert pace_of(0.001, 0.100).lanes(16, places=places, per_second=None, memory=64 * MIB) == places + 1


def test_a_wait_for_a_busy_processor_is_no_reason_for_more_lanes() -> None:
    pace = pace_of(0.5, 0.01)
    pace.came(0.001, 0.01, MIB)
    assert pace.lanes(16, places=1, per_second=None, memory=64 * MIB) == 2


@pytest.mark.parametrize(("per_second", "lanes"), [(0.27, 2), (10.0, 2), (27.0, 4), (1_000.0, 17)])
def test_more_lanes_than_the_allowance_can_feed_are_not_wanted(per_second: float, lanes: int) -> None:
    assert pace_of(0.099, 0.001).lanes(16, places=1, per_second=per_second, memory=64 * MIB) == lanes


@pytest.mark.parametrize(("size", "lanes"), [(MIB, 17), (4 * MIB, 5), (64 * MIB, 2)])
def test_large_answers_are_fetched_by_few_lanes(size: int, lanes: int) -> None:
    assert pace_of(1.0, 0.001, size).lanes(16, places=1, per_second=None, memory=64 * MIB) == lanes


@pytest.mark.parametrize(("size", "lanes"), [(MIB, 10), (10 * MIB, 1), (64 * MIB, 1)])
def test_beside_another_process_one_lane_for_large_answers_is_enough(size: int, lanes: int) -> None:
    pace = pace_of(1.0, 0.001, size)
    assert pace.lanes(16, places=1, per_second=None, memory=32 * MIB, least=1) == lanes


@pytest.mark.parametrize(("size", "lanes"), [(MIB, 4), (7 * MIB, 3), (44 * MIB, 2)])
def test_large_answers_that_are_expected_are_not_tried_many_at_once(size: int, lanes: int) -> None:
    pace = Pace()
    pace.expect(size)
    assert pace.lanes(16, places=1, per_second=None, memory=64 * MIB) == lanes


@pytest.mark.parametrize(("places", "lanes"), [(1, 5), (2, 6), (3, 7)])
def test_while_some_wait_for_all_the_answers_there_may_be_others_work_on_those_that_came(
    places: int, lanes: int
) -> None:
    assert pace_of(0.100, 0.010).lanes(4, places=places, per_second=None, memory=64 * MIB) == lanes


@pytest.mark.parametrize(("most", "lanes"), [(2, 2), (4, 4), (16, 4)])
def test_before_the_first_page_a_few_lanes_are_tried(most: int, lanes: int) -> None:
    assert Pace().lanes(most, places=1, per_second=None, memory=64 * MIB) == lanes


def test_a_small_allowance_is_not_spent_on_trying() -> None:
    assert Pace().lanes(16, places=1, per_second=0.27, memory=64 * MIB) == 2
