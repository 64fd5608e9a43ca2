"""Datadog by hand, with care: requests, orjson and pyarrow; cursor paging, bounded batches, zstd Parquet.

What it does not do: count, prove, checksum, resume, read pages side by side, or keep the JSON as received.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from benchmarks.contestants.half_characters import whole
from benchmarks.contestants.task import Task
from benchmarks.contestants.without_pandas import hide_pandas

BATCH_ROWS = 20_000
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("timestamp", pa.timestamp("ms", "UTC")),
        ("status", pa.string()),
        ("service", pa.string()),
        ("host", pa.string()),
        ("message", pa.string()),
        ("tags", pa.list_(pa.string())),
        ("attributes", pa.string()),
    ]
)
Row = tuple[Any, ...]


def carry(task: Task) -> None:
    hide_pandas()
    with pq.ParquetWriter(
        task.output / "events.parquet", SCHEMA, compression="zstd", compression_level=1
    ) as writer:
        rows: list[Row] = []
        for page in pages(task):
            rows += page
            if len(rows) >= BATCH_ROWS:
                writer.write_table(to_table(rows))
                rows.clear()
        if rows:
            writer.write_table(to_table(rows))


def pages(task: Task) -> Iterator[list[Row]]:
    """The rows of each page, oldest first."""
    session = requests.Session()
    session.headers.update(
        {"DD-API-KEY": task.server["api_key"], "DD-APPLICATION-KEY": task.server["app_key"]}
    )
    retry = Retry(8, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    page: dict[str, Any] = {"limit": 1000}
    body: dict[str, Any] = {
        "filter": {"query": "*", "indexes": ["*"], "from": task.start, "to": task.end},
        "sort": "timestamp",
        "page": page,
    }
    url = f"{task.server['base_url']}/api/v2/logs/events/search"
    while True:
        answer = session.post(url, json=body, timeout=60)
        answer.raise_for_status()
        rows, meta = read_answer(answer.content)
        if meta["status"] != "done":
            raise RuntimeError(f"the search ended with {meta['status']}")
        yield rows
        cursor = (meta.get("page") or {}).get("after")
        if cursor is None:
            return
        page["cursor"] = cursor


def read_answer(body: bytes) -> tuple[list[Row], dict[str, Any]]:
    """Rows and ``meta`` of a page."""
    try:
        found = orjson.loads(body)
        return to_rows(found, as_text=orjson.dumps), found["meta"]
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # half characters, or integers over 64 bits
        found = json.loads(body)
        return [tuple(map(whole, row)) for row in to_rows(found, as_text=slow_text)], found["meta"]


def to_rows(found: dict[str, Any], *, as_text: Callable[[Any], bytes]) -> list[Row]:
    rows = []
    for event in found["data"] or ():
        attributes = event["attributes"]
        get = attributes.get
        rows.append(
            (
                event["id"],
                attributes["timestamp"],
                get("status"),
                get("service"),
                get("host"),
                get("message"),
                get("tags"),
                as_text(get("attributes")),
            )
        )
    return rows


def slow_text(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def to_table(rows: list[Row]) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    arrays = []
    for field, column in zip(SCHEMA, columns, strict=True):
        if field.name == "timestamp":
            array = pa.array(column, pa.string()).cast(field.type)
        elif field.name == "attributes":
            array = pa.array(column, pa.binary()).cast(pa.string())
        else:
            array = pa.array(column, field.type)
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
