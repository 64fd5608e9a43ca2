"""What the tests of survey and audit share: an Airflow of two dicts, a clock, and past publications."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse

from logferry.clock import SystemClock
from logferry.opening import open_ferry
from logferry.spec import ExportSpec
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_SECOND,
    Window,
    format_compact,
    parse_instant,
    to_datetime,
)
from logferry_airflow.hooks.connections import connect
from logferry_airflow.operators.audit import AuditOperator
from logferry_airflow.operators.survey import SurveyOperator

NOW = SystemClock().now()
"""One time for all tests: a survey after midnight would find a day more to be missed."""


TODAY = NOW // TICK_PER_DAY * TICK_PER_DAY


AGGREGATE = "POST /api/v2/logs/analytics/aggregate"


class FakeAirflow:
    """What a task asks of Airflow: DAGs by id (paused or not), and runs."""

    try_number = 1

    def __init__(self) -> None:
        self.dags = {"export_shop": False}
        self.runs: list[tuple[str, datetime | None, str]] = []
        self.ended_hours_ago = 3
        self.cleared = 0

    def get_dag(self, dag_id: str) -> Any:
        if dag_id not in self.dags:
            detail = {"status_code": 404, "message": "not found"}
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))
        return SimpleNamespace(is_paused=self.dags[dag_id])

    def get_dr_count(
        self,
        dag_id: str,
        logical_dates: list[datetime] | None = None,
        run_ids: list[str] | None = None,
        states: list[str] | None = None,
    ) -> int:
        return sum(
            (run_ids is None or run_id in run_ids)
            and (logical_dates is None or logical_date in logical_dates)
            and (states is None or state in states)
            for run_id, logical_date, state in self.runs
        )

    def send(self, msg: Any) -> Any:
        """What Airflow's supervisor answers to a task that asks for a run in full."""
        assert msg.type == "GetDagRun"
        (state,) = (state for run_id, _, state in self.runs if run_id == msg.run_id)
        at = to_datetime(NOW - self.ended_hours_ago * TICK_PER_HOUR)
        return SimpleNamespace(state=state, end_date=at, run_after=at, clear_number=self.cleared)


class FakeEvents:
    """Events of one asset, newest first."""

    def __init__(self, extras: list[dict[str, Any]]) -> None:
        self.extras = extras

    def __getitem__(self, asset: Any) -> FakeEvents:
        assert asset.name == "shop"
        return self

    def ascending(self, ascending: bool) -> FakeEvents:
        assert ascending is False
        return self

    def limit(self, limit: int) -> FakeEvents:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(SimpleNamespace(extra=extra) for extra in self.extras)


class At:
    """A clock of another time; waiting costs none."""

    def __init__(self, tick: int) -> None:
        self.tick = tick

    def now(self) -> int:
        return self.tick

    def sleep(self, seconds: float) -> None:
        self.tick += int(seconds * TICK_PER_SECOND) + 1


class Kept(dict[str, Any]):
    """The state store of one asset."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


def at_hour(hour: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("operators.survey", "operators.audit", "notify", "channels"):
        monkeypatch.setattr(
            f"logferry_airflow.{module}.SystemClock", lambda: At(TODAY + hour * TICK_PER_HOUR)
        )


def day(number: int) -> Window:
    """The day so many days before today."""
    return Window(TODAY - number * TICK_PER_DAY, TODAY - (number - 1) * TICK_PER_DAY)


def publish(spec: ExportSpec, window: Window) -> Any:
    """As a run would have, an hour after the window, which for the last one may not be over yet."""
    at = min(window.end + TICK_PER_HOUR, NOW)
    with open_ferry(spec, connect, run_id="past", clock=At(at)) as ferry:
        return ferry.carry(window)


def survey(context: Any) -> list[dict[str, Any]]:
    return SurveyOperator(task_id="survey", export="shop").execute(context)


def audit(context: Any) -> None:
    AuditOperator(task_id="audit", export="shop").execute(context)


def run_id(window: Window, seq: int) -> str:
    return f"upkeep__{format_compact(window.start)}-{format_compact(window.end)}__{seq}"


def carry_out(spec: ExportSpec, run: dict[str, Any]) -> Any:
    """What the export's DAG makes of a run that the survey asked for."""
    conf = run["conf"]
    window = Window(parse_instant(conf["from"]), parse_instant(conf["to"]))
    with open_ferry(spec, connect, run_id=run["trigger_run_id"]) as ferry:
        return ferry.carry(window, only_moved=conf.get("only_moved", False))


def witness(lake: Path, manifest: Any, **replaced: Any) -> dict[str, Any]:
    head = json.loads((lake / "_manifests/shop/HEAD.json").read_text())
    assert head["seq"] == manifest.seq
    window = {"from": manifest.window.start, "to": manifest.window.end}
    return {"seq": manifest.seq, "hash": head["hash"], "lake": lake.as_uri(), "window": window, **replaced}
