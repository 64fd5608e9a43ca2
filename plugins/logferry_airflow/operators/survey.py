"""The task that surveys an export: which of its windows a run is due for, and which runs to start."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from logferry.audit.starts import choose
from logferry.audit.survey import Visit, survey
from logferry.clock import SystemClock
from logferry.dag_ids import dag_id
from logferry.errors import LogferryError
from logferry.spec import load_exports
from logferry.window import Window
from logferry.wording import counted
from logferry_airflow.export_runs import ExportRuns
from logferry_airflow.links import Shown
from logferry_airflow.operators.about_export import AboutExportOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from logferry.ferry import Ferry
    from logferry.spec import ExportSpec


class SurveyOperator(AboutExportOperator):
    """Find the windows of an export that a run is due for, and return the runs to start.

    Returns arguments for ``TriggerDagRunOperator.partial(...).expand_kwargs(...)``, at most ``starts.MOST_RUNS``. The
    run's id stands for the window and the newest publication in it: while such a run is queued or running nothing is
    started, and one that ended without a publication is started again, under its id, after a pause that doubles.

    An export whose DAG is paused is left alone: triggered runs would wait in its queue and all start together when it
    is unpaused. Its missed windows are found by the first pass after that. The source is asked only where there is
    something to count.

    Windows that are long due, or lost, are told to the channels of the export's ``notify``; so are, where the export's
    asset is an inlet of the task, a lake or a source that does not answer for hours, and an export that does not
    publish its first window.
    """

    def execute(self, context: Context) -> list[dict[str, Any]]:
        from logferry_airflow.notify import UNPUBLISHED, UNREADABLE, forget, notify_unreadable

        spec = load_exports().get(self.export)
        self.shown = Shown(spec.name)
        runs = ExportRuns(context["ti"], dag_id(spec.name))
        if not runs.wanted():
            self.log.info("%s is paused, or Airflow does not know it yet: nothing is started", runs.dag_id)
            forget(spec, context, UNREADABLE, UNPUBLISHED)
            return []
        try:
            found = self._survey(spec, runs, context)
        except LogferryError as error:
            notify_unreadable(spec, error, context)
            raise
        forget(spec, context, UNREADABLE)
        return found

    def _survey(self, spec: ExportSpec, runs: ExportRuns, context: Context) -> list[dict[str, Any]]:
        from logferry.audit.archive import open_archive
        from logferry.proof.prove import count_rows
        from logferry.records.ledger import read_ledger
        from logferry_airflow.ferries import open_run_ferry
        from logferry_airflow.hooks.connections import connect
        from logferry_airflow.metrics import counting_requests
        from logferry_airflow.notify import UNPUBLISHED, forget, notify_behind, notify_unpublished

        archive = open_archive(spec, connect)
        ledger = read_ledger(archive.store, spec.name)
        for damage in ledger.damage:
            if damage.acknowledged is None:
                self.log.warning("%s: %s", damage.key, damage.detail)
        if ledger.first_published_at is None:
            self.log.info("%s has published nothing yet: there is nothing to keep up", spec.name)
            notify_unpublished(spec, context, store=archive.store)
            return []
        forget(spec, context, UNPUBLISHED)
        with contextlib.ExitStack() as opened:

            @cache
            def ferry_once() -> Ferry:
                ferry = opened.enter_context(open_run_ferry(spec, context))
                opened.enter_context(counting_requests(spec, ferry))
                return ferry

            def count(window: Window) -> Mapping[int, int] | None:
                ferry = ferry_once()
                if not ferry.source.most_bins:
                    self.log.info("%s is not counted here: it would cost a request for every slice", window)
                    return None
                self.log.info("counting %s at the source", window)
                return count_rows(ferry.client, ferry.source, window, spec.slice)

            definition = archive.definition(ledger.source)
            now = SystemClock().now()
            found = survey(spec, ledger, count, now, fingerprint=definition.fingerprint)
        for window in found.lost:
            self.log.warning("%s is missing, and the source holds it no more (`retention`)", window)
        notify_behind(spec, found, context, store=archive.store)
        return self._start(runs, found.visits, now)

    def _start(self, runs: ExportRuns, visits: Sequence[Visit], now: int) -> list[dict[str, Any]]:
        chosen = choose(visits, runs.state, now)
        for visit, again in chosen:
            verb = "starting again" if again else "starting"
            self.log.info("%s %s: %s", verb, visit.run_id, visit.reason)
        self.log.info(
            "%s: %s due, %s to start, %d under way, pausing or left for a later pass",
            self.export,
            counted(len(visits), "window"),
            counted(len(chosen), "run"),
            len(visits) - len(chosen),
        )
        return [
            {
                "trigger_dag_id": runs.dag_id,
                "trigger_run_id": visit.run_id,
                "conf": visit.conf,
                "reset_dag_run": again,
                "note": visit.reason,
            }
            for visit, again in chosen
        ]
