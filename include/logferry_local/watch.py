"""One window of each export through the scheduler: start the runs, follow them, say what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from logferry.errors import LogferryError
from logferry.spec import ExportSpec
from logferry.window import TICK_PER_DAY, Window, format_instant
from logferry_local.airflow import Api

POLL_S = 1.0
_APPEAR_S = 90.0
"""How long a DAG may take to show up: the DAG processor's first pass on a slow machine."""
_SCHEDULED_S = 8.0
"""How long the scheduler may take to create the run that unpausing asks for."""
_FINISHED = ("success", "failed")

Check = Callable[[], None]
"""Called while waiting; raises when one of Airflow's processes has died."""


@dataclass(slots=True)
class Watched:
    """One run of one export. ``state`` is Airflow's, ``steps`` describes its tasks, ``retries`` says for each
    failed attempt why it will be repeated."""

    spec: ExportSpec
    window: Window
    run_id: str
    state: str = "queued"
    steps: str = "waiting for the scheduler"
    retries: dict[str, str] = field(default_factory=dict)

    @property
    def dag_id(self) -> str:
        return f"export_{self.spec.name}"

    @property
    def finished(self) -> bool:
        return self.state in _FINISHED


def last_settled_day(spec: ExportSpec, now: int) -> Window:
    """The newest whole UTC day that has ended and settled."""
    end = (now - spec.settle) // TICK_PER_DAY * TICK_PER_DAY
    return Window(end - TICK_PER_DAY, end)


def wait_until_healthy(api: Api, check: Check, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not api.healthy():
        check()
        if time.monotonic() > deadline:
            raise LogferryError(f"Airflow was not healthy within {seconds:.0f} s; see the logs folder")
        time.sleep(POLL_S)


def start_run(api: Api, spec: ExportSpec, window: Window, check: Check) -> Watched:
    """Unpause the export and find the run of ``window`` that this creates, else trigger one with from/to."""
    dag_id = f"export_{spec.name}"
    _wait_for_dag(api, dag_id, check)
    known = {run["dag_run_id"] for run in _runs(api, dag_id)}
    api.patch(f"/dags/{dag_id}", {"is_paused": False})
    start, end = format_instant(window.start), format_instant(window.end)
    deadline = time.monotonic() + (0 if known else _SCHEDULED_S)
    while time.monotonic() < deadline:
        for run in _runs(api, dag_id):
            if run["run_type"] == "scheduled" and _covers(run, start, end):
                return Watched(spec, window, run["dag_run_id"])
        check()
        time.sleep(POLL_S)
    # The scheduler has been here before; exporting a window again is idempotent.
    run = api.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": {"from": start, "to": end}})
    return Watched(spec, window, run["dag_run_id"])


def follow(
    api: Api, runs: Sequence[Watched], check: Check, show: Callable[[Sequence[Watched]], None]
) -> None:
    """Poll until every run has finished; ``show`` is called after every look."""
    while True:
        for run in runs:
            if not run.finished:
                _look(api, run)
        show(runs)
        if all(run.finished for run in runs):
            return
        check()
        time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed: one sentence, and the exit code that its error stands for."""

    sentence: str
    exit_code: int


def failure_of(api: Api, run: Watched) -> Failure:
    """What the task that failed says in its log."""
    for task in _tasks(api, run):
        if task["state"] == "failed":
            return _why(api, run, task)
    return Failure("no task failed; see the run in the UI", 1)


def _why(api: Api, run: Watched, task: dict[str, Any]) -> Failure:
    answer = api.get(
        f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}",
        map_index=task["map_index"],
        full_content="true",
    )
    errors = [line for line in (answer or {}).get("content", []) if _is_error(line)]
    if not errors:
        return Failure(f"task {task['task_id']}: see its log in the UI", 1)
    said = _read_error(errors[-1])
    return Failure(f"task {task['task_id']}: {said.sentence}", said.exit_code)


def _wait_for_dag(api: Api, dag_id: str, check: Check) -> None:
    deadline = time.monotonic() + _APPEAR_S
    while api.get(f"/dags/{dag_id}") is None:
        check()
        if time.monotonic() > deadline:
            errors = api.get("/importErrors") or {}
            texts = [
                entry["stack_trace"].strip().splitlines()[-1] for entry in errors.get("import_errors", [])
            ]
            raise LogferryError(
                f"Airflow shows no DAG {dag_id}: {'; '.join(texts) or 'no import error was reported'}"
            )
        time.sleep(POLL_S)


def _runs(api: Api, dag_id: str) -> list[dict[str, Any]]:
    found = api.get(f"/dags/{dag_id}/dagRuns", order_by="-run_after", limit=20) or {}
    runs: list[dict[str, Any]] = found.get("dag_runs", [])
    return runs


def _covers(run: dict[str, Any], start: str, end: str) -> bool:
    return run.get("data_interval_start") == start and run.get("data_interval_end") == end


def _tasks(api: Api, run: Watched) -> list[dict[str, Any]]:
    found = api.get(f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances", limit=100) or {}
    tasks: list[dict[str, Any]] = found.get("task_instances", [])
    return tasks


def _look(api: Api, run: Watched) -> None:
    found = api.get(f"/dags/{run.dag_id}/dagRuns/{run.run_id}")
    if found is None:
        raise LogferryError(f"the run {run.run_id} of {run.dag_id} disappeared")
    run.state = found["state"]
    tasks = _tasks(api, run)
    steps = []
    for name in ("plan", "export", "publish"):
        states = [task["state"] for task in tasks if task["task_id"] == name]
        done = sum(state == "success" for state in states)
        current = next((state for state in states if state != "success"), "success")
        count = f" {done}/{len(states)}" if len(states) > 1 else ""
        steps.append(f"{name}{count} {current or 'waiting'}")
    run.steps = " · ".join(steps)
    for task in tasks:
        attempt = f"{task['task_id']}[{task['map_index']}] attempt {task['try_number']}"
        if task["state"] == "up_for_retry" and attempt not in run.retries:
            run.retries[attempt] = (
                f"{_why(api, run, task).sentence} (attempt {task['try_number']}, will be repeated)"
            )


def _is_error(line: Any) -> bool:
    return isinstance(line, dict) and str(line.get("level", "")).lower() in ("error", "critical")


def _read_error(line: dict[str, Any]) -> Failure:
    """The exception of a structured log line; one that wraps an engine error keeps that error's exit code."""
    details = [detail for detail in line.get("error_detail") or [] if isinstance(detail, dict)]
    if not details:
        return Failure(str(line.get("event", "")), 1)
    codes = {error.__name__: error.exit_code for error in _error_types(LogferryError)}
    code = next((codes[name] for detail in details if (name := detail.get("exc_type", "")) in codes), 1)
    return Failure(str(details[0].get("exc_value") or details[0].get("exc_type", "")), code)


def _error_types(root: type[LogferryError]) -> Iterator[type[LogferryError]]:
    yield root
    for child in root.__subclasses__():
        yield from _error_types(child)
