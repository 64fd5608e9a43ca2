"""The DAG that keeps the archives complete. Parsed like the exports' DAGs, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, CronTriggerTimetable, TriggerRule

from logferry_airflow.assets import export_asset
from logferry_airflow.operators.audit import AuditOperator
from logferry_airflow.operators.gather_runs import GatherRunsOperator
from logferry_airflow.operators.survey import SurveyOperator

DOC_MD = """\
Once an hour, for every export:

| task | what it does |
|---|---|
| `survey` | reads the ledger and counts the slices inside the horizon; fails when the lake or the source does |
| `gather` | lists the runs to start, and the definitions that are broken |
| `trigger` | starts them: runs `upkeep__<from>-<to>__<number>` of `export_<name>`, with the reason as their note |
| `audit` | verifies a sample of the archive, and its journal against the newest asset events; fails with its findings |

A window is run when it was missed (the scheduler was down, a run failed), when rows came late inside the `horizon`,
when the source could not be counted and now can, and once after the `horizon`. A run that ended without a publication
is started again after an hour, then after two, four, … at most 48. No run of a paused export is started; what it missed
is found once it is unpaused. Nothing here writes to an archive: runs of the exports do, and `audit` leaves a note of
its findings (`findings.json`).

An audit reads 24 files of the table (2 GiB) and some 200 small objects at most: the ledger, the journal from the
oldest of the newest 24 events on (96 records) and the copies of those windows. Every 25th audit of an export reads the
whole journal and every copy instead: one object for each record (two a publication) and one for each window.

Where the end of a journal was lost, the audit stays red until the windows that were lost are exported again, or 24
newer events have come: an event of Airflow is a witness that the lake cannot contradict."""


def upkeep_dag(exports: Sequence[str]) -> DAG:
    """``archive_upkeep`` for the exports of these names."""
    with DAG(
        dag_id="archive_upkeep",
        description="Missed windows, late rows, and an audit of the archives",
        doc_md=DOC_MD,
        # A pass is about the time it runs at; it has no data interval.
        schedule=CronTriggerTimetable("20 * * * *", timezone="UTC"),
        start_date=datetime(2026, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        default_args={"owner": "logferry", "retries": 1, "retry_delay": timedelta(minutes=2)},
        tags=["logferry"],
    ) as dag:
        assets = [export_asset(name) for name in exports]
        # The inlet is where a survey remembers since when a lake does not answer.
        survey = SurveyOperator.partial(task_id="survey", inlets=assets).expand(export=exports)
        # An export whose survey fails holds up no other.
        gather = GatherRunsOperator(task_id="gather", found=survey.output, trigger_rule=TriggerRule.ALL_DONE)
        TriggerDagRunOperator.partial(
            task_id="trigger",
            # Its window comes from the conf. A logical date would take that date from the schedule's own run.
            logical_date=None,
            skip_when_already_exists=True,
            map_index_template="{{ task.trigger_dag_id }} {{ task.trigger_run_id }}",
        ).expand_kwargs(gather.output)
        # Airflow judges a run by its last tasks: this one makes a failed survey fail the run.
        survey >> EmptyOperator(task_id="all_surveyed")
        AuditOperator.partial(task_id="audit", inlets=assets).expand(export=exports)
    return dag
