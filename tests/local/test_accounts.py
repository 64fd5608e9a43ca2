from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.local.conftest import MakeSpec

from logferry.connection import connection_from_env
from logferry.errors import DefinitionError
from logferry.spec import ExportSpec
from logferry_local.accounts import find_accounts, sandbox_connections, write_variables

DATADOG = {"DD_API_KEY": "a", "DD_APP_KEY": "b"}
STATE: dict[str, Any] = {
    "datadog": {"base_url": "http://127.0.0.1:1", "api_key": "fake-api", "app_key": "fake-app"},
    "azure": {
        "client_id": "client",
        "client_secret": "fake-secret",
        "tenant_id": "tenant",
        "authority": "https://127.0.0.1:2/tenant",
        "query_endpoint": "http://127.0.0.1:3",
        "arm_endpoint": "http://127.0.0.1:4",
        "ca_bundle": "/somewhere/ca.pem",
    },
}


@pytest.fixture
def exports(make_spec: MakeSpec) -> list[ExportSpec]:
    return [
        make_spec("shop"),
        make_spec("requests", "azure_monitor"),
        make_spec("legacy", "azure_log_search"),
    ]


def test_without_any_credentials_everything_runs_on_the_sandbox(exports: list[ExportSpec]) -> None:
    accounts = find_accounts(exports, {}, set())
    assert accounts.sandbox
    assert accounts.ready == exports
    assert accounts.missing == {}


def test_with_datadog_alone_the_azure_exports_are_named_and_left_out(exports: list[ExportSpec]) -> None:
    accounts = find_accounts(exports, DATADOG, set())
    assert not accounts.sandbox
    assert [spec.name for spec in accounts.ready] == ["shop"]
    assert set(accounts.missing) == {"requests", "legacy"}
    assert "AZURE_TENANT_ID" in accounts.missing["requests"]


def test_one_key_of_two_is_an_account_and_no_reason_for_the_sandbox(exports: list[ExportSpec]) -> None:
    accounts = find_accounts(exports, {"DD_API_KEY": "a"}, set())
    assert not accounts.sandbox
    assert [spec.name for spec in accounts.ready] == ["shop"]


def test_a_connection_stored_in_airflow_s_database_counts(exports: list[ExportSpec]) -> None:
    accounts = find_accounts(exports, {}, {"azure_default", "unrelated"})
    assert not accounts.sandbox
    assert [spec.name for spec in accounts.ready] == ["requests", "legacy"]
    assert set(accounts.missing) == {"shop"}


def test_a_connection_that_cannot_be_read_is_refused_and_not_replaced_by_the_sandbox(
    exports: list[ExportSpec],
) -> None:
    environment = {
        "AIRFLOW_CONN_DATADOG_DEFAULT": '{"conn_type": "datadog_logs", "extra": {"api_key": "s3cret"'
    }
    with pytest.raises(DefinitionError) as refused:
        find_accounts(exports, environment, set())
    assert str(refused.value) == (
        "AIRFLOW_CONN_DATADOG_DEFAULT starts with { but is not a JSON object: correct its JSON."
    )


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_connection_variable_counts_as_not_set(exports: list[ExportSpec], blank: str) -> None:
    assert find_accounts(exports, {"AIRFLOW_CONN_DATADOG_DEFAULT": blank}, set()).sandbox


def test_every_connection_of_the_exports_points_at_the_sandbox(
    exports: list[ExportSpec], make_spec: MakeSpec
) -> None:
    source = {"kind": "datadog", "connection": "shop_eu", "query": "*"}
    variables = sandbox_connections([*exports, make_spec("eu", source=source)], STATE)
    assert set(variables) == {
        "AIRFLOW_CONN_DATADOG_DEFAULT",
        "AIRFLOW_CONN_SHOP_EU",
        "AIRFLOW_CONN_AZURE_DEFAULT",
    }
    datadog = connection_from_env("shop_eu", variables)
    assert (datadog.conn_type, datadog.host, datadog.flag("sandbox")) == (
        "datadog_logs",
        "http://127.0.0.1:1",
        True,
    )
    azure = connection_from_env("azure_default", variables)
    assert (azure.login, azure.password, azure.flag("sandbox")) == ("client", "fake-secret", True)
    assert azure.text("ca_bundle") == "/somewhere/ca.pem"


def test_what_airflow_reads_is_plain_json(exports: list[ExportSpec]) -> None:
    for text in sandbox_connections(exports, STATE).values():
        assert isinstance(json.loads(text)["extra"], dict)


def test_a_shell_that_reads_the_file_finds_the_connections_that_airflow_has(
    exports: list[ExportSpec], tmp_path: Path
) -> None:
    variables = sandbox_connections(exports, STATE) | {"AIRFLOW_CONN_ODD": "a 'quoted' $HOME `value`"}
    file = tmp_path / "sandbox.env"
    write_variables(file, {"AIRFLOW_CONN_OLD": "gone"})
    write_variables(file, variables)
    told = subprocess.run(
        ["sh", "-c", '. "$1"; env -0', "sh", str(file)], env={}, capture_output=True, text=True, check=True
    ).stdout
    found = dict(line.split("=", 1) for line in told.split("\0") if line.startswith("AIRFLOW_CONN_"))
    assert found == variables
    assert file.stat().st_mode & 0o777 == 0o600
