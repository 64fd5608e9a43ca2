"""A worker that dies in the middle of a chunk, and the next try of its task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from logferry.spec import ExportSpec
from logferry_airflow import kept_plan, task_progress
from logferry_airflow.operators.datadog import DatadogLogsToParquetOperator
from logferry_airflow.operators.export import ExportChunkOperator, ExportPlanOperator, PublishOperator
from logferry_airflow.task_progress import KEY
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]

PROJECT = Path(__file__).resolve().parents[2]
SEARCH = "POST /api/v2/logs/events/search"
SLICES_WITH_ROWS = 5
"""Of the six of the window; each is one part."""

DYING_TRY = """
import json, os, signal, sys
from pathlib import Path
from types import SimpleNamespace
from logferry.spec import export_from
from logferry_airflow import task_progress
from logferry_airflow.operators.export import ExportChunkOperator

task_progress.SAVE_EVERY_S = 0.0
asked = json.loads(sys.argv[1])

class Saved(dict):
    def set(self, key, value):
        Path(asked["states"]).write_text(json.dumps({key: value}))
        if sum(part["rows"] > 0 for part in value["parts"]) >= 3:
            os.kill(os.getpid(), signal.SIGKILL)

    def delete(self, key):
        raise AssertionError("it is not done")

spec = export_from(asked["spec"], where="test")
context = {"run_id": "manual__1", "ti": SimpleNamespace(try_number=1), "task_state_store": Saved()}
ExportChunkOperator(task_id="export", spec=spec, chunk=asked["chunk"]).execute(context)
"""


class States(dict[str, Any]):
    """A task state store that outlives the tries of its task."""

    def set(self, key: str, value: Any) -> None:
        assert json.loads(json.dumps(value)) == value
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part that is finished is kept at once."""
    monkeypatch.setattr(task_progress, "SAVE_EVERY_S", 0.0)


class Killed(BaseException):
    """Like SIGTERM, which Airflow also turns into no ordinary exception."""


class Dying(States):
    """A worker that dies when it has saved its progress of three parts."""

    is_dead = False

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        if parts_in(States({key: value})) >= 3 and not self.is_dead:
            self.is_dead = True
            raise Killed


def parts_in(states: States) -> int:
    """Parts that a next try need not fetch; the part of an empty slice never costs a search."""
    return sum(part["rows"] > 0 for progress in states.values() for part in progress.get("parts", ()))


def searches(datadog: DatadogSandbox) -> int:
    return sum(datadog.api.plan.stats()["requests"].get(SEARCH, {}).values())


def rows_in(lake: Path, name: str) -> int:
    return sum(pq.read_metadata(path).num_rows for path in (lake / name).rglob("*.parquet"))


def test_after_sigkill_the_next_try_fetches_only_what_was_not_finished(
    datadog: DatadogSandbox,
    make_spec: Callable[..., ExportSpec],
    run_context: Callable[..., Any],
    lake: Path,
    tmp_path: Path,
) -> None:
    spec, context = make_spec(), run_context()
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    states = tmp_path / "states.json"
    definition = {
        "name": "everything",
        "source": {"kind": "datadog", "connection": "dd_test", "query": "*"},
        "schedule": "0 */6 * * *",
        "start": "2026-01-01T00:00:00Z",
        "settle": "0m",
        "destination": {"url": lake.as_uri()},
    }
    asked = json.dumps({"spec": definition, "chunk": chunk, "states": str(states)})
    before = searches(datadog)
    paths = os.pathsep.join([str(PROJECT / "include"), str(PROJECT / "plugins")])
    died = subprocess.run(
        [sys.executable, "-c", DYING_TRY, asked],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    asked_of_it = searches(datadog) - before
    kept = States(json.loads(states.read_text()))
    assert 3 <= parts_in(kept) <= asked_of_it
    to_fetch = SLICES_WITH_ROWS - parts_in(kept)
    export = ExportChunkOperator(task_id="export", spec=spec, chunk=chunk)
    result = export.execute({**context, "task_state_store": kept})
    assert searches(datadog) - before == asked_of_it + to_fetch
    assert kept == {}

    summary = PublishOperator(task_id="publish", spec=spec, results=[result]).execute(context)
    assert summary["status"] == "proven"
    assert summary["rows"] == summary["source_rows"] == rows_in(lake, "everything") > 0


def test_a_successful_task_that_is_cleared_starts_over(
    datadog: DatadogSandbox, make_spec: Callable[..., ExportSpec], run_context: Callable[..., Any]
) -> None:
    spec, states = make_spec(), States()
    context = run_context(task_state_store=states)
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    for _ in range(2):
        before = searches(datadog)
        ExportChunkOperator(task_id="export", spec=spec, chunk=chunk).execute(context)
        assert searches(datadog) - before == SLICES_WITH_ROWS
        assert states == {}


def test_the_progress_of_another_definition_is_not_used(
    datadog: DatadogSandbox, make_spec: Callable[..., ExportSpec], run_context: Callable[..., Any]
) -> None:
    states = Dying()
    spec = make_spec()
    context = run_context(task_state_store=states)
    (chunk,) = ExportPlanOperator(task_id="plan", spec=spec).execute(context)
    with pytest.raises(Killed):
        ExportChunkOperator(task_id="export", spec=spec, chunk=chunk).execute(context)
    other = make_spec(columns={"duration": {"path": "duration", "type": "float64"}})
    context["task_state_store"] = States(states)
    (chunk,) = ExportPlanOperator(task_id="plan", spec=other).execute(context)
    before = searches(datadog)
    ExportChunkOperator(task_id="export", spec=other, chunk=chunk).execute(context)
    assert searches(datadog) - before == SLICES_WITH_ROWS


def test_a_task_that_carries_a_whole_window_goes_on_too(
    datadog: DatadogSandbox, run_context: Callable[..., Any], lake: Path
) -> None:
    operator = DatadogLogsToParquetOperator(
        task_id="carry", name="by_hand", datadog_conn_id="dd_test", destination_url=lake.as_uri()
    )
    states: States = Dying()
    before = searches(datadog)
    with pytest.raises(Killed):
        operator.execute(run_context(task_state_store=states))
    assert all(key.startswith((KEY, kept_plan.KEY)) for key in states)
    states = States(states)
    asked_of_it, to_fetch = searches(datadog) - before, SLICES_WITH_ROWS - parts_in(states)
    assert 0 <= to_fetch < SLICES_WITH_ROWS
    summary = operator.execute(run_context(task_state_store=states))
    assert searches(datadog) - before == asked_of_it + to_fetch
    assert summary["rows"] == summary["source_rows"] == rows_in(lake, "by_hand") > 0
    assert states == {}
    assert not list(lake.glob("_staging/**/*.staged"))
