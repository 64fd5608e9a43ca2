"""The DAG that verifies an archive on demand. Parsed like the exports' DAGs, so it imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param

from logferry.dag_ids import VERIFY_DAG
from logferry_airflow.operators.verify import VerifyOperator

DOC_MD = """\
Verifies an export's archive when somebody asks for it, from here or from the page *Archive*.

| param | meaning |
|---|---|
| `export` | the export's name |
| `from`, `to` | the range, both or neither: absolute, with a zone, on the slice grid; empty: all of it |
| `deep` | decode every row too: hash, order, times, unique ids |

`verify` reads every object of the range and the journal, and fails with what is not as it was published. The source is
not asked, and nothing is mended: a run of the window does that. What it found stays in the lake (`findings.json`) and
on the page until it is healed.

Whoever may trigger this DAG may verify every export, and read its findings in the log."""


def verify_dag(exports: Sequence[str]) -> DAG:
    """``archive_verify`` for the exports of these names."""
    choices: dict[str, Any] = {"enum": list(exports)} if exports else {}
    with DAG(
        dag_id=VERIFY_DAG,
        description="Compare an archive with what was published",
        doc_md=DOC_MD,
        schedule=None,
        # It runs only when somebody asks for it, and a run of a paused DAG would wait in the queue for ever.
        is_paused_upon_creation=False,
        catchup=False,
        max_active_runs=2,
        default_args={"owner": "logferry", "retries": 1, "retry_delay": timedelta(minutes=1)},
        params={
            # Without a default: the run must say which. No choice to offer is no reason for the DAG to be missing.
            "export": Param(type="string", title="Export", **choices),
            "from": _instant("From", "First instant of the range"),
            "to": _instant("To", "The instant just after the range"),
            "deep": Param(
                False, type="boolean", title="Deep", description="Decode every row too; takes longer."
            ),
        },
        tags=["logferry"],
    ) as dag:
        VerifyOperator(task_id="verify")
    return dag


def _instant(title: str, description: str) -> Param:
    text = f"{description}, with a zone, on the slice grid. Empty: all of the archive."
    return Param(None, type=["null", "string"], title=title, description=text)
