"""An export definition as a DAG. Parsed every few seconds, so it imports neither pyarrow nor an HTTP client."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from logferry.dag_ids import dag_id
from logferry.spec import ExportSpec
from logferry.window import to_datetime
from logferry_airflow.assets import export_asset
from logferry_airflow.operators.export import ExportChunkOperator, ExportPlanOperator, PublishOperator
from logferry_airflow.retry import FERRY_RETRIES
from logferry_airflow.tables import definition_table

RUNS_AT_ONCE = 4
"""Runs of one export that may be under way together, beside those of a backfill (which has its own limit).

Windows of different runs share no slice, and staged files are named after their run, so plan and export may
overlap. Publications may not: they form one chain, so ``publish`` runs one at a time in all runs of the DAG.
"""


PARAMS_MD = """\
A run is about its data interval. To run another window, trigger the DAG with params:

| param | meaning |
|---|---|
| `from`, `to` | the window, both or neither: absolute, with a zone, on the slice grid |
| `only_moved` | count proven slices again, and fetch only those whose count changed (late rows) |
| `allow_shrink` | replace a proven slice also by fewer rows; else it stays, and what the source said is recorded |

Runs named `upkeep__…` were started by `archive_upkeep`; their note says why."""


def export_dag(spec: ExportSpec) -> DAG:
    """The DAG ``export_<name>``, its window the run's data interval or its params ``from`` and ``to``."""
    with DAG(
        dag_id=dag_id(spec.name),
        description=f"{spec.source.kind} to Parquet, {spec.schedule}",
        doc_md=f"{definition_table(spec)}\n\n{PARAMS_MD}",
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
            # The last task of a window goes before the first of the next one: what is begun is finished first, and
            # little lies staged.
            "weight_rule": "upstream",
        },
        params={
            "from": _instant_param("From", "First instant of the window, with a zone, on the slice grid."),
            "to": _instant_param("To", "The instant just after the window, with a zone, on the slice grid."),
            "only_moved": Param(
                False,
                type="boolean",
                title="Only what moved",
                description="Count proven slices again, and fetch only those whose count changed.",
            ),
            "allow_shrink": Param(
                False,
                type="boolean",
                title="Allow fewer rows",
                description="Replace a proven slice also by fewer rows, for rows that were removed on purpose.",
            ),
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


def _instant_param(title: str, description: str) -> Param:
    return Param(
        None, type=["null", "string"], title=title, description=f"{description} Empty: the run's own."
    )
