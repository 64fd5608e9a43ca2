"""One DAG per export definition: ``export_<name>`` = plan → export (mapped over chunks) → publish.

The definitions are the YAML files of ``include/exports`` (or ``LOGFERRY_EXPORTS_DIR``). The DAG processor parses
this file again every ``[dag_processor] min_file_process_interval`` (30 s), so a changed YAML needs no restart.
Definitions that cannot be read are left out here and reported by ``broken_exports.py``: an error raised in this
file would take every other export's DAG with it.
"""

from __future__ import annotations

from airflow.sdk import DAG, get_parsing_context

from logferry.dag_ids import DAG_PREFIX
from logferry.spec import load_exports
from logferry_airflow.export_dag import export_dag

# A task's process parses this file too, and needs its own DAG only.
asked_for = get_parsing_context().dag_id
only = asked_for.removeprefix(DAG_PREFIX) if asked_for else None
for spec in load_exports(only=only).exports.values():
    dag: DAG = export_dag(spec)
    globals()[dag.dag_id] = dag
