"""An Azure Log Analytics connection in Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from logferry.errors import LogferryError
from logferry.window import TICK_PER_DAY, Window
from logferry_airflow.hooks.connections import MaskingAuthenticator, connect

if TYPE_CHECKING:
    from logferry.credentials.azure import AzureAccess


class AzureLogAnalyticsHook(BaseHook):
    """Access to Azure's log APIs as one principal.

    :param azure_conn_id: an ``azure_log_analytics`` connection, or a stock ``azure`` one.
    :param workspace: the workspace GUID that ``test_connection`` asks; default: the connection's extra field
        ``workspace``, which nothing else reads.
    :param table: the table it asks one row of; where the workspace has none of that name, the answer says so.
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
        from logferry.budget.opening import open_budget
        from logferry.clock import SystemClock
        from logferry.http import Client
        from logferry.sources import kql_text
        from logferry.sources.azure_adhoc import run_kql
        from logferry.sources.azure_errors import UnknownName
        from logferry.spec import AzureMonitorSourceSpec, source_from

        workspace = ""
        try:
            conn = connect(self.azure_conn_id, "azure_monitor")
            access = self.get_conn()
            auth = MaskingAuthenticator(access.auth_for("query"))
            auth.headers()
            budget = open_budget(auth.key, conn, connect)
            named = self.workspace or conn.text("workspace")
            if named is None:
                return True, (
                    "signed in; no workspace was asked, because the connection names none in its extra field "
                    "workspace: its permission Log Analytics Reader is not tested"
                )
            asked = {
                "kind": "azure_monitor",
                "connection": self.azure_conn_id,
                "workspace": named,
                "table": self.table,
            }
            source = source_from(asked, where=f"Connection {self.azure_conn_id!r}")
            assert isinstance(source, AzureMonitorSourceSpec)
            workspace = source.workspace
            now = SystemClock().now()
            day = Window(now - TICK_PER_DAY, now)
            query = f"{kql_text.name(self.table)} | take 1"
            client = Client(auth, ca_bundle=access.ca_bundle, budget=budget)
            answer = client.run(lambda: run_kql(access.query_endpoint, workspace, query, day))
        except UnknownName as error:
            return True, (
                f"signed in, and the workspace {workspace} answers queries, but it has no table {error.name} for "
                "this principal, so no row was read: try one of its tables with logferry doctor"
            )
        except LogferryError as error:
            return False, str(error)
        rows = "one row" if answer.rows else f"no rows: {self.table} was empty in the last 24 hours"
        return True, f"signed in, and the workspace {workspace} answered a query with {rows}"
