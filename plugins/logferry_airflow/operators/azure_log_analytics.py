"""Azure Log Analytics to Parquet, one window per task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from logferry_airflow.operators.logs_to_parquet import LogsToParquetOperator


class AzureLogAnalyticsToParquetOperator(LogsToParquetOperator):
    """Export one window of a Log Analytics workspace to Parquet, with a manifest.

    With ``kind="azure_monitor"`` (default) it reads ``table`` through an optional KQL ``pipeline``. With
    ``kind="azure_log_search"`` it speaks the legacy Log Search API, which is retired in the public cloud, and
    needs ``query``, ``subscription`` and ``resource_group``.

    :param workspace: the workspace's GUID; for ``azure_log_search`` its name. (templated)
    :param table: the table to export. (templated)
    :param pipeline: KQL after the table, such as ``| where Success == false``; row-wise operators only.
        (templated)
    :param time_column: the column that decides which window a row belongs to.
    :param query: the search of ``azure_log_search``. (templated)
    :param subscription: for ``azure_log_search``. (templated)
    :param resource_group: for ``azure_log_search``. (templated)
    :param top: rows per answer of ``azure_log_search``, at most 5000.
    :param azure_conn_id: an ``azure_log_analytics`` or stock ``azure`` connection.
    :param kind: which of the two APIs.

    The other parameters are those of ``LogsToParquetOperator``.
    """

    template_fields: Sequence[str] = (
        *LogsToParquetOperator.template_fields,
        "workspace",
        "table",
        "pipeline",
        "query",
        "subscription",
        "resource_group",
    )

    def __init__(
        self,
        *,
        workspace: str,
        table: str | None = None,
        pipeline: str | None = None,
        time_column: str | None = None,
        query: str | None = None,
        subscription: str | None = None,
        resource_group: str | None = None,
        top: int | None = None,
        azure_conn_id: str = "azure_default",
        kind: Literal["azure_monitor", "azure_log_search"] = "azure_monitor",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workspace = workspace
        self.table = table
        self.pipeline = pipeline
        self.time_column = time_column
        self.query = query
        self.subscription = subscription
        self.resource_group = resource_group
        self.top = top
        self.azure_conn_id = azure_conn_id
        self.kind = kind
        self.may_be_left_out(
            "source",
            table=table,
            pipeline=pipeline,
            time_column=time_column,
            query=query,
            subscription=subscription,
            resource_group=resource_group,
            top=top,
        )

    def source(self) -> Mapping[str, Any]:
        """Everything that was given: a parameter of the other API is refused by name when the task runs."""
        return {
            "kind": self.kind,
            "connection": self.azure_conn_id,
            "workspace": self.workspace,
            "table": self.table,
            "pipeline": self.pipeline,
            "time_column": self.time_column,
            "query": self.query,
            "subscription": self.subscription,
            "resource_group": self.resource_group,
            "top": self.top,
        }
