"""Logferry as its user meets it: the command ``logferry export``, with counts, proof, checksums and manifest."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from benchmarks.contestants.task import Task
from logferry.cli import main
from logferry.cli.app import loading

NAME = "bench"
_DEFINITION = """\
name: {name}
source: {source}
schedule: "@daily"
start: 2020-01-01T00:00:00Z
slice: {slice}
destination: {{url: "{lake}"}}
"""

# The command line loads its commands late: have this one loaded, in the command's own way, before the clock starts.
with loading():
    import logferry.cli.export  # noqa: F401


def carry(task: Task) -> None:
    folder = task.output / "definitions"
    folder.mkdir()
    (folder / f"{NAME}.yaml").write_text(definition(task, task.output / "lake"), encoding="utf-8")
    os.environ["LOGFERRY_EXPORTS_DIR"] = str(folder)
    os.environ["AIRFLOW_CONN_BENCH"] = json.dumps(connection(task))
    # As its own process: what is given as an argument is a call by somebody else's, which the command leaves as it is.
    sys.argv = ["logferry", "export", NAME, "--from", task.start, "--to", task.end, "--json"]
    code = main()
    if code != 0:
        raise SystemExit(code)


def definition(task: Task, lake: Path) -> str:
    """The export's YAML."""
    if task.api == "datadog":
        source = "{kind: datadog, connection: bench}"
    else:
        source = (
            f"{{kind: azure_monitor, connection: bench, workspace: {task.server['workspace']}, "
            f"table: {task.table}}}"
        )
    return _DEFINITION.format(name=NAME, source=source, slice=task.slice, lake=lake.as_uri())


def connection(task: Task) -> dict[str, object]:
    """The connection's JSON, as in an ``AIRFLOW_CONN_…`` variable."""
    server = task.server
    extra: dict[str, object] = {} if task.in_flight is None else {"in_flight": task.in_flight}
    if task.api == "datadog":
        extra |= {"api_key": server["api_key"], "app_key": server["app_key"]}
        return {"conn_type": "datadog_logs", "host": server["base_url"], "extra": extra}
    extra |= {
        "tenantId": server["tenant_id"],
        "authority": server["authority"],
        "query_endpoint": server["query_endpoint"],
        "ca_bundle": server["ca_bundle"],
    }
    return {
        "conn_type": "azure_log_analytics",
        "login": server["client_id"],
        "password": server["client_secret"],
        "extra": extra,
    }
