"""Surveys, driven by hand: a local Datadog, a lake in a folder, and an Airflow of two dicts."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.operators.upkeep_world import (
    AGGREGATE,
    FakeAirflow,
    at_hour,
    audit,
    carry_out,
    day,
    publish,
    run_id,
    survey,
)

from logferry.errors import CredentialsError, StoreError
from logferry.spec import ExportSpec
from logferry.window import format_instant, to_datetime
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]


def test_windows_missed_since_the_first_publication_are_started_oldest_first(
    shop: ExportSpec, context: Any
) -> None:
    publish(shop, day(4))
    assert survey(context) == [
        {
            "trigger_dag_id": "export_shop",
            "trigger_run_id": run_id(day(number), 0),
            "conf": {"from": format_instant(day(number).start), "to": format_instant(day(number).end)},
            "reset_dag_run": False,
            "note": "missed: all 4 slices not published",
        }
        for number in (3, 2, 1)
    ]


def test_rows_that_came_late_bring_a_run_of_only_what_moved_after_one_count(
    shop: ExportSpec, context: Any, datadog: DatadogSandbox
) -> None:
    datadog.api.settings = datadog.api.settings.updated({"late_every": 5})
    for number in (3, 2, 1):
        manifest = publish(shop, day(number))
    assert survey(context) == []
    datadog.api.settings = datadog.api.settings.updated({"late_every": 0})
    before = datadog.api.plan.stats()["requests"][AGGREGATE]["200"]
    runs = survey(context)
    # One series; an hour without rows in it takes a total to be believed.
    assert datadog.api.plan.stats()["requests"][AGGREGATE]["200"] - before <= 2
    assert [run["conf"] for run in runs] == [
        {"from": format_instant(day(number).start), "to": format_instant(day(number).end), "only_moved": True}
        for number in (3, 2, 1)
    ]
    assert runs[-1]["trigger_run_id"] == run_id(day(1), manifest.seq)
    assert runs[-1]["note"].startswith("moved: ")


def test_rows_that_were_away_for_a_while_are_proven_anew(
    shop: ExportSpec, context: Any, datadog: DatadogSandbox
) -> None:
    publish(shop, day(1))
    datadog.api.settings = datadog.api.settings.updated({"late_every": 5})
    (dipped,) = survey(context)
    kept = carry_out(shop, dipped)
    assert all(entry.source_now < entry.rows for entry in kept.slices)
    assert all(entry.counted_at < entry.source_now_at for entry in kept.slices)
    assert survey(context) == []
    datadog.api.settings = datadog.api.settings.updated({"late_every": 0})
    (back,) = survey(context)
    assert back["note"].startswith("moved: 4 slices")
    again = carry_out(shop, back)
    assert all(entry.source_now is None for entry in again.slices)
    assert all(one.counted_at > two.source_now_at for one, two in zip(again.slices, kept.slices, strict=True))
    assert survey(context) == []


def test_a_window_that_could_not_be_counted_is_proven_by_one_run_once_it_can(
    shop: ExportSpec, context: Any, datadog: DatadogSandbox
) -> None:
    refused = {"fault": "http_error", "params": {"status": 403}, "match": {"path_contains": "aggregate"}}
    datadog.api.plan.replace([refused])
    assert publish(shop, day(1)).status == "unproven"
    assert survey(context) == []
    datadog.api.plan.replace([])
    (run,) = survey(context)
    assert run["note"].startswith("uncounted: 4 slices")
    manifest = carry_out(shop, run)
    assert manifest.status == "proven"
    assert survey(context) == []


def test_a_run_under_way_is_not_started_again_and_one_that_failed_is(
    shop: ExportSpec, context: Any, airflow: FakeAirflow
) -> None:
    publish(shop, day(5))
    airflow.runs = [
        (run_id(day(4), 0), None, "queued"),
        (run_id(day(3), 0), None, "failed"),
        (f"scheduled__{day(2)}", to_datetime(day(2).start), "running"),
        (f"scheduled__{day(1)}", to_datetime(day(1).start), "failed"),
    ]
    started = {run["trigger_run_id"]: run["reset_dag_run"] for run in survey(context)}
    assert started == {run_id(day(3), 0): True, run_id(day(1), 0): False}


@pytest.mark.parametrize(("cleared", "again"), [(0, True), (1, True), (2, False)])
def test_a_run_that_keeps_failing_is_started_ever_more_rarely(
    cleared: int, again: bool, shop: ExportSpec, context: Any, airflow: FakeAirflow
) -> None:
    publish(shop, day(2))
    airflow.runs = [(run_id(day(1), 0), None, "failed")]
    airflow.cleared = cleared
    assert [run["trigger_run_id"] for run in survey(context)] == [run_id(day(1), 0)] * again


@pytest.mark.parametrize("dags", [{"export_shop": True}, {}], ids=["paused", "unknown"])
def test_a_paused_export_is_left_alone_and_asked_nothing(
    dags: dict[str, bool], shop: ExportSpec, context: Any, airflow: FakeAirflow, datadog: DatadogSandbox
) -> None:
    publish(shop, day(4))
    airflow.dags = dags
    before = datadog.api.plan.stats()["requests"]
    assert survey(context) == []
    assert datadog.api.plan.stats()["requests"] == before


def test_an_export_that_never_publishes_its_first_window_is_told_and_a_pause_begins_anew(
    told: list[str], context: Any, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    for hour, paused, texts in (
        (12, False, 0),
        (24, False, 0),
        (24, True, 0),
        (26, False, 0),
        (49, False, 1),
    ):
        airflow.dags["export_shop"] = paused
        at_hour(hour, monkeypatch)
        assert survey(context) == []
        assert len(told) == texts, hour
    assert told[0].startswith("shop is behind: 1 window of its schedule '@daily' not published")


def test_an_export_that_has_published_is_no_longer_one_that_never_did(
    told: list[str], shop: ExportSpec, context: Any
) -> None:
    survey(context)
    (values,) = context["asset_state_store"].values()
    assert values
    publish(shop, day(1))
    survey(context)
    assert not values


def test_a_lake_that_could_not_be_read_before_a_pause_is_no_news_after_it(
    told: list[str], context: Any, airflow: FakeAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*given: Any, **more: Any) -> Any:
        raise StoreError("the lake is away")

    monkeypatch.setattr("logferry.audit.archive.open_archive", away)
    for hour, paused in ((0, False), (1, True), (4, False)):
        airflow.dags["export_shop"] = paused
        at_hour(hour, monkeypatch)
        with contextlib.nullcontext() if paused else pytest.raises(StoreError):
            survey(context)
        assert not told
    at_hour(7, monkeypatch)
    with pytest.raises(StoreError):
        survey(context)
    assert "cannot be looked after" in told[0]


def test_an_export_that_has_never_run_needs_neither_keys_nor_a_lake(
    shop: ExportSpec, context: Any, monkeypatch: pytest.MonkeyPatch, lake: Path
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_DD_TEST")
    assert survey(context) == []
    audit(context)
    assert not lake.exists()


def test_only_counting_needs_the_keys(
    shop: ExportSpec, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(shop, day(4))
    connection = json.loads(os.environ["AIRFLOW_CONN_DD_TEST"])
    connection["extra"]["app_key"] = "not-the-right-key"
    monkeypatch.setenv("AIRFLOW_CONN_DD_TEST", json.dumps(connection))
    audit(context)
    with pytest.raises(CredentialsError):
        survey(context)


def test_the_log_says_what_was_done(
    shop: ExportSpec, context: Any, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    publish(shop, day(2))
    with caplog.at_level(logging.INFO):
        survey(context)
    text = capsys.readouterr().out + caplog.text
    assert f"starting {run_id(day(1), 0)}: missed: all 4 slices not published" in text
    assert "shop: 1 window due, 1 run to start, 0 under way, pausing or left for a later pass" in text
