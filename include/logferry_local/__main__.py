"""``python -m logferry_local``: start everything, export yesterday, show the result, leave nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NoReturn

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from logferry.clock import SystemClock
from logferry.errors import LogferryError, gravest
from logferry.spec import ExportSpec, load_exports
from logferry_local import preflight
from logferry_local.accounts import Accounts, find_accounts, sandbox_connections
from logferry_local.airflow import COMPONENTS, USER, Api, airflow_command, airflow_environment, schema_mark
from logferry_local.database import Database
from logferry_local.lakes import Lakes
from logferry_local.processes import Children, end_leftovers
from logferry_local.report import print_samples, print_windows, read_manifest, sample_rows
from logferry_local.settings import Settings, kept_secret, load_settings
from logferry_local.watch import Watched, failure_of, follow, last_settled_day, start_run, wait_until_healthy

_HEALTHY_S = 240.0
_SANDBOX_S = 60.0


def main() -> int:
    """Exit codes as the ``logferry`` command's."""
    # Without a terminal there is no width to fit: paths and windows stay whole on their lines.
    console = Console(width=None if sys.stdout.isatty() else 200)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        settings = load_settings()
        with preflight.only_run(settings), ExitStack() as cleanup:
            return _run(settings, console, cleanup)
    except KeyboardInterrupt:
        console.print("interrupted; everything is stopped")
        return 130
    except LogferryError as error:
        print(f"logferry: {error}", file=sys.stderr)
        return error.exit_code


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _run(settings: Settings, console: Console, cleanup: ExitStack) -> int:
    began = time.monotonic()
    register = settings.home / "processes.json"
    if end_leftovers(register):
        console.print("ended the processes of an earlier run that was killed")
    preflight.check(settings)
    loaded = load_exports()
    for sentence in loaded.broken.values():
        console.print(f"[red]left out[/red] {sentence}", highlight=False)
    if not loaded.exports:
        raise LogferryError("there is no export definition to run; add one to include/exports")

    console.print("starting the embedded PostgreSQL ...")
    database = cleanup.enter_context(Database(settings.home / "postgres"))
    environment = airflow_environment(settings, database.uri)
    children = Children(register, settings.logs)
    cleanup.callback(_stop_quietly, children)
    accounts = find_accounts(loaded.exports.values(), environment, database.connection_ids())
    for name, reason in accounts.missing.items():
        console.print(f"[yellow]left out[/yellow] {name}: {reason}", highlight=False)
    if accounts.sandbox:
        console.print("no credentials are configured: starting the sandbox APIs")
        environment.update(_start_sandbox(settings, children, accounts))
    _migrate(settings, environment, console)
    console.print("starting Airflow (API server, scheduler, DAG processor, triggerer) ...")
    _start_airflow(settings, children, environment)

    def check() -> None:
        if (dead := children.dead()) is not None:
            raise LogferryError(f"{dead} ended unexpectedly; its last lines are in {children.log_of(dead)}")

    api = Api(settings.ui, kept_secret(settings.home, "airflow-password"))
    wait_until_healthy(api, check, _HEALTHY_S)
    api.log_in()
    _ensure_pools(api, accounts.ready)
    now = SystemClock().now()
    runs = [start_run(api, spec, last_settled_day(spec, now), check) for spec in accounts.ready]
    _follow(api, runs, check, console)
    code = _report(runs, api, Lakes(environment, database.connection_ids()), console)
    console.print(f"done in {time.monotonic() - began:.0f} s", highlight=False)
    if sys.stdout.isatty() and sys.stdin.isatty():
        password = kept_secret(settings.home, "airflow-password")
        console.print(f"Airflow: {settings.ui}  (user {USER}, password {password})")
        console.print("it stays up until Ctrl-C")
        _stay(check)
    console.print(f"Airflow was at {settings.ui} and is stopped now; on a terminal it stays up until Ctrl-C")
    return code


def _start_sandbox(settings: Settings, children: Children, accounts: Accounts) -> dict[str, str]:
    state_file = settings.home / "sandbox.json"
    state_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "logferry_sandbox", "--state-file", str(state_file)]
    children.start("sandbox", command, settings.environment, settings.root)
    deadline = time.monotonic() + _SANDBOX_S
    while not state_file.exists():
        if children.dead() or time.monotonic() > deadline:
            raise LogferryError(f"the sandbox did not start; see {children.log_of('sandbox')}")
        time.sleep(0.1)
    state: dict[str, Any] = json.loads(state_file.read_text())
    return sandbox_connections(accounts.ready, state)


def _migrate(settings: Settings, environment: dict[str, str], console: Console) -> None:
    mark = schema_mark(settings)
    if mark.exists():
        return
    console.print("creating Airflow's tables ...")
    log = settings.logs / "migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            airflow_command("db", "migrate"),
            env=environment,
            cwd=settings.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise LogferryError(f"Airflow could not create its tables; see {log}")
    mark.touch()


def _start_airflow(settings: Settings, children: Children, environment: dict[str, str]) -> None:
    for name in COMPONENTS:
        arguments = [name]
        if name in ("scheduler", "triggerer"):
            # Their log servers would listen on every interface; the API server reads the files itself.
            arguments.append("--skip-serve-logs")
        children.start(name, airflow_command(*arguments), environment, settings.root)


def _ensure_pools(api: Api, exports: Sequence[ExportSpec]) -> None:
    """A task in a pool that does not exist waits for ever, so the pools that definitions name are made."""
    for name in sorted({spec.pool for spec in exports}):
        if api.get(f"/pools/{name}") is None:
            api.post(
                "/pools",
                {"name": name, "slots": 4, "description": "made by make run", "include_deferred": False},
            )


def _follow(api: Api, runs: Sequence[Watched], check: Callable[[], None], console: Console) -> None:
    said: dict[str, str] = {}

    def say_once(key: str, text: str) -> None:
        if said.get(key) != text:
            said[key] = text
            console.print(text, highlight=False, markup=False)

    def show(current: Sequence[Watched]) -> None:
        for run in current:
            for attempt, why in run.retries.items():
                say_once(f"{run.dag_id} {attempt}", f"{run.spec.name}: {why}")
            if not console.is_terminal:
                say_once(run.dag_id, f"{run.spec.name}: {run.steps}")

    if not console.is_terminal:
        follow(api, runs, check, show)
        return
    with Live(console=console, refresh_per_second=4) as live:

        def show_live(current: Sequence[Watched]) -> None:
            show(current)
            live.update(_progress(current))

        follow(api, runs, check, show_live)


def _progress(runs: Sequence[Watched]) -> Table:
    table = Table.grid(padding=(0, 2))
    for run in runs:
        table.add_row(run.spec.name, run.state, run.steps)
    return table


def _report(runs: Sequence[Watched], api: Api, lakes: Lakes, console: Console) -> int:
    found = []
    codes: list[int] = []
    failures: list[str] = []
    for run in runs:
        store = lakes.open(run.spec)
        manifest = read_manifest(store, run.spec.name, run.window)
        found.append((run.spec, run.window, store, manifest))
        if run.state == "success":
            codes.append(0)
            continue
        failure = failure_of(api, run)
        codes.append(failure.exit_code)
        failures.append(f"[red]{run.spec.name} failed[/red]  {escape(failure.sentence)}")
    print_windows(console, found)
    for spec, _, store, manifest in found:
        if manifest is not None:
            print_samples(console, spec, sample_rows(store, manifest))
    for text in failures:
        console.print(text, highlight=False)
    return gravest(codes)


def _stay(check: Callable[[], None]) -> None:
    while True:
        check()
        time.sleep(1.0)


def _stop_quietly(children: Children) -> None:
    """A second Ctrl-C must not leave half of the processes behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children.stop()


if __name__ == "__main__":
    sys.exit(main())
