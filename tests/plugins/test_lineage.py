"""What OpenLineage is told of a publication, where its provider is there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.sdk.exceptions import AirflowFailException

from logferry_airflow.operators.azure_log_analytics import AzureLogAnalyticsToParquetOperator
from logferry_airflow.operators.datadog import DatadogLogsToParquetOperator
from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]


@pytest.fixture
def carry(lake: Path, run_context: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """Carries 06:00 to 12:00 of everything at Datadog, and returns the task."""

    def start() -> DatadogLogsToParquetOperator:
        task = DatadogLogsToParquetOperator(
            task_id="carry",
            name="everything",
            query="service:web-store",
            datadog_conn_id="dd_test",
            destination_url=lake.as_uri(),
        )
        try:
            task.execute(run_context())
        except AirflowFailException:
            assert task.published is not None
        return task

    return start


def facets(task: Any) -> Any:
    """As the provider's extractor takes them."""
    pytest.importorskip("airflow.providers.openlineage")
    from airflow.providers.openlineage.extractors.base import DefaultExtractor

    return DefaultExtractor(task).extract_on_complete(SimpleNamespace())


def test_source_and_table_carry_their_names_and_the_numbers(
    carry: Callable[..., Any], datadog: DatadogSandbox, lake: Path
) -> None:
    task = carry()
    told = facets(task)
    (source,) = told.inputs
    host = datadog.describe()["base_url"].removeprefix("http://")
    assert (source.namespace, source.name) == (f"datadog://{host}", "service:web-store")
    (assertion,) = source.inputFacets["dataQualityAssertions"].assertions
    assert assertion.success is True
    (table,) = told.outputs
    assert (table.namespace, table.name) == ("file", f"{lake}/everything")
    statistics = table.outputFacets["outputStatistics"]
    summary = task.published.summary
    assert (statistics.rowCount, statistics.size, statistics.fileCount) == (
        summary["rows"],
        summary["bytes"],
        6,
    )
    assert [field.name for field in table.facets["schema"].fields][:2] == ["id", "timestamp"]
    run = told.run_facets["logferry_publication"]
    assert run.window == {"from": "2026-03-02T06:00:00Z", "to": "2026-03-02T12:00:00Z"}
    assert (run.status, run.manifest, run.hash) == ("proven", summary["manifest"], summary["hash"])


def test_what_is_told_can_be_sent(carry: Callable[..., Any], datadog: DatadogSandbox) -> None:
    told = facets(carry())
    from openlineage.client.serde import Serde

    sent = json.loads(Serde.to_json(told.outputs[0]))
    assert sent["outputFacets"]["outputStatistics"]["_schemaURL"].startswith("https://openlineage.io/spec/")
    assert json.loads(Serde.to_json(told.run_facets["logferry_publication"]))["status"] == "proven"


def test_a_short_window_is_told_as_an_assertion_that_failed(
    carry: Callable[..., Any], datadog: DatadogSandbox
) -> None:
    datadog.api.plan.replace([{"fault": "datadog:drop_row"}])
    told = facets(carry())
    (assertion,) = told.inputs[0].inputFacets["dataQualityAssertions"].assertions
    assert assertion.success is False
    assert told.run_facets["logferry_publication"].status == "short"


def test_a_table_of_azure_is_named_by_workspace_and_table(
    azure: AzureSandbox, lake: Path, run_context: Callable[..., dict[str, Any]]
) -> None:
    told = azure.describe()
    task = AzureLogAnalyticsToParquetOperator(
        task_id="carry",
        name="requests",
        workspace=told["workspace"],
        table="AppRequests",
        azure_conn_id="az_test",
        destination_url=lake.as_uri(),
    )
    task.execute(run_context())
    (source,) = facets(task).inputs
    assert source.namespace == f"azure-monitor://{urlsplit(told['query_endpoint']).netloc}"
    assert source.name == f"{told['workspace']}/AppRequests"


@pytest.mark.parametrize(
    ("lake", "place"),
    [
        ("s3://acme-lake/logs", ("s3://acme-lake", "logs/web")),
        ("s3://acme-lake", ("s3://acme-lake", "web")),
        ("file:///data/my%20lake", ("file", "/data/my lake/web")),
    ],
)
def test_tables_are_named_by_the_naming_rules_of_openlineage(lake: str, place: tuple[str, str]) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    from logferry_airflow.lineage import _place

    assert _place(lake, "web") == place


def test_a_task_that_published_nothing_tells_nothing() -> None:
    task = DatadogLogsToParquetOperator(task_id="carry", name="everything")
    assert task.get_openlineage_facets_on_complete(None) is None


def test_nothing_of_openlineage_is_imported_by_the_operators() -> None:
    """So that they work where it is not installed."""
    code = (
        "import sys, logferry_airflow.operators.export, logferry_airflow.operators.datadog, logferry_airflow.metrics, "
        "logferry_airflow.notify; "
        "print(sorted(name for name in sys.modules if 'openlineage' in name and 'compat' not in name and "
        "name.startswith(('openlineage', 'logferry_airflow.lineage'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
