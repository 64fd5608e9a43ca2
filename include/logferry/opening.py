"""Opening a ferry: its source, store and budget, by the connections that the definition names."""

from __future__ import annotations

from pathlib import Path

from logferry.budget.opening import open_budget
from logferry.clock import Clock, SystemClock
from logferry.connection import Connect, is_sandbox
from logferry.ferry import Ferry, Run
from logferry.http import Client
from logferry.progress import Progress
from logferry.sources.opening import open_source
from logferry.spec import ExportSpec, lake_url
from logferry.stores.opening import open_store


def open_ferry(
    spec: ExportSpec,
    connect: Connect,
    *,
    run_id: str,
    attempt: int = 1,
    clock: Clock | None = None,
    workdir: Path | None = None,
    progress: Progress | None = None,
) -> Ferry:
    """The ferry of one export, its connections looked up through ``connect``.

    ``connect`` is asked for the source's connection with the source's kind, and for the destination's with
    ``aws`` when the definition names one. ``workdir``: where unfinished files lie (default: the system's).
    Raises DefinitionError and CredentialsError; nothing is sent yet.
    """
    clock = clock or SystemClock()
    connection = connect(spec.source.connection, spec.source.kind)
    opened = open_source(spec, connection)
    destination = spec.destination.connection
    store = open_store(
        lake_url(spec, sandbox=is_sandbox(connection)), connect(destination, "aws") if destination else None
    )
    budget = open_budget(opened.auth.key, connection, connect, share=spec.name, clock=clock)
    client = Client(opened.auth, ca_bundle=opened.ca_bundle, budget=budget, clock=clock)
    return Ferry(
        spec,
        source=opened.source,
        client=client,
        store=store,
        run=Run(run_id, attempt),
        clock=clock,
        workdir=workdir,
        progress=progress,
        in_flight=connection.in_flight,
    )
