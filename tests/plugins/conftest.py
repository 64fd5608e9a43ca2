"""Local APIs, a lake in a temporary folder, and the plain dict that stands for Airflow's context."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.plugins.local_webhook import SECRET, Webhook

from logferry.spec import ExportSpec, export_from
from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.datadog_sandbox import DatadogSandbox


@pytest.fixture(scope="session")
def datadog_server() -> Iterator[DatadogSandbox]:
    """One server for the session, for use through ``datadog``."""
    sandbox = DatadogSandbox(events_per_day=600, burst=20)
    sandbox.start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def datadog(datadog_server: DatadogSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatadogSandbox]:
    """A Datadog without faults, and the connection ``dd_test`` to it."""
    told = datadog_server.describe()
    # One request at a time, so that tests can count them in order.
    extra = {"api_key": told["api_key"], "app_key": told["app_key"], "in_flight": 1, "sandbox": True}
    connection = {"conn_type": "datadog_logs", "host": told["base_url"], "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_DD_TEST", json.dumps(connection))
    datadog_server.api.plan.replace([])
    yield datadog_server
    datadog_server.api.plan.replace([])


@pytest.fixture(scope="session")
def azure_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureSandbox]:
    """One set of servers for the session, for use through ``azure``."""
    with AzureSandbox(state_dir=tmp_path_factory.mktemp("azure"), rows_per_day=600) as sandbox:
        yield sandbox


@pytest.fixture
def azure(azure_server: AzureSandbox, monkeypatch: pytest.MonkeyPatch) -> AzureSandbox:
    """An Azure, and the connection ``az_test`` to it."""
    told = azure_server.describe()
    extra = {key: told[key] for key in ("query_endpoint", "arm_endpoint", "authority", "ca_bundle")}
    connection = {
        "conn_type": "azure_log_analytics",
        "login": told["client_id"],
        "password": told["client_secret"],
        "extra": {**extra, "tenantId": told["tenant_id"], "sandbox": True},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AZ_TEST", json.dumps(connection))
    return azure_server


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def make_spec(lake: Path) -> Callable[..., ExportSpec]:
    """An export of everything Datadog holds, in windows of six hours; keys can be replaced."""

    def make(**replaced: Any) -> ExportSpec:
        definition = {
            "name": "everything",
            "source": {"kind": "datadog", "connection": "dd_test", "query": "*"},
            "schedule": "0 */6 * * *",
            "start": "2026-01-01T00:00:00Z",
            "settle": "0m",
            "destination": {"url": lake.as_uri()},
        }
        return export_from({**definition, **replaced}, where="test")

    return make


@pytest.fixture
def run_context() -> Callable[..., dict[str, Any]]:
    """What ``execute`` reads of Airflow's context, about 06:00 to 12:00 of a past day."""
    from airflow.sdk.execution_time.context import OutletEventAccessors

    def make(**replaced: Any) -> dict[str, Any]:
        return {
            "run_id": "manual__1",
            "ti": SimpleNamespace(try_number=1),
            "params": {"from": "2026-03-02T06:00:00Z", "to": "2026-03-02T12:00:00Z"},
            "outlet_events": OutletEventAccessors(),
            **replaced,
        }

    return make


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    """A webhook, and the connection ``hook`` to it."""
    hook = Webhook()
    connection = {"conn_type": "slackwebhook", "host": hook.url, "password": SECRET}
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps(connection))
    with hook.server:
        threading.Thread(target=hook.server.serve_forever, daemon=True).start()
        yield hook
        hook.server.shutdown()
