"""The time to go while an export runs: by the allowance where that is what holds it up, else by the speed."""

from __future__ import annotations

import pytest
from tests.logferry.conftest import ManualClock

from logferry.budget import Forecast
from logferry.cli.remaining import Remaining
from logferry.plan import Plan
from logferry.records.manifest import Span
from logferry.sources.base import SourceSchema

FORECAST = Forecast(
    limit=3, period_s=10.0, reserve=0.1, others=0.0, due=2.7, left=0, carried=0.0, next_s=10.0, sharing=1, answer_s=0.1
)  # fmt: skip


def plan(rows: int | None, requests: int) -> Plan:
    at = "2026-11-20T00:00:00Z"
    return Plan(
        export="web",
        window=Span(start=at, end="2026-11-21T00:00:00Z"),
        started_at=at,
        counted_at=at,
        rows=rows,
        requests=requests,
        bytes=None,
        eta_s=None,
        slices=[],
        schema=SourceSchema((), has_id=True),
        spent={},
        fingerprint="sha256:x",
    )


def test_before_the_first_answers_the_plan_counts(clock: ManualClock) -> None:
    remaining = Remaining(plan(40_000, 40), lambda: FORECAST, 16, clock)
    assert remaining.requests == 40
    assert remaining.seconds() == pytest.approx(FORECAST.seconds_for(40), abs=1)


def test_answers_that_hold_fewer_rows_than_planned_make_more_of_them(clock: ManualClock) -> None:
    remaining = Remaining(plan(40_000, 40), lambda: None, 16, clock)
    for _ in range(20):
        remaining.page(500)
    assert remaining.requests == 45, "twenty as planned would have brought half of the rows"
    for _ in range(40):
        remaining.page(500)
    assert remaining.requests == 18
    for _ in range(20):
        remaining.page(500)
    assert remaining.requests == 0


def test_a_few_answers_that_hold_fewer_rows_change_nothing(clock: ManualClock) -> None:
    remaining = Remaining(plan(40_000, 40), lambda: None, 16, clock)
    remaining.page(300)
    assert remaining.requests == 39


def test_a_slow_server_is_reckoned_by_its_speed(clock: ManualClock) -> None:
    free = Forecast(
        **{**FORECAST.to_json(), "due": 900.0, "left": 900, "carried": 0.0, "next_s": 1.0, "answer_s": 0.1}
    )
    remaining = Remaining(plan(40_000, 40), lambda: free, 16, clock)
    for _ in range(10):
        clock.sleep(60)
        remaining.page(1000)
    assert remaining.seconds() == pytest.approx(30 * 60, rel=0.01)


def test_where_the_allowance_holds_it_up_the_allowance_counts(clock: ManualClock) -> None:
    remaining = Remaining(plan(40_000, 40), lambda: FORECAST, 16, clock)
    for _ in range(10):
        clock.sleep(3.7)
        remaining.page(1000)
    assert remaining.seconds() == pytest.approx(FORECAST.seconds_for(30, at_once=16))


def test_an_uncounted_window_is_reckoned_by_its_requests(clock: ManualClock) -> None:
    remaining = Remaining(plan(None, 24), lambda: None, 16, clock)
    remaining.page(10)
    assert remaining.requests == 23
    assert remaining.seconds() is None


def test_a_connection_that_takes_fewer_at_once_takes_longer(clock: ManualClock) -> None:
    wide = Forecast(
        **{**FORECAST.to_json(), "due": 9000.0, "left": 9000, "carried": 0.0, "next_s": 5.0, "answer_s": 0.8}
    )
    assert Remaining(plan(800_000, 800), lambda: wide, 4, clock).seconds() == pytest.approx(160, rel=0.05)
    assert Remaining(plan(800_000, 800), lambda: wide, 16, clock).seconds() == pytest.approx(40, rel=0.05)
