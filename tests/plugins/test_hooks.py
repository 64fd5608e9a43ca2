"""The hooks hand out the engine's access, and their connection tests ask the real question."""

from __future__ import annotations

import json

import pytest
from airflow.sdk.log import mask_logs

from logferry.clock import SystemClock
from logferry.errors import CredentialsError
from logferry.http import Client
from logferry.sources.base import Response
from logferry_airflow.hooks.azure_log_analytics import AzureLogAnalyticsHook
from logferry_airflow.hooks.datadog import DatadogLogsHook
from logferry_sandbox.azure_sandbox import OUTSIDER_ID, WORKSPACE, AzureSandbox
from logferry_sandbox.datadog_sandbox import DatadogSandbox

pytestmark = [pytest.mark.airflow, pytest.mark.integration]


def logged(message: str) -> str:
    """What a task's log shows of a message."""
    return str(mask_logs(None, "info", {"event": message}))


def datadog_with(
    monkeypatch: pytest.MonkeyPatch, sandbox: DatadogSandbox, **extra: str | int
) -> DatadogLogsHook:
    connection = {"conn_type": "datadog_logs", "host": sandbox.base_url, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_DD_OTHER", json.dumps(connection))
    return DatadogLogsHook("dd_other")


def azure_with(
    monkeypatch: pytest.MonkeyPatch, sandbox: AzureSandbox, **fields: str
) -> AzureLogAnalyticsHook:
    told = sandbox.describe()
    extra = {key: told[key] for key in ("query_endpoint", "arm_endpoint", "authority", "ca_bundle")}
    connection = {
        "conn_type": "azure_log_analytics",
        "login": told["client_id"],
        "password": told["client_secret"],
        "extra": {**extra, "tenantId": told["tenant_id"], "workspace": WORKSPACE.guid},
    }
    monkeypatch.setenv("AIRFLOW_CONN_AZ_OTHER", json.dumps({**connection, **fields}))
    return AzureLogAnalyticsHook("az_other", table="AppRequests")


def test_datadog_access_is_the_connections(datadog: DatadogSandbox) -> None:
    access = DatadogLogsHook("dd_test").get_conn()
    assert access.base_url == datadog.base_url
    assert access.auth.headers()["DD-APPLICATION-KEY"] == datadog.describe()["app_key"]


def test_datadog_answers_the_connection_test(datadog: DatadogSandbox) -> None:
    assert DatadogLogsHook("dd_test").test_connection() == (
        True,
        f"{datadog.base_url} answered a search of one row",
    )


def test_wrong_datadog_keys_fail_the_connection_test_without_showing_them(
    datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = datadog_with(monkeypatch, datadog, api_key="wrong-key-0815", app_key="wrong-key-4711")
    worked, sentence = hook.test_connection()
    assert not worked
    assert "refused the keys" in sentence or "forbids" in sentence
    assert "wrong-key" not in sentence


@pytest.mark.parametrize(
    ("field", "sentence"),
    [({"in_flight": 17}, "from 1 to 16"), ({"budget_connection": "nowhere"}, "'nowhere' is not configured")],
)
def test_the_connection_test_looks_at_the_budgets_fields_too(
    field: dict[str, str | int], sentence: str, datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = datadog.describe()
    hook = datadog_with(monkeypatch, datadog, api_key=told["api_key"], app_key=told["app_key"], **field)
    worked, said = hook.test_connection()
    assert not worked
    assert sentence in said


def test_a_datadog_key_that_may_not_read_logs_names_the_permission(
    datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = datadog.describe()
    hook = datadog_with(monkeypatch, datadog, api_key=told["api_key"], app_key=told["app_key_without_logs"])
    worked, sentence = hook.test_connection()
    assert not worked
    assert "logs_read_data" in sentence


def test_a_missing_datadog_key_is_named(datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    worked, sentence = datadog_with(monkeypatch, datadog, api_key="only-one-of-two").test_connection()
    assert not worked
    assert "app_key" in sentence


def test_a_stock_datadog_connection_is_accepted(
    datadog: DatadogSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = datadog.describe()
    extra = {"api_key": told["api_key"], "app_key": told["app_key"], "api_host": told["base_url"]}
    connection = {"conn_type": "datadog", "host": "an-events-host-name", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_DD_STOCK", json.dumps(connection))
    assert DatadogLogsHook("dd_stock").test_connection()[0]


def test_azure_access_is_the_connections(azure: AzureSandbox) -> None:
    access = AzureLogAnalyticsHook("az_test").get_conn()
    assert access.query_endpoint == azure.describe()["query_endpoint"]
    assert access.arm_endpoint == azure.describe()["arm_endpoint"]


def test_azure_signs_in_and_says_that_no_workspace_was_asked(azure: AzureSandbox) -> None:
    worked, sentence = AzureLogAnalyticsHook("az_test").test_connection()
    assert worked, sentence
    assert "no workspace was asked" in sentence


def test_azure_answers_one_row_of_the_workspace(azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    worked, sentence = azure_with(monkeypatch, azure).test_connection()
    assert worked, sentence
    assert WORKSPACE.guid in sentence


def test_a_table_that_the_workspace_lacks_is_said_and_not_taken_for_a_row(
    azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = azure_with(monkeypatch, azure)
    hook.table = "NoSuchTable"
    worked, sentence = hook.test_connection()
    assert worked, sentence
    assert "it has no table NoSuchTable" in sentence
    assert "no row was read" in sentence


def test_a_workspaces_name_is_refused_because_its_guid_is_asked_for(
    azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = azure_with(monkeypatch, azure)
    hook.workspace = "ferry-logs"
    worked, sentence = hook.test_connection()
    assert not worked
    assert "'ferry-logs' is not a workspace GUID" in sentence


@pytest.mark.parametrize("body", [b"{}", b"<html>Sign in to the proxy</html>", b"[]", b""])
def test_a_200_that_is_no_answer_fails_the_connection_test(
    body: bytes, azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked, sentence = answered_with(azure, monkeypatch, body)
    assert not worked
    assert "Log Analytics" in sentence


def test_a_row_that_holds_the_word_error_is_a_row(
    azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"name": "PrimaryResult", "columns": [{"name": "A", "type": "string"}], "rows": [["error"]]}
    worked, sentence = answered_with(azure, monkeypatch, json.dumps({"tables": [table]}).encode())
    assert worked, sentence
    assert "with one row" in sentence


def answered_with(azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch, body: bytes) -> tuple[bool, str]:
    """The connection test when the query API answers 200 with this body."""
    hook = azure_with(monkeypatch, azure)
    monkeypatch.setattr(SystemClock, "sleep", lambda self, seconds: None)
    monkeypatch.setattr(Client, "_send", lambda self, request: Response(200, {}, body))
    return hook.test_connection()


def test_the_token_azure_gave_is_masked(azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    issued: list[str] = []
    issue = azure.tokens.issue

    def recording(audience: str, client_id: str, lifetime_s: int) -> str:
        issued.append(issue(audience, client_id, lifetime_s))
        return issued[-1]

    monkeypatch.setattr(azure.tokens, "issue", recording)
    assert AzureLogAnalyticsHook("az_test").test_connection()[0]
    assert issued
    for token in issued:
        assert token not in logged(f"a stranger's message with {token}")


def test_a_principal_without_a_role_fails_the_connection_test(
    azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked, sentence = azure_with(monkeypatch, azure, login=OUTSIDER_ID).test_connection()
    assert not worked
    assert "Log Analytics Reader" in sentence


def test_a_wrong_client_secret_fails_the_sign_in_without_showing_it(
    azure: AzureSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked, sentence = azure_with(monkeypatch, azure, password="wrong-secret-0815").test_connection()
    assert not worked
    assert "wrong-secret" not in sentence


def test_a_connection_of_another_type_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HTTP_ONE", '{"conn_type": "http", "host": "example.org"}')
    assert not DatadogLogsHook("http_one").test_connection()[0]
    assert not AzureLogAnalyticsHook("http_one").test_connection()[0]


def test_access_without_any_credentials_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DD_API_KEY", "DD_APP_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(CredentialsError, match="not configured"):
        DatadogLogsHook("nothing_here").get_conn()
