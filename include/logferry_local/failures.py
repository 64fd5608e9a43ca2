"""Why a task failed: the error in its log, as one sentence and the exit code that it stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from logferry.errors import LogferryError
from logferry_local.airflow import Api


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed: one sentence, and the exit code that its error stands for."""

    sentence: str
    exit_code: int


def failure_of(api: Api, tasks: Sequence[dict[str, Any]]) -> Failure:
    """What the first of a run's tasks that failed says in its log."""
    for task in tasks:
        if task["state"] == "failed":
            return why(api, task)
    return Failure("no task failed; see the run in the UI", 1)


def why(api: Api, task: dict[str, Any]) -> Failure:
    """What the latest attempt of a task says in its log."""
    answer = api.get(
        f"/dags/{task['dag_id']}/dagRuns/{task['dag_run_id']}/taskInstances/{task['task_id']}/logs/{task['try_number']}",
        map_index=task["map_index"],
        full_content="true",
    )
    errors = [line for line in (answer or {}).get("content", []) if _is_error(line)]
    if not errors:
        return Failure(f"task {task['task_id']}: see its log in the UI", 1)
    said = _read_error(errors[-1])
    return Failure(f"task {task['task_id']}: {said.sentence}", said.exit_code)


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
