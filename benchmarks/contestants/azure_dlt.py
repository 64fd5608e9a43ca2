"""dlt for Azure: it has no source for Log Analytics, and its REST source has no paginator for an API without pages.

So this is the usual way out: a resource of one's own that asks hour by hour (halving partial answers) with dlt's
HTTP client and yields rows as dicts; dlt types, normalises and writes them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dlt
from dlt.destinations import filesystem
from dlt.sources.helpers import requests

from benchmarks.contestants.task import Task


def carry(task: Task) -> None:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    pipeline = dlt.pipeline(
        "azure",
        pipelines_dir=str(task.output / "_pipeline"),
        destination=filesystem(bucket_url=(task.output / "lake").as_uri()),
        dataset_name="logs",
    )
    rows = dlt.resource(answers(task), name="rows", max_table_nesting=0)
    pipeline.run(rows, loader_file_format="parquet").raise_on_failed_jobs()


def answers(task: Task) -> Iterator[list[dict[str, Any]]]:
    server = task.server
    signed_in = requests.post(
        f"{server['authority']}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": server["client_id"],
            "client_secret": server["client_secret"],
            "scope": server["scope"],
        },
        verify=server["ca_bundle"],
    )
    headers = {
        "Authorization": f"Bearer {signed_in.json()['access_token']}",
        "Prefer": "wait=600",
        "Cache-Control": "no-cache",
    }
    hour = timedelta(hours=1)
    start, end = datetime.fromisoformat(task.start), datetime.fromisoformat(task.end)
    to_do = [(at, at + hour) for at in (start + n * hour for n in range((end - start) // hour))][::-1]
    while to_do:
        first, last = to_do.pop()
        query = (
            f"{task.table} | where TimeGenerated >= datetime({first.isoformat()}) "
            f"and TimeGenerated < datetime({last.isoformat()}) | extend ItemId = _ItemId"
        )
        found = requests.post(
            f"{server['query_endpoint']}/v1/workspaces/{server['workspace']}/query",
            json={"query": query},
            headers=headers,
            timeout=660,
        ).json()
        if "error" in found:
            middle = first + (last - first) / 2
            to_do += [(middle, last), (first, middle)]
            continue
        table = found["tables"][0]
        names = [column["name"] for column in table["columns"]]
        yield [dict(zip(names, row, strict=True)) for row in table["rows"]]
