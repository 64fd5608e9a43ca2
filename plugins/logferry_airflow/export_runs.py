"""What Airflow knows of an export's DAG and its runs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from logferry.audit.starts import Ended, RunState
from logferry.audit.survey import Visit
from logferry.window import from_datetime, to_datetime

UNDER_WAY = ["queued", "running"]


class ExportRuns:
    """The DAG's and the runs' state, asked through the task's own connection to Airflow."""

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
