"""Following runs, against an API that answers by script."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.local.conftest import MakeSpec
from tests.local.scripted_api import ScriptedApi

from logferry.errors import LogferryError
from logferry.spec import ExportSpec
from logferry.window import Window, parse_instant
from logferry_local import watch
from logferry_local.watch import Watched, follow, last_settled_day, start_runs, wait_until_healthy

SINCE = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
DAY = Window(parse_instant("2026-11-21T00:00:00Z"), parse_instant("2026-11-22T00:00:00Z"))
RUNS = "/dags/export_shop/dagRuns"


class Time:
    """Seconds that pass only by sleeping."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture(autouse=True)
def passing(monkeypatch: pytest.MonkeyPatch) -> Time:
    passing = Time()
    monkeypatch.setattr(watch, "time", passing)
    return passing


@pytest.fixture
def spec(make_spec: MakeSpec) -> ExportSpec:
    return make_spec("shop")


def alive() -> None:
    """Every process of Airflow is up."""


def a_run(run_id: str, *, queued: str, kind: str = "scheduled", day: str = "2026-11-21") -> dict[str, Any]:
    start = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    return {
        "dag_run_id": run_id,
        "run_type": kind,
        "queued_at": queued,
        "data_interval_start": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "data_interval_end": start.replace(day=start.day + 1).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def a_task(name: str, state: str | None, *, map_index: int = -1, tries: int = 1) -> dict[str, Any]:
    return {
        "dag_id": "export_shop",
        "dag_run_id": "r1",
        "task_id": name,
        "state": state,
        "map_index": map_index,
        "try_number": tries,
    }


def test_the_run_the_scheduler_makes_is_followed(spec: ExportSpec) -> None:
    api = ScriptedApi()
    api.answers["/dags/export_shop"] = {}
    api.answers[RUNS] = [
        {"dag_runs": []},
        {"dag_runs": [a_run("scheduled_1", queued="2026-11-22T01:00:20Z")]},
    ]
    (run,) = start_runs(api, [(spec, DAY)], alive, SINCE)
    assert run.run_id == "scheduled_1"
    assert api.patched == [("/dags/export_shop", {"is_paused": False})]
    assert api.posted == []


def test_a_window_of_an_earlier_start_is_triggered_again_at_once(spec: ExportSpec, passing: Time) -> None:
    api = ScriptedApi()
    api.answers["/dags/export_shop"] = {}
    api.answers[RUNS] = {"dag_runs": [a_run("scheduled_1", queued="2026-11-22T00:30:05Z")]}
    (run,) = start_runs(api, [(spec, DAY)], alive, SINCE)
    ((path, body),) = api.posted
    assert path == RUNS
    assert body == {
        "logical_date": None,
        "conf": {"from": "2026-11-21T00:00:00Z", "to": "2026-11-22T00:00:00Z"},
    }
    assert run.run_id == "posted_1"
    assert passing.seconds == 0


def test_runs_of_other_windows_and_by_hand_are_not_taken_for_it(spec: ExportSpec) -> None:
    api = ScriptedApi()
    api.answers["/dags/export_shop"] = {}
    api.answers[RUNS] = {
        "dag_runs": [
            a_run("by hand", queued="2026-11-22T01:00:20Z", kind="manual"),
            a_run("the day before", queued="2026-11-22T01:00:20Z", day="2026-11-20"),
        ]
    }
    (run,) = start_runs(api, [(spec, DAY)], alive, SINCE)
    assert run.run_id == "posted_1"


def test_an_hourly_export_whose_day_the_scheduler_never_makes_is_triggered(make_spec: MakeSpec) -> None:
    api = ScriptedApi()
    api.answers["/dags/export_hourly"] = {}
    api.answers["/dags/export_hourly/dagRuns"] = {"dag_runs": []}
    (run,) = start_runs(api, [(make_spec("hourly", schedule="@hourly"), DAY)], alive, SINCE)
    assert run.run_id == "posted_1"


def test_a_dag_that_never_appears_is_explained_by_the_import_errors(spec: ExportSpec) -> None:
    api = ScriptedApi()
    api.answers["/importErrors"] = {
        "import_errors": [{"stack_trace": "Traceback\n  x\nImportError: no pyarrow\n"}]
    }
    with pytest.raises(LogferryError, match=r"^Airflow shows no DAG export_shop: ImportError: no pyarrow$"):
        start_runs(api, [(spec, DAY)], alive, SINCE)


def test_waiting_ends_when_a_process_of_airflow_died(spec: ExportSpec) -> None:
    def dead() -> None:
        raise LogferryError("scheduler ended unexpectedly; its last lines are in scheduler.log")

    with pytest.raises(LogferryError, match="scheduler ended unexpectedly"):
        start_runs(ScriptedApi(), [(spec, DAY)], dead, SINCE)
    with pytest.raises(LogferryError, match="scheduler ended unexpectedly"):
        wait_until_healthy(ScriptedApi(waiting=[["scheduler"]]), dead, 60, lambda text: None)


def test_what_is_still_waited_for_is_told(spec: ExportSpec) -> None:
    told: list[str] = []
    api = ScriptedApi(waiting=[["API server"], ["scheduler", "triggerer"], []])
    wait_until_healthy(api, alive, 60, told.append)
    assert told == ["waiting for API server", "waiting for scheduler, triggerer"]


def test_an_airflow_that_is_never_healthy_is_given_up_with_the_missing_part() -> None:
    api = ScriptedApi(waiting=[["triggerer"]])
    with pytest.raises(LogferryError, match=r"not healthy within 60 s \(missing: triggerer\)"):
        wait_until_healthy(api, alive, 60, lambda text: None)


@pytest.mark.parametrize(
    ("now", "day"),
    [("2026-11-22T00:29:59Z", "2026-11-20"), ("2026-11-22T00:30:00Z", "2026-11-21")],
    ids=["not settled", "settled"],
)
def test_yesterday_is_exported_once_it_has_settled(spec: ExportSpec, now: str, day: str) -> None:
    window = last_settled_day(spec, parse_instant(now))
    assert window.start == parse_instant(f"{day}T00:00:00Z")
    assert window.end - window.start == 24 * 3600 * 10_000_000


@pytest.fixture
def watched(spec: ExportSpec) -> Watched:
    return Watched(spec, DAY, "r1")


def shown(api: ScriptedApi, run: Watched, line: Callable[[Watched], Any]) -> list[Any]:
    lines: list[Any] = []
    follow(api, [run], alive, lambda runs: lines.append(line(runs[0])))
    return lines


def test_steps_and_rows_are_followed_to_the_end(watched: Watched) -> None:
    api = ScriptedApi()
    api.answers[f"{RUNS}/r1"] = [{"state": "queued"}, {"state": "running"}, {"state": "success"}]
    api.answers[f"{RUNS}/r1/taskInstances"] = [
        {"task_instances": [a_task("plan", None)]},
        {
            "task_instances": [
                a_task("plan", "success"),
                a_task("export", "success", map_index=0),
                a_task("export", "running", map_index=1),
                a_task("publish", None),
            ]
        },
        {
            "task_instances": [
                a_task("plan", "success"),
                a_task("export", "success", map_index=0),
                a_task("export", "success", map_index=1),
                a_task("publish", "success"),
            ]
        },
    ]
    values = f"{RUNS}/r1/taskInstances/{{}}/xcomEntries/return_value"
    api.answers[values.format("plan")] = {
        "value": [{"slices": [{"rows": 3}, {"rows": 4}]}, {"slices": [{"rows": 1_000}]}]
    }
    api.answers[values.format("export")] = [
        {"value": {"slices": [{"rows": 3}, {"rows": 4}]}},
        {"value": {"slices": [{"rows": 1_000}]}},
    ]
    lines = shown(api, watched, lambda run: (" · ".join(str(step) for step in run.steps), run.rows))
    assert lines == [
        ("plan waiting · export waiting · publish waiting", ""),
        ("plan success · export 1/2 running · publish waiting", "7 of 1,007 rows"),
        ("plan success · export 2/2 success · publish success", "1,007 of 1,007 rows"),
    ]


def test_a_source_that_cannot_count_shows_the_rows_alone(watched: Watched) -> None:
    api = ScriptedApi()
    api.answers[f"{RUNS}/r1"] = {"state": "success"}
    api.answers[f"{RUNS}/r1/taskInstances"] = {
        "task_instances": [a_task("plan", "success"), a_task("export", "success", map_index=0)]
    }
    values = f"{RUNS}/r1/taskInstances/{{}}/xcomEntries/return_value"
    api.answers[values.format("plan")] = {"value": [{"slices": [{"rows": None}]}]}
    api.answers[values.format("export")] = {"value": {"slices": [{"rows": 12}]}}
    assert shown(api, watched, lambda run: run.rows) == ["12 rows"]


def test_an_attempt_that_will_be_repeated_is_told_once_with_its_reason(watched: Watched) -> None:
    api = ScriptedApi()
    api.answers[f"{RUNS}/r1"] = [{"state": "running"}, {"state": "running"}, {"state": "success"}]
    waiting = {"task_instances": [a_task("export", "up_for_retry", map_index=0)]}
    again = {"task_instances": [a_task("export", "running", map_index=0, tries=2)]}
    api.answers[f"{RUNS}/r1/taskInstances"] = [waiting, waiting, again]
    api.answers[f"{RUNS}/r1/taskInstances/export/logs/1"] = {
        "content": [
            {
                "level": "error",
                "event": "Task failed with exception",
                "error_detail": [{"exc_type": "Unavailable", "exc_value": "Datadog answered 503"}],
            }
        ]
    }
    follow(api, [watched], alive, lambda runs: None)
    assert list(watched.retries.values()) == [
        "task export: Datadog answered 503 (attempt 1, will be repeated)"
    ]
    assert api.asked.count(f"{RUNS}/r1/taskInstances/export/logs/1") == 1


def test_a_run_that_disappears_is_an_error(watched: Watched) -> None:
    with pytest.raises(LogferryError, match="the run r1 of export_shop disappeared"):
        follow(ScriptedApi(), [watched], alive, lambda runs: None)
