"""What Airflow's DAGs are called. Nothing is imported here, as every parse of a DAG file comes by."""

from __future__ import annotations

DAG_PREFIX = "export_"
VERIFY_DAG = "archive_verify"


def dag_id(export: str) -> str:
    """The DAG of an export."""
    return f"{DAG_PREFIX}{export}"
