"""``python -m logferry_local``: start everything, export yesterday, show the result, leave nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import NoReturn

from rich.console import Console
from rich.markup import escape

from logferry.clock import SystemClock
from logferry.errors import DefinitionError, LogferryError, ShortError, gravest
from logferry.project import exports_folder
from logferry.spec import ExportSpec, load_exports
from logferry_local import preflight
from logferry_local.accounts import find_accounts, sandbox_connections, write_variables
from logferry_local.airflow import (
    USER,
    Api,
    airflow_command,
    airflow_environment,
    component_commands,
    schema_mark,
    write_command,
)
from logferry_local.database import Database
from logferry_local.failures import failure_of
from logferry_local.lakes import Lakes
from logferry_local.processes import Children, end_leftovers
from logferry_local.report import (
    Exported,
    print_samples,
    print_windows,
    read_manifest,
    sample_rows,
    shown_url,
)
from logferry_local.sandbox import choose_ports, start_sandbox
from logferry_local.screen import progress, step
from logferry_local.settings import Settings, kept_secret, load_settings
from logferry_local.watch import (
    Watched,
    follow,
    last_settled_day,
    start_runs,
    tasks_of,
    wait_until_healthy,
)

_UPKEEP = "archive_upkeep"
_HEALTHY_S = 240.0


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
    loaded = load_exports(exports_folder(settings.environment))
    for sentence in loaded.broken.values():
        console.print(f"[red]left out[/red] {escape(sentence)}", highlight=False, soft_wrap=True)
    if not loaded.exports:
        raise DefinitionError(
            f"there is no export definition to run in {loaded.folder}; add one, for example a copy of "
            "include/exports/web_errors.yaml"
        )

    with step(console, "PostgreSQL"):
        database = cleanup.enter_context(Database(settings.home / "postgres"))
    environment = airflow_environment(settings, database.uri)
    children = Children(register, settings.logs)
    cleanup.callback(_stop_quietly, children, console)
    accounts = find_accounts(loaded.exports.values(), environment, database.connection_ids())
    for name, reason in accounts.missing.items():
        console.print(f"[yellow]left out[/yellow] {name}: {escape(reason)}", highlight=False, soft_wrap=True)
    variables = settings.home / "sandbox.env"
    if accounts.sandbox:
        with step(console, "sandbox APIs, because no credentials are configured"):
            ports = choose_ports(settings.home)
            connections = sandbox_connections(accounts.ready, start_sandbox(settings, children, ports))
            environment.update(connections)
            write_variables(variables, connections)
        if ports.sentence:
            console.print(f"[yellow]note[/yellow] {escape(ports.sentence)}", highlight=False, soft_wrap=True)
    _migrate(settings, environment, console)
    own_airflow = settings.home / "airflow-cli"
    cleanup.callback(own_airflow.unlink, missing_ok=True)
    write_command(own_airflow, settings, environment)

    def check() -> None:
        if (dead := children.dead()) is not None:
            raise LogferryError(f"{dead} ended unexpectedly; its last lines are in {children.log_of(dead)}")

    since = datetime.now(UTC)
    api = Api(settings.ui, kept_secret(settings.home, "airflow-password"))
    with step(console, f"Airflow at {settings.ui}") as tell:
        for name, command in component_commands().items():
            children.start(name, command, environment, settings.root)
        wait_until_healthy(api, check, _HEALTHY_S, tell)
        api.log_in()
        tell("waiting for the DAGs")
        _ensure_pools(api, accounts.ready)
        _pause(api, [*(f"export_{name}" for name in accounts.missing), _UPKEEP])
        now = SystemClock().now()
        windows = [(spec, last_settled_day(spec, now)) for spec in accounts.ready]
        runs = start_runs(api, windows, check, since)
    with progress(console) as show:
        follow(api, runs, check, show)
    code = _report(runs, api, Lakes(environment, database.connection_ids()), console)
    console.print(f"done in {time.monotonic() - began:.0f} s", highlight=False)
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        console.print(
            f"Airflow was at {settings.ui} and is stopped now; on a terminal it stays up until Ctrl-C"
        )
        return code
    password = kept_secret(settings.home, "airflow-password")
    # Never cut or wrapped: a password is copied from here.
    for label, text in (
        ("Airflow", settings.ui),
        ("user", USER),
        ("password", password),
        ("archive", f"{settings.ui}/plugin/logferry (which hours are proven, short, missing)"),
        *(
            [("shell", f". {shown_url(variables.as_uri())} (the sandbox, for logferry plan and export)")]
            if accounts.sandbox
            else []
        ),
        (
            "command",
            f"{shown_url(own_airflow.as_uri())} (airflow for this run: type it where a command says airflow)",
        ),
    ):
        console.print(f"{label:<9} {text}", highlight=False, markup=False, soft_wrap=True)
    api.patch(f"/dags/{_UPKEEP}", {"is_paused": False})
    console.print("It stays up, and goes on exporting by schedule, until Ctrl-C.")
    try:
        _stay(check)
    except KeyboardInterrupt:
        # The work is done and told: this is the ordinary end.
        return code


def _migrate(settings: Settings, environment: dict[str, str], console: Console) -> None:
    mark = schema_mark(settings)
    if mark.exists():
        return
    log = settings.logs / "migrate.log"
    with step(console, "Airflow's tables, once"), log.open("wb") as output:
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


def _ensure_pools(api: Api, exports: Sequence[ExportSpec]) -> None:
    """A task in a pool that does not exist waits for ever, so the pools that definitions name are made."""
    for name in sorted({spec.pool for spec in exports}):
        if api.get(f"/pools/{name}") is None:
            api.post(
                "/pools",
                {"name": name, "slots": 4, "description": "made by make run", "include_deferred": False},
            )


def _pause(api: Api, dag_ids: Iterable[str]) -> None:
    """What an earlier run unpaused and would disturb this one: an export without credentials fails every night, and
    the upkeep goes to work as soon as Airflow is up."""
    for dag_id in dag_ids:
        if api.get(f"/dags/{dag_id}") is not None:
            api.patch(f"/dags/{dag_id}", {"is_paused": True})


def _report(runs: Sequence[Watched], api: Api, lakes: Lakes, console: Console) -> int:
    found: list[Exported] = []
    codes: list[int] = []
    failures: list[str] = []
    for run in runs:
        store = lakes.open(run.spec)
        manifest = read_manifest(store, run.spec.name, run.window)
        is_own = manifest is not None and manifest.run.id == run.run_id
        found.append(Exported(run.spec, run.window, store, manifest, failed=not is_own))
        if run.state == "success":
            codes.append(0)
            continue
        failure = failure_of(api, tasks_of(api, run))
        is_short = is_own and manifest is not None and manifest.status == "short"
        codes.append(ShortError.exit_code if is_short else failure.exit_code)
        failures.append(f"[red]{run.spec.name} failed[/red]  {escape(failure.sentence)}")
    print_windows(console, found)
    for export in found:
        if export.manifest is not None and not export.failed:
            print_samples(console, export.spec, sample_rows(export.store, export.manifest))
    for text in failures:
        console.print(text, highlight=False, soft_wrap=True)
    return gravest(codes)


def _stay(check: Callable[[], None]) -> NoReturn:
    while True:
        check()
        time.sleep(1.0)


def _stop_quietly(children: Children, console: Console) -> None:
    """A second Ctrl-C must not leave half of the processes behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with step(console, "stopping everything"):
        children.stop()


if __name__ == "__main__":
    sys.exit(main())
