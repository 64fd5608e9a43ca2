"""The ``logferry`` command: search, plan, export and doctor, without Airflow.

Exit codes: 0 all proven (or unproven by nature), 1 unexpected, 2 usage or definition, 3 short or a finding,
4 credentials or permission, 5 source unavailable after retries, 6 store failure, 130 interrupted, 141 nobody reads
the output any more.
"""

from logferry.cli.app import main

__all__ = ["main"]
