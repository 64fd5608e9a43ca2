"""What the tests of the local run share: settings in a temporary home, definitions, a lake with one window."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from logferry.spec import ExportSpec, export_from
from logferry_local.settings import Settings

SOURCES: dict[str, dict[str, Any]] = {
    "datadog": {"kind": "datadog", "connection": "datadog_default", "query": "*"},
    "azure_monitor": {
        "kind": "azure_monitor",
        "connection": "azure_default",
        "workspace": "7a1c0f5e-0000-4000-8000-00000000000a",
        "table": "AppRequests",
    },
    "azure_log_search": {
        "kind": "azure_log_search",
        "connection": "azure_default",
        "subscription": "7a1c0f5e-0000-4000-8000-00000000000b",
        "resource_group": "ferry-rg",
        "workspace": "ferry-logs",
        "query": "Type=Event",
    },
}
MakeSpec = Callable[..., ExportSpec]


@pytest.fixture
def make_spec() -> MakeSpec:
    """An export of a kind; further keys of the definition by name."""

    def make(name: str, kind: str = "datadog", **keys: Any) -> ExportSpec:
        definition = {
            "name": name,
            "source": dict(SOURCES[kind]),
            "schedule": "@daily",
            "start": "2026-01-01T00:00:00Z",
            **keys,
        }
        return export_from(definition, where=name)

    return make


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(port: int = 8080, environment: Mapping[str, str] | None = None) -> Settings:
        return Settings(tmp_path, tmp_path / "home", port, dict(environment or {}))

    return make


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable that the local run reads is set."""
    for name in list(os.environ):
        if name.startswith(("DD_", "AZURE_", "AWS_", "AIRFLOW", "LOGFERRY_")):
            monkeypatch.delenv(name)
    return monkeypatch
