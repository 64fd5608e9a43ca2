"""Where the links of a task lead, and what of them Airflow keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from logferry.records.manifest import FileEntry
from logferry.spec import ExportSpec
from logferry.window import Window, parse_instant
from logferry_airflow.links import CoverageLink, PartitionLink, Shown, page_url, partition_url, record_url
from logferry_airflow.operators.audit import AuditOperator
from logferry_airflow.operators.datadog import DatadogLogsToParquetOperator
from logferry_airflow.operators.export import ExportChunkOperator, ExportPlanOperator, PublishOperator
from logferry_airflow.operators.survey import SurveyOperator
from logferry_airflow.operators.verify import VerifyOperator
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = pytest.mark.airflow

AWS = "https://s3.eu-central-1.amazonaws.com"
MORNING = Window(parse_instant("2026-03-02T06:00:00Z"), parse_instant("2026-03-02T09:00:00Z"))


@pytest.fixture(autouse=True)
def base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.org/team/")


def holding(*keys: str) -> Any:
    """What a link reads of a manifest."""
    files = [
        FileEntry(key=key, rows=1, bytes=1, sha256="", row_hash="", min_time=None, max_time=None)
        for key in keys
    ]
    return SimpleNamespace(export="web_errors", seq=42, files=files)


HOUR = "web_errors/dt=2026-03-02/hr=06/part-20260302T060000Z-20260302T070000Z.parquet"
NEXT_HOUR = "web_errors/dt=2026-03-02/hr=07/part-20260302T070000Z-20260302T080000Z.parquet"
NEXT_DAY = "web_errors/dt=2026-03-03/hr=06/part-20260303T060000Z-20260303T070000Z.parquet"


def test_the_page_is_below_the_base_url_of_airflow() -> None:
    assert page_url("web_errors") == "https://airflow.example.org/team/plugin/logferry#/export/web_errors"
    assert page_url("web_errors", MORNING) == (
        "https://airflow.example.org/team/plugin/logferry#/export/web_errors"
        "?from=2026-03-02T06:00:00Z&to=2026-03-02T09:00:00Z"
    )
    assert record_url("web_errors", 42).endswith("/plugin/logferry#/export/web_errors/record/42")


@pytest.mark.parametrize(
    ("keys", "prefix"),
    [
        ([HOUR], "logs/web_errors/dt=2026-03-02/hr=06/"),
        ([HOUR, NEXT_HOUR], "logs/web_errors/dt=2026-03-02/"),
        ([HOUR, NEXT_HOUR, NEXT_DAY], "logs/web_errors/"),
    ],
)
def test_the_console_opens_at_the_deepest_folder_of_what_was_published(keys: list[str], prefix: str) -> None:
    url = partition_url(holding(*keys), "s3://acme-lake/logs", AWS)
    assert url == f"https://s3.console.aws.amazon.com/s3/buckets/acme-lake?prefix={prefix}&showversions=false"


@pytest.mark.parametrize(
    ("lake", "endpoint"),
    [
        ("s3://acme-lake", "http://127.0.0.1:9000"),
        ("s3://acme-lake", "https://minio.amazonaws.com.example.org"),
        ("file:///lake", None),
    ],
)
def test_there_is_no_console_outside_of_aws(lake: str, endpoint: str | None) -> None:
    assert partition_url(holding(HOUR), lake, endpoint) is None


def test_beijing_has_its_own_console() -> None:
    url = partition_url(holding(HOUR), "s3://lake", "https://s3.cn-north-1.amazonaws.com.cn")
    assert url is not None
    assert url.startswith("https://console.amazonaws.cn/s3/buckets/lake?")


def test_without_a_console_the_partition_is_the_publication_on_the_page() -> None:
    published = SimpleNamespace(manifest=holding(HOUR), lake="file:///lake", endpoint=None)
    task = SimpleNamespace(published=published, shown=Shown("web_errors", MORNING))
    assert PartitionLink().get_link(task, ti_key=None) == record_url("web_errors", 42)


def test_a_task_that_came_to_nothing_has_no_links() -> None:
    task = SimpleNamespace(published=None, shown=None)
    assert CoverageLink().get_link(task, ti_key=None) == ""
    assert PartitionLink().get_link(task, ti_key=None) == ""


def test_an_export_that_only_a_dag_knows_is_not_linked_to_the_page(
    datadog: DatadogSandbox, lake: Path, run_context: Callable[..., dict[str, Any]]
) -> None:
    task = DatadogLogsToParquetOperator(
        task_id="carry", name="by_hand", datadog_conn_id="dd_test", destination_url=lake.as_uri()
    )
    task.execute(run_context())
    assert task.published is not None
    assert CoverageLink().get_link(task, ti_key=None) == ""
    assert PartitionLink().get_link(task, ti_key=None) == ""


@pytest.mark.parametrize(
    "operator",
    [
        ExportPlanOperator,
        ExportChunkOperator,
        PublishOperator,
        DatadogLogsToParquetOperator,
        SurveyOperator,
        AuditOperator,
        VerifyOperator,
    ],
)
def test_every_operator_links_to_the_page(operator: Any) -> None:
    assert "Coverage" in {link.name for link in operator.operator_extra_links}


def test_the_plan_of_a_definition_links_to_its_window(
    datadog: DatadogSandbox,
    make_spec: Callable[..., ExportSpec],
    tmp_path: Path,
    run_context: Callable[..., dict[str, Any]],
) -> None:
    spec = make_spec()
    spec._file = tmp_path / "everything.yaml"
    task = ExportPlanOperator(task_id="plan", spec=spec)
    task.execute(run_context())
    assert (
        CoverageLink()
        .get_link(task, ti_key=None)
        .endswith("/plugin/logferry#/export/everything?from=2026-03-02T06:00:00Z&to=2026-03-02T12:00:00Z")
    )
