"""Datadog's hosts and headers, from both connection types."""

from __future__ import annotations

from typing import Any

import pytest
import trustme

from logferry.connection import Connection
from logferry.credentials.datadog import datadog_access
from logferry.errors import CredentialsError, DefinitionError

KEYS = {"api_key": "a" * 32, "app_key": "b" * 40}


def logs(
    host: str | None = None, *, port: int | None = None, schema: str | None = None, **extra: Any
) -> Connection:
    return Connection("dd", "datadog_logs", host=host, port=port, schema=schema, extra={**KEYS, **extra})


@pytest.mark.parametrize(
    ("site", "url"),
    [
        (None, "https://api.datadoghq.com"),
        ("", "https://api.datadoghq.com"),
        ("us5.datadoghq.com", "https://api.us5.datadoghq.com"),
        (" DatadogHQ.eu ", "https://api.datadoghq.eu"),
        ("ddog-gov.com", "https://api.ddog-gov.com"),
        ("site.of.tomorrow.example", "https://api.site.of.tomorrow.example"),
    ],
)
def test_a_site_gives_its_api_host(site: str | None, url: str) -> None:
    assert datadog_access(logs(site=site)).base_url == url


@pytest.mark.parametrize(
    "site", ["https://app.datadoghq.eu", "app.datadoghq.com", "api.datadoghq.eu", "eu1", "x/y.z"]
)
def test_what_is_no_bare_site_is_refused_with_examples(site: str) -> None:
    with pytest.raises(
        DefinitionError, match=r"'dd': site .* is not a Datadog site: give its bare name, such as"
    ):
        datadog_access(logs(site=site))


@pytest.mark.parametrize(
    ("conn", "url"),
    [
        (logs("https://proxy.example/datadog/"), "https://proxy.example/datadog"),
        (logs("http://127.0.0.1:8080"), "http://127.0.0.1:8080"),
        (logs("http://127.0.0.1", port=8080), "http://127.0.0.1:8080"),
        (logs("https://proxy.example", port=444, schema="datadog"), "https://proxy.example:444/datadog"),
        (logs("http://[::1]:8080"), "http://[::1]:8080"),
        (logs("http://::1", port=8080), "http://[::1]:8080"),
        (logs("http://[::1]", port=8080), "http://[::1]:8080"),
        (logs("http://localhost:8080"), "http://localhost:8080"),
        (logs("http://sandbox:8080", sandbox=True), "http://sandbox:8080"),
    ],
)
def test_a_host_is_the_whole_base_url(conn: Connection, url: str) -> None:
    assert datadog_access(conn).base_url == url


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("http://proxy.example", "would send credentials unencrypted: use https://"),
        ("http://127.0.0.1.example", "would send credentials unencrypted"),
        ("api.datadoghq.eu", "must be a URL that starts with https://"),
        ("ftp://x", "must be a URL"),
        ("https://", "must be a URL"),
        ("https://host:port", "must be a URL"),
        ("https://me:s3cr3t@host", "must not hold credentials"),
        ("https://host/?a=b", r"leave out spaces, \? and #"),
    ],
)
def test_a_base_url_that_would_not_do_is_refused(host: str, reason: str) -> None:
    with pytest.raises(DefinitionError, match=f"Connection 'dd': host .*{reason}") as raised:
        datadog_access(logs(host))
    assert "s3cr3t" not in str(raised.value)


def test_two_keys_go_into_two_headers() -> None:
    auth = datadog_access(logs()).auth
    assert auth.headers() == {"DD-API-KEY": "a" * 32, "DD-APPLICATION-KEY": "b" * 40}
    assert auth.secrets() == ("a" * 32, "b" * 40)
    assert auth.refresh() is False


def test_a_bearer_token_needs_no_keys_and_beats_them() -> None:
    auth = datadog_access(logs(bearer_token="ddpat_1")).auth
    assert auth.headers() == {"Authorization": "Bearer ddpat_1"}
    assert auth.secrets() == ("ddpat_1",)


def test_a_pasted_line_end_is_no_part_of_a_key() -> None:
    assert datadog_access(logs(api_key="k\n")).auth.headers()["DD-API-KEY"] == "k"


@pytest.mark.parametrize("key", ["k\ny", "k\u00e9y", "two words"])
def test_a_key_that_fits_no_header_is_refused_unseen(key: str) -> None:
    with pytest.raises(DefinitionError, match="api_key holds characters that no key has") as raised:
        datadog_access(logs(api_key=key))
    assert key not in str(raised.value)


@pytest.mark.parametrize(
    ("extra", "missing"),
    [
        ({}, "api_key and app_key"),
        ({"api_key": "a"}, "app_key"),
        ({"app_key": "b", "api_key": ""}, "api_key"),
    ],
)
def test_missing_keys_are_named(extra: dict[str, str], missing: str) -> None:
    with pytest.raises(CredentialsError, match=f"Connection 'dd' lacks {missing} in its extra fields"):
        datadog_access(Connection("dd", "datadog_logs", extra=extra))


@pytest.mark.parametrize("api_host", ["https://api.datadoghq.eu", "api.datadoghq.eu"])
def test_the_stock_type_has_an_api_host_and_its_host_is_ignored(api_host: str) -> None:
    conn = Connection("dd", "datadog", host="my-events-host", extra={**KEYS, "api_host": api_host})
    assert datadog_access(conn).base_url == "https://api.datadoghq.eu"


def test_the_stock_type_without_an_api_host_goes_to_the_default_site() -> None:
    conn = Connection("dd", "datadog", host="my-events-host", extra=KEYS)
    assert datadog_access(conn).base_url == "https://api.datadoghq.com"


def test_another_type_is_refused_with_those_that_fit() -> None:
    with pytest.raises(
        DefinitionError, match="'dd' is of type 'http': it must be of type datadog_logs or datadog"
    ):
        datadog_access(Connection("dd", "http", extra=KEYS))


def test_the_budget_belongs_to_the_organisation_and_its_name_tells_no_key() -> None:
    one, other = datadog_access(logs()).auth, datadog_access(logs(app_key="c" * 40)).auth
    assert one.key == other.key
    assert one.key != datadog_access(logs(api_key="d" * 32)).auth.key
    assert one.key != datadog_access(logs(site="datadoghq.eu")).auth.key
    assert len(one.key) == 16
    assert one.key not in KEYS["api_key"]


def test_a_ca_bundle_that_is_not_there_is_named(tmp_path: Any) -> None:
    with pytest.raises(DefinitionError, match=r"ca_bundle '.*none\.pem' cannot be read"):
        datadog_access(logs(ca_bundle=str(tmp_path / "none.pem")))
    with pytest.raises(DefinitionError, match=r"ca_bundle .* cannot be read"):
        datadog_access(logs(ca_bundle=str(tmp_path)))


BROKEN = "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("content", ["", "certificates", BROKEN], ids=["empty", "text", "broken"])
def test_a_ca_bundle_without_certificates_is_refused_before_anything_is_sent(
    tmp_path: Any, content: str
) -> None:
    (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(DefinitionError, match=r"ca_bundle '.*ca\.pem' holds no PEM certificates"):
        datadog_access(logs(ca_bundle=str(tmp_path / "ca.pem")))


def test_a_ca_bundle_of_an_authority_or_of_a_server_alone_is_taken(tmp_path: Any) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("localhost")
    for name, blob in (("ca.pem", authority.cert_pem), ("own.pem", own.cert_chain_pems[0])):
        blob.write_to_path(str(tmp_path / name))
        assert datadog_access(logs(ca_bundle=str(tmp_path / name))).ca_bundle == str(tmp_path / name)


@pytest.mark.parametrize("more", [{"port": 444}, {"schema": "datadog"}])
def test_nothing_can_follow_a_host_that_has_a_path(more: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="host has a path, so that port and schema cannot follow it"):
        datadog_access(logs("https://proxy.example/other", **more))
