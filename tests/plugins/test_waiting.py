"""A wait of more than a minute is spent in the triggerer, between two slices, and nothing is fetched twice for it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import TaskDeferred

from logferry.budget import Budget
from logferry.errors import Unavailable
from logferry.spec import ExportSpec
from logferry_airflow import waiting
from logferry_airflow.operators.datadog import DatadogLogsToParquetOperator
from logferry_airflow.operators.export import ExportChunkOperator, ExportPlanOperator, PublishOperator
from logferry_airflow.waiting import LONGEST_FRUITLESS_S, WORTH_DEFERRING_S, defer_long_wait
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]

SEARCH = "POST /api/v2/logs/events/search"
SLICES_WITH_ROWS = 5
"""Of the six of the window; each is one search."""
Specs = Callable[..., ExportSpec]
Contexts = Callable[..., Any]


class States(dict[str, Any]):
    """A task state store that outlives deferrals."""

    def set(self, key: str, value: Any) -> None:
        assert json.loads(json.dumps(value)) == value
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


class Broken(States):
    """One that forgets everything."""

    def set(self, key: str, value: Any) -> None:
        raise ConnectionError("no API server")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the budget answers, one after the other, then 0: seconds until the next request may be sent."""
    answers: list[float] = []
    monkeypatch.setattr(Budget, "wait_s", lambda self, bucket: answers.pop(0) if answers else 0.0)
    return answers


def searches(datadog: DatadogSandbox) -> int:
    return sum(datadog.api.plan.stats()["requests"].get(SEARCH, {}).values())


def rows_in(lake: Path, name: str) -> int:
    return sum(pq.read_metadata(path).num_rows for path in (lake / name).rglob("*.parquet"))


def stretches(operator: Any, context: Any) -> Iterator[Any]:
    """Run the operator as Airflow does: each deferral is given out, then the task goes on; last its result."""
    go_on: Callable[[], Any] = lambda: operator.execute(context)  # noqa: E731 - replaced below
    while True:
        try:
            result = go_on()
        except TaskDeferred as deferred:
            yield deferred
            kwargs = json.loads(json.dumps(deferred.kwargs))
            resume = getattr(operator, deferred.method_name)
            go_on = lambda resume=resume, kwargs=kwargs: resume(context, event=None, **kwargs)  # noqa: E731
        else:
            yield result
            return


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_task_that_waits_between_slices_fetches_each_of_them_once_and_proves_all(
    in_flight: int,
    datadog: DatadogSandbox,
    make_spec: Specs,
    run_context: Contexts,
    lake: Path,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = json.loads(os.environ["AIRFLOW_CONN_DD_TEST"])
    connection["extra"]["in_flight"] = in_flight
    monkeypatch.setenv("AIRFLOW_CONN_DD_TEST", json.dumps(connection))
    spec, states = make_spec(), States()
    context = run_context(task_state_store=states)
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    before = searches(datadog)
    # Before the third slice that is to be fetched 600 s, also when the others are written; then that one at once, and
    # before the next 3000 s.
    waits += [0.0, 0.0, 600.0, 600.0, 0.0, 3000.0, 3000.0]
    *deferrals, result = stretches(ExportChunkOperator(task_id="export", spec=spec, chunk=chunk), context)
    seen = [round(deferred.kwargs["waited_s"]) for deferred in deferrals]
    assert seen == [600, 3000]
    assert searches(datadog) - before == SLICES_WITH_ROWS
    assert states == {}
    summary = PublishOperator(task_id="publish", spec=spec, results=[result]).execute(context)
    assert summary["status"] == "proven"
    assert summary["rows"] == summary["source_rows"] == rows_in(lake, "everything") > 0


def test_a_deferred_task_comes_back_when_the_allowance_does(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, waits: list[float]
) -> None:
    spec, context = make_spec(), run_context(task_state_store=States())
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    before = searches(datadog)
    waits += [600.0, 600.0]
    asked_at = datetime.now(UTC)
    deferred = next(stretches(ExportChunkOperator(task_id="export", spec=spec, chunk=chunk), context))
    assert isinstance(deferred.trigger, DateTimeTrigger)
    wait, jitter = timedelta(seconds=600), timedelta(seconds=waiting._JITTER_S)
    assert asked_at + wait <= deferred.trigger.moment <= datetime.now(UTC) + wait + jitter
    assert searches(datadog) == before  # nothing was asked of an allowance that is used up


def test_a_wait_that_was_over_when_the_pages_before_it_were_there_is_not_waited_for_again(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, waits: list[float]
) -> None:
    spec, context = make_spec(), run_context(task_state_store=States())
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    before = searches(datadog)
    waits += [0.0, 0.0, 600.0, WORTH_DEFERRING_S]
    (result,) = stretches(ExportChunkOperator(task_id="export", spec=spec, chunk=chunk), context)
    assert len(result["slices"]) == 6
    assert searches(datadog) - before == SLICES_WITH_ROWS


def test_what_is_left_of_a_wait_is_waited_for_and_not_what_it_was_before(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, waits: list[float]
) -> None:
    spec, context = make_spec(), run_context(task_state_store=States())
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    waits += [0.0, 0.0, 600.0, 200.0]
    deferred, _ = stretches(ExportChunkOperator(task_id="export", spec=spec, chunk=chunk), context)
    assert deferred.kwargs == {"waited_s": 200.0}


def test_a_wait_that_the_source_asked_for_is_not_looked_up_in_the_budget(
    datadog: DatadogSandbox,
    make_spec: Specs,
    run_context: Contexts,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec, context = make_spec(), run_context(task_state_store=States())
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)

    def asked_to_wait(*_: Any, **__: Any) -> Any:
        raise Unavailable("429", wait_s=900.0)

    monkeypatch.setattr("logferry.ferry.Ferry.export", asked_to_wait)
    deferred = next(stretches(ExportChunkOperator(task_id="export", spec=spec, chunk=chunk), context))
    assert deferred.kwargs == {"waited_s": 900.0}


def test_a_short_wait_stays_on_the_worker(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, waits: list[float]
) -> None:
    spec, context = make_spec(), run_context(task_state_store=States())
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    waits += [WORTH_DEFERRING_S] * 6
    (result,) = stretches(ExportChunkOperator(task_id="export", spec=spec, chunk=chunk), context)
    assert len(result["slices"]) == 6


def test_the_budget_is_asked_before_each_slice_that_is_fetched_and_not_after_the_last(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, waits: list[float]
) -> None:
    spec, context = make_spec(), run_context(task_state_store=States())
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    waits += [0.0] * SLICES_WITH_ROWS + [3000.0]
    (result,) = stretches(ExportChunkOperator(task_id="export", spec=spec, chunk=chunk), context)
    assert len(result["slices"]) == 6
    assert waits == [3000.0]


@pytest.mark.parametrize("store", [None, Broken()], ids=["none", "broken"])
def test_without_a_place_for_progress_a_task_waits_where_it_is(
    store: Any,
    datadog: DatadogSandbox,
    make_spec: Specs,
    run_context: Contexts,
    waits: list[float],
) -> None:
    spec, context = make_spec(), run_context(**({} if store is None else {"task_state_store": store}))
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    waits += [0.0, 600.0]
    operator = ExportChunkOperator(task_id="export", spec=spec, chunk=chunk)
    if store is None:
        assert len(operator.execute(context)["slices"]) == 6
    else:
        # Its retry policy makes the next try wait as long.
        with pytest.raises(Unavailable, match="600 s"):
            operator.execute(context)


def test_a_whole_window_in_one_task_defers_and_goes_on_too(
    datadog: DatadogSandbox, run_context: Contexts, lake: Path, waits: list[float]
) -> None:
    operator = DatadogLogsToParquetOperator(
        task_id="carry", name="by_hand", datadog_conn_id="dd_test", destination_url=lake.as_uri()
    )
    states = States()
    before = searches(datadog)
    waits += [0.0, 0.0, 600.0, 600.0]
    deferred, summary = stretches(operator, run_context(task_state_store=states))
    assert deferred.kwargs == {"waited_s": 600.0}
    assert searches(datadog) - before == SLICES_WITH_ROWS
    assert summary["status"] == "proven"
    assert summary["rows"] == summary["source_rows"] == rows_in(lake, "by_hand") > 0
    assert states == {}


def test_a_count_that_the_source_puts_off_defers_the_plan(
    datadog: DatadogSandbox,
    make_spec: Specs,
    run_context: Contexts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A budget of its own: the other tests must not wait for it.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    busy = {"status": 429, "headers": {"Retry-After": "1800"}}
    datadog.api.plan.replace(
        [{"fault": "http_error", "params": busy, "match": {"path_contains": "aggregate"}}]
    )
    deferred = next(stretches(ExportPlanOperator(task_id="plan", spec=make_spec()), run_context()))
    assert deferred.kwargs["waited_s"] == pytest.approx(1800, abs=5)


@pytest.mark.parametrize(
    ("wait_s", "waited_s", "defers"),
    [
        (None, 0.0, False),
        (60.0, 0.0, False),
        (61.0, 0.0, True),
        (3600.0, LONGEST_FRUITLESS_S - 3600.0, True),
        (3600.0, LONGEST_FRUITLESS_S - 3599.0, False),
    ],
)
def test_waits_that_bring_nothing_for_a_day_are_left_to_the_retries(
    wait_s: float | None, waited_s: float, defers: bool
) -> None:
    operator = BaseOperator(task_id="t")
    error = Unavailable("the source is busy", wait_s=wait_s)
    if not defers:
        defer_long_wait(operator, error, waited_s=waited_s)
        return
    with pytest.raises(TaskDeferred) as deferred:
        defer_long_wait(operator, error, waited_s=waited_s)
    assert wait_s is not None
    assert deferred.value.kwargs == {"waited_s": waited_s + wait_s}
    assert deferred.value.method_name == "resume"
