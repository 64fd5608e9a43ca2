"""``logferry doctor``: what a connection can do, measured with a few requests.

``--json``: ``{"connection", "status", "checks": [{"kind", "check", "status", "detail", "remedy", "exit_code"}]}``;
``status`` is ok, warn or fail, of the whole the worst.
"""

from __future__ import annotations

from typing import Annotated

import typer

from logferry.cli.examine import Examination, Finding
from logferry.cli.options import AsJson
from logferry.cli.output import print_json, say
from logferry.cli.search import Kind
from logferry.clock import SystemClock
from logferry.connection import connection_from_env
from logferry.errors import CredentialsError, DefinitionError, gravest
from logferry.spec import SourceSpec, load_exports, source_from

_KIND_OF_TYPE = {
    "datadog_logs": "datadog",
    "datadog": "datadog",
    "azure_log_analytics": "azure_monitor",
    "azure": "azure_monitor",
}


def doctor(
    connection: Annotated[str, typer.Argument(help="Connection id.", metavar="CONNECTION")],
    kind: Annotated[Kind | None, typer.Option("--kind", help="Default: of the exports that use it.")] = None,
    workspace: Annotated[
        str | None,
        typer.Option("--workspace", help="Azure Monitor, when no export uses the connection: its GUID."),
    ] = None,
    table: Annotated[str | None, typer.Option("--table", help="Likewise: a table to read.")] = None,
    as_json: AsJson = False,
) -> int:
    """Check credentials, permission, counts, limits, bounds and the exactness of counts."""
    sources = _sources(connection, kind.value if kind else None, workspace, table)
    now = SystemClock().now()
    findings: list[Finding] = []
    for source in sources:
        for finding in Examination(source, now=now).findings():
            findings.append(finding)
            if not as_json:
                say(finding.line())
    codes = [finding.exit_code for finding in findings]
    if as_json:
        worst = next(word for word in ("fail", "warn", "ok") if any(one.status == word for one in findings))
        checks = [finding.to_json() for finding in findings]
        print_json({"connection": connection, "status": worst, "checks": checks})
    return gravest(codes)


def _sources(connection: str, kind: str | None, workspace: str | None, table: str | None) -> list[SourceSpec]:
    """One source per kind to examine: those of exports that use the connection, else one made for it."""
    if workspace or table:
        if not (workspace and table) or kind not in (None, "azure_monitor"):
            raise DefinitionError("--workspace and --table go together, for kind azure_monitor")
        base = {"kind": "azure_monitor", "connection": connection, "workspace": workspace, "table": table}
        return [source_from(base, where="doctor")]
    used: dict[str, SourceSpec] = {}
    for spec in load_exports().exports.values():
        if spec.source.connection == connection:
            used.setdefault(spec.source.kind, spec.source)
    if kind is None and used:
        return list(used.values())
    wanted = kind or _kind_of(connection)
    if wanted in used:
        return [used[wanted]]
    if wanted == "datadog":
        return [source_from({"kind": "datadog", "connection": connection}, where="doctor")]
    raise DefinitionError(
        f"no export of kind {wanted} uses {connection}, so there is no workspace to try; "
        "give --workspace and --table, or write the export first"
    )


def _kind_of(connection: str) -> str:
    try:
        conn_type = connection_from_env(connection).conn_type
    except CredentialsError as error:
        raise CredentialsError(f"{error} Or give --kind to use the vendor's own variables.") from None
    if conn_type not in _KIND_OF_TYPE:
        raise DefinitionError(
            f"{connection} is of type {conn_type}, which is no source of logs; check another one"
        )
    return _KIND_OF_TYPE[conn_type]
