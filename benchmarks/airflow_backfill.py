"""Where the time of an Airflow backfill goes: Airflow's own, and the work's.

``.venv/bin/python benchmarks/airflow_backfill.py [--days 90] [--rows 1500] [--dense-rows 200000] [--exports 3]``

Starts what ``make run`` starts (PostgreSQL from pip, LocalExecutor, API server, scheduler, DAG processor, triggerer)
on free ports and in a temporary folder, and two sandboxes that stand for Datadog. Then it runs Airflow's own backfill
over ``--days`` daily windows of about ``--rows`` rows each, and over one window of ``--dense-rows`` rows (0: none),
and prints for both where the time of a window goes. ``--exports``: definitions in the folder, so that a task pays for
parsing them all if it does.

Airflow's own times come from its task instances, the moments between them from a listener inside the task's process.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean, median
from typing import Any

import psutil

from logferry.connection import variable_name
from logferry.project import project_root
from logferry.window import TICK_PER_DAY, Window, format_compact, from_datetime
from logferry_local.airflow import Api, airflow_command, airflow_environment, component_commands
from logferry_local.database import Database
from logferry_local.processes import Children
from logferry_local.settings import Settings, kept_secret
from logferry_local.watch import wait_until_healthy

TASKS = ("plan", "export", "publish")
MARKS_VARIABLE = "LOGFERRY_BENCHMARK_MARKS"
DEFINITION = """\
name: {name}
source:
  kind: datadog
  connection: {connection}
  query: "*"
schedule: "@daily"
start: {start}
settle: 30m
destination: {{url: "{lake}"}}
"""
LISTENER = '''\
"""Writes down when a task's own code begins and ends, in its process."""

import json
import os
import resource
import time

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin


class Listener:
    @hookimpl
    def on_task_instance_running(self, previous_state, task_instance):
        self._mark("begins", task_instance)

    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        self._mark("ends", task_instance)

    def _mark(self, moment, ti):
        used = resource.getrusage(resource.RUSAGE_SELF)
        mark = {
            "run": ti.run_id, "dag": ti.dag_id, "task": ti.task_id, "index": ti.map_index, "moment": moment,
            "at": time.time(), "cpu": used.ru_utime + used.ru_stime,
        }
        line = json.dumps(mark) + "\\n"
        with open(os.environ["LOGFERRY_BENCHMARK_MARKS"], "a") as file:
            file.write(line)


class BenchmarkPlugin(AirflowPlugin):
    name = "logferry_benchmark"
    listeners = [Listener()]
'''


@dataclass(frozen=True, slots=True)
class Task:
    """One finished task of a run, times in seconds since the epoch, CPU in seconds of the task's process."""

    run: str
    name: str
    scheduled: float
    queued: float
    started: float
    begins: float
    ends: float
    finished: float
    cpu_start: float
    cpu_work: float

    @property
    def phases(self) -> dict[str, float]:
        """Seconds from the moment its turn came to its end, in order."""
        return {
            "scheduler": self.queued - self.scheduled,
            "executor": self.started - self.queued,
            "start-up": self.begins - self.started,
            "work": self.ends - self.begins,
            "end": self.finished - self.ends,
        }


class Stack:
    """A running local Airflow with its sandboxes."""

    def __init__(self, folder: Path, asked: argparse.Namespace, cleanup: ExitStack) -> None:
        self.folder = folder
        self.lake = folder / "lake"
        self.marks = folder / "marks.jsonl"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        plugins = folder / "plugins"
        plugins.mkdir()
        (plugins / "benchmark_marks.py").write_text(LISTENER)
        database = cleanup.enter_context(Database(folder / "postgres"))
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AIRFLOW", "DD_", "AZURE_", "AWS_", "LOGFERRY_"))
            and name != "PYTHONDONTWRITEBYTECODE"
        }
        self.settings = Settings(project_root(), folder / "home", port, clean)
        self.environment = {
            **airflow_environment(self.settings, database.uri),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "LOGFERRY_EXPORTS_DIR": str(folder / "exports"),
            "LOGFERRY_HOME": str(self.settings.home),
            "TMPDIR": str(folder / "tmp"),
            MARKS_VARIABLE: str(self.marks),
            **dict(setting.split("=", 1) for setting in asked.set),
        }
        (folder / "tmp").mkdir()
        (folder / "exports").mkdir()
        self.children = Children(folder / "processes.json", self.settings.logs)
        cleanup.callback(self.children.stop)
        self.api = Api(self.settings.ui, kept_secret(self.settings.home, "airflow-password"))

    def start(self, sandboxes: dict[str, int]) -> None:
        """``sandboxes``: connection id → events a day of the organisation behind it."""
        for connection, rows in sandboxes.items():
            state_file = self.folder / f"{connection}.json"
            command = [
                sys.executable,
                "-m",
                "logferry_sandbox",
                "--no-azure",
                "--state-file",
                str(state_file),
            ]
            command += ["--events-per-day", str(rows)]
            self.children.start(connection, command, self.environment, self.settings.root)
            wait_for(state_file.exists, 60, self._check)
            told = json.loads(state_file.read_text())["datadog"]
            extra = {
                "api_key": told["api_key"],
                "app_key": told["app_key"],
                "org": connection,
                "sandbox": True,
            }
            described = {"conn_type": "datadog_logs", "host": told["base_url"], "extra": extra}
            self.environment[variable_name(connection)] = json.dumps(described)
        migrate = airflow_command("db", "migrate")
        with (self.settings.logs / "migrate.log").open("wb") as log:
            subprocess.run(migrate, env=self.environment, stdout=log, stderr=log, check=True)
        for name, command in component_commands().items():
            self.children.start(name, command, self.environment, self.settings.root)
        wait_until_healthy(self.api, self._check, 240, lambda _: None)
        self.api.log_in()

    def define(self, name: str, connection: str, start: datetime) -> None:
        text = DEFINITION.format(
            name=name, connection=connection, start=f"{start:%Y-%m-%dT%H:%M:%SZ}", lake=self.lake.as_uri()
        )
        (self.folder / "exports" / f"{name}.yaml").write_text(text)

    def backfill(self, name: str, first: datetime, last: datetime) -> float:
        """Run the backfill of these days; seconds until the last of its runs had ended."""
        dag_id = f"export_{name}"
        wait_for(lambda: self.api.get(f"/dags/{dag_id}") is not None, 180, self._check)
        began = time.time()
        number = self.api.post(
            "/backfills", {"dag_id": dag_id, "from_date": first.isoformat(), "to_date": last.isoformat()}
        )["id"]
        # Afterwards, because unpausing makes a run of the newest interval, which then is one of these.
        self.api.patch(f"/dags/{dag_id}", {"is_paused": False})
        days = (last - first).days + 1
        wait_for(lambda: self.api.get(f"/backfills/{number}")["completed_at"], 300 + 60 * days, self._check)
        self.api.patch(f"/dags/{dag_id}", {"is_paused": True})
        return time.time() - began

    def tasks(self, name: str) -> list[Task]:
        marks: dict[tuple[str, str, int], dict[str, dict[str, Any]]] = defaultdict(dict)
        for line in self.marks.read_text().splitlines():
            mark = json.loads(line)
            if mark["dag"] == f"export_{name}":
                marks[mark["run"], mark["task"], mark["index"]][mark["moment"]] = mark
        return [
            self._task(entry, marks[entry["dag_run_id"], entry["task_id"], entry["map_index"]])
            for entry in self._task_instances(f"export_{name}")
            if entry["state"] == "success"
        ]

    def _task(self, entry: dict[str, Any], marks: dict[str, dict[str, Any]]) -> Task:
        begins, ends = marks["begins"], marks["ends"]
        return Task(
            run=entry["dag_run_id"],
            name=entry["task_id"],
            scheduled=seconds(entry["scheduled_when"]),
            queued=seconds(entry["queued_when"]),
            started=seconds(entry["start_date"]),
            begins=begins["at"],
            ends=ends["at"],
            finished=seconds(entry["end_date"]),
            cpu_start=begins["cpu"],
            cpu_work=ends["cpu"] - begins["cpu"],
        )

    def _task_instances(self, dag_id: str) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            path = f"/dags/{dag_id}/dagRuns/~/taskInstances"
            found = self.api.get(path, limit=100, offset=offset, order_by="id")["task_instances"]
            yield from found
            if not found:
                return
            offset += len(found)

    def rows(self, name: str, day: datetime) -> int:
        """Rows of a published day; AssertionError unless it is proven."""
        start = from_datetime(day)
        window = Window(start, start + TICK_PER_DAY)
        file = f"{format_compact(window.start)}-{format_compact(window.end)}.json"
        manifest = json.loads((self.lake / "_manifests" / name / file).read_text())
        assert manifest["status"] == "proven", manifest["status"]
        return int(manifest["rows"])

    def cpu(self) -> dict[str, float]:
        """CPU seconds that each part of the stack and all its descendants have used until now."""
        used: dict[str, float] = defaultdict(float)
        for leader in psutil.process_iter():
            with suppress(psutil.NoSuchProcess):
                if name := self._name(leader):
                    for process in [leader, *leader.children(recursive=True)]:
                        with suppress(psutil.NoSuchProcess):
                            times = process.cpu_times()
                            # Children that have ended and were waited for; those that live are counted themselves.
                            used[name] += sum(times[:4])
        return used

    def _name(self, process: psutil.Process) -> str | None:
        """The part of the stack that this process leads."""
        command = " ".join(process.cmdline())
        if str(self.folder / "postgres") in command:
            return "PostgreSQL"
        if process.ppid() != os.getpid():
            return None
        parts = ["api-server", "scheduler", "dag-processor", "triggerer", "sandbox"]
        return next((part for part in parts if part in command.replace("api_server", "api-server")), None)

    def _check(self) -> None:
        if (dead := self.children.dead()) is not None:
            raise SystemExit(f"{dead} ended; see {self.children.log_of(dead)}")


def wait_for(done: Callable[[], object], seconds: float, check: Callable[[], None] | None = None) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if check is not None:
            check()
        if time.monotonic() > deadline:
            raise SystemExit(f"not done within {seconds:.0f} s")
        time.sleep(0.5)


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def report(title: str, tasks: list[Task], took: float, rows: int) -> None:
    """The table of one backfill: seconds per task by phase (medians), and each window's share."""
    windows = len({task.run for task in tasks})
    print(f"\n{title}: {windows} windows, {rows:,} rows, {len(tasks)} tasks in {took:.0f} s")
    phases = list(tasks[0].phases)
    header = ["task", "n", *phases, "total", "cpu start", "cpu work"]
    lines = [header]
    for name in TASKS:
        own = [task for task in tasks if task.name == name]
        times = [median(task.phases[phase] for task in own) for phase in phases]
        cpu = [median(task.cpu_start for task in own), median(task.cpu_work for task in own)]
        lines.append([name, str(len(own)), *(f"{value:.2f}" for value in [*times, sum(times), *cpu])])
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))
    by_run: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        by_run[task.run].append(task)
    spans = [max(t.finished for t in own) - min(t.scheduled for t in own) for own in by_run.values()]
    work = [on_the_way(own, "work") for own in by_run.values()]
    startup = [on_the_way(own, "start-up") for own in by_run.values()]
    print(
        f"a window, from its first task's turn to its end: {mean(spans):.1f} s, of which {mean(work):.1f} s work and "
        f"{mean(startup):.1f} s start-up; overhead {1 - mean(work) / mean(spans):.0%}"
    )
    cpu_work, cpu_all = sum(t.cpu_work for t in tasks), sum(t.cpu_start + t.cpu_work for t in tasks)
    print(
        f"{60 * windows / took:.1f} windows a minute; CPU of the tasks' processes {cpu_all / windows:.2f} s a window, "
        f"of which start-up {1 - cpu_work / cpu_all:.0%}"
    )


def on_the_way(tasks: list[Task], phase: str) -> float:
    """Seconds of a window in a phase: tasks that ran side by side count as the longest of them."""
    return sum(
        max((task.phases[phase] for task in tasks if task.name == name), default=0.0) for name in TASKS
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--days", type=int, default=90)
    options.add_argument("--rows", type=int, default=1500)
    options.add_argument("--dense-rows", type=int, default=200_000)
    options.add_argument("--exports", type=int, default=3)
    options.add_argument("--set", action="append", default=[], metavar="AIRFLOW__…=VALUE")
    asked = options.parse_args()
    yesterday = (datetime.now(UTC) - timedelta(minutes=30)).replace(
        hour=0, minute=0, second=0, microsecond=0
    ) - timedelta(days=1)
    first = yesterday - timedelta(days=asked.days - 1)
    with tempfile.TemporaryDirectory(prefix="logferry-backfill-") as folder, ExitStack() as cleanup:
        stack = Stack(Path(folder), asked, cleanup)
        sandboxes = {"small_org": asked.rows}
        stack.define("small", "small_org", first)
        if asked.dense_rows:
            sandboxes["dense_org"] = asked.dense_rows
            stack.define("dense", "dense_org", yesterday)
        for number in range(asked.exports - len(sandboxes)):
            stack.define(f"other_{number}", "small_org", first)
        stack.start(sandboxes)
        before = stack.cpu()
        took = stack.backfill("small", first, yesterday)
        cpu = {name: used - before[name] for name, used in stack.cpu().items()}
        days = [first + timedelta(days=number) for number in range(asked.days)]
        rows = sum(stack.rows("small", day) for day in days)
        report(f"{asked.days} days", stack.tasks("small"), took, rows)
        print(
            "CPU seconds a window: "
            + ", ".join(f"{name} {used / asked.days:.2f}" for name, used in cpu.items())
        )
        if asked.dense_rows:
            took = stack.backfill("dense", yesterday, yesterday)
            report("one dense day", stack.tasks("dense"), took, stack.rows("dense", yesterday))


if __name__ == "__main__":
    main()
