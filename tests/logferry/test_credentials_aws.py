"""What an ``aws`` connection says about S3, as the Amazon provider reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore import UNSIGNED

from logferry.connection import Connection
from logferry.credentials.aws import S3Settings, s3_client, s3_settings
from logferry.errors import CredentialsError, DefinitionError


@pytest.fixture(autouse=True)
def no_aws_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))


def aws(login: str | None = None, password: str | None = None, **extra: Any) -> Connection:
    return Connection("lake", "aws", login=login, password=password, extra=extra)


def test_no_connection_and_an_empty_one_leave_all_to_boto3() -> None:
    assert s3_settings(None, {}) == S3Settings()
    assert s3_settings(aws(), {}) == S3Settings(conn_id="lake")


def test_keys_come_from_login_and_password_or_from_extra() -> None:
    by_login = s3_settings(aws("id", "secret"), {})
    by_extra = s3_settings(
        aws(aws_access_key_id="id", aws_secret_access_key="secret", aws_session_token="t"), {}
    )
    assert (by_login.access_key_id, by_login.secret_access_key, by_login.session_token) == (
        "id",
        "secret",
        None,
    )
    assert (by_extra.access_key_id, by_extra.secret_access_key, by_extra.session_token) == (
        "id",
        "secret",
        "t",
    )
    assert by_extra.secrets() == ("secret", "t")


def test_repr_tells_no_key() -> None:
    assert "s3cr3t" not in repr(s3_settings(aws("id-s3cr3t", "s3cr3t", aws_session_token="s3cr3t"), {}))


@pytest.mark.parametrize(
    ("conn", "missing"),
    [
        (aws(login="id"), "password"),
        (aws(password="secret"), "login"),
        (aws(aws_access_key_id="id"), "password"),
    ],
)
def test_half_a_key_pair_is_named(conn: Connection, missing: str) -> None:
    with pytest.raises(CredentialsError, match=rf"Connection 'lake' lacks {missing} \("):
        s3_settings(conn, {})


def test_the_service_endpoint_beats_the_general_one_and_that_the_environment() -> None:
    environ = {"AWS_ENDPOINT_URL_S3": "http://env-s3", "AWS_ENDPOINT_URL": "http://env"}
    service = {"s3": {"endpoint_url": "http://service"}, "sts": {"endpoint_url": "http://sts"}}
    both = s3_settings(aws(endpoint_url="http://general", service_config=service), environ)
    assert (both.endpoint_url, both.sts_endpoint_url) == ("http://service", "http://sts")
    assert s3_settings(aws(endpoint_url="http://general"), environ).endpoint_url == "http://general"
    assert s3_settings(aws(), environ).endpoint_url == "http://env-s3"
    assert s3_settings(None, {"AWS_ENDPOINT_URL": "http://env"}).endpoint_url == "http://env"
    ignored = {**environ, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    assert s3_settings(None, ignored).endpoint_url is None


def test_aws_itself_gets_boto3s_own_addresses_and_checksums() -> None:
    config = s3_client(s3_settings(aws("id", "secret", region_name="eu-central-1"), {})).meta.config
    assert config.request_checksum_calculation == "when_supported"
    assert config.response_checksum_validation == "when_supported"
    assert (config.s3 or {}).get("addressing_style") is None
    assert config.retries["mode"] == "standard"
    assert config.connect_timeout is not None


def test_a_look_alike_gets_path_style_and_checksums_where_required() -> None:
    client = s3_client(s3_settings(aws("id", "secret", endpoint_url="https://store.example:9000"), {}))
    config = client.meta.config
    assert config.request_checksum_calculation == "when_required"
    assert config.response_checksum_validation == "when_required"
    assert config.s3["addressing_style"] == "path"
    assert client.meta.region_name == "us-east-1"
    url = client.generate_presigned_url("get_object", Params={"Bucket": "lake", "Key": "k"})
    assert url.startswith("https://store.example:9000/lake/k?")


def test_config_kwargs_beat_what_is_chosen_here() -> None:
    kwargs = {
        "request_checksum_calculation": "when_supported",
        "s3": {"payload_signing_enabled": True},
        "signature_version": "unsigned",
        "read_timeout": 7,
    }
    config = s3_client(
        s3_settings(aws(endpoint_url="http://store:9000", config_kwargs=kwargs), {})
    ).meta.config
    assert config.request_checksum_calculation == "when_supported"
    assert config.response_checksum_validation == "when_required"
    assert config.s3 == {"addressing_style": "path", "payload_signing_enabled": True}
    assert config.signature_version is UNSIGNED
    assert config.read_timeout == 7


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"config_kwargs": {"no_such_option": 1}}, "boto3 refuses the settings of connection 'lake'"),
        ({"config_kwargs": "not json"}, "'config_kwargs' must be a JSON object"),
        ({"endpoint_url": "not a url"}, "boto3 refuses the settings of connection 'lake'"),
        ({"service_config": {"s3": {"endpoint_url": 1}}}, "service_config must be shaped like"),
        ({"assume_role_method": "assume_role_with_saml"}, "'assume_role_with_saml' is not supported"),
    ],
)
def test_settings_that_cannot_work_are_refused(extra: dict[str, Any], reason: str) -> None:
    with pytest.raises(DefinitionError, match=reason):
        s3_client(s3_settings(aws(**extra), {}))


def test_a_profile_that_does_not_exist_is_named() -> None:
    with pytest.raises(
        CredentialsError, match="The AWS profile 'nobody' of connection 'lake' does not exist"
    ):
        s3_client(s3_settings(aws(profile_name="nobody"), {}))


@pytest.mark.parametrize(
    ("value", "meant"), [(None, None), (False, False), ("false", False), ("/etc/ca.pem", "/etc/ca.pem")]
)
def test_verify_is_a_truth_value_or_a_bundle(value: object, meant: object) -> None:
    assert s3_settings(aws(verify=value), {}).verify == meant


def test_another_type_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'lake' is of type 'http': it must be of type aws"):
        s3_settings(Connection("lake", "http"), {})
