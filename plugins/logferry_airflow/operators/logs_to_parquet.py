"""The whole ferry in one task: what the two ``…ToParquetOperator`` have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from logferry.spec import ExportSpec, export_from
from logferry_airflow.operators.window import WindowOperator
from logferry_airflow.progress import ProgressLog
from logferry_airflow.publication import announce, fail_if_short
from logferry_airflow.tables import plan_table, publication_table

if TYPE_CHECKING:
    from airflow.sdk import Context


class LogsToParquetOperator(WindowOperator):
    """Carry one window of a log search to Parquet and prove it, in one task.

    It waits (deferred) until ``settle`` after the window's end, writes one file per slice and a manifest, and
    fails when the window is short. Running it again for the same window publishes the same result.

    Returns the manifest's summary: window, status, rows, source_rows, bytes, seq, hash and the manifest's key.

    :param name: name of the table in the lake, ``[a-z][a-z0-9_]*``; one name, one query. (templated)
    :param destination_url: ``s3://bucket/prefix`` or ``file:///folder``; default: the project's lake folder.
        (templated)
    :param destination_conn_id: an ``aws`` connection for an ``s3://`` destination; default: the AWS chain.
    :param slice: length of a slice, such as ``1h``; each slice is one file and one proof.
    :param settle: how long after the window's end late rows are waited for, such as ``30m``.
    :param start: see ``WindowOperator``. (templated)
    :param end: see ``WindowOperator``. (templated)
    """

    template_fields: Sequence[str] = (*WindowOperator.template_fields, "name", "destination_url")
    ui_color = "#dbeafe"

    def __init__(
        self,
        *,
        name: str,
        destination_url: str | None = None,
        destination_conn_id: str | None = None,
        slice: str = "1h",
        settle: str = "30m",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.destination_url = destination_url
        self.destination_conn_id = destination_conn_id
        self.slice = slice
        self.settle = settle

    @abstractmethod
    def source(self) -> Mapping[str, Any]:
        """The ``source`` section of an export definition."""

    def columns(self) -> Mapping[str, Any]:
        """The ``columns`` section of an export definition."""
        return {}

    def spec(self) -> ExportSpec:
        """The definition this task stands for. Raises DefinitionError with one line per finding."""
        destination = {"url": self.destination_url, "connection": self.destination_conn_id}
        definition = {
            "name": self.name,
            "source": {key: value for key, value in self.source().items() if value is not None},
            # The DAG has the schedule; the definition's own only has to agree with the slices.
            "schedule": "@daily",
            "start": "1970-01-01T00:00:00Z",
            "slice": self.slice,
            "settle": self.settle,
            "destination": {key: value for key, value in destination.items() if value is not None},
            "columns": dict(self.columns()),
        }
        return export_from(definition, where=f"task {self.task_id}")

    def execute(self, context: Context) -> dict[str, Any]:
        from logferry_airflow.ferries import open_run_ferry, sign_in

        spec = self.spec()
        window = self.window(context, spec)
        self.defer_until_settled(window, spec)
        with (
            ProgressLog(self.log, slices=window.ticks // spec.slice) as progress,
            open_run_ferry(spec, context, progress=progress) as ferry,
        ):
            sign_in(ferry)
            plan = ferry.plan(window)
            self.log.info("%s", plan_table(plan, plan.chunks()))
            manifest = ferry.carry(window, plan=plan)
        self.log.info("%s", publication_table(manifest))
        summary = announce(manifest, outlets=self.outlets, context=context)
        fail_if_short(manifest)
        return summary
