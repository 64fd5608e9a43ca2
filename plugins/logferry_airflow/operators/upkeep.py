"""The tasks of ``archive_upkeep``: survey an export, gather the runs that are due, audit an archive."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import BaseOperator, RetryPolicy, conf

from logferry.audit.upkeep import Ended, RunState, Visit, audit_from, audit_sample, choose, survey
from logferry.clock import SystemClock
from logferry.dag_ids import dag_id
from logferry.errors import LogferryError
from logferry.spec import load_exports
from logferry.window import TICK_PER_HOUR, Window, from_datetime, to_datetime
from logferry.wording import counted
from logferry_airflow.assets import export_asset
from logferry_airflow.findings import fail_if_found
from logferry_airflow.links import CoverageLink, Shown
from logferry_airflow.progress import Heartbeat, since_now
from logferry_airflow.retry import FERRY_RETRIES

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from logferry.audit.verify import Verification
    from logferry.ferry import Ferry
    from logferry.spec import ExportSpec
    from logferry.stores.base import Store

UNDER_WAY = ["queued", "running"]
WITNESSES = 24
"""Newest events of an export's asset whose hashes are compared with its journal."""


class ExportUpkeepOperator(BaseOperator):
    """An operator about one export of the project.

    :param export: the export's name. (templated)
    """

    template_fields: Sequence[str] = ("export",)
    ui_color = "#e2e8f0"
    operator_extra_links = (CoverageLink(),)
    shown: Shown | None = None

    def __init__(
        self,
        *,
        export: str,
        map_index_template: str | None = "{{ task.export }}",
        retry_policy: RetryPolicy | None = FERRY_RETRIES,
        **kwargs: Any,
    ) -> None:
        super().__init__(map_index_template=map_index_template, retry_policy=retry_policy, **kwargs)
        self.export = export


class SurveyOperator(ExportUpkeepOperator):
    """Find the windows of an export that a run is due for, and return the runs to start.

    Returns arguments for ``TriggerDagRunOperator.partial(...).expand_kwargs(...)``, at most ``upkeep.MOST_RUNS``. The
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


class ExportRuns:
    """What Airflow knows of an export's DAG and its runs, asked through the task's own connection to it."""

    def __init__(self, ti: Any, dag_id: str) -> None:
        self._ti = ti
        self.dag_id = dag_id

    def wanted(self) -> bool:
        """Whether the DAG is there and not paused."""
        from airflow.sdk.exceptions import AirflowRuntimeError

        try:
            return not self._ti.get_dag(self.dag_id).is_paused
        except AirflowRuntimeError as error:
            if (error.error.detail or {}).get("status_code") == HTTPStatus.NOT_FOUND:
                return False
            raise

    def state(self, visit: Visit) -> RunState:
        """Of the run for this visit; the schedule's own run or a backfill's for the window counts as well.

        Their logical date is the start of the window.
        """
        start = [to_datetime(visit.window.start)]
        if self._ti.get_dr_count(dag_id=self.dag_id, logical_dates=start, states=UNDER_WAY):
            return "under way"
        if not self._ti.get_dr_count(dag_id=self.dag_id, run_ids=[visit.run_id]):
            return "new"
        run = self._detail(visit.run_id)
        if run.state in UNDER_WAY:
            return "under way"
        return Ended(from_datetime(run.end_date or run.run_after), (run.clear_number or 0) + 1)

    def _detail(self, run_id: str) -> Any:
        """When a run ended and how often it was cleared: a task's own interface has counts and states only, so this
        asks its supervisor as Airflow's SDK does (``airflow.sdk.execution_time.comms``)."""
        from airflow.sdk.execution_time.comms import GetDagRun
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        return SUPERVISOR_COMMS.send(GetDagRun(dag_id=self.dag_id, run_id=run_id))


class GatherRunsOperator(BaseOperator):
    """Put the runs of all surveys into one list for ``expand_kwargs``, and name the definitions that are broken.

    :param found: the results of all ``SurveyOperator`` tasks that succeeded. (templated)
    """

    template_fields: Sequence[str] = ("found",)
    ui_color = "#e2e8f0"

    def __init__(self, *, found: Sequence[list[dict[str, Any]]] | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.found = found

    def execute(self, context: Context) -> list[dict[str, Any]]:
        loaded = load_exports()
        for _, reason in sorted(loaded.broken.items()):
            self.log.warning("left out, its definition is broken: %s", reason)
        if not loaded.exports:
            self.log.info("there is no export in %s: nothing to keep up", loaded.folder)
        surveys = cast("Sequence[list[dict[str, Any]] | None]", self.found or [])[:]
        # In turns, so that a long list of one export does not push the others' beyond Airflow's limit.
        runs = [
            run for turn in zip_longest(*(one or [] for one in surveys)) for run in turn if run is not None
        ]
        most = conf.getint("core", "max_map_length")
        if len(runs) > most:
            self.log.warning(
                "%d of %d runs wait for the next pass ([core] max_map_length)", len(runs) - most, len(runs)
            )
        return runs[:most]


class AuditOperator(ExportUpkeepOperator):
    """Verify a sample of an export's published slices, and its journal against what Airflow was told of it.

    Every object of the sample is read and hashed; each pass takes another sample, see ``upkeep.audit_sample``. The
    sequence numbers and hashes in the newest events of the export's asset are witnesses: whoever rewrites the journal
    cannot rewrite them. A pass reads the journal from the oldest of them on, a few dozen objects however long the
    journal is; about once a day it reads all of it, see ``upkeep.audit_from``. Fails with one sentence per finding.
    The source is not asked, and nothing is mended: ``verify`` leaves a note of what it finds in the lake
    (``findings.json``), which coverage shows.
    """

    def execute(self, context: Context) -> None:
        from logferry.audit.archive import open_archive
        from logferry_airflow.hooks.connections import connect
        from logferry_airflow.notify import UNVERIFIED, forget, notify_findings, notify_unverified_for_long

        spec = load_exports().get(self.export)
        self.shown = Shown(spec.name)
        try:
            store = open_archive(spec, connect).store
            found = self._verify(spec, store, context)
        except LogferryError as error:
            notify_unverified_for_long(spec, error, context)
            raise
        forget(spec, context, UNVERIFIED)
        if found is not None:
            notify_findings(spec, found.findings, context, store=store)
            fail_if_found(spec.name, found.findings, self.log)

    def _verify(self, spec: ExportSpec, store: Store, context: Context) -> Verification | None:
        """None where there is nothing to look at."""
        from logferry.audit.verify import Witness, verify
        from logferry.records.ledger import read_ledger

        witnesses = [Witness(seq, hash_) for seq, hash_ in self._told(context, store.url)]
        now = SystemClock().now()
        turn = now // TICK_PER_HOUR
        ledger = read_ledger(store, spec.name)
        sample = audit_sample(ledger.slices.values(), turn)
        if sample is None and not witnesses:
            self.log.info("%s has published nothing yet: there is nothing to audit", spec.name)
            return None
        since = audit_from(spec.name, ledger.head.seq, [one.seq for one in witnesses], turn)
        if since is not None:
            witnesses = [one for one in witnesses if one.seq >= since]
        self.shown = Shown(spec.name, sample)
        with Heartbeat(self.log, f"verifying {spec.name}", since_now()):
            found = verify(store, spec.name, now=now, window=sample, witnesses=witnesses, since=since)
        self.log.info(
            "%s: %s of the journal%s, %s and %s of the asset looked over, %s",
            spec.name,
            counted(found.records, "record"),
            "" if since is None else f" from {since} on",
            counted(found.objects, "object") + (f" of {sample}" if sample else ""),
            counted(len(witnesses), "event"),
            counted(sum(one.level == "finding" for one in found.findings), "finding"),
        )
        return found

    def _told(self, context: Context, lake: str) -> list[tuple[int, str]]:
        """Sequence number and hash of the newest publications in this lake that Airflow was told of.

        One whose window a newer one covers is no witness any more: where the end of a journal was lost and the
        windows were exported again, under the same numbers, the newer events tell how it goes on.
        """
        events = context["inlet_events"][export_asset(self.export)].ascending(False).limit(WITNESSES)
        covered: list[tuple[str, str]] = []
        told = set()
        for extra in (event.extra or {} for event in events):
            seq, hash_, window = extra.get("seq"), extra.get("hash"), extra.get("window")
            if extra.get("lake") != lake or not isinstance(seq, int) or not isinstance(hash_, str):
                continue
            start, end = (window.get("from"), window.get("to")) if isinstance(window, dict) else (None, None)
            if isinstance(start, str) and isinstance(end, str):
                # Texts of one form, in UTC: they sort as the instants do.
                if any(first <= start and end <= last for first, last in covered):
                    continue
                covered.append((start, end))
            told.add((seq, hash_))
        return sorted(told)
