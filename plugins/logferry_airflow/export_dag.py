"""An export definition as a DAG. Parsed every few seconds, so it imports neither pyarrow nor an HTTP client."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param

from logferry.spec import ExportSpec
from logferry.window import to_datetime
from logferry_airflow.operators.export import ExportChunkOperator, ExportPlanOperator, PublishOperator
from logferry_airflow.retry import FERRY_RETRIES
from logferry_airflow.tables import definition_table

RUNS_AT_ONCE = 4
"""Runs of one export that may be under way together, beside those of a backfill (which has its own limit).

Windows of different runs share no slice, and staged files are named after their run, so plan and export may
overlap. Publications may not: they form one chain, so ``publish`` runs one at a time in all runs of the DAG.
"""


def export_dag(spec: ExportSpec) -> DAG:
    """The DAG ``export_<name>``, its window the run's data interval or its params ``from`` and ``to``."""
    with DAG(
        dag_id=f"export_{spec.name}",
        description=f"{spec.source.kind} to Parquet, {spec.schedule}",
        doc_md=definition_table(spec),
        # A plain cron string would give a data interval of zero length in Airflow 3.
        schedule=CronDataIntervalTimetable(spec.schedule, timezone="UTC"),
        start_date=to_datetime(spec.start),
        catchup=False,
        max_active_runs=RUNS_AT_ONCE,
        default_args={
            "owner": "logferry",
            "pool": spec.pool,
            "retries": 3,
            "retry_delay": timedelta(minutes=2),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=30),
            "retry_policy": FERRY_RETRIES,
        },
        params={
            "from": _instant_param("From", "First instant of the window, with a zone, on the slice grid."),
            "to": _instant_param("To", "The instant just after the window, with a zone, on the slice grid."),
        },
        tags=["logferry", spec.source.kind],
    ) as dag:
        plan = ExportPlanOperator(task_id="plan", spec=spec)
        export = ExportChunkOperator.partial(task_id="export", spec=spec).expand(chunk=plan.output)
        PublishOperator(
            task_id="publish",
            spec=spec,
            results=export.output,
            outlets=[export_asset(spec.name)],
            max_active_tis_per_dag=1,
        )
    return dag


def export_asset(name: str) -> Asset:
    """The asset of an export's table; consumers write ``Asset("<name>")`` or the URI.

    The URI names the export and not the bucket: it stays when the destination moves, and where the files are is
    in the event (``manifest``). Its scheme begins with ``x-`` because Airflow takes such a URI as it is; for any
    other it first imports every provider's URI handlers, boto3 among them, at each parse.
    """
    return Asset(name=name, uri=f"x-logferry://exports/{name}")


def _instant_param(title: str, description: str) -> Param:
    return Param(
        None, type=["null", "string"], title=title, description=f"{description} Empty: the run's own."
    )
