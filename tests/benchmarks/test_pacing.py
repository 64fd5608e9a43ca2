"""How often a slow contestant runs."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.figures import ALL_THERE, Round
from benchmarks.pacing import LEFT_OUT_FROM_S, ONE_ROUND_FROM_S, Pace

SLOW = Round(
    contestant="slow",
    number=1,
    verdict=ALL_THERE,
    wall_s=30.0,
    cpu_s=1.0,
    peak_bytes=1,
    requests={"search": 100},
)


def test_nothing_is_expected_of_an_unknown_contestant_so_it_runs_as_often_as_wanted() -> None:
    pace = Pace()
    assert pace.expected_s("datadog", "slow", rows=10, latency_ms=0) is None
    assert pace.rounds(None, 3) == 3


def test_time_grows_with_rows_and_with_requests_that_wait() -> None:
    pace = Pace()
    pace.learn("datadog", [SLOW], rows=1000, latency_ms=0)
    assert pace.expected_s("datadog", "slow", rows=2000, latency_ms=0) == 60.0
    assert pace.expected_s("datadog", "slow", rows=1000, latency_ms=100) == 40.0
    assert pace.expected_s("azure", "slow", rows=1000, latency_ms=0) is None


def test_waiting_is_not_taken_for_work() -> None:
    pace = Pace()
    pace.learn("datadog", [SLOW], rows=1000, latency_ms=200)
    assert pace.expected_s("datadog", "slow", rows=1000, latency_ms=0) == 10.0


def test_start_up_is_expected_once_however_many_rows() -> None:
    pace = Pace()
    pace.learn("datadog", [replace(SLOW, wall_s=3.0, carry_s=1.0)], rows=1000, latency_ms=0)
    assert pace.expected_s("datadog", "slow", rows=10_000, latency_ms=0) == 12.0


def test_a_slow_contestant_runs_once_and_a_hopeless_one_not_at_all() -> None:
    pace = Pace()
    assert pace.rounds(ONE_ROUND_FROM_S, 3) == 1
    assert pace.rounds(LEFT_OUT_FROM_S, 3) == 0


def test_a_patient_run_leaves_nothing_out() -> None:
    assert Pace(patient=True).rounds(LEFT_OUT_FROM_S, 3) == 3


def test_one_round_of_a_minute_is_enough_and_shorter_ones_are_repeated() -> None:
    rounds = [SLOW, replace(SLOW, contestant="slower", wall_s=ONE_ROUND_FROM_S)]
    assert Pace().is_quick("slow", rounds)
    assert not Pace().is_quick("slower", rounds)
    assert Pace(patient=True).is_quick("slower", rounds)
