"""The arithmetic of an allowance, in made-up time: nearly all of it is used, nearly nothing is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logferry.budget.simulation import START_MS, Api, simulate

from logferry.budget.allowance import Allowance
from logferry.budget.headers import RateAnswer
from logferry.budget.learning import learn
from logferry.budget.others import Others

PERIODS = {10: 150, 30: 25, 3600: 6}


@pytest.mark.parametrize("latency_ms", [(0, 0), (0, 300), (0, 2000)])
@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize(("limit", "period_s"), [(3, 10), (300, 3600), (200, 30)])
def test_while_work_remains_the_allowance_less_the_reserve_is_used(
    limit: int, period_s: int, workers: int, latency_ms: tuple[int, int]
) -> None:
    outcome = simulate(
        Api(limit, period_s * 1000),
        [f"export {number % 4}" for number in range(workers)],
        latency_ms=latency_ms,
        periods=PERIODS[period_s],
    )
    can_send = workers * period_s * 2000 / max(1, sum(latency_ms))
    assert outcome.refused_share <= 0.01
    assert outcome.use <= 1.001
    if can_send > limit:
        assert outcome.use >= 0.98


@pytest.mark.parametrize("workers", [1, 4, 16])
@pytest.mark.parametrize("latency_ms", [(0, 300), (0, 2000)])
def test_an_allowance_that_answers_do_not_name_is_counted_over_a_sliding_period(
    workers: int, latency_ms: tuple[int, int]
) -> None:
    outcome = simulate(
        Api(200, 30_000, sliding=True),
        [f"export {number % 4}" for number in range(workers)],
        latency_ms=latency_ms,
        periods=25,
        allowance=Allowance.documented(200, 30_000),
    )
    assert outcome.refused == 0
    if workers * 60_000 / sum(latency_ms) > 200:
        assert outcome.use >= 0.98


@pytest.mark.parametrize(("limit", "period_s", "foreign"), [(3, 10, 0.1), (300, 3600, 0.4), (200, 30, 0.4)])
@pytest.mark.parametrize("workers", [4, 16])
def test_what_others_spend_is_left_to_them(limit: int, period_s: int, foreign: float, workers: int) -> None:
    outcome = simulate(
        Api(limit, period_s * 1000),
        [f"export {number % 4}" for number in range(workers)],
        latency_ms=(0, 1000),
        periods=PERIODS[period_s],
        foreign_per_period=limit * foreign,
    )
    assert outcome.use >= 0.98
    assert outcome.refused_share <= 0.01
    # Of a tiny allowance there is no more to leave than the reserve; of another they get most of what they ask for.
    assert limit < 10 or outcome.foreign >= 0.6 * limit * foreign * PERIODS[period_s]


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize(
    ("limit", "foreign"), [(3, 0.3), (3, 0.6), (5, 0.6), (10, 0.3), (10, 0.6), (10, 1.0), (30, 1.0)]
)
def test_others_who_ask_for_much_at_random_seldom_make_a_request_fail(
    limit: int, foreign: float, workers: int
) -> None:
    periods = 400
    outcome = simulate(
        Api(limit, 10_000),
        [f"export {number % 4}" for number in range(workers)],
        latency_ms=(0, 1000),
        periods=periods,
        foreign_per_period=limit * foreign,
    )
    assert outcome.refused_share <= 0.0125
    assert outcome.use >= 0.95
    if foreign <= 0.6:
        assert outcome.foreign >= 0.4 * limit * foreign * periods


@pytest.mark.parametrize(("limit", "most_refused"), [(2, 0.02), (3, 0.02)])
def test_where_others_ask_for_all_of_a_tiny_allowance_few_requests_fail(
    limit: int, most_refused: float
) -> None:
    """The bound of the module's docstring: what they take before our request comes cannot be known."""
    outcome = simulate(
        Api(limit, 10_000), ["export"] * 4, latency_ms=(0, 1000), periods=600, foreign_per_period=limit
    )
    assert outcome.refused_share <= most_refused


@pytest.mark.parametrize("late_ms", [0, 250, 350, 600])
@pytest.mark.parametrize(("limit", "theirs"), [(2, 2.0), (3, 4.0), (5, 5.0)])
def test_workers_that_wake_up_late_find_out_that_others_are_gone(
    limit: int, theirs: float, late_ms: int
) -> None:
    state = learned(limit, 10_000)
    state.theirs = Others(mean=theirs, periods=100)
    outcome = simulate(
        Api(limit, 10_000), ["export"], latency_ms=(200, 200), periods=150, allowance=state, late_ms=late_ms
    )
    assert outcome.use >= 0.8
    assert outcome.refused == 0


@pytest.mark.parametrize("late_ms", [250, 600])
@pytest.mark.parametrize("limit", [3, 5])
def test_workers_that_wake_up_late_go_on_while_others_ask_for_all(limit: int, late_ms: int) -> None:
    outcome = simulate(
        Api(limit, 10_000),
        ["export"] * 8,
        latency_ms=(0, 1000),
        periods=300,
        foreign_per_period=limit,
        late_ms=late_ms,
    )
    assert outcome.use >= 0.8
    assert outcome.refused_share <= 0.05


@given(
    limit=st.integers(1, 300),
    theirs=st.floats(0, 300),
    period_ms=st.sampled_from([1000, 10_000, 60_000, 3_600_000]),
    late=st.floats(0, 0.9),
    refused=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_however_late_in_each_period_one_asks_a_request_goes_in_the_end(
    limit: int, theirs: float, period_ms: int, late: float, refused: bool
) -> None:
    """What is taken for too dangerous for a whole period is so for a hundred periods at most."""
    state = learned(limit, period_ms)
    state.theirs = Others(mean=theirs, periods=100)
    if refused:
        state.risk = -0.05
    begins = state.period.ends_ms
    assert any(
        state.take(begins + number * period_ms + int(late * period_ms), "here") == 0 for number in range(100)
    )


def test_a_caller_that_would_rather_come_back_is_told_that_the_last_one_is_not_safe() -> None:
    state = learned(1, 3_600_000)
    state.theirs = Others(mean=3.0, periods=100)
    now = state.period.ends_ms + 1_800_000
    assert state.take(now, "here") == 1_800_000
    assert state.wait_ms(now) == 1_800_000
    begins = state.period.ends_ms
    assert state.wait_ms(begins) == 0
    assert state.take(begins, "here") <= 60_000
    assert state.take(begins + 60_000, "here") == 0, "nothing more can be known by waiting"


def test_one_that_comes_late_in_a_long_period_is_worth_trying_unless_it_will_probably_fail() -> None:
    for rate, goes in ((3.0, True), (15.0, False)):
        state = learned(5, 3_600_000)
        state.theirs = Others(mean=rate, periods=100)
        now = state.period.ends_ms + 1_800_000
        state.roll(now, 1)
        assert (state.wait_ms(now) == 0) is goes
        assert (state.take(now, "here") == 0) is goes
        assert (state.wait_ms(now) == 0) is goes, "its answer will tell"


@given(st.integers(1, 300), st.floats(0.1, 100), st.integers(0, 3_600_000))
def test_no_request_that_could_go_now_is_held_back_for_more_than_a_minute(
    limit: int, rate: float, into_ms: int
) -> None:
    state = learned(limit, 3_600_000)
    state.theirs = Others(mean=rate, periods=100)
    now = state.period.ends_ms + into_ms
    state.roll(now, 1)
    could_go = state.wait_ms(now) == 0
    assert not could_go or state.take(now, "here") <= 60_000


def test_after_a_refusal_the_first_of_a_period_goes_at_its_very_beginning() -> None:
    state = learned(3, 10_000)
    state.theirs = Others(mean=1.0, periods=100)
    learn(state, START_MS, START_MS, answer(3, 10_000, remaining=0, status=429))
    now = START_MS + state.take(START_MS, "here")
    assert state.take(now, "here") == 0


@given(
    skew_ms=st.integers(-5_000, 5_000),
    workers=st.sampled_from([1, 4, 16]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25)
def test_a_clock_that_differs_from_the_apis_costs_next_to_nothing(
    skew_ms: int, workers: int, seed: int
) -> None:
    outcome = simulate(
        Api(3, 10_000, skew_ms=skew_ms), ["export"] * workers, latency_ms=(0, 300), periods=100, seed=seed
    )
    assert outcome.refused_share <= 0.02
    assert outcome.use >= 0.93


@pytest.mark.parametrize(("limit", "period_s"), [(60, 60), (200, 30)])
def test_machines_that_do_not_see_each_other_share_by_what_remains(limit: int, period_s: int) -> None:
    outcome = simulate(
        Api(limit, period_s * 1000),
        [f"machine {number % 2}" for number in range(8)],
        latency_ms=(0, 800),
        periods=60,
        boards=2,
    )
    assert outcome.refused_share <= 0.01
    assert outcome.use >= 0.98
    assert min(outcome.answered.values()) >= 0.8 * max(outcome.answered.values())


@pytest.mark.parametrize(
    ("limit", "period_s", "most_refused", "least_use"),
    [(3, 10, 0.06, 0.8), (10, 10, 0.015, 0.85), (60, 60, 0.0, 0.98)],
)
def test_three_machines_that_do_not_see_each_other_have_little_refused_but_for_the_tiniest_allowance(
    limit: int, period_s: int, most_refused: float, least_use: float
) -> None:
    outcome = simulate(
        Api(limit, period_s * 1000),
        [f"machine {number % 3}" for number in range(12)],
        latency_ms=(0, 800),
        periods=120,
        boards=3,
    )
    assert outcome.refused_share <= most_refused
    assert least_use <= outcome.use <= 1.02, "the reserve is left, though they do not see each other"


@pytest.mark.parametrize(("limit", "period_s", "machines"), [(30, 10, 3), (60, 60, 2)])
def test_machines_that_lost_their_board_use_their_parts_whole(
    limit: int, period_s: int, machines: int
) -> None:
    outcome = simulate(
        Api(limit, period_s * 1000),
        [f"machine {number % machines}" for number in range(4 * machines)],
        latency_ms=(0, 800),
        periods=30,
        boards=machines,
        divided_by=machines,
    )
    assert outcome.refused == 0
    assert 0.98 <= outcome.use <= 1.001


@pytest.mark.parametrize(("limit", "period_s"), [(3, 10), (30, 10), (300, 60)])
def test_an_export_with_sixteen_lanes_does_not_starve_one_with_one(limit: int, period_s: int) -> None:
    outcome = simulate(
        Api(limit, period_s * 1000), ["wide"] * 16 + ["narrow"], latency_ms=(50, 350), periods=60
    )
    could = min(limit * 0.9 / 2, period_s / 0.25)
    assert outcome.answered["narrow"] >= 0.8 * could * 60
    assert outcome.use >= 0.98


def test_what_a_narrow_export_cannot_use_goes_to_the_wide_one_in_the_same_period() -> None:
    outcome = simulate(
        Api(100, 10_000), ["wide"] * 16 + ["slow"], latency_ms=(2000, 2000), periods=30, uplink=0.05
    )
    assert outcome.answered["slow"] <= 5 * 30 + 1
    assert outcome.answered["wide"] >= 74 * 30


def test_an_export_that_is_gone_holds_nobody_up_after_its_lease() -> None:
    state = learned(90, 60_000)
    state.take(START_MS, "gone")
    later = START_MS + 60_000 - START_MS % 60_000 + 60_000
    assert all(state.take(later, "here") == 0 for _ in range(81))
    assert state.take(later, "here") > 0


def learned(limit: int, period_ms: int, now_ms: int = START_MS) -> Allowance:
    state = Allowance()
    state.take(now_ms, "here")
    learn(state, now_ms, now_ms, answer(limit, period_ms, remaining=limit - 1, now_ms=now_ms))
    return state


def answer(
    limit: int, period_ms: int, *, remaining: int, now_ms: int = START_MS, status: int = 200
) -> RateAnswer:
    reset_ms = -(-(period_ms - now_ms % period_ms) // 1000) * 1000
    wait_ms = reset_ms if status == 429 else None
    return RateAnswer(
        status, limit=limit, period_ms=period_ms, remaining=remaining, reset_ms=reset_ms, wait_ms=wait_ms
    )


def test_before_the_first_answer_requests_go_one_by_one() -> None:
    state = Allowance()
    assert state.take(START_MS, "here") == 0
    assert state.take(START_MS + 1, "here") > 0
    learn(state, START_MS, START_MS + 200, RateAnswer())
    assert state.take(START_MS + 201, "here") == 0
    assert state.take(START_MS + 202, "here") == 0


def test_an_answer_that_never_comes_stops_nobody_for_long() -> None:
    state = Allowance()
    state.take(START_MS, "here")
    assert state.take(START_MS + 2000, "here") == 0


def test_a_late_answer_of_the_period_before_is_not_taken_for_this_one() -> None:
    state = learned(10, 10_000, START_MS - START_MS % 10_000)
    start = state.period.ends_ms
    state.take(start - 100, "here")
    state.take(start + 10, "here")
    late = RateAnswer(200, limit=10, period_ms=10_000, remaining=0, reset_ms=1000)
    learn(state, start - 100, start + 300, late)
    assert state.theirs.spent == 0
    assert state.take(start + 301, "here") == 0


def test_a_limit_that_falls_in_the_middle_of_a_period_is_obeyed_at_once() -> None:
    state = learned(300, 10_000)
    for _ in range(20):
        assert state.take(START_MS + 10, "here") == 0
    learn(state, START_MS + 10, START_MS + 20, answer(3, 10_000, remaining=0, now_ms=START_MS + 20))
    assert state.take(START_MS + 30, "here") == state.period.ends_ms - START_MS - 30


@given(st.integers(-(10**12), 10**12), st.integers(0, 100))
def test_a_clock_that_jumps_makes_nobody_wait_longer_than_a_period(jump_ms: int, before: int) -> None:
    state = learned(3, 10_000)
    for _ in range(before % 5):
        state.take(START_MS, "here")
    then = max(0, START_MS + jump_ms)
    assert state.take(then, "here") <= 10_000


ANSWERS = st.builds(
    RateAnswer,
    status=st.sampled_from([200, 429, 500]),
    limit=st.one_of(st.none(), st.integers(1, 10**9)),
    period_ms=st.sampled_from([1000, 10_000, 3_600_000]),
    remaining=st.one_of(st.none(), st.integers(0, 10**9)),
    reset_ms=st.one_of(st.none(), st.integers(0, 3_600_000)),
    wait_ms=st.one_of(st.none(), st.integers(0, 86_400_000)),
)


@settings(max_examples=30)
@given(st.lists(st.tuples(ANSWERS, st.integers(0, 100_000), st.integers(0, 5_000)), max_size=12))
def test_whatever_answers_say_a_request_is_let_go_within_a_period_or_the_pause_asked_for(
    answers: list[tuple[RateAnswer, int, int]],
) -> None:
    state, now = Allowance(), START_MS
    for given_, pause_ms, took_ms in answers:
        now += pause_ms
        state.take(now, "here")
        given_ = given_ if given_.limit is None or given_.period_ms else RateAnswer()
        learn(state, now, now + took_ms, given_)
        now += took_ms
        for _ in range(10_000):
            wait_ms = state.take(now, "other")
            if wait_ms == 0:
                break
            assert wait_ms <= max(state.period_ms + 1000, state.pause.until_ms - now)
            now += wait_ms
        assert wait_ms == 0
        assert state.is_sane
        assert state.period.spent >= 0
        assert state.theirs.spent >= 0


def test_a_clock_that_was_set_back_after_a_429_makes_nobody_wait_for_the_difference() -> None:
    state = Allowance()
    state.take(START_MS, "here")
    learn(state, START_MS, START_MS, RateAnswer(status=429, wait_ms=5_000))
    assert state.take(START_MS + 10, "here") == 4_990
    assert state.wait_ms(START_MS - 3_600_000) == 0
    assert state.take(START_MS - 3_600_000, "here") == 0


def test_a_reset_beyond_the_period_of_a_429_is_a_mistake() -> None:
    state = learned(3, 10_000)
    refused = RateAnswer(429, limit=3, period_ms=10_000, remaining=0, reset_ms=10_000, wait_ms=86_400_000)
    learn(state, START_MS, START_MS, refused)
    assert state.wait_ms(START_MS) <= 10_000
