"""Datadog Logs Search to Parquet, one window per task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from logferry_airflow.operators.logs_to_parquet import LogsToParquetOperator


class DatadogLogsToParquetOperator(LogsToParquetOperator):
    """Export one window of a Datadog log search to Parquet, with a manifest that proves it complete.

    :param query: the search, such as ``service:web-store status:error``. (templated)
    :param datadog_conn_id: a ``datadog_logs`` or stock ``datadog`` connection.
    :param indexes: a list of the indexes to search.
    :param storage_tier: ``indexes``, ``online-archives`` or ``flex``.
    :param promoted_columns: attributes to promote to columns, such as
        ``{"http_status": {"path": "http.status_code", "type": "int64"}}``.

    The other parameters are those of ``LogsToParquetOperator``.
    """

    template_fields: Sequence[str] = (*LogsToParquetOperator.template_fields, "query")

    def __init__(
        self,
        *,
        query: str = "*",
        datadog_conn_id: str = "datadog_default",
        indexes: list[str] | tuple[str, ...] = ("*",),
        storage_tier: Literal["indexes", "online-archives", "flex"] = "indexes",
        promoted_columns: dict[str, dict[str, str]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.query = query
        self.datadog_conn_id = datadog_conn_id
        self.indexes = indexes
        self.storage_tier = storage_tier
        self.promoted_columns = promoted_columns

    def source(self) -> Mapping[str, Any]:
        return {
            "kind": "datadog",
            "connection": self.datadog_conn_id,
            "query": self.query,
            "indexes": self.indexes,
            "storage_tier": self.storage_tier,
        }

    def columns(self) -> dict[str, dict[str, str]]:
        return {} if self.promoted_columns is None else self.promoted_columns
