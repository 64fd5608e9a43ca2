"""Azure's own client and pandas, as its examples do it, hour by hour: an hour that comes back partial is halved.

https://learn.microsoft.com/python/api/overview/azure/monitor-query-readme
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pandas as pd
from azure.identity import ClientSecretCredential
from azure.monitor.query import LogsQueryClient, LogsQueryPartialResult

from benchmarks.contestants.task import Task


def carry(task: Task) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # they would win over the server's own certificate
        os.environ.pop(name, None)
    server = task.server
    authority = urlsplit(server["authority"])
    credential = ClientSecretCredential(
        server["tenant_id"],
        server["client_id"],
        server["client_secret"],
        authority=f"{authority.scheme}://{authority.netloc}",
        disable_instance_discovery=True,
        connection_verify=server["ca_bundle"],
    )
    client = LogsQueryClient(
        credential, endpoint=server["query_endpoint"], audience=server["scope"].removesuffix("/.default")
    )
    frames = []
    hour = timedelta(hours=1)
    start, end = datetime.fromisoformat(task.start), datetime.fromisoformat(task.end)
    to_do = [(at, at + hour) for at in (start + n * hour for n in range((end - start) // hour))][::-1]
    while to_do:
        first, last = to_do.pop()
        answer = client.query_workspace(
            server["workspace"],
            f"{task.table} | where TimeGenerated >= datetime({first.isoformat()}) "
            f"and TimeGenerated < datetime({last.isoformat()}) | extend ItemId = _ItemId",
            timespan=None,
            server_timeout=600,
            enforce_https=False,  # the local server speaks plain HTTP
        )
        if isinstance(answer, LogsQueryPartialResult):
            middle = first + (last - first) / 2
            to_do += [(middle, last), (first, middle)]
            continue
        table = answer.tables[0]
        if table.rows:
            frame = pd.DataFrame(table.rows, columns=table.columns)
            for name, kind in zip(table.columns, table.columns_types, strict=True):
                if kind == "real":  # NaN and the infinities come as text
                    frame[name] = frame[name].astype("float64")
            frames.append(frame)
    whole = pd.concat(frames, ignore_index=True).sort_values("TimeGenerated")
    whole.to_parquet(task.output / "rows.parquet", compression="zstd", index=False)
