"""One worker: a process that carries a window, as the tasks of a DAG run or as one operator, and may be killed.

What outlives a worker is what outlives one in Airflow: results that tasks handed on (XCom), and the progress of a
task that was not finished (task state), both as files in the run's folder, written whole or not at all.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import signal
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tests.chaos.fate import Fate, FatedStore, Trace

from logferry.clock import SystemClock
from logferry.connection import Connection
from logferry.errors import LogferryError
from logferry.ferry import Ferry
from logferry.opening import open_ferry
from logferry.plan import Chunk, Plan
from logferry.publishing.results import ChunkResult, SliceResult
from logferry.records.manifest import Manifest
from logferry.spec import export_from
from logferry.stores.base import Store
from logferry.window import Window

_LONGEST_SLEEP_S = 0.02
_ROWS_PER_CHUNK = 60


@dataclass(frozen=True)
class Job:
    """One attempt of one run. ``folder`` belongs to the run, ``machine`` is the worker's temporary folder.

    ``as_tasks``: plan, export and publish are tasks that hand on their results, and a retry repeats only the task
    that failed; otherwise one operator does it all and a retry starts over. ``only_moved``: as the upkeep runs it.
    """

    definition: Mapping[str, Any]
    connections: Mapping[str, Mapping[str, Any]]
    window: Window
    run_id: str
    attempt: int
    folder: Path
    machine: Path
    as_tasks: bool
    most_chunks: int
    only_moved: bool
    fate: Fate | None = None

    @property
    def trace(self) -> Path:
        return self.folder / f"trace-{self.attempt}"

    @property
    def outcome(self) -> Path:
        return self.folder / f"outcome-{self.attempt}.json"


def carry(job: Job) -> None:
    """The process's whole life: carry the window and write down how it ended."""
    faulthandler.register(signal.SIGUSR1, file=(job.folder / "stacks").open("a"))
    logging.basicConfig(filename=job.folder / "log", level=logging.INFO, force=True)
    # Every worker is a machine of its own: budgets meet in the temporary folder.
    tempfile.tempdir = str(job.machine)
    trace = Trace(job.trace, job.fate)
    try:
        manifest = _carried(job, trace)
    except LogferryError as error:
        said: dict[str, Any] = {"result": "refused", "error": type(error).__name__, "message": str(error)}
    except Exception:
        said = {"result": "crashed", "message": traceback.format_exc()}
    else:
        said = {"result": "published", "seq": manifest.seq, "status": manifest.status, "rows": manifest.rows}
    write_json(job.outcome, said)


def _carried(job: Job, trace: Trace) -> Manifest:
    spec = export_from(job.definition, where="chaos", written=True)

    def connect(conn_id: str, _kind: str) -> Connection:
        return Connection(conn_id, **job.connections[conn_id])

    ferry = open_ferry(
        spec,
        connect,
        run_id=job.run_id,
        attempt=job.attempt,
        clock=_Hurried(),
        progress=_Watched(trace),
    )
    ferry.store = cast(Store, FatedStore(ferry.store, trace))
    with ferry:
        return _as_tasks(job, ferry, trace) if job.as_tasks else _as_operator(job, ferry, trace)


def _as_tasks(job: Job, ferry: Ferry, trace: Trace) -> Manifest:
    """plan → export (per chunk) → publish; a finished task's result is taken from the run's folder."""
    handed = _load(job.folder / "plan.json")
    if handed is None:
        trace.enter("plan")
        plan = ferry.plan(job.window, only_moved=job.only_moved)
        trace.event()
        write_json(job.folder / "plan.json", plan.to_json())
    else:
        plan = Plan.from_json(handed)
    results: list[ChunkResult] = []
    for number, chunk in enumerate(plan.chunks(job.most_chunks, _ROWS_PER_CHUNK)):
        path = job.folder / f"result-{number}.json"
        handed = _load(path)
        if handed is None:
            result = _exported(job, ferry, trace, Chunk.from_json(chunk.to_json()), number)
            write_json(path, result.to_json())
        else:
            result = ChunkResult.from_json(handed)
        results.append(result)
    trace.enter("publish")
    return ferry.publish(job.window, results)


def _as_operator(job: Job, ferry: Ferry, trace: Trace) -> Manifest:
    """The whole way in one task: what was exported before is resumed, what was planned is planned again."""
    trace.enter("plan")
    plan = ferry.plan(job.window, only_moved=job.only_moved)
    trace.event()
    results: list[ChunkResult] = []
    for number, chunk in enumerate(plan.chunks(job.most_chunks, _ROWS_PER_CHUNK)):
        results.append(_exported(job, ferry, trace, chunk, number))
    trace.enter("publish")
    try:
        return ferry.publish(job.window, results)
    except LogferryError:
        with contextlib.suppress(LogferryError):
            ferry.discard(results)
        raise


def _exported(job: Job, ferry: Ferry, trace: Trace, chunk: Chunk, number: int) -> ChunkResult:
    trace.enter("fetch")
    state = TaskState(job.folder / f"state-{number}.json", trace)
    return ferry.export(chunk, state)


class TaskState:
    """``resume.ProgressStore`` in a file, as Airflow's task state store keeps it between attempts."""

    def __init__(self, path: Path, trace: Trace) -> None:
        self._path = path
        self._trace = trace

    def load(self) -> dict[str, Any] | None:
        return _load(self._path)

    def save(self, progress: dict[str, Any]) -> None:
        self._trace.event("stage", writes=True)
        write_json(self._path, progress)

    def clear(self) -> None:
        self._trace.event("stage", writes=True)
        self._path.unlink(missing_ok=True)


class _Watched:
    """``ferry.Progress`` that tells fetching from staging."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def page(self, rows: int, body_bytes: int) -> None:
        self._trace.event("fetch")

    def slice_done(self, result: SliceResult) -> None:
        self._trace.enter("stage")


class _Hurried(SystemClock):
    """The machine's clock for somebody who does not like to wait: pauses are cut short, time is not."""

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _LONGEST_SLEEP_S))


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(value))
    unfinished.replace(path)


def _load(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    value: dict[str, Any] = json.loads(path.read_text())
    return value
