"""A ferry for one task: the engine opened with Airflow's connections, run id and masking.

Imported inside ``execute`` only: it brings pyarrow and the HTTP clients, which parsing a DAG must not pay for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from logferry.ferry import Ferry
from logferry.opening import open_ferry
from logferry.progress import Progress
from logferry.spec import ExportSpec
from logferry_airflow.hooks.connections import MaskingAuthenticator, connect


def open_run_ferry(
    spec: ExportSpec, context: Mapping[str, Any], *, progress: Progress | None = None
) -> Ferry:
    """The export's ferry for this DAG run. Staged parts are named after the run, so runs never share them."""
    ferry = open_ferry(
        spec, connect, run_id=context["run_id"], attempt=context["ti"].try_number, progress=progress
    )
    ferry.client.auth = MaskingAuthenticator(ferry.client.auth)
    return ferry
