"""``python -m logferry_local.scheduler``: Airflow's scheduler with what every task needs imported already.

LocalExecutor forks its workers from the scheduler, and each worker a process for every task. What the scheduler has
imported they have too; otherwise every single task imports the ferry again, and every worker Airflow's own
supervisor. A changed engine is picked up by the next start, a changed definition or DAG file at once.
"""

from __future__ import annotations

import sys
from importlib import import_module

FOR_TASKS = (
    "airflow.dag_processing.dagbag",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "logferry_airflow.export_dag",
    "logferry_airflow.ferries",
)


def main() -> None:
    """The arguments are those of ``airflow scheduler``."""
    from airflow.__main__ import main as run_airflow

    for module in FOR_TASKS:
        import_module(module)
    sys.argv = ["airflow", "scheduler", *sys.argv[1:]]
    run_airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
