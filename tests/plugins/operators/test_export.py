"""plan → export → publish, driven by hand with plain dicts against a local Datadog."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from logferry.clock import SystemClock
from logferry.errors import CredentialsError, DefinitionError, StoreError
from logferry.spec import ExportSpec
from logferry.window import TICK_PER_HOUR, Window, format_instant, parse_instant, to_datetime
from logferry_airflow.ferries import open_run_ferry
from logferry_airflow.hooks.connections import MaskingAuthenticator
from logferry_airflow.operators.export import ExportChunkOperator, ExportPlanOperator, PublishOperator
from logferry_airflow.publication import scheduled_windows
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]

Specs = Callable[..., ExportSpec]
Contexts = Callable[..., Any]

ASSET = Asset(name="everything", uri="x-logferry://exports/everything")


def plan(spec: ExportSpec, context: Any) -> list[dict[str, Any]]:
    return ExportPlanOperator(task_id="plan", spec=spec).execute(context)


def export(spec: ExportSpec, context: Any) -> list[dict[str, Any]]:
    chunks = plan(spec, context)
    return [
        ExportChunkOperator(task_id="export", spec=spec, chunk=chunk).execute(context) for chunk in chunks
    ]


def publish(spec: ExportSpec, context: Any, results: list[dict[str, Any]]) -> dict[str, Any]:
    return PublishOperator(task_id="publish", spec=spec, results=results, outlets=[ASSET]).execute(context)


def manifest(lake: Path) -> dict[str, Any]:
    path = lake / "_manifests/everything/20260302T060000Z-20260302T120000Z.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def files(lake: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((lake / "everything").rglob("*.parquet"))}


def test_a_window_travels_from_plan_to_publication(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, lake: Path
) -> None:
    spec, context = make_spec(), run_context()
    summary = publish(spec, context, export(spec, context))

    assert summary["status"] == "proven"
    assert summary["rows"] == summary["source_rows"] > 0
    assert summary["window"] == {"from": "2026-03-02T06:00:00Z", "to": "2026-03-02T12:00:00Z"}
    assert manifest(lake)["rows"] == summary["rows"]
    assert (
        sum(pq.read_metadata(path).num_rows for path in (lake / "everything").rglob("*.parquet"))
        == (summary["rows"])
    )
    assert len(files(lake)) == 6


def test_the_asset_event_carries_the_proof_and_one_partition_key(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, lake: Path
) -> None:
    spec, context = make_spec(), run_context()
    summary = publish(spec, context, export(spec, context))

    event = context["outlet_events"][ASSET]
    head = json.loads((lake / "_manifests/everything/HEAD.json").read_text())
    assert event.extra == {key: value for key, value in summary.items() if key != "export"}
    assert (event.extra["seq"], event.extra["hash"]) == (head["seq"], head["hash"])
    assert (lake / event.extra["manifest"]).is_file()
    assert event.partition_keys == {"2026-03-02T06:00:00"}


@pytest.mark.parametrize(
    ("start", "end", "keys"),
    [
        ("2026-03-02T06:00:00Z", "2026-03-02T12:00:00Z", ["2026-03-02T06"]),
        ("2026-03-02T06:00:00Z", "2026-03-03T00:00:00Z", ["2026-03-02T06", "2026-03-02T12", "2026-03-02T18"]),
        ("2026-03-02T05:00:00Z", "2026-03-02T13:00:00Z", ["2026-03-02T06"]),
        ("2026-03-02T05:00:00Z", "2026-03-02T18:00:00Z", ["2026-03-02T06", "2026-03-02T12"]),
        ("2026-03-02T07:00:00Z", "2026-03-02T13:00:00Z", ["2026-03-02T07"]),
        ("2026-03-02T06:00:00Z", "2026-03-02T09:00:00Z", ["2026-03-02T06"]),
    ],
)
def test_a_partition_is_a_window_of_the_schedule_that_is_published_whole(
    start: str, end: str, keys: list[str], make_spec: Specs
) -> None:
    windows = scheduled_windows(make_spec(), Window(parse_instant(start), parse_instant(end)))
    assert [format_instant(window.start)[:13] for window in windows] == keys


def test_a_run_over_two_windows_of_the_schedule_tells_both_partitions(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts
) -> None:
    spec = make_spec()
    context = run_context(params={"from": "2026-03-02T06:00:00Z", "to": "2026-03-02T18:00:00Z"})
    publish(spec, context, export(spec, context))
    assert context["outlet_events"][ASSET].partition_keys == {"2026-03-02T06:00:00", "2026-03-02T12:00:00"}


def test_the_chunks_are_contiguous_and_cover_the_window_with_its_empty_slices(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts
) -> None:
    chunks = plan(make_spec(), run_context())
    slices = [slice_ for chunk in chunks for slice_ in chunk["slices"]]
    edges = [slices[0]["from"], *(slice_["to"] for slice_ in slices)]
    assert edges == [f"2026-03-02T{hour:02}:00:00Z" for hour in range(6, 13)]
    assert [slice_["from"] for slice_ in slices] == edges[:-1]
    assert any(slice_["rows"] == 0 for slice_ in slices)


def test_an_empty_window_still_has_a_chunk_and_a_file_per_slice(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, lake: Path
) -> None:
    source = {"kind": "datadog", "connection": "dd_test", "query": "service:nobody-has-this-name"}
    spec, context = make_spec(source=source), run_context()
    chunks = plan(spec, context)
    assert len(chunks) == 1
    results = [ExportChunkOperator(task_id="export", spec=spec, chunk=chunks[0]).execute(context)]
    summary = publish(spec, context, results)
    assert (summary["status"], summary["rows"], summary["source_rows"]) == ("proven", 0, 0)
    assert len(files(lake)) == 6


def test_only_small_json_without_rows_travels_between_the_tasks(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts
) -> None:
    spec, context = make_spec(), run_context()
    chunks, results = plan(spec, context), export(spec, context)
    for value in (*chunks, *results):
        text = json.dumps(value)
        assert json.loads(text) == value
        assert len(text) < 30_000
        assert "sandbox-api-key" not in text


def test_running_a_window_again_publishes_the_same_bytes(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, lake: Path
) -> None:
    spec = make_spec()
    first = publish(spec, run_context(), export(spec, run_context()))
    before = files(lake)
    second = publish(spec, run_context(), export(spec, run_context()))
    assert files(lake) == before
    assert {**second, "seq": 0, "hash": ""} == {**first, "seq": 0, "hash": ""}
    assert second["seq"] > first["seq"]
    assert not list(lake.glob("_staging/**/*.staged"))


def test_a_short_window_is_published_and_marked_and_then_fails_the_run(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, lake: Path
) -> None:
    spec, context = make_spec(), run_context()
    datadog.api.plan.replace([{"fault": "datadog:drop_row"}])
    results = export(spec, context)
    with pytest.raises(AirflowFailException) as caught:
        publish(spec, context, results)

    published = manifest(lake)
    assert published["status"] == "short"
    assert published["rows"] < published["source_rows"]
    sentence = str(caught.value)
    assert f"{published['rows']:,} rows are written" in sentence
    assert f"the source counts {published['source_rows']:,}" in sentence
    assert "clear all tasks of this run" in sentence


def test_a_missing_chunk_publishes_nothing(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, lake: Path
) -> None:
    spec, context = make_spec(), run_context()
    morning = run_context(params={"from": "2026-03-02T06:00:00Z", "to": "2026-03-02T11:00:00Z"})
    with pytest.raises(StoreError, match="do not cover"):
        publish(spec, context, export(spec, morning))
    assert not (lake / "_manifests").exists()


def test_refused_keys_are_a_credentials_error(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {"conn_type": "datadog_logs", "host": datadog.base_url}
    keys = {"api_key": "not-the-key-0815", "app_key": "not-the-key-4711"}
    monkeypatch.setenv("AIRFLOW_CONN_DD_TEST", json.dumps({**connection, "extra": keys}))
    spec, context = make_spec(), run_context()
    with pytest.raises(CredentialsError) as caught:
        export(spec, context)
    assert "not-the-key" not in str(caught.value)


def test_a_window_that_has_not_settled_defers_until_it_has(make_spec: Specs, run_context: Contexts) -> None:
    hour = SystemClock().now() // TICK_PER_HOUR * TICK_PER_HOUR
    spec = make_spec(settle="2h")
    context = run_context(params={"from": format_instant(hour - TICK_PER_HOUR), "to": format_instant(hour)})
    with pytest.raises(TaskDeferred) as deferred:
        plan(spec, context)
    trigger = deferred.value.trigger
    assert isinstance(trigger, DateTimeTrigger)
    assert trigger.moment == to_datetime(hour + 2 * TICK_PER_HOUR)
    assert deferred.value.method_name == "resume"


@pytest.mark.parametrize(("settle", "waits"), [("30m", True), ("2d", False)])
def test_a_window_of_tomorrow_is_waited_for_but_not_with_a_settle_time_of_days(
    settle: str, waits: bool, make_spec: Specs, run_context: Contexts
) -> None:
    hour = SystemClock().now() // TICK_PER_HOUR * TICK_PER_HOUR
    end = format_instant(hour + 20 * TICK_PER_HOUR)
    context = run_context(params={"from": format_instant(hour), "to": end})
    with pytest.raises(TaskDeferred if waits else AirflowFailException):
        plan(make_spec(settle=settle), context)


def test_a_window_that_has_ended_is_waited_for_as_long_as_the_definition_says(
    make_spec: Specs, run_context: Contexts
) -> None:
    hour = SystemClock().now() // TICK_PER_HOUR * TICK_PER_HOUR
    context = run_context(params={"from": format_instant(hour - TICK_PER_HOUR), "to": format_instant(hour)})
    with pytest.raises(TaskDeferred):
        plan(make_spec(settle="5d"), context)


def test_a_window_of_another_year_fails_at_once_and_names_the_latest_end(
    make_spec: Specs, run_context: Contexts
) -> None:
    context = run_context(params={"from": "2126-03-02T06:00:00Z", "to": "2126-03-02T12:00:00Z"})
    with pytest.raises(
        AirflowFailException, match=r"params to: 2126-03-02T12:00:00Z .* the latest params to now is 20"
    ):
        plan(make_spec(), context)


def test_a_window_before_the_start_is_refused_with_one_sentence(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts
) -> None:
    context = run_context(params={"from": "2025-03-02T06:00:00Z", "to": "2025-03-02T12:00:00Z"})
    with pytest.raises(DefinitionError) as caught:
        plan(make_spec(), context)
    assert "2026-01-01T00:00:00Z" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_token_of_every_task_is_masked_before_it_is_used(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts
) -> None:
    with open_run_ferry(make_spec(), run_context()) as ferry:
        assert isinstance(ferry.client.auth, MaskingAuthenticator)


def test_the_task_goes_on_where_the_triggerer_returns_it(
    datadog: DatadogSandbox, make_spec: Specs, run_context: Contexts
) -> None:
    operator = ExportPlanOperator(task_id="plan", spec=make_spec())
    assert operator.resume(run_context(), event=datetime(2026, 3, 2, tzinfo=UTC))


def test_a_bad_window_fails_before_anything_is_asked(make_spec: Specs, run_context: Contexts) -> None:
    context = run_context(params={"from": "2026-03-02T06:00:00", "to": "2026-03-02T12:00:00Z"})
    with pytest.raises(AirflowFailException, match="params from"):
        plan(make_spec(), context)


def test_a_mapped_task_is_labelled_with_its_slices(make_spec: Specs) -> None:
    chunk = {
        "slices": [
            {"from": "2026-03-02T06:00:00Z", "to": "2026-03-02T07:00:00Z"},
            {"from": "2026-03-02T07:00:00Z", "to": "2026-03-02T08:00:00Z"},
        ]
    }
    operator = ExportChunkOperator(task_id="export", spec=make_spec(), chunk=chunk)
    assert operator.map_index_template == "{{ task.slices_label }}"
    assert operator.slices_label == "2026-03-02T06:00:00Z … 2026-03-02T08:00:00Z"
