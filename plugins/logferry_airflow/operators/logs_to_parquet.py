"""The whole ferry in one task: what the two ``…ToParquetOperator`` have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from logferry.errors import DefinitionError, Unavailable
from logferry.spec import ExportSpec, export_from
from logferry_airflow.chunking import tasks_of
from logferry_airflow.kept_plan import KeptPlan
from logferry_airflow.operators.publishing import PublishingOperator
from logferry_airflow.progress import Outlook, ProgressLog
from logferry_airflow.tables import plan_table
from logferry_airflow.task_progress import WindowProgress, state_store
from logferry_airflow.waiting import defer_long_wait, export_between_waits
from logferry_airflow.windows import run_switch

if TYPE_CHECKING:
    from airflow.sdk import Context


class LogsToParquetOperator(PublishingOperator):
    """Carry one window of a log search to Parquet and prove it, in one task.

    It waits (deferred) until ``settle`` after the window's end, and whenever the source would have to be waited for
    longer than a minute between two slices. It writes one file per slice and a manifest, and
    fails when the window is short. Running it again for the same window publishes the same result. What a worker had
    finished when it died is not fetched again by the next try.

    Returns the manifest's summary: window, status, rows, source_rows, bytes, seq, hash and the manifest's key.

    :param name: name of the table in the lake, ``[a-z][a-z0-9_]*``; one name, one query. (templated)
    :param destination_url: ``s3://bucket/prefix`` or ``file:///folder``; default: the project's lake folder.
        (templated)
    :param destination_conn_id: an ``aws`` connection for an ``s3://`` destination; default: the AWS chain.
    :param slice: length of a slice, such as ``1h``; each slice is one file and one proof.
    :param settle: how long after the window's end late rows are waited for, such as ``30m``.
    :param notify: who is told of a short window: the ``notify`` section of an export definition, such as
        ``[{"kind": "webhook", "connection": "slack_webhook"}]``.
    :param only_moved: count proven slices, and fetch only those whose count is no longer the published one.
        Default: the run's param ``only_moved`` where the DAG has one, else off.
    :param allow_shrink: replace a proven slice also by fewer rows. Default: the run's param ``allow_shrink`` where
        the DAG has one, else off.
    :param start: see ``WindowOperator``. (templated)
    :param end: see ``WindowOperator``. (templated)
    """

    template_fields: Sequence[str] = (*PublishingOperator.template_fields, "name", "destination_url")
    ui_color = "#dbeafe"

    def __init__(
        self,
        *,
        name: str,
        destination_url: str | None = None,
        destination_conn_id: str | None = None,
        slice: str = "1h",
        settle: str = "30m",
        notify: Sequence[Mapping[str, Any]] = (),
        only_moved: bool | None = None,
        allow_shrink: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.destination_url = destination_url
        self.destination_conn_id = destination_conn_id
        self.slice = slice
        self.settle = settle
        self.notify = notify
        self.only_moved = only_moved
        self.allow_shrink = allow_shrink
        self._left_out: set[str] = set()
        self.may_be_left_out("destination", url=destination_url, connection=destination_conn_id)

    def may_be_left_out(self, section: str, **keys: Any) -> None:
        """Remember which of these keys of a section the DAG leaves out: they are None now.

        A key that is None only later was given as a template, and the value it stands for is missing. It is
        refused then: taking it for left out would export every row, or to another place.
        """
        self._left_out.update(f"{section}.{key}" for key, value in keys.items() if value is None)

    @abstractmethod
    def source(self) -> Mapping[str, Any]:
        """The ``source`` section of an export definition; a key that ``may_be_left_out`` can be None."""

    def columns(self) -> dict[str, dict[str, str]]:
        """The ``columns`` section of an export definition."""
        return {}

    def spec(self) -> ExportSpec:
        """The definition this task stands for. Raises DefinitionError with one line per finding."""
        destination = {"url": self.destination_url, "connection": self.destination_conn_id}
        definition = {
            "name": self.name,
            "source": self._given("source", self.source()),
            # The DAG has the schedule and the start; the definition's own only have to agree with the slices
            # and to refuse no window.
            "schedule": "@daily",
            "start": "1970-01-01T00:00:00Z",
            "slice": self.slice,
            "settle": self.settle,
            "destination": self._given("destination", destination),
            "columns": self.columns(),
            "notify": [dict(channel) for channel in self.notify],
        }
        return export_from(definition, where=f"task {self.task_id}", written=True)

    def _given(self, name: str, section: Mapping[str, Any]) -> dict[str, Any]:
        """The section without what was left out. DefinitionError for what became None since."""
        absent = [f"{name}.{key}" for key, value in section.items() if value is None]
        missing = [key for key in absent if key not in self._left_out]
        if missing:
            raise DefinitionError(
                "\n".join(
                    f"task {self.task_id}: {key}: is empty; give the argument a value or leave it out"
                    for key in missing
                )
            )
        return {key: value for key, value in section.items() if value is not None}

    def carry(self, context: Context, *, waited_s: float) -> dict[str, Any]:
        from logferry_airflow.ferries import open_run_ferry
        from logferry_airflow.metrics import counting_requests

        spec = self.spec()
        window = self.window(context, spec)
        only_moved = run_switch(context, "only_moved", self.only_moved)
        allow_shrink = run_switch(context, "allow_shrink", self.allow_shrink)
        self.defer_until_settled(window, spec)
        with (
            ProgressLog(self.log, slices=window.ticks // spec.slice) as progress,
            open_run_ferry(spec, context, progress=progress) as ferry,
            counting_requests(spec, ferry),
        ):
            states = state_store(context)
            kept_plan = (
                None if states is None else KeptPlan(states, window, ferry.fingerprint, only_moved=only_moved)
            )
            # Only after a wait: a new try may come days later.
            plan = kept_plan.plan() if kept_plan is not None and waited_s else None
            if plan is None:
                try:
                    plan = ferry.plan(window, only_moved=only_moved)
                except Unavailable as error:
                    defer_long_wait(self, error, waited_s=waited_s)
                    raise
            chunks = tasks_of(plan)
            if kept_plan is not None:
                chunks = kept_plan.cut(plan, chunks)
            self.log.info("%s", plan_table(plan, chunks))
            progress.expect(Outlook(ferry, plan.slices))
            if states is None or kept_plan is None:
                manifest = ferry.carry(window, plan=plan, allow_shrink=allow_shrink)
            else:
                kept = WindowProgress(states)
                results = []
                for chunk in chunks:
                    of_chunk = kept.of(chunk.label)
                    results.append(
                        export_between_waits(self, ferry, chunk, of_chunk, watch=progress, waited_s=waited_s)
                    )
                    if of_chunk.has_saved:
                        waited_s = 0.0
                manifest = ferry.publish(window, results, allow_shrink=allow_shrink)
                kept.clear()
                kept_plan.clear()
        self.log.info("exported: %s", progress.outcome())
        return self.conclude(spec, manifest, [window], store=ferry.store, context=context)
