"""Azure Log Analytics by hand, with care: requests, orjson and pyarrow; hour by hour, halved on a partial answer.

What it does not do: count, prove, checksum, resume, keep 100 ns ticks, or ask side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from benchmarks.contestants.task import Task
from benchmarks.contestants.without_pandas import hide_pandas

ARROW_TYPES = {
    "bool": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "real": pa.float64(),
    "datetime": pa.timestamp("us", "UTC"),
}
"""All others are text."""


def carry(task: Task) -> None:
    hide_pandas()
    session = requests.Session()
    retry = Retry(8, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    session.headers["Authorization"] = f"Bearer {token(session, task)}"
    writer: pq.ParquetWriter | None = None
    for columns, rows in answers(session, task):
        table = to_table(columns, rows)
        if writer is None:
            writer = pq.ParquetWriter(
                task.output / "rows.parquet", table.schema, compression="zstd", compression_level=1
            )
        writer.write_table(table)
    if writer is not None:
        writer.close()


def token(session: requests.Session, task: Task) -> str:
    server = task.server
    answer = session.post(
        f"{server['authority']}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": server["client_id"],
            "client_secret": server["client_secret"],
            "scope": server["scope"],
        },
        verify=server["ca_bundle"],
        timeout=60,
    )
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def answers(session: requests.Session, task: Task) -> Iterator[tuple[list[dict[str, str]], list[list[Any]]]]:
    """Columns and rows of each whole answer, in time order."""
    start, end = datetime.fromisoformat(task.start), datetime.fromisoformat(task.end)
    hour = timedelta(hours=1)
    to_do = [(at, at + hour) for at in (start + n * hour for n in range((end - start) // hour))][::-1]
    url = f"{task.server['query_endpoint']}/v1/workspaces/{task.server['workspace']}/query"
    while to_do:
        first, last = to_do.pop()
        query = (
            f"{task.table} | where TimeGenerated >= datetime({first.isoformat()}) "
            f"and TimeGenerated < datetime({last.isoformat()}) | extend ItemId = _ItemId "
            "| sort by TimeGenerated asc"
        )
        answer = session.post(
            url,
            json={"query": query},
            headers={"Prefer": "wait=600", "Cache-Control": "no-cache"},
            timeout=660,
        )
        answer.raise_for_status()
        found = orjson.loads(answer.content)
        if "error" in found:  # too much for one answer
            if last - first <= timedelta(microseconds=1):
                raise RuntimeError(f"too many rows at {first}")
            middle = first + (last - first) / 2
            to_do += [(middle, last), (first, middle)]
            continue
        table = found["tables"][0]
        if table["rows"]:
            yield table["columns"], table["rows"]


def to_table(columns: list[dict[str, str]], rows: list[list[Any]]) -> pa.Table:
    arrays, fields = [], []
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        kind = ARROW_TYPES.get(column["type"], pa.string())
        if column["type"] == "datetime":
            # 7 decimals: Arrow reads them as nanoseconds.
            array = pa.array(values, pa.string()).cast(pa.timestamp("ns", "UTC")).cast(kind, safe=False)
        elif column["type"] == "dynamic":
            array = pa.array([text(value) for value in values], kind)
        elif column["type"] == "real":
            array = pa.array([float(value) if isinstance(value, str) else value for value in values], kind)
        else:
            array = pa.array(values, kind)
        arrays.append(array)
        fields.append(pa.field(column["name"], kind))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def text(value: Any) -> str | None:
    """Dynamic values come as JSON text, now and then as plain JSON."""
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
