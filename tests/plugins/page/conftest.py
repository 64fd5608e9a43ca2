"""The page's app as Airflow mounts it: its database, an auth manager that knows single DAGs, definitions and a lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api.security import get_user
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.models.backfill import Backfill
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import delete

from logferry.connection import connection_for
from logferry.opening import open_ferry
from logferry.spec import load_export
from logferry.window import Window, parse_instant
from logferry_airflow.page.app import create_app
from logferry_sandbox.datadog_sandbox import DatadogSandbox

DAY = Window(parse_instant("2026-03-02T00:00:00Z"), parse_instant("2026-03-03T00:00:00Z"))


class Permissions(SimpleAuthManager):
    """Airflow's simple auth manager, which also hides single DAGs from everybody."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: set[str] = set()
        self.asked: list[str | None] = []

    def is_authorized_dag(self, *, details: DagDetails | None = None, **more: Any) -> bool:
        dag_id = details.id if details else None
        self.asked.append(dag_id)
        return dag_id not in self.hidden and super().is_authorized_dag(details=details, **more)


@pytest.fixture(scope="session")
def database() -> None:
    initdb()
    DagBundlesManager().sync_bundles_to_db()


@pytest.fixture
def airflow_rows(database: None) -> Iterator[Callable[..., None]]:
    """Adds rows to Airflow's tables; they are gone after the test."""

    def add(*rows: Any) -> None:
        with create_session() as session:
            for row in rows:
                session.add(row)
                session.flush()

    yield add
    with create_session() as session:
        for table in (Backfill, DagRun, DagModel):
            session.execute(delete(table))


@pytest.fixture
def permissions(monkeypatch: pytest.MonkeyPatch) -> Permissions:
    manager = Permissions()
    monkeypatch.setattr("logferry_airflow.page.access.get_auth_manager", lambda: manager)
    return manager


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of definitions: ``shop`` and ``till`` in one lake, and one that is broken."""
    folder = tmp_path / "exports"
    folder.mkdir()
    monkeypatch.setenv("LOGFERRY_EXPORTS_DIR", str(folder))
    for name in ("shop", "till"):
        define(folder, name, destination={"url": (tmp_path / "lake").as_uri()})
    (folder / "bent.yaml").write_text("name: bent\nshedule: '@daily'\n")
    return folder


def define(folder: Path, name: str, **replaced: Any) -> None:
    definition = {
        "name": name,
        "source": {"kind": "datadog", "connection": "dd_test", "query": "*"},
        "schedule": "@daily",
        "start": "2026-03-01T00:00:00Z",
        "slice": "6h",
        "settle": "0m",
        **replaced,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(definition))


@pytest.fixture
def published(exports: Path, datadog: DatadogSandbox) -> None:
    """One day of ``shop`` lies in the lake."""
    publish(exports)


def publish(exports: Path) -> None:
    with open_ferry(load_export(exports / "shop.yaml"), connection_for, run_id="manual__1") as ferry:
        ferry.carry(DAY)


@pytest.fixture
def app(exports: Path, permissions: Permissions, database: None) -> FastAPI:
    return create_app()


def mounted(app: FastAPI) -> FastAPI:
    """As Airflow does it."""
    server = FastAPI()
    server.mount("/logferry", app)
    return server


@pytest.fixture
def anonymous(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(mounted(app), base_url="http://airflow") as client:
        yield client


@pytest.fixture
def log_in(app: FastAPI) -> Iterator[Callable[[str], TestClient]]:
    """A client of somebody with one of Airflow's roles."""
    clients: list[TestClient] = []

    def make(role: str) -> TestClient:
        app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username=role, role=role)
        clients.append(TestClient(mounted(app), base_url="http://airflow"))
        return clients[-1].__enter__()

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def admin(log_in: Callable[[str], TestClient]) -> TestClient:
    return log_in("ADMIN")
