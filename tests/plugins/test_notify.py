"""Who is told of what, and when again: notices that a webhook takes, and tasks that nothing here can fail."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from tests.plugins.local_webhook import Webhook

from logferry.audit.findings import Finding
from logferry.audit.survey import Survey
from logferry.clock import SystemClock
from logferry.errors import CredentialsError, StoreError
from logferry.layout import notices_key
from logferry.records.manifest import Span
from logferry.spec import ExportSpec
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window
from logferry_airflow import channels
from logferry_airflow.assets import export_asset
from logferry_airflow.notify import (
    UNREADABLE,
    forget,
    notify_behind,
    notify_findings,
    notify_unpublished,
    notify_unreadable,
    notify_unverified,
    notify_unverified_for_long,
)
from logferry_airflow.operators.datadog import DatadogLogsToParquetOperator
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]


@pytest.fixture
def told(make_spec: Callable[..., ExportSpec]) -> ExportSpec:
    """An export whose events go to the connection ``hook``."""
    return make_spec(notify=[{"kind": "webhook", "connection": "hook"}])


def carry(lake: Path, context: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    task = DatadogLogsToParquetOperator(
        task_id="carry",
        name="by_hand",
        query="service:web-store",
        datadog_conn_id="dd_test",
        destination_url=lake.as_uri(),
        notify=[{"kind": "webhook", "connection": "hook"}],
        **arguments,
    )
    return task.execute(context)


def test_a_task_of_a_hand_written_dag_tells_of_its_short_window_once(
    datadog: DatadogSandbox, webhook: Webhook, lake: Path, run_context: Callable[..., dict[str, Any]]
) -> None:
    datadog.api.plan.replace([{"fault": "datadog:drop_row"}])
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="is short"):
            carry(lake, run_context())
    (text,) = webhook.texts
    assert text.startswith("by_hand is short: ")
    assert "Next: clear all tasks of this run to export the window again" in text
    assert "plugin/logferry" not in text, "the page knows the exports of the project alone"


def test_a_window_that_is_proven_is_quiet(
    datadog: DatadogSandbox, webhook: Webhook, lake: Path, run_context: Callable[..., dict[str, Any]]
) -> None:
    assert carry(lake, run_context())["status"] == "proven"
    assert not webhook.posted
    assert not (lake / notices_key("by_hand")).exists()


def test_whatever_fails_in_telling_the_task_fails_as_it_would_have(
    datadog: DatadogSandbox,
    lake: Path,
    run_context: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr(channels, "deliver", broken)
    datadog.api.plan.replace([{"fault": "datadog:drop_row"}])
    with pytest.raises(AirflowFailException, match="is short"):
        carry(lake, run_context())
    assert "nobody could be told (notify_short): KeyError: 'no such thing'" in caplog.messages


def a_finding(hour: int, level: str = "finding") -> Finding:
    return Finding(
        kind="object_missing",
        level="finding" if level == "finding" else "note",
        window=Span(start=f"2026-03-02T{hour:02}:00:00Z", end=f"2026-03-02T{hour + 1:02}:00:00Z"),
        key=f"everything/dt=2026-03-02/hr={hour:02}/part.parquet",
        detail="there is no object",
        remedy="export the slice again",
    )


def test_findings_are_told_with_a_link_to_their_range(
    told: ExportSpec, webhook: Webhook, datadog: DatadogSandbox, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://airflow.example")
    for findings in ([a_finding(6), a_finding(8)], [a_finding(8)], [a_finding(9, "note")]):
        notify_findings(told, findings, {})
    (text,) = webhook.texts
    assert text.startswith("The archive of everything is not what was published: 2 findings")
    assert (
        "See: http://airflow.example/plugin/logferry#/export/everything"
        "?from=2026-03-02T06:00:00Z&amp;to=2026-03-02T09:00:00Z"
    ) in text
    assert (lake / notices_key("everything")).exists()


def test_being_behind_is_told_once_and_anew_after_it_was_over(
    told: ExportSpec, webhook: Webhook, lake: Path
) -> None:
    store = LocalStore(lake)
    today = SystemClock().now() // TICK_PER_DAY * TICK_PER_DAY
    missed = [Window(today - 2 * TICK_PER_DAY, today - 2 * TICK_PER_DAY + 6 * TICK_PER_HOUR)]
    for windows in (missed, missed, [], missed):
        notify_behind(told, Survey([], windows, []), {}, store=store)
    assert [text.split(":")[0] for text in webhook.texts] == ["everything is behind"] * 2


def test_a_server_that_drips_holds_the_task_up_for_a_while_and_is_not_told_of_as_told(
    told: ExportSpec, lake: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()

    class Drip(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not over.wait(0.01):
                    self.wfile.write(b".")

    monkeypatch.setattr(channels, "LIMIT_S", 0.3)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"http://127.0.0.1:{server.server_address[1]}/hook"
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps({"conn_type": "http", "host": host}))
        try:
            notify_findings(told, [a_finding(6)], {}, store=LocalStore(lake))
        finally:
            over.set()
            server.shutdown()
    assert any("could not be sent through hook (webhook): it took longer" in one for one in caplog.messages)
    assert not (lake / notices_key("everything")).exists()


class Values(dict[str, Any]):
    """The state store of one asset."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self.pop(key, None)


def test_a_lake_that_cannot_be_read_is_told_after_hours_and_once(
    told: ExportSpec, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = Values()
    context = {"asset_state_store": {export_asset("everything"): values}}
    start = SystemClock().now()
    for hour in range(6):
        monkeypatch.setattr(SystemClock, "now", lambda self, hour=hour: start + hour * TICK_PER_HOUR)
        notify_unreadable(told, StoreError("s3://acme-lake does not answer."), context)
        assert len(webhook.posted) == (hour >= 3)
    assert "everything cannot be looked after since" in webhook.texts[0]
    assert "s3://acme-lake does not answer." in webhook.texts[0]
    forget(told, context, UNREADABLE)
    assert not values


class ReadOnly(LocalStore):
    def put_bytes(self, key: str, data: bytes, **conditions: Any) -> None:
        raise StoreError(f"{key} may not be written.")


def test_a_lake_that_can_only_be_read_does_not_make_upkeep_nag(
    told: ExportSpec, webhook: Webhook, lake: Path
) -> None:
    values = Values()
    context = {"asset_state_store": {export_asset("everything"): values}}
    today = SystemClock().now() // TICK_PER_DAY * TICK_PER_DAY
    late = Survey([], [Window(today - 2 * TICK_PER_DAY, today - 2 * TICK_PER_DAY + 6 * TICK_PER_HOUR)], [])
    for _ in range(3):
        notify_behind(told, late, context, store=ReadOnly(lake))
    assert len(webhook.posted) == 1
    notify_behind(told, Survey([], [], []), context, store=ReadOnly(lake))
    notify_behind(told, late, context, store=LocalStore(lake))
    assert len(webhook.posted) == 2, "it was over in between"
    notify_findings(told, [a_finding(6)], context, store=ReadOnly(lake))
    notify_behind(told, Survey([], [], []), context, store=LocalStore(lake))
    notify_findings(told, [a_finding(6)], {}, store=LocalStore(lake))
    assert len(webhook.posted) == 3
    assert values == {"logferry_spare_notices": []}, "the lake has taken it over"


def test_an_airflow_that_keeps_nothing_stops_no_notice(
    told: ExportSpec, webhook: Webhook, lake: Path
) -> None:
    class Refusing(Values):
        def get(self, key: str, default: Any = None) -> Any:
            raise RuntimeError("no")

    context = {"asset_state_store": {export_asset("everything"): Refusing()}}
    for _ in range(2):
        notify_findings(told, [a_finding(6)], context, store=LocalStore(lake))
    assert len(webhook.posted) == 1


def test_an_export_that_never_published_is_told_once_its_first_window_is_long_due(
    told: ExportSpec, webhook: Webhook, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was unpaused at 7: the window until 6 is due first, and late after 12, its period, and an hour."""
    context = {"asset_state_store": {export_asset("everything"): Values()}}
    midnight = SystemClock().now() // TICK_PER_DAY * TICK_PER_DAY
    for hour in range(7, 20):
        monkeypatch.setattr(SystemClock, "now", lambda self, hour=hour: midnight + hour * TICK_PER_HOUR)
        notify_unpublished(told, context, store=LocalStore(lake))
        assert len(webhook.posted) == (hour >= 13)
    (text,) = webhook.texts
    assert text.startswith("everything is behind: 1 window of its schedule")
    assert "It has never published anything." in text


def test_an_archive_that_the_audit_cannot_read_for_hours_is_told_once(
    make_spec: Callable[..., ExportSpec], webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = make_spec(notify=[{"kind": "webhook", "connection": "hook", "on": ["verification"]}])
    context = {"asset_state_store": {export_asset("everything"): Values()}}
    start = SystemClock().now()
    for hour in range(6):
        monkeypatch.setattr(SystemClock, "now", lambda self, hour=hour: start + hour * TICK_PER_HOUR)
        notify_unverified_for_long(told, StoreError("s3://acme-lake does not answer."), context)
        assert len(webhook.posted) == (hour >= 3)
    assert webhook.texts[0].startswith("everything could not be verified: s3://acme-lake does not answer.")


def test_whom_the_survey_tells_of_an_outage_the_audit_does_not_tell_again(
    told: ExportSpec, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = {"asset_state_store": {export_asset("everything"): Values()}}
    start = SystemClock().now()
    away = StoreError("s3://acme-lake does not answer.")
    for hour in range(6):
        monkeypatch.setattr(SystemClock, "now", lambda self, hour=hour: start + hour * TICK_PER_HOUR)
        notify_unverified_for_long(told, away, context)
        notify_unreadable(told, away, context)
    (text,) = webhook.texts
    assert "cannot be looked after" in text


def test_a_verification_that_was_asked_for_and_could_not_be_made_is_told_after_its_last_try(
    told: ExportSpec, webhook: Webhook
) -> None:
    away = StoreError("s3://acme-lake does not answer.")
    window = Window(0, TICK_PER_DAY)
    for number in (1, 2):
        ti = SimpleNamespace(try_number=number, max_tries=1)
        notify_unverified(told, away, {"ti": ti}, window=window)
        assert len(webhook.posted) == number - 1
    ti = SimpleNamespace(try_number=1, max_tries=1)
    notify_unverified(told, CredentialsError("the key is not taken."), {"ti": ti}, window=None)
    assert webhook.texts[0].startswith(
        "everything could not be verified, 1970-01-01T00:00:00Z to 1970-01-02T00:00:00Z: s3://acme-lake"
    )
    assert webhook.texts[1].startswith("everything could not be verified: the key is not taken.")


def test_where_airflow_keeps_no_state_nothing_is_said_of_hours(
    told: ExportSpec, webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    notify_unreadable(told, StoreError("no answer"), {})
    forget(told, {}, UNREADABLE)
    assert not webhook.posted
    assert not caplog.messages


def test_an_export_without_channels_opens_no_lake(
    make_spec: Callable[..., ExportSpec], lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = make_spec()
    notify_findings(spec, [a_finding(6)], {})
    notify_behind(spec, Survey([], [], []), {}, store=LocalStore(lake))
    assert not lake.exists()
    assert not caplog.messages
