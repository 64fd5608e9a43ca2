"""Looks after every export's archive once an hour; all that it changes is which runs of ``export_<name>`` are started.

``survey`` (one task per export) finds windows that were missed while the scheduler was down, windows whose rows moved
inside the horizon, and windows whose horizon has ended; ``trigger`` starts the export's runs for them. ``audit`` (one
task per export) verifies a sample of the archive and fails red with what it finds.
"""

from __future__ import annotations

from logferry.spec import load_exports
from logferry_airflow.upkeep_dag import upkeep_dag

dag = upkeep_dag(sorted(load_exports().exports))
