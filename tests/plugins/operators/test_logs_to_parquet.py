"""The two operators that carry a whole window alone, as a hand-written DAG uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from logferry.clock import SystemClock
from logferry.errors import DefinitionError
from logferry.window import TICK_PER_HOUR, format_instant
from logferry_airflow.operators.azure_log_analytics import AzureLogAnalyticsToParquetOperator
from logferry_airflow.operators.datadog import DatadogLogsToParquetOperator
from logferry_sandbox.azure_sandbox import WORKSPACE, AzureSandbox
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]

Contexts = Callable[..., Any]
INTERVAL = {
    "data_interval_start": datetime(2026, 3, 2, 6, tzinfo=UTC),
    "data_interval_end": datetime(2026, 3, 2, 9, tzinfo=UTC),
    "params": {},
}


def rows_in(lake: Path, name: str) -> int:
    return sum(pq.read_metadata(path).num_rows for path in (lake / name).rglob("*.parquet"))


def test_a_datadog_window_is_carried_by_one_task(
    datadog: DatadogSandbox, lake: Path, run_context: Contexts
) -> None:
    operator = DatadogLogsToParquetOperator(
        task_id="carry",
        name="by_hand",
        query="*",
        datadog_conn_id="dd_test",
        destination_url=lake.as_uri(),
        promoted_columns={"http_status": {"path": "http.status_code", "type": "int64"}},
    )
    summary = operator.execute(run_context(**INTERVAL))
    assert summary["status"] == "proven"
    assert summary["rows"] == summary["source_rows"] == rows_in(lake, "by_hand") > 0
    one = next((lake / "by_hand").rglob("*.parquet"))
    assert "http_status" in pq.read_schema(one).names
    assert json.loads(json.dumps(summary)) == summary


def test_the_outlets_of_the_task_get_the_event(
    datadog: DatadogSandbox, lake: Path, run_context: Contexts
) -> None:
    asset = Asset(name="mine", uri="x-mine://table")
    operator = DatadogLogsToParquetOperator(
        task_id="carry",
        name="by_hand",
        datadog_conn_id="dd_test",
        destination_url=lake.as_uri(),
        outlets=[asset],
    )
    context = run_context(**INTERVAL)
    summary = operator.execute(context)
    assert context["outlet_events"][asset].extra["rows"] == summary["rows"]


def test_query_destination_and_window_are_templated(run_context: Contexts) -> None:
    with DAG("by_hand", schedule=CronDataIntervalTimetable("@daily", timezone="UTC")):
        operator = DatadogLogsToParquetOperator(
            task_id="carry",
            name="errors_{{ params.team }}",
            query="service:{{ params.team }} status:error",
            destination_url="file:///tmp/{{ params.team }}",
            start="{{ data_interval_start }}",
            end="{{ data_interval_end }}",
        )
    operator.render_template_fields(run_context(**{**INTERVAL, "params": {"team": "web"}}))
    spec = operator.spec()
    assert spec.name == "errors_web"
    assert spec.source.kind == "datadog"
    assert spec.source.query == "service:web status:error"
    assert spec.destination.url == "file:///tmp/web"
    assert str(operator.window(run_context(), spec)) == "[2026-03-02T06:00:00Z, 2026-03-02T09:00:00Z)"


def test_nothing_is_validated_before_the_templates_are_rendered() -> None:
    DatadogLogsToParquetOperator(task_id="carry", name="{{ x }}", slice="{{ y }}", start="{{ z }}")


def test_a_short_window_fails_the_task_after_publishing(
    datadog: DatadogSandbox, lake: Path, run_context: Contexts
) -> None:
    datadog.api.plan.replace([{"fault": "datadog:drop_row"}])
    operator = DatadogLogsToParquetOperator(
        task_id="carry", name="by_hand", datadog_conn_id="dd_test", destination_url=lake.as_uri()
    )
    with pytest.raises(AirflowFailException, match="is short"):
        operator.execute(run_context(**INTERVAL))
    manifest = json.loads((lake / "_manifests/by_hand/20260302T060000Z-20260302T090000Z.json").read_text())
    assert manifest["status"] == "short"


def test_a_window_that_ends_now_is_waited_for(run_context: Contexts) -> None:
    hour = SystemClock().now() // TICK_PER_HOUR * TICK_PER_HOUR
    operator = DatadogLogsToParquetOperator(
        task_id="carry",
        name="by_hand",
        settle="2h",
        start=format_instant(hour - TICK_PER_HOUR),
        end=format_instant(hour),
    )
    with pytest.raises(TaskDeferred):
        operator.execute(run_context())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": "Not A Name"}, "name"),
        ({"name": "fine", "slice": "7 minutes"}, "slice"),
        ({"name": "fine", "storage_tier": "basement"}, "storage_tier"),
        ({"name": "fine", "destination_url": "ftp://nowhere"}, "url"),
        ({"name": "fine", "settle": 30}, "settle: 30 has no unit"),
        ({"name": "fine", "slice": 36_000_000_000}, "slice: 36000000000 has no unit"),
        ({"name": "fine", "indexes": "main"}, "source.indexes: 'main' is not a list"),
        ({"name": "fine", "query": None}, "source.query: is empty"),
        ({"name": "fine", "datadog_conn_id": None}, "source.connection: is empty"),
        ({"name": "fine", "promoted_columns": ["a"]}, "columns: a list is no block"),
        ({"name": "fine", "promoted_columns": "http_status"}, "columns: 'http_status' is no block"),
        ({"name": "fine", "promoted_columns": {"a": "b.c"}}, "columns.a: 'b.c' is no block"),
        ({"name": "fine", "promoted_columns": {"a": None}}, "columns.a: is empty"),
        ({"name": "fine", "promoted_columns": {"a": {"path": "b"}}}, "columns.a.type: is missing"),
    ],
)
def test_a_wrong_argument_is_named_when_the_task_runs(
    arguments: dict[str, Any], named: str, run_context: Contexts
) -> None:
    operator = DatadogLogsToParquetOperator(task_id="carry", **arguments)
    with pytest.raises(DefinitionError) as caught:
        operator.execute(run_context(**INTERVAL))
    assert "task carry" in str(caught.value)
    assert named in str(caught.value)


def test_an_absent_value_behind_a_template_is_refused_and_never_means_everything(
    run_context: Contexts,
) -> None:
    absent = "{{ params.absent }}"
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        searched = DatadogLogsToParquetOperator(task_id="searched", name="native", query=absent)
        placed = DatadogLogsToParquetOperator(task_id="placed", name="native", destination_url=absent)
        azure = AzureLogAnalyticsToParquetOperator(
            task_id="azure", name="native", workspace=WORKSPACE.guid, table="AppRequests", pipeline=absent
        )
    context = run_context(**{**INTERVAL, "params": {"absent": None}})
    for operator, key in (
        (searched, "source.query"),
        (placed, "destination.url"),
        (azure, "source.pipeline"),
    ):
        operator.render_template_fields(context)
        with pytest.raises(DefinitionError, match=rf"^task {operator.task_id}: {key}: is empty; give"):
            operator.execute(context)


def test_a_window_of_the_far_past_is_refused_by_no_start(run_context: Contexts) -> None:
    operator = DatadogLogsToParquetOperator(task_id="carry", name="by_hand")
    window = operator.window(
        run_context(params={"from": "1970-01-01T00:00:00Z", "to": "1970-01-01T01:00:00Z"}), operator.spec()
    )
    assert window.start == operator.spec().start == 0


def test_an_azure_table_is_carried_by_one_task(
    azure: AzureSandbox, lake: Path, run_context: Contexts
) -> None:
    operator = AzureLogAnalyticsToParquetOperator(
        task_id="carry",
        name="requests",
        workspace=WORKSPACE.guid,
        table="AppRequests",
        pipeline="| where Success == false",
        azure_conn_id="az_test",
        destination_url=lake.as_uri(),
    )
    summary = operator.execute(run_context(**INTERVAL))
    assert summary["status"] == "proven"
    assert summary["rows"] == summary["source_rows"] == rows_in(lake, "requests") > 0


def test_the_same_operator_speaks_the_legacy_search(
    azure: AzureSandbox, lake: Path, run_context: Contexts
) -> None:
    operator = AzureLogAnalyticsToParquetOperator(
        task_id="carry",
        name="legacy",
        kind="azure_log_search",
        workspace=WORKSPACE.name,
        subscription=WORKSPACE.subscription,
        resource_group=WORKSPACE.resource_group,
        query="Type=Event",
        azure_conn_id="az_test",
        destination_url=lake.as_uri(),
    )
    summary = operator.execute(run_context(**INTERVAL))
    assert summary["status"] in ("proven", "unproven")
    assert summary["rows"] == rows_in(lake, "legacy") > 0


def test_a_parameter_of_the_other_azure_api_is_refused_by_name(run_context: Contexts) -> None:
    operator = AzureLogAnalyticsToParquetOperator(
        task_id="carry", name="mixed", workspace=WORKSPACE.guid, table="AppRequests", top=100
    )
    with pytest.raises(DefinitionError, match="top"):
        operator.execute(run_context(**INTERVAL))
