"""``logferry search``: some rows now. Every scenario of the vendors' guides, whole answers or an error.

``--json``: ``{"kind", "query", "from", "to", "sort", "total", "returned", "rows": [row…]}``; ``total`` is null for
Datadog, ``sort`` for the legacy API. ``--ndjson``: one row per line.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from logferry.adhoc import DatadogSearch, KqlSearch, check_sort, split_kql
from logferry.budget.opening import open_budget
from logferry.cli.found import Found, Shape, show
from logferry.cli.options import AsJson
from logferry.cli.output import say
from logferry.clock import SystemClock
from logferry.connection import Connection, connection_for
from logferry.credentials.authenticator import Authenticator
from logferry.credentials.azure import azure_access
from logferry.credentials.datadog import datadog_access
from logferry.errors import DefinitionError
from logferry.http import Client
from logferry.sources.azure_adhoc import run_log_search
from logferry.sources.azure_search_job import LegacyWorkspace
from logferry.sources.datadog import PAGE_ROWS
from logferry.spec import (
    AzureLogSearchSourceSpec,
    AzureMonitorSourceSpec,
    DatadogSourceSpec,
    SourceSpec,
    load_exports,
    source_from,
)
from logferry.timeforms import TimeForms, zone_of
from logferry.window import TICK_PER_MS, Window, format_instant

MOST_LEGACY_ROWS = 5000
MOST_KQL_ROWS = 500_000
_DEFAULT_LIMITS = {"datadog": 50, "azure_monitor": 100, "azure_log_search": 100}
_DEFAULT_CONNECTIONS = {
    "datadog": "datadog_default",
    "azure_monitor": "azure_default",
    "azure_log_search": "azure_default",
}
_OPTIONS_OF = {
    "datadog": {"query", "index", "storage_tier", "site", "sort"},
    "azure_monitor": {"query", "workspace", "table", "time_column", "pipeline", "sort"},
    "azure_log_search": {"query", "workspace", "subscription", "resource_group", "top"},
}


class Kind(StrEnum):
    """The kinds of source, as options."""

    datadog = "datadog"
    azure_monitor = "azure_monitor"
    azure_log_search = "azure_log_search"


def _option(name: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(name, help=text)
    return option


def search(
    export: Annotated[
        str | None,
        typer.Argument(help="Search as this export does; options override it.", metavar="EXPORT"),
    ] = None,
    kind: Annotated[Kind | None, _option("--kind", "Without EXPORT: the kind of source.")] = None,
    connection: Annotated[
        str | None, _option("--connection", "Connection id; default <vendor>_default.")
    ] = None,
    start: Annotated[str, _option("--from", "ISO-8601, epoch ms, now, now-1h, +1h, -2d.")] = "now-15m",
    end: Annotated[str, _option("--to", "Likewise; not part of the range.")] = "now",
    timezone: Annotated[
        str | None, _option("--timezone", "For ISO times without one: Europe/Paris, UTC+3.")
    ] = None,
    time_offset: Annotated[
        int | None, _option("--time-offset", "The same in seconds; beats --timezone.")
    ] = None,
    query: Annotated[str | None, _option("--query", "In the source's own language.")] = None,
    sort: Annotated[str | None, _option("--sort", "timestamp, -timestamp, @facet or -@facet.")] = None,
    limit: Annotated[int | None, _option("--limit", "Most rows in all.")] = None,
    index: Annotated[list[str] | None, _option("--index", "Datadog: an index; may be repeated.")] = None,
    storage_tier: Annotated[
        str | None, _option("--storage-tier", "Datadog: indexes, online-archives, flex.")
    ] = None,
    site: Annotated[str | None, _option("--site", "Datadog: the site, such as datadoghq.eu.")] = None,
    workspace: Annotated[
        str | None, _option("--workspace", "Azure: the workspace's GUID (legacy: its name).")
    ] = None,
    table: Annotated[str | None, _option("--table", "Azure Monitor: the table.")] = None,
    time_column: Annotated[
        str | None, _option("--time-column", "Azure Monitor: default TimeGenerated.")
    ] = None,
    pipeline: Annotated[
        str | None, _option("--pipeline", "Azure Monitor: KQL after the table's name.")
    ] = None,
    subscription: Annotated[str | None, _option("--subscription", "Legacy: the subscription's GUID.")] = None,
    resource_group: Annotated[str | None, _option("--resource-group", "Legacy: the resource group.")] = None,
    top: Annotated[int | None, _option("--top", "Legacy: records asked for, at most 5000.")] = None,
    ndjson: Annotated[bool, typer.Option("--ndjson", help="One JSON object per row.")] = False,
    as_json: AsJson = False,
) -> int:
    """Search now: a table, NDJSON or JSON. Relative times are resolved once and printed."""
    options: dict[str, object] = {
        "query": query, "index": index, "storage_tier": storage_tier, "site": site, "workspace": workspace,
        "table": table, "time_column": time_column, "pipeline": pipeline, "subscription": subscription,
        "resource_group": resource_group, "top": top, "sort": sort,
    }  # fmt: skip
    given = {name: value for name, value in options.items() if value is not None}
    if ndjson and as_json:
        raise DefinitionError("--ndjson and --json are two forms of the same rows; give one")
    for name, most in (("limit", limit), ("top", top)):
        if most is not None and most < 1:
            raise DefinitionError(f"--{name} {most} asks for nothing; give 1 or more")
    source, operators = _source(export, kind.value if kind else None, connection, given)
    order = check_sort(sort or "-timestamp")
    now = SystemClock().now() // TICK_PER_MS * TICK_PER_MS
    window = TimeForms(now, zone_of(timezone, time_offset)).range(start, end)
    conn = connection_for(source.connection, source.kind)
    say(f"searching {format_instant(window.start)} to {format_instant(window.end)} (UTC)", stderr=True)
    rows = min([most for most in (limit, top) if most is not None], default=_DEFAULT_LIMITS[source.kind])
    shape = Shape(json=as_json, ndjson=ndjson)
    match source:
        case DatadogSourceSpec():
            _datadog(conn, source, window, order, rows, site, shape)
        case AzureMonitorSourceSpec():
            _azure_monitor(conn, source, operators, window, order, rows, shape)
        case AzureLogSearchSourceSpec():
            _azure_log_search(conn, source, window, rows, shape)
    return 0


def _source(
    export: str | None, kind: str | None, connection: str | None, given: dict[str, object]
) -> tuple[SourceSpec, str]:
    """What to search, from an export or the options; and for KQL the operators after the table's name."""
    base: dict[str, object]
    if export is not None:
        spec = load_exports().get(export)
        if kind not in (None, spec.source.kind):
            raise DefinitionError(f"{export} is of kind {spec.source.kind}, not {kind}; leave --kind out")
        base = {name: value for name, value in spec.source.model_dump().items() if name != "retention"}
        kind = spec.source.kind
    elif kind is None:
        raise DefinitionError(
            f"give the name of an export, or --kind with one of {', '.join(_OPTIONS_OF)} and its options"
        )
    else:
        base = {"kind": kind, "connection": _DEFAULT_CONNECTIONS[kind]}
    for name in given:
        if name not in _OPTIONS_OF[kind]:
            raise DefinitionError(f"--{name.replace('_', '-')} is not an option of {kind}; leave it out")
    if connection is not None:
        base["connection"] = connection
    operators = str(base.get("pipeline") or "")
    for name, value in given.items():
        if name == "index":
            base["indexes"] = value
        elif name == "pipeline":
            operators = str(value)
        elif name == "query" and kind == "azure_monitor":
            if {"table", "pipeline"} & given.keys():
                raise DefinitionError(
                    "--query holds the table and its operators; leave --table and --pipeline out"
                )
            base["table"], operators = split_kql(str(value))
        elif name not in ("site", "sort", "top"):
            base[name] = value
    base.pop("pipeline", None)
    if operators and not operators.lstrip().startswith("|"):
        operators = f"| {operators}"
    return source_from(base, where="search"), operators


def _datadog(
    conn: Connection,
    spec: DatadogSourceSpec,
    window: Window,
    order: str,
    limit: int,
    site: str | None,
    shape: Shape,
) -> None:
    if site is not None:
        conn = _at_site(conn, site)
    access = datadog_access(conn)
    asked = DatadogSearch(
        base_url=access.base_url,
        query=spec.query,
        window=window,
        sort=order,
        indexes=spec.indexes,
        storage_tier=spec.storage_tier,
        page_rows=min(limit, PAGE_ROWS),
    )
    events = asked.events(_client(conn, access.auth, access.ca_bundle), limit)
    found = Found(kind=spec.kind, query=spec.query, window=window, sort=order, limit=limit, events=events)
    show(found, shape)


def _client(conn: Connection, auth: Authenticator, ca_bundle: str | None) -> Client:
    return Client(auth, ca_bundle=ca_bundle, budget=open_budget(auth.key, conn, connection_for))


def _at_site(conn: Connection, site: str) -> Connection:
    """The connection with this site in place of every address of its own."""
    addresses = ("site", "api_host")
    kept = {
        key: value
        for key, value in conn.extra.items()
        if key not in addresses and not (key.startswith("extra__") and key.endswith(("__site", "__api_host")))
    }
    return replace(conn, host=None, extra={**kept, "site": site})


def _azure_monitor(
    conn: Connection,
    spec: AzureMonitorSourceSpec,
    operators: str,
    window: Window,
    order: str,
    limit: int,
    shape: Shape,
) -> None:
    if limit > MOST_KQL_ROWS:
        raise DefinitionError(f"--limit {limit} is more than Log Analytics gives at once ({MOST_KQL_ROWS:,})")
    access = azure_access(conn)
    asked = KqlSearch(
        query_endpoint=access.query_endpoint,
        workspace=spec.workspace,
        table=spec.table,
        operators=operators,
        window=window,
        time_column=spec.time_column,
        sort=order,
    )
    client = _client(conn, access.auth_for("query"), access.ca_bundle)
    total = client.run(asked.count)
    answer = client.run(lambda: asked.rows(limit))
    names = [name for name, _ in answer.columns]
    show(
        Found(
            kind=spec.kind,
            query=f"{spec.table} {operators}".strip(),
            window=window,
            sort=order,
            records=[dict(zip(names, row, strict=True)) for row in answer.rows],
            limit=limit,
            total=total,
            top=len(answer.rows),
        ),
        shape,
    )


def _azure_log_search(
    conn: Connection, spec: AzureLogSearchSourceSpec, window: Window, limit: int, shape: Shape
) -> None:
    if limit > MOST_LEGACY_ROWS:
        raise DefinitionError(
            f"the Log Search API gives at most {MOST_LEGACY_ROWS} records at once; ask for fewer than {limit}"
        )
    access = azure_access(conn)
    place = LegacyWorkspace(access.arm_endpoint, spec.subscription, spec.resource_group, spec.workspace)
    client = _client(conn, access.auth_for("arm"), access.ca_bundle)
    answer = client.run(lambda: run_log_search(place, query=spec.query, top=limit, window=window))
    show(
        Found(
            kind=spec.kind,
            query=spec.query,
            window=window,
            sort=None,
            records=answer.rows,
            limit=limit,
            total=answer.total,
            top=len(answer.rows) if answer.top is None else answer.top,
        ),
        shape,
    )
