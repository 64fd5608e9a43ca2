"""Which visits are started: a bounded number, oldest first, those that fail ever more rarely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.audit.small_world import DAY, HOUR, START, hours

from logferry.audit.starts import MOST_ASKED, MOST_RUNS, Ended, RunState, choose
from logferry.audit.survey import Visit


def visit(number: int) -> Visit:
    return Visit(hours(number, number + 1), 0, "missed")


NOW = START + 100 * DAY


def ended(hours_ago: int, starts: int = 1) -> Ended:
    return Ended(NOW - hours_ago * HOUR, starts)


def test_at_most_so_many_runs_are_under_way_and_the_oldest_come_first() -> None:
    visits = [visit(number) for number in range(MOST_RUNS + 5)]
    assert choose(visits, lambda _: "new", NOW) == [(one, False) for one in visits[:MOST_RUNS]]


def test_runs_under_way_are_not_started_again_and_take_their_place() -> None:
    visits = [visit(number) for number in range(MOST_RUNS + 5)]
    state: dict[Visit, RunState] = dict.fromkeys(visits[:3], "under way")
    chosen = choose(visits, lambda one: state.get(one, "new"), NOW)
    assert [one for one, _ in chosen] == visits[3:MOST_RUNS]


def test_a_run_that_failed_starts_again_and_holds_up_no_other() -> None:
    visits = [visit(number) for number in range(MOST_RUNS + 2)]
    failed = set(visits[:4])
    chosen = choose(visits, lambda one: ended(9) if one in failed else "new", NOW)
    assert len(chosen) == MOST_RUNS
    assert [one for one, again in chosen if not again] == visits[4:]
    assert [one for one, again in chosen if again] == visits[:2]


def test_however_many_always_fail_a_new_visit_is_started() -> None:
    visits = [visit(number) for number in range(MOST_ASKED)]
    chosen = choose(visits, lambda one: "new" if one == visits[-1] else ended(100), NOW)
    assert chosen[0] == (visits[-1], False)


def test_a_list_too_long_to_ask_about_is_gone_through_in_turns() -> None:
    visits = [visit(number) for number in range(3 * MOST_ASKED)]
    asked: set[Visit] = set()
    for turn in range(7):
        now = NOW + turn * HOUR
        before = len(asked)

        def state(one: Visit) -> RunState:
            asked.add(one)
            return ended(0)

        choose(visits, state, now)
        assert len(asked) - before <= MOST_ASKED
    assert asked == set(visits)


@pytest.mark.parametrize(
    ("starts", "pause"), [(0, 1), (1, 1), (2, 2), (3, 4), (6, 32), (7, 48), (8, 48), (10**6, 48)]
)
def test_the_pause_before_another_try_doubles_up_to_two_days(starts: int, pause: int) -> None:
    one = visit(0)
    assert choose([one], lambda _: ended(pause, starts), NOW) == [(one, True)]
    assert choose([one], lambda _: Ended(NOW - pause * HOUR + 1, starts), NOW) == []


def test_those_that_wait_longest_are_tried_first_so_that_all_get_their_turn() -> None:
    visits = [visit(number) for number in range(3 * MOST_RUNS)]
    runs = dict.fromkeys(visits, ended(50))
    tried: set[Visit] = set()
    for hour in range(3):
        now = NOW + hour * HOUR
        chosen = choose(visits, runs.__getitem__, now)
        assert len(chosen) == MOST_RUNS
        for one, _ in chosen:
            runs[one] = Ended(now, 2)
            tried.add(one)
    assert tried == set(visits)


@given(st.lists(st.sampled_from(["new", "under way", "ended", "pausing"]), max_size=60))
def test_no_pass_goes_beyond_the_bound_and_none_with_work_is_idle(states: list[str]) -> None:
    visits = [visit(number) for number in range(len(states))]
    known: dict[str, RunState] = {
        "new": "new",
        "under way": "under way",
        "ended": ended(5),
        "pausing": ended(0),
    }
    asked: list[Visit] = []

    def state(one: Visit) -> RunState:
        asked.append(one)
        return known[states[visits.index(one)]]

    chosen = choose(visits, state, NOW)
    under_way = sum(states[visits.index(one)] == "under way" for one in asked)
    assert len(chosen) + min(under_way, MOST_RUNS) <= MOST_RUNS
    assert all(states[visits.index(one)] == ("ended" if again else "new") for one, again in chosen)
    if {"new", "ended"} & set(states) and states.count("under way") == 0:
        assert chosen
