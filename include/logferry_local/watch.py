"""One window of each export through the scheduler: start the runs and follow them to their end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from logferry.dag_ids import dag_id
from logferry.errors import LogferryError
from logferry.spec import ExportSpec
from logferry.window import TICK_PER_DAY, Window, format_instant
from logferry_local.airflow import Api
from logferry_local.failures import why

POLL_S = 1.0
_APPEAR_S = 90.0
"""How long a DAG may take to show up: the DAG processor's first pass on a slow machine."""
_SCHEDULED_S = 8.0
"""How long the scheduler may take to create the run that unpausing asks for."""
_FINISHED = ("success", "failed")
STEPS = ("plan", "export", "publish")

Check = Callable[[], None]
"""Called while waiting; raises when one of Airflow's processes has died."""


@dataclass(frozen=True, slots=True)
class Step:
    """The tasks of one id: the state of the first that is not done, and how many are (``of`` ≥ 1 when mapped)."""

    name: str
    state: str
    done: int = 0
    of: int = 0

    def __str__(self) -> str:
        return f"{self.name} {self.done}/{self.of} {self.state}" if self.of else f"{self.name} {self.state}"


@dataclass(slots=True)
class Watched:
    """One run of one export. ``state`` is Airflow's; ``planned`` rows are those the source counted before the
    fetch (None: not yet, or not countable), ``exported`` those of the finished chunks; ``retries`` says for each
    failed attempt why it will be repeated."""

    spec: ExportSpec
    window: Window
    run_id: str
    state: str = "queued"
    steps: tuple[Step, ...] = tuple(Step(name, "waiting") for name in STEPS)
    planned: int | None = None
    exported: int = 0
    retries: dict[str, str] = field(default_factory=dict)
    counted: set[tuple[str, int]] = field(default_factory=set)
    """Tasks whose rows are in ``planned`` and ``exported``."""

    @property
    def dag_id(self) -> str:
        return dag_id(self.spec.name)

    @property
    def finished(self) -> bool:
        return self.state in _FINISHED

    @property
    def rows(self) -> str:
        """``673 of 673 rows``; empty while nothing is known."""
        if self.planned is not None:
            return f"{self.exported:,} of {self.planned:,} rows"
        return f"{self.exported:,} rows" if self.exported else ""


def last_settled_day(spec: ExportSpec, now: int) -> Window:
    """The newest whole UTC day that has ended and settled."""
    end = (now - spec.settle) // TICK_PER_DAY * TICK_PER_DAY
    return Window(end - TICK_PER_DAY, end)


def wait_until_healthy(api: Api, check: Check, seconds: float, tell: Callable[[str], None]) -> None:
    """``tell`` hears what is still waited for."""
    deadline = time.monotonic() + seconds
    while waiting := api.waiting_for():
        check()
        tell(f"waiting for {', '.join(waiting)}")
        if time.monotonic() > deadline:
            raise LogferryError(
                f"Airflow was not healthy within {seconds:.0f} s (missing: {', '.join(waiting)}); see the logs folder"
            )
        time.sleep(POLL_S)


def start_runs(
    api: Api, windows: Sequence[tuple[ExportSpec, Window]], check: Check, since: datetime
) -> list[Watched]:
    """Unpause the exports and find the runs of their windows that the scheduler makes, else trigger them.

    ``since``: when this Airflow was started. An older run of the same window may be one that was interrupted and
    hangs until its heartbeat is missed; a new one does not wait for it.
    """
    for spec, _ in windows:
        _wait_for_dag(api, f"export_{spec.name}", check)
    for spec, _ in windows:
        api.patch(f"/dags/export_{spec.name}", {"is_paused": False})
    deadline = time.monotonic() + _SCHEDULED_S
    return [
        Watched(spec, window, _find_run(api, spec, window, since, check, deadline))
        for spec, window in windows
    ]


def _find_run(
    api: Api, spec: ExportSpec, window: Window, since: datetime, check: Check, deadline: float
) -> str:
    """The id of the run the scheduler makes of the window, else of one triggered here."""
    dag_id = f"export_{spec.name}"
    start, end = format_instant(window.start), format_instant(window.end)
    while True:
        runs = [run for run in _runs(api, dag_id) if _covers(run, start, end)]
        for run in runs:
            if datetime.fromisoformat(run["queued_at"]) >= since:
                return str(run["dag_run_id"])
        if runs or time.monotonic() > deadline:
            break
        check()
        time.sleep(POLL_S)
    # The scheduler has been here before; exporting a window again is idempotent.
    run = api.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": {"from": start, "to": end}})
    return str(run["dag_run_id"])


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
    return (
        run.get("run_type") == "scheduled"
        and run.get("queued_at") is not None
        and run.get("data_interval_start") == start
        and run.get("data_interval_end") == end
    )


def tasks_of(api: Api, run: Watched) -> list[dict[str, Any]]:
    """Airflow's task instances of the run, a few dozen at most."""
    found = api.get(f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances", limit=100) or {}
    tasks: list[dict[str, Any]] = found.get("task_instances", [])
    return tasks


def _look(api: Api, run: Watched) -> None:
    found = api.get(f"/dags/{run.dag_id}/dagRuns/{run.run_id}")
    if found is None:
        raise LogferryError(f"the run {run.run_id} of {run.dag_id} disappeared")
    run.state = found["state"]
    tasks = tasks_of(api, run)
    run.steps = tuple(_step(name, [task for task in tasks if task["task_id"] == name]) for name in STEPS)
    for task in tasks:
        if task["state"] == "success" and task["task_id"] in ("plan", "export"):
            _count_rows(api, run, task)
    for task in tasks:
        attempt = f"{task['task_id']}[{task['map_index']}] attempt {task['try_number']}"
        if task["state"] == "up_for_retry" and attempt not in run.retries:
            run.retries[attempt] = (
                f"{why(api, task).sentence} (attempt {task['try_number']}, will be repeated)"
            )


def _step(name: str, tasks: Sequence[dict[str, Any]]) -> Step:
    states = [task["state"] or "waiting" for task in tasks]
    state = next((state for state in states if state != "success"), "success" if states else "waiting")
    if any(task["map_index"] >= 0 for task in tasks):
        return Step(name, state, states.count("success"), len(states))
    return Step(name, state)


def _count_rows(api: Api, run: Watched, task: dict[str, Any]) -> None:
    """Add the rows that a finished task planned or exported, once."""
    key = (task["task_id"], task["map_index"])
    if key in run.counted:
        return
    run.counted.add(key)
    entry = api.get(
        f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task['task_id']}/xcomEntries/return_value",
        map_index=task["map_index"],
    )
    value = (entry or {}).get("value")
    chunks = [value] if isinstance(value, dict) else value or []
    rows = [part["rows"] for chunk in chunks for part in chunk["slices"]]
    if task["task_id"] == "export":
        run.exported += sum(rows)
    elif all(count is not None for count in rows):
        run.planned = sum(rows)
