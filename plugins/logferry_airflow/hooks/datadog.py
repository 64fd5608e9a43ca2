"""A Datadog Logs connection in Airflow."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from logferry.errors import LogferryError
from logferry_airflow.hooks.connections import connect, mask

if TYPE_CHECKING:
    from logferry.credentials.datadog import DatadogAccess
    from logferry.sources.base import Request, Response


class DatadogLogsHook(BaseHook):
    """Access to one Datadog organisation's logs.

    :param datadog_conn_id: a ``datadog_logs`` connection, or a stock ``datadog`` one.
    """

    conn_name_attr = "datadog_conn_id"
    default_conn_name = "datadog_default"
    conn_type = "datadog_logs"
    hook_name = "Datadog Logs"

    def __init__(self, datadog_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.datadog_conn_id = datadog_conn_id

    def get_conn(self) -> DatadogAccess:
        """Where to ask and what to authenticate with. Raises CredentialsError or DefinitionError."""
        from logferry.credentials.datadog import datadog_access

        access = datadog_access(connect(self.datadog_conn_id, "datadog"))
        mask(*access.auth.secrets())
        return access

    def test_connection(self) -> tuple[bool, str]:
        """Search one row of the last fifteen minutes: an answer shows that keys, permission, site and budget fit."""
        from logferry.budget.opening import open_budget
        from logferry.http import Client

        try:
            access = self.get_conn()
            budget = open_budget(access.auth.key, connect(self.datadog_conn_id, "datadog"), connect)
            client = Client(access.auth, ca_bundle=access.ca_bundle, budget=budget)
            client.run(lambda: _one_row(access.base_url))
        except LogferryError as error:
            return False, str(error)
        return True, f"{access.base_url} answered a search of one row"


def _one_row(base_url: str) -> Generator[Request, Response, None]:
    from logferry.sources.base import Request
    from logferry.sources.datadog import SEARCH_PATH
    from logferry.sources.datadog_answers import read_search, refusal

    body = {"filter": {"from": "now-15m", "to": "now", "query": "*"}, "page": {"limit": 1}}
    response = yield Request(
        method="POST",
        url=base_url.rstrip("/") + SEARCH_PATH,
        purpose="search",
        bucket="datadog_search",
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
    )
    if response.status != 200:
        raise refusal(response, resumed=False)
    read_search(response.body)
