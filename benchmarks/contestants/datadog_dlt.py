"""dlt with its REST source: the search paginated by its cursor, Parquet files on local disk.

https://dlthub.com/docs/dlt-ecosystem/verified-sources/rest_api
"""

from __future__ import annotations

import os
from typing import Any

import dlt
import orjson
from dlt.destinations import filesystem
from dlt.sources.helpers.rest_client.paginators import JSONResponseCursorPaginator
from dlt.sources.rest_api import rest_api_resources

from benchmarks.contestants.half_characters import whole
from benchmarks.contestants.task import Task


def carry(task: Task) -> None:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    events = rest_api_resources(
        {
            "client": {
                "base_url": task.server["base_url"],
                "headers": {
                    "DD-API-KEY": task.server["api_key"],
                    "DD-APPLICATION-KEY": task.server["app_key"],
                },
                "paginator": JSONResponseCursorPaginator(
                    cursor_path="meta.page.after", cursor_body_path="page.cursor"
                ),
            },
            "resources": [
                {
                    "name": "events",
                    # The free-form part changes its types from event to event: one JSON column, no child tables.
                    "max_table_nesting": 0,
                    "processing_steps": [{"map": to_row}],
                    "endpoint": {
                        "path": "/api/v2/logs/events/search",
                        "method": "POST",
                        "json": {
                            "filter": {"query": "*", "indexes": ["*"], "from": task.start, "to": task.end},
                            "sort": "timestamp",
                            "page": {"limit": 1000},
                        },
                        "data_selector": "data",
                    },
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        "datadog",
        pipelines_dir=str(task.output / "_pipeline"),
        destination=filesystem(bucket_url=(task.output / "lake").as_uri()),
        dataset_name="logs",
    )
    pipeline.run(events, loader_file_format="parquet").raise_on_failed_jobs()


def to_row(event: dict[str, Any]) -> dict[str, Any]:
    """The event's members side by side, as the other contestants write them."""
    row = {"id": event["id"], **event["attributes"]}
    try:
        orjson.dumps(row)
    except TypeError:  # dlt would refuse it as well
        return dict(whole(row))
    return row
