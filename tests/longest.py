"""The files that are given to a worker first: a long one that begins late keeps one busy while the others are done."""

from __future__ import annotations

LONGEST = (
    "integration/test_coverage_page.py",
    "integration/test_airflow_runs.py",
    "logferry/budget/test_allowance.py",
    "local/test_stack.py",
    "integration/test_faults_azure.py",
    "logferry/stores/test_conditions.py",
    "plugins/page/test_api_server.py",
    "integration/test_mate.py",
    "integration/test_prepared_history.py",
    "logferry/fetching/test_uneven_days.py",
    "integration/test_chaos.py",
    "plugins/page/test_plugin.py",
    "logferry/budget/test_learning.py",
    "logferry/stores/test_s3.py",
    "integration/test_s3_server.py",
    "logferry/proof/test_prove_in_lanes.py",
    "logferry/publishing/test_publish_interleaved.py",
    "logferry/writing/test_resume.py",
    "integration/test_faults_datadog.py",
    "integration/test_ferry_datadog.py",
    "integration/test_hostile_servers.py",
    "logferry/writing/test_assembly.py",
    "logferry/records/test_ledger.py",
    "logferry/proof/test_prove.py",
    "plugins/page/test_app.py",
    "dags/test_log_exports.py",
)
"""Under this folder, by the processor time of each and of what it starts."""
