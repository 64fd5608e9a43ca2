"""Datadog's own client and pandas, as its examples do it: iterate over the pagination, make a frame, write it.

https://github.com/DataDog/datadog-api-client-python
"""

from __future__ import annotations

import json
from datetime import datetime

import pandas as pd
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.model.logs_list_request import LogsListRequest
from datadog_api_client.v2.model.logs_list_request_page import LogsListRequestPage
from datadog_api_client.v2.model.logs_query_filter import LogsQueryFilter
from datadog_api_client.v2.model.logs_sort import LogsSort

from benchmarks.contestants.half_characters import whole
from benchmarks.contestants.task import Task


def carry(task: Task) -> None:
    configuration = Configuration(host=task.server["base_url"], enable_retry=True)
    configuration.api_key["apiKeyAuth"] = task.server["api_key"]
    configuration.api_key["appKeyAuth"] = task.server["app_key"]
    body = LogsListRequest(
        filter=LogsQueryFilter(query="*", indexes=["*"], _from=task.start, to=task.end),
        sort=LogsSort.TIMESTAMP_ASCENDING,
        page=LogsListRequestPage(limit=1000),
    )
    with ApiClient(configuration) as client:
        rows = []
        for log in LogsApi(client).list_logs_with_pagination(body=body):
            event = log.to_dict()
            # Their types change from event to event, which Parquet cannot hold: kept as JSON text.
            attributes = event["attributes"].pop("attributes", None)
            text = json.dumps(attributes, default=in_words)
            rows.append({"id": event["id"], **event["attributes"], "attributes": text})
    try:
        frame = pd.DataFrame(rows)
    except UnicodeEncodeError:
        frame = pd.DataFrame([whole(row) for row in rows])
    frame.to_parquet(task.output / "events.parquet", compression="zstd", index=False)


def in_words(value: object) -> str:
    """The client makes datetimes of texts that look like one."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
