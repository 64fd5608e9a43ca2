"""Connections from the environment: JSON, URIs, vendors' variables, and what is never shown."""

from __future__ import annotations

import json
import traceback
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.connection import Connection, connection_for, connection_from_env, is_sandbox
from logferry.errors import CredentialsError, DefinitionError

SECRET = "s3cr3t-value"


def from_env(value: str) -> Connection:
    return connection_from_env("my_conn", {"AIRFLOW_CONN_MY_CONN": value})


def shown(error: BaseException) -> str:
    """The error as a traceback prints it, with every chained exception."""
    return "".join(traceback.format_exception(error))


def test_json_keeps_every_field_and_the_types_of_extra() -> None:
    conn = from_env(
        json.dumps(
            {
                "conn_type": "azure-log-analytics",
                "host": "h",
                "schema": "s",
                "login": "l",
                "password": SECRET,
                "port": "8443",
                "extra": {"sandbox": True, "tenantId": "t"},
            }
        )
    )
    assert conn.conn_type == "azure_log_analytics"
    assert (conn.host, conn.schema, conn.login, conn.password, conn.port) == ("h", "s", "l", SECRET, 8443)
    assert conn.extra == {"sandbox": True, "tenantId": "t"}


def test_extra_of_a_json_connection_may_be_text_that_holds_json() -> None:
    assert (
        from_env('{"conn_type": "aws", "extra": "{\\"region_name\\": \\"x\\"}"}').text("region_name") == "x"
    )


def test_a_uri_has_dashes_in_its_type_and_percent_encoded_fields() -> None:
    conn = from_env(
        "azure-log-analytics://app%40id:p%2Fw%3A%40@some-Host:99/sch%2Fema?tenantId=t%26t&auth=secret"
    )
    assert conn.conn_type == "azure_log_analytics"
    assert (conn.login, conn.password) == ("app@id", "p/w:@")
    assert (conn.host, conn.port, conn.schema) == ("some-Host", 99, "sch/ema")
    assert conn.extra == {"tenantId": "t&t", "auth": "secret"}


def test_a_uri_without_a_host_still_has_its_extra() -> None:
    conn = from_env("datadog-logs://?api_key=a%2Bb&app_key=c")
    assert conn.host is None
    assert conn.extra == {"api_key": "a+b", "app_key": "c"}


def test_a_uri_may_carry_typed_extra_as_json() -> None:
    conn = from_env("aws://?__extra__=%7B%22service_config%22%3A+%7B%22s3%22%3A+%7B%7D%7D%7D")
    assert conn.extra == {"service_config": {"s3": {}}}


@pytest.mark.parametrize(
    "uri",
    [
        "datadog-logs://http%3A%2F%2F127.0.0.1%3A8080/?api_key=a",
        "datadog-logs://http://127.0.0.1:8080/?api_key=a",
    ],
)
def test_a_base_url_fits_into_a_uri_encoded_or_with_its_protocol(uri: str) -> None:
    conn = from_env(uri)
    assert f"{conn.host}{f':{conn.port}' if conn.port else ''}" == "http://127.0.0.1:8080"
    assert conn.extra == {"api_key": "a"}


def test_a_url_inside_a_parameter_is_no_host() -> None:
    conn = from_env("aws://k:s@/?endpoint_url=http://127.0.0.1:9000")
    assert (conn.login, conn.password, conn.host) == ("k", "s", None)
    assert conn.text("endpoint_url") == "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    "value",
    [
        f'{{"conn_type": "aws", "password": "{SECRET}"',
        f'{{"conn_type": "aws", "passwort": "{SECRET}"}}',
        f'{{"conn_type": "aws", "password": ["{SECRET}"]}}',
        f'{{"conn_type": "aws", "port": "{SECRET}"}}',
        f'{{"conn_type": "aws", "extra": "{SECRET}"}}',
        f'{{"conn_type": "aws", "extra": ["{SECRET}"]}}',
        f'{{"password": "{SECRET}"}}',
        SECRET,
        f"aws://user:{SECRET}@host:notaport/",
        f"aws://user:{SECRET}@http://host",
        f"a://b://c://{SECRET}",
        f"aws://[{SECRET}",
        f"aws://?__extra__={SECRET}",
    ],
)
def test_a_broken_connection_is_one_sentence_without_its_value(value: str) -> None:
    with pytest.raises(DefinitionError) as raised:
        from_env(value)
    assert "AIRFLOW_CONN_MY_CONN" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert SECRET not in shown(raised.value)
    assert raised.value.__context__ is None, "a hidden JSONDecodeError would still hold the whole text"


@given(st.text(max_size=60))
def test_any_text_is_a_connection_or_a_definition_error(value: str) -> None:
    with suppress(CredentialsError if not value.strip() else DefinitionError):
        assert from_env(value).conn_type


@given(
    login=st.text(min_size=1),
    password=st.text(min_size=1),
    extra=st.dictionaries(st.text(min_size=1), st.text()),
)
def test_a_json_connection_comes_back_as_it_was_written(
    login: str, password: str, extra: dict[str, str]
) -> None:
    written = {"conn_type": "aws", "login": login, "password": password, "extra": extra}
    conn = from_env(json.dumps(written))
    assert (conn.login, conn.password, conn.extra) == (login, password, extra)


def test_repr_shows_neither_secrets_nor_extra() -> None:
    conn = Connection("c", "aws", host="h", login="l", password=SECRET, extra={"token": SECRET})
    assert repr(conn) == "Connection(conn_id='c', conn_type='aws')"


@pytest.mark.parametrize(
    ("value", "meant"), [(True, True), ("true", True), ("1", True), ("False", False), ("", False)]
)
def test_a_flag_may_be_text_or_a_truth_value(value: object, meant: bool) -> None:
    assert is_sandbox(Connection("c", "aws", extra={"sandbox": value})) is meant


def test_a_flag_that_is_neither_true_nor_false_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'sandbox' must be true or false"):
        is_sandbox(Connection("c", "aws", extra={"sandbox": "maybe"}))


def test_old_form_fields_count_and_empty_ones_do_not() -> None:
    conn = Connection("c", "azure", extra={"tenantId": "", "extra__azure__tenantId": " t ", "x": None})
    assert conn.text("tenantId") == "t"
    assert conn.text("x") is None


def test_an_option_that_is_no_text_is_refused_by_name_only() -> None:
    with pytest.raises(DefinitionError, match="'api_key' must be text") as raised:
        Connection("c", "datadog_logs", extra={"api_key": [SECRET]}).text("api_key")
    assert SECRET not in shown(raised.value)


def test_a_mapping_may_be_an_object_or_its_text() -> None:
    assert Connection("c", "aws", extra={"m": '{"a": 1}'}).mapping("m") == {"a": 1}
    assert Connection("c", "aws", extra={"m": {"a": 1}}).mapping("m") == {"a": 1}
    with pytest.raises(DefinitionError, match="'m' must be a JSON object"):
        Connection("c", "aws", extra={"m": "[1]"}).mapping("m")


def test_an_unconfigured_connection_names_its_variable() -> None:
    with pytest.raises(CredentialsError, match="set AIRFLOW_CONN_LOGS_PROD to its JSON or URI"):
        connection_from_env("logs_prod", {"AIRFLOW_CONN_LOGS_PROD": " "})


def test_a_configured_connection_beats_the_vendors_variables() -> None:
    environ = {
        "AIRFLOW_CONN_C": "datadog-logs://?api_key=own&app_key=own",
        "DD_API_KEY": "v",
        "DD_APP_KEY": "v",
    }
    assert connection_for("c", "datadog", environ).text("api_key") == "own"


def test_datadogs_variables_stand_in_for_a_connection() -> None:
    conn = connection_for("c", "datadog", {"DD_API_KEY": "a", "DD_APP_KEY": "b", "DD_SITE": "datadoghq.eu"})
    assert conn.conn_type == "datadog_logs"
    assert conn.extra == {"api_key": "a", "app_key": "b", "site": "datadoghq.eu"}


@pytest.mark.parametrize("kind", ["azure_monitor", "azure_log_search"])
def test_azures_variables_stand_in_for_a_connection(kind: str) -> None:
    environ = {
        "AZURE_TENANT_ID": "t",
        "AZURE_CLIENT_ID": "i",
        "AZURE_CLIENT_SECRET": SECRET,
        "AZURE_AUTHORITY_HOST": "login.microsoftonline.us",
    }
    conn = connection_for("c", kind, environ)
    assert (conn.conn_type, conn.login, conn.password) == ("azure_log_analytics", "i", SECRET)
    assert conn.extra == {"tenantId": "t", "authority": "login.microsoftonline.us"}


def test_a_named_aws_connection_that_is_not_configured_never_becomes_the_chain() -> None:
    with pytest.raises(
        CredentialsError,
        match=r"'aws_defualt' is not configured: set AIRFLOW_CONN_AWS_DEFUALT .* leave `connection`",
    ):
        connection_for("aws_defualt", "aws", {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})


@pytest.mark.parametrize("conn_id", ["my conn", "a/b", "a=b", "", "é", "a" * 201])
def test_an_id_that_no_variable_can_have_is_refused_and_no_variable_is_advised(conn_id: str) -> None:
    environ = {f"AIRFLOW_CONN_{conn_id.upper()}": "datadog-logs://?api_key=a&app_key=b", "DD_API_KEY": "v"}
    for look_up in (
        lambda: connection_from_env(conn_id, environ),
        lambda: connection_for(conn_id, "datadog", environ),
    ):
        with pytest.raises(
            DefinitionError, match="is not the id of a connection: use letters, digits"
        ) as raised:
            look_up()
        assert "AIRFLOW_CONN_" not in str(raised.value)


@pytest.mark.parametrize("conn_id", ["a-b", "a.b", "A_1"])
def test_an_id_may_have_dashes_and_dots(conn_id: str) -> None:
    environ = {f"AIRFLOW_CONN_{conn_id.upper()}": "datadog-logs://?api_key=a"}
    assert connection_from_env(conn_id, environ).conn_id == conn_id


@pytest.mark.parametrize(
    ("kind", "wanted"), [("datadog", "DD_API_KEY and DD_APP_KEY"), ("azure_monitor", "AZURE_CLIENT_SECRET")]
)
def test_without_any_credentials_the_variables_to_set_are_named(kind: str, wanted: str) -> None:
    with pytest.raises(CredentialsError, match=f"AIRFLOW_CONN_C .*{wanted}"):
        connection_for("c", kind, {"AZURE_TENANT_ID": "only this"})


@pytest.mark.parametrize(
    ("conn_type", "given", "expected"),
    [("datadog_logs", 16, 16), ("datadog_logs", "1", 1), ("azure", 5, 5), ("azure_log_analytics", "", None)],
)
def test_requests_in_flight_are_a_number_that_the_api_takes(
    conn_type: str, given: object, expected: int | None
) -> None:
    assert Connection("c", conn_type, extra={"in_flight": given}).in_flight == expected


@pytest.mark.parametrize(
    ("conn_type", "given", "most"),
    [("datadog_logs", 17, 16), ("azure", 6, 5), ("azure", 0, 5), ("azure", "many", 5), ("azure", 1.5, 5)],
)
def test_another_number_of_requests_in_flight_is_refused(conn_type: str, given: object, most: int) -> None:
    with pytest.raises(DefinitionError, match=f"'in_flight' must be a whole number from 1 to {most}"):
        _ = Connection("c", conn_type, extra={"in_flight": given}).in_flight


@pytest.mark.parametrize("given", ["two words", "c"])
def test_a_budget_connection_is_the_id_of_another_connection(given: str) -> None:
    assert (
        Connection("c", "datadog_logs", extra={"budget_connection": "shared"}).budget_connection == "shared"
    )
    with pytest.raises(DefinitionError, match="'budget_connection' must be the id of another connection"):
        _ = Connection("c", "datadog_logs", extra={"budget_connection": given}).budget_connection
