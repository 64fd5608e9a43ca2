"""A connection of Airflow reaches the engine whole, and its credentials reach no log."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection as AirflowConnection
from airflow.sdk.log import mask_logs

from logferry.errors import CredentialsError, DefinitionError
from logferry_airflow.hooks.connections import SECRET_OPTIONS, MaskingAuthenticator, connect, from_airflow
from logferry_airflow.provider import get_provider_info

pytestmark = pytest.mark.airflow


def logged(message: str) -> str:
    """What a task's log shows of a message."""
    return str(mask_logs(None, "info", {"event": message}))


def test_every_field_of_an_airflow_connection_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_WHOLE",
        json.dumps(
            {
                "conn_type": "azure_log_analytics",
                "host": "h",
                "schema": "s",
                "login": "client-id",
                "password": "correct horse battery",
                "port": 8443,
                "extra": {"tenantId": "t", "nested": {"a": 1}},
            }
        ),
    )
    connection = connect("whole", "azure_monitor")
    assert (connection.conn_id, connection.conn_type) == ("whole", "azure_log_analytics")
    assert (connection.host, connection.schema, connection.port) == ("h", "s", 8443)
    assert (connection.login, connection.password) == ("client-id", "correct horse battery")
    assert connection.extra == {"tenantId": "t", "nested": {"a": 1}}


@pytest.mark.parametrize("option", SECRET_OPTIONS)
def test_a_credential_in_the_extra_fields_is_masked_in_logs(
    option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = f"value-of-{option}-4711"
    monkeypatch.setenv(
        "AIRFLOW_CONN_MASKED", json.dumps({"conn_type": "datadog_logs", "extra": {option: secret}})
    )
    connect("masked", "datadog")
    assert secret not in logged(f"a stranger's message with {secret} inside")


def test_the_password_is_masked_in_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_MASKED", '{"conn_type": "azure", "login": "x", "password": "swordfish-1"}'
    )
    connect("masked", "azure_monitor")
    assert "swordfish-1" not in logged("a stranger's message with swordfish-1 inside")


@pytest.mark.parametrize("conn_type", ["redis", "postgres"])
def test_a_budget_connection_is_found_by_its_id_and_its_password_is_masked_in_urls_too(
    conn_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {
        "conn_type": conn_type,
        "host": "10.0.0.5",
        "port": 4711,
        "login": "ferry",
        "password": "sword/fish 1",
    }
    monkeypatch.setenv(
        "AIRFLOW_CONN_SHARED_BUDGET", json.dumps({**found, "schema": "budget", "extra": {"db": 3}})
    )
    connection = connect("shared_budget", "budget")
    assert (connection.conn_type, connection.host, connection.port) == (conn_type, "10.0.0.5", 4711)
    assert (connection.login, connection.password) == ("ferry", "sword/fish 1")
    assert (connection.schema, connection.extra) == ("budget", {"db": 3})
    shown = logged(f"cannot reach {conn_type}://ferry:sword%2Ffish%201@10.0.0.5 with sword/fish 1")
    assert "fish" not in shown


def test_every_password_field_of_the_forms_is_masked() -> None:
    for connection_type in get_provider_info()["connection-types"]:
        fields = connection_type["conn-fields"]
        secret = {name for name, field in fields.items() if field["schema"].get("format") == "password"}
        assert secret <= set(SECRET_OPTIONS)


def test_the_vendors_variables_stand_in_for_a_missing_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DD_API_KEY", "vendor-api-key-0815")
    monkeypatch.setenv("DD_APP_KEY", "vendor-app-key-0815")
    connection = connect("not_configured", "datadog")
    assert connection.conn_type == "datadog_logs"
    assert "vendor-app-key-0815" not in logged("vendor-app-key-0815 in a message")


def test_neither_connection_nor_variables_is_one_sentence_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("DD_API_KEY", "DD_APP_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(CredentialsError, match="AIRFLOW_CONN_NOT_CONFIGURED"):
        connect("not_configured", "datadog")


def test_an_aws_connection_that_is_not_configured_is_an_error_and_not_the_chain_of_boto3() -> None:
    with pytest.raises(
        CredentialsError, match=r"'not_configured' is not configured: .*leave `connection` out"
    ):
        connect("not_configured", "aws")


class RenewedTokens:
    """An authenticator whose token is another one each time it was refused."""

    key = "k"

    def __init__(self) -> None:
        self.number = 1

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def refresh(self) -> bool:
        self.number += 1
        return True

    def secrets(self) -> tuple[str, ...]:
        return (self.token,)

    @property
    def token(self) -> str:
        return f"token-number-{self.number}-0815"


def test_a_token_renewed_in_the_middle_of_a_task_is_masked_before_it_is_used() -> None:
    inner = RenewedTokens()
    auth = MaskingAuthenticator(inner)
    for _ in range(3):
        sent = auth.headers()["Authorization"].removeprefix("Bearer ")
        assert sent == inner.token
        assert sent not in logged(f"a stranger's message with {sent} inside")
        assert auth.secrets() == (sent,)
        assert auth.refresh()
    assert auth.key == "k"


@pytest.mark.parametrize("extra", ["not json, but secret", '["a list"]'])
def test_an_unreadable_extra_is_refused_without_showing_it(extra: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        from_airflow("broken", AirflowConnection(conn_id="broken", conn_type="datadog_logs", extra=extra))
    assert "extra must be a JSON object" in str(caught.value)
    assert extra not in str(caught.value)
    assert caught.value.__cause__ is None
