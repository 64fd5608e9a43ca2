"""The three tasks of an export DAG: plan, export (mapped over the plan's chunks), publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator, RetryPolicy

from logferry.errors import Unavailable
from logferry.window import Window
from logferry_airflow.chunking import tasks_of
from logferry_airflow.links import CoverageLink, Shown
from logferry_airflow.operators.publishing import PublishingOperator
from logferry_airflow.operators.window import WindowOperator
from logferry_airflow.progress import Heartbeat, Outlook, ProgressLog, since_now, spent
from logferry_airflow.publication import scheduled_windows
from logferry_airflow.retry import FERRY_RETRIES
from logferry_airflow.tables import plan_table
from logferry_airflow.task_progress import TaskProgress, state_store
from logferry_airflow.waiting import defer_long_wait, export_between_waits
from logferry_airflow.windows import run_switch

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from logferry.spec import ExportSpec


class ExportPlanOperator(WindowOperator):
    """Wait until the window has settled, count it at the source, and cut it into chunks.

    Returns the chunks as a list of small dicts for ``ExportChunkOperator.partial(...).expand(chunk=...)``: at
    least one, contiguous runs of slices, empty slices included, a few dozen at most. It defers while the
    window is not settled, and while the source asks for a pause of more than a minute.

    :param spec: the export's definition.
    :param only_moved: count proven slices, and fetch only those whose count is no longer the published one.
        Default: the run's param ``only_moved``, else off.
    :param start: see ``WindowOperator``. (templated)
    :param end: see ``WindowOperator``. (templated)
    """

    ui_color = "#dbeafe"

    def __init__(self, *, spec: ExportSpec, only_moved: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.only_moved = only_moved

    def carry(self, context: Context, *, waited_s: float) -> list[dict[str, Any]]:
        from logferry_airflow.ferries import open_run_ferry
        from logferry_airflow.metrics import counting_requests

        window = self.window(context, self.spec)
        only_moved = run_switch(context, "only_moved", self.only_moved)
        self.defer_until_settled(window, self.spec)
        with (
            open_run_ferry(self.spec, context) as ferry,
            counting_requests(self.spec, ferry),
            Heartbeat(self.log, "counting at the source", lambda: spent(ferry)),
        ):
            try:
                plan = ferry.plan(window, only_moved=only_moved)
            except Unavailable as error:
                defer_long_wait(self, error, waited_s=waited_s)
                raise
        chunks = tasks_of(plan)
        self.log.info("%s", plan_table(plan, chunks))
        return [chunk.to_json() for chunk in chunks]


class ExportChunkOperator(BaseOperator):
    """Fetch, write and prove the slices of one chunk; what is written is staged, not yet visible.

    Returns the chunk's result as a small dict for ``PublishOperator``. A short slice does not fail the task: it
    is published, marked, and fails the run there. What a worker had finished when it died is not fetched again by
    the next try (see ``TaskProgress``); a successful task that is cleared starts over. Where the source would have to
    be waited for longer than a minute it defers, between two slices, and goes on after it.

    :param spec: the export's definition.
    :param chunk: one of the chunks returned by ``ExportPlanOperator``. (templated)
    """

    template_fields: Sequence[str] = ("chunk",)
    ui_color = "#bfdbfe"
    operator_extra_links = (CoverageLink(),)
    shown: Shown | None = None

    def __init__(
        self,
        *,
        spec: ExportSpec,
        chunk: dict[str, Any],
        map_index_template: str | None = "{{ task.slices_label }}",
        retry_policy: RetryPolicy | None = FERRY_RETRIES,
        **kwargs: Any,
    ) -> None:
        super().__init__(map_index_template=map_index_template, retry_policy=retry_policy, **kwargs)
        self.spec = spec
        self.chunk = chunk

    @property
    def slices_label(self) -> str:
        """The chunk's range of slices, for the UI's list of mapped tasks."""
        slices = self.chunk["slices"]
        return f"{slices[0]['from']} … {slices[-1]['to']}"

    def execute(self, context: Context) -> dict[str, Any]:
        return self.resume(context)

    def resume(self, context: Context, event: object = None, waited_s: float = 0.0) -> dict[str, Any]:
        """Where the triggerer returns to, after ``waited_s`` seconds in which nothing was finished."""
        from logferry.plan import Chunk
        from logferry_airflow.ferries import open_run_ferry
        from logferry_airflow.metrics import counting_requests

        chunk = Chunk.from_json(self.chunk)
        whole = Window(chunk.slices[0].window().start, chunk.slices[-1].window().end)
        self.shown = None if self.spec.file is None else Shown(self.spec.name, whole)
        states = state_store(context)
        with (
            ProgressLog(self.log, slices=len(chunk.slices)) as progress,
            open_run_ferry(self.spec, context, progress=progress) as ferry,
            counting_requests(self.spec, ferry),
        ):
            progress.expect(Outlook(ferry, chunk.slices))
            kept = None if states is None else TaskProgress(states)
            result = export_between_waits(self, ferry, chunk, kept, watch=progress, waited_s=waited_s)
        self.log.info("chunk %s done: %s", self.slices_label, progress.outcome())
        return result.to_json()


class PublishOperator(PublishingOperator):
    """Put the chunks' files in place, commit the manifest, emit the Asset event, fail the run if it is short.

    Returns the publication's summary (numbers and keys, no rows). The event goes to every asset in ``outlets``
    with the rows, bytes, sequence number, hash, window, manifest key and status, once per partition key: the
    start of each window of the schedule that was published whole, or of the run's window where it holds none.
    Airflow keeps the events of successful tasks only: a short window, which fails the task after it was
    published and marked, starts no consumer.

    :param spec: the export's definition.
    :param results: the results of all ``ExportChunkOperator`` tasks of the run. (templated)
    :param allow_shrink: replace a proven slice also by fewer rows. Default: the run's param ``allow_shrink``, else
        off.
    :param start: see ``WindowOperator``. (templated)
    :param end: see ``WindowOperator``. (templated)
    """

    template_fields: Sequence[str] = (*PublishingOperator.template_fields, "results")
    ui_color = "#93c5fd"

    def __init__(
        self,
        *,
        spec: ExportSpec,
        results: Sequence[dict[str, Any]] | XComArg,
        allow_shrink: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.results = results
        self.allow_shrink = allow_shrink

    def carry(self, context: Context, *, waited_s: float) -> dict[str, Any]:
        from logferry.publishing.results import ChunkResult
        from logferry_airflow.ferries import open_run_ferry

        window = self.window(context, self.spec)
        allow_shrink = run_switch(context, "allow_shrink", self.allow_shrink)
        # A slice of the lazy sequence of mapped results is one request; iterating it would be one per chunk.
        rendered = cast("Sequence[dict[str, Any]]", self.results)[:]
        results = [ChunkResult.from_json(result) for result in rendered]
        with (
            open_run_ferry(self.spec, context) as ferry,
            Heartbeat(self.log, f"publishing {window}", since_now()),
        ):
            manifest = ferry.publish(window, results, allow_shrink=allow_shrink)
        windows = scheduled_windows(self.spec, window)
        return self.conclude(self.spec, manifest, windows, store=ferry.store, context=context)
