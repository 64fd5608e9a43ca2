"""A project of one export, its lake and its Datadog, and the context of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.plugins.operators.upkeep_world import NOW, TODAY, At, FakeAirflow, FakeEvents, Kept

from logferry.spec import ExportSpec, load_export
from logferry.window import TICK_PER_DAY, format_instant
from logferry_airflow.assets import export_asset
from logferry_airflow.webhook import WebhookNotifier
from logferry_sandbox.datadog_sandbox import DatadogSandbox


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> FakeAirflow:
    airflow = FakeAirflow()
    monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", airflow, raising=False)
    return airflow


@pytest.fixture
def context(airflow: FakeAirflow) -> Any:
    return {"run_id": "manual__upkeep", "ti": airflow, "inlet_events": FakeEvents([])}


@pytest.fixture
def shop(
    tmp_path: Path, lake: Path, datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ExportSpec]:
    """The project's only export, a daily one with slices of six hours that began five days ago."""
    folder = tmp_path / "exports"
    folder.mkdir()
    definition = {
        "name": "shop",
        "source": {"kind": "datadog", "connection": "dd_test", "query": "*"},
        "schedule": "@daily",
        "start": format_instant(TODAY - 5 * TICK_PER_DAY),
        "slice": "6h",
        "settle": "0m",
        "horizon": "30d",
        "destination": {"url": lake.as_uri()},
    }
    (folder / "shop.yaml").write_text(yaml.safe_dump(definition))
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(folder))
    for module in ("operators.survey", "operators.audit"):
        monkeypatch.setattr(f"logferry_airflow.{module}.SystemClock", lambda: At(NOW))
    settings = datadog.api.settings
    yield load_export(folder / "shop.yaml")
    datadog.api.settings = settings


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, shop: ExportSpec, context: Any) -> list[str]:
    """The texts that went to the channel of ``shop``, whose asset is an inlet of the tasks."""
    assert shop.file is not None
    with shop.file.open("a") as file:
        file.write("notify:\n- {kind: webhook, connection: hook}\n")
    texts: list[str] = []
    monkeypatch.setattr(WebhookNotifier, "notify", lambda self, context: texts.append(self.text))
    context["asset_state_store"] = {export_asset("shop"): Kept()}
    return texts
