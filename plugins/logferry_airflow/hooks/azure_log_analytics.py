"""An Azure Log Analytics connection in Airflow."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from logferry.errors import LogferryError
from logferry_airflow.hooks.connections import connect, mask

if TYPE_CHECKING:
    from logferry.credentials.azure import AzureAccess
    from logferry.sources.base import Request, Response


class AzureLogAnalyticsHook(BaseHook):
    """Access to Azure's log APIs as one principal.

    :param azure_conn_id: an ``azure_log_analytics`` connection, or a stock ``azure`` one.
    :param workspace: the workspace GUID that ``test_connection`` asks; default: the connection's extra field
        ``workspace``, which nothing else reads.
    :param table: the table it asks one row of; ``Usage`` exists in every workspace.
    """

    conn_name_attr = "azure_conn_id"
    default_conn_name = "azure_default"
    conn_type = "azure_log_analytics"
    hook_name = "Azure Log Analytics"

    def __init__(
        self,
        azure_conn_id: str = default_conn_name,
        *,
        workspace: str | None = None,
        table: str = "Usage",
    ) -> None:
        super().__init__()
        self.azure_conn_id = azure_conn_id
        self.workspace = workspace
        self.table = table

    def get_conn(self) -> AzureAccess:
        """Where to ask and whom to sign in as. Raises CredentialsError or DefinitionError."""
        from logferry.credentials.azure import azure_access

        return azure_access(connect(self.azure_conn_id, "azure_monitor"))

    def test_connection(self) -> tuple[bool, str]:
        """Sign in; with a workspace, also read one row. Without one, the answer says what was not tested."""
        from logferry.http import Client

        try:
            access = self.get_conn()
            auth = access.auth_for("query")
            auth.headers()
            mask(*auth.secrets())
            workspace = self.workspace or connect(self.azure_conn_id, "azure_monitor").text("workspace")
            if workspace is None:
                return True, (
                    "signed in; no workspace was asked, because the connection names none in its extra field "
                    "workspace: its permission Log Analytics Reader is not tested"
                )
            client = Client(auth, ca_bundle=access.ca_bundle)
            url = f"{access.query_endpoint}/v1/workspaces/{workspace}/query"
            client.run(lambda: _one_row(url, self.table))
        except LogferryError as error:
            return False, str(error)
        return True, f"signed in, and the workspace {workspace} answered a query of one row"


def _one_row(url: str, table: str) -> Generator[Request, Response, None]:
    from logferry.sources.azure_errors import partial_answer, query_refusal, read_error
    from logferry.sources.base import Request

    response = yield Request(
        method="POST",
        url=url,
        purpose="search",
        bucket="azure_query",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"query": f"{table} | take 1", "timespan": "P1D"}).encode(),
    )
    if response.status != 200:
        raise query_refusal(response, table=table)
    error = read_error(response.body)
    if b'"error"' in response.body[:1000] or not response.body:
        raise partial_answer(error)
