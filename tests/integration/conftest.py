"""Servers of their own process, one for all tests that need it, and ports of the sandbox."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.azure_port import AzurePort
from tests.integration.datadog_port import DatadogPort, ManualClock
from tests.integration.s3_server import S3Server, running_s3_server

from logferry.connection import Connection
from logferry.window import TICK_PER_MS
from logferry.wire import Guard
from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.datadog_sandbox import DatadogSandbox


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running_s3_server(tmp_path_factory.mktemp("ministack") / "log") as server:
        yield server


@pytest.fixture
def own_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Budgets meet in the temporary folder: those of other tests on the same port must not be found there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def make_port(tmp_path: Path, own_budget: None) -> Iterator[Callable[..., DatadogPort]]:
    started: list[DatadogSandbox] = []

    def make(*, url: str | None = None, s3: Connection | None = None, **options: Any) -> DatadogPort:
        clock = ManualClock()
        given = {"events_per_day": 3_000, "burst": 1_200, **options}
        sandbox = DatadogSandbox(clock=lambda: clock.now() // TICK_PER_MS, **given)
        sandbox.start()
        started.append(sandbox)
        return DatadogPort(sandbox, clock, url or (tmp_path / "lake").as_uri(), s3)

    yield make
    for sandbox in started:
        sandbox.stop()


@pytest.fixture
def port(make_port: Callable[..., DatadogPort]) -> DatadogPort:
    return make_port()


@pytest.fixture
def make_azure_port(tmp_path: Path, own_budget: None) -> Iterator[Callable[..., AzurePort]]:
    started: list[AzureSandbox] = []

    def make(**options: Any) -> AzurePort:
        clock = ManualClock()
        given = {"rows_per_day": 2_000, "clock": lambda: clock.now() / 10_000_000, **options}
        sandbox = AzureSandbox(state_dir=tmp_path / "azure", **given)
        sandbox.start()
        started.append(sandbox)
        return AzurePort(sandbox, clock, tmp_path / "lake")

    yield make
    for sandbox in started:
        sandbox.stop()


@pytest.fixture
def azure_port(make_azure_port: Callable[..., AzurePort]) -> AzurePort:
    return make_azure_port()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request gives up reading after three seconds without a byte, instead of minutes."""
    patient = Guard.of
    monkeypatch.setattr(Guard, "of", lambda request: replace(patient(request), idle_s=3.0))
