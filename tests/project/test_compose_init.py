"""compose/init.py: what a deployment finds when it starts."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import boto3
import pytest

from logferry.spec import ExportSpec, export_from

ROOT = Path(__file__).resolve().parents[2]
STORE = {
    "OBJECT_STORE_URL": "http://object-store:9000",
    "OBJECT_STORE_ACCESS_KEY": "owner",
    "OBJECT_STORE_SECRET_KEY": "owners-secret",
    "OBJECT_STORE_BUCKET": "logferry",
}


@pytest.fixture(scope="module")
def init() -> ModuleType:
    found = importlib.util.spec_from_file_location("compose_init", ROOT / "compose" / "init.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.fixture
def export() -> ExportSpec:
    return export_from(
        {
            "name": "web_errors",
            "source": {"kind": "datadog", "connection": "datadog_default", "query": "status:error"},
            "schedule": "@daily",
            "start": "2026-01-01T00:00:00Z",
            "pool": "datadog_api",
        },
        where="test",
    )


def test_a_pool_named_in_a_definition_is_created_and_airflows_own_is_left_alone(
    init: ModuleType, export: ExportSpec
) -> None:
    other = export.model_copy(update={"pool": "default_pool"})
    assert init.pools_wanted([export, other]) == {"datadog_api"}


def test_the_keys_of_the_environment_become_the_connection_a_definition_names(
    init: ModuleType, export: ExportSpec
) -> None:
    store, datadog = init.connections_wanted([export], STORE | {"DD_API_KEY": "k", "DD_APP_KEY": "a"})
    assert (store.conn_id, store.extra["endpoint_url"]) == ("object_store", "http://object-store:9000")
    assert (datadog.conn_id, datadog.conn_type) == ("datadog_default", "datadog_logs")
    assert datadog.extra["app_key"] == "a"


def test_a_connection_given_whole_in_the_environment_is_not_copied_to_the_database(
    init: ModuleType, export: ExportSpec
) -> None:
    environ = STORE | {"AIRFLOW_CONN_DATADOG_DEFAULT": "{}", "DD_API_KEY": "k", "DD_APP_KEY": "a"}
    assert [conn.conn_id for conn in init.connections_wanted([export], environ)] == ["object_store"]


def test_a_definition_without_credentials_is_named_and_stops_nothing(
    init: ModuleType, export: ExportSpec, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(init.connections_wanted([export], STORE)) == 1
    assert "'datadog_default' is not configured" in capsys.readouterr().err


def test_the_admins_password_can_be_read_by_its_owner_only(init: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "passwords.json"
    init.write_passwords(file, "first")
    init.write_passwords(file, "second")
    assert json.loads(file.read_text()) == {"admin": "second"}
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def store() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.mark.integration
def test_the_bucket_is_created_once(init: ModuleType, store: str) -> None:
    environ = STORE | {"OBJECT_STORE_URL": store, "OBJECT_STORE_BUCKET": "made-by-init"}
    init.create_bucket(environ)
    init.create_bucket(environ)
    client = boto3.client(
        "s3", endpoint_url=store, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    assert "made-by-init" in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
