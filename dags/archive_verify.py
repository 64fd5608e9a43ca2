"""Verifies an export's archive when somebody asks for it, in Airflow's UI or on the page *Archive*.

One task, ``verify``, for the export, range and depth that the run's params name. It fails red with what it finds.
"""

from __future__ import annotations

from logferry.spec import load_exports
from logferry_airflow.verify_dag import verify_dag

dag = verify_dag(sorted(load_exports().exports))
