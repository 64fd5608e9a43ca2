"""Tokens from a token endpoint on TLS, by way of MSAL, in every way an application can sign in."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from logferry.connection import Connection
from logferry.credentials.authenticator import Authenticator
from logferry.credentials.azure import azure_access
from logferry.errors import CredentialsError, SourceError, Unavailable
from logferry_sandbox.azure_certificates import issue_ca, issue_client, server_tls, write_private
from logferry_sandbox.entra import Application, Entra, ManagedIdentity, TokenRegistry
from logferry_sandbox.faults import FaultPlan, with_faults
from logferry_sandbox.http_server import SandboxServer

pytestmark = pytest.mark.integration

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
CLIENT = "11111111-2222-3333-4444-555555555555"
MANAGED = "99999999-2222-3333-4444-555555555555"
SECRET = "client~s3cr3t"
FEDERATED = "first.federated.token"


@dataclass
class TokenEndpoint:
    """A running token endpoint of one tenant with one application."""

    entra: Entra
    tokens: TokenRegistry
    faults: FaultPlan
    base_url: str
    folder: Path

    @property
    def application(self) -> Application:
        return self.entra.applications[CLIENT]

    @property
    def token_requests(self) -> int:
        counts = self.faults.stats()["requests"].get(f"POST /{TENANT}/oauth2/v2.0/token", {})
        return sum(counts.values())

    def connection(self, password: str | None = None, **extra: Any) -> Connection:
        fields = {
            "tenantId": TENANT,
            "authority": self.base_url,
            "ca_bundle": str(self.folder / "ca.pem"),
            **extra,
        }
        return Connection("az", "azure_log_analytics", login=CLIENT, password=password, extra=fields)

    def by_secret(self, **extra: Any) -> Authenticator:
        return azure_access(self.connection(SECRET, **extra), {}).auth_for("query")


@pytest.fixture(scope="module")
def certificate() -> Any:
    return issue_client("logferry-test")


@pytest.fixture
def endpoint(tmp_path: Path, certificate: Any) -> Iterator[TokenEndpoint]:
    application = Application(CLIENT, SECRET, [certificate.certificate], {FEDERATED})
    tokens = TokenRegistry(time.time)
    entra = Entra(TENANT, {CLIENT: application}, tokens)
    faults = FaultPlan()
    tls = server_tls(issue_ca(), tmp_path)
    with SandboxServer(with_faults(entra.app, faults), tls=tls) as server:
        yield TokenEndpoint(entra, tokens, faults, server.base_url, tmp_path)


def token_of(auth: Authenticator) -> str:
    kind, token = auth.headers()["Authorization"].split(" ")
    assert kind == "Bearer"
    return token


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def test_a_secret_gives_a_token_for_each_audience(endpoint: TokenEndpoint) -> None:
    access = azure_access(endpoint.connection(SECRET), {})
    audiences = []
    for auth in (access.auth_for("query"), access.auth_for("arm")):
        token = token_of(auth)
        known = endpoint.tokens.find(token)
        assert known is not None
        audiences.append(known.audience)
        assert set(auth.secrets()) == {SECRET, token}
    assert audiences == ["https://api.loganalytics.io", "https://management.core.windows.net"]


def test_the_configured_ca_beats_the_environments(
    endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = endpoint.folder / "other-ca.pem"
    other.write_bytes(issue_ca().certificate_pem())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(other))
    assert token_of(endpoint.by_secret())


def test_an_unknown_ca_is_told_apart_from_an_outage(endpoint: TokenEndpoint) -> None:
    with pytest.raises(
        SourceError, match=r"is not trusted: name its authority's PEM file in ca_bundle"
    ) as raised:
        endpoint.by_secret(ca_bundle="").headers()
    assert not isinstance(raised.value, Unavailable)


def test_a_token_is_asked_for_once_and_served_from_memory(endpoint: TokenEndpoint) -> None:
    auth = endpoint.by_secret()
    assert len({token_of(auth) for _ in range(5)}) == 1
    assert endpoint.token_requests == 1


def test_threads_that_ask_at_once_share_one_token_request(endpoint: TokenEndpoint) -> None:
    auth = endpoint.by_secret()
    with ThreadPoolExecutor(8) as pool:
        tokens = {run.result() for run in [pool.submit(token_of, auth) for _ in range(8)]}
    assert len(tokens) == 1
    assert endpoint.token_requests == 1


def test_a_token_about_to_expire_is_not_used_again(endpoint: TokenEndpoint) -> None:
    endpoint.entra.token_lifetime_s = 299
    auth = endpoint.by_secret()
    assert token_of(auth) != token_of(auth)


def test_a_refused_token_is_replaced_though_it_looks_valid(endpoint: TokenEndpoint) -> None:
    auth = endpoint.by_secret()
    refused = token_of(auth)
    assert auth.refresh() is True
    renewed = token_of(auth)
    assert renewed != refused
    assert set(auth.secrets()) == {SECRET, refused, renewed}


@pytest.mark.parametrize("inline", [False, True])
def test_a_certificate_signs_in(endpoint: TokenEndpoint, certificate: Any, inline: bool) -> None:
    path = write_private(endpoint.folder / "client.pem", certificate)
    field = {"certificate_data": path.read_text()} if inline else {"certificate_path": str(path)}
    conn = endpoint.connection(**field)
    assert token_of(azure_access(conn, {}).auth_for("query"))


def test_a_renewed_certificate_comes_into_use_with_a_refresh(
    endpoint: TokenEndpoint, certificate: Any
) -> None:
    path = write_private(endpoint.folder / "client.pem", certificate)
    auth = azure_access(endpoint.connection(certificate_path=str(path)), {}).auth_for("query")
    token_of(auth)
    renewed = issue_client("renewed")
    write_private(path, renewed)
    endpoint.application.certificates[:] = [renewed.certificate]
    auth.refresh()
    assert token_of(auth)


def test_an_unregistered_certificate_is_explained(endpoint: TokenEndpoint) -> None:
    path = write_private(endpoint.folder / "client.pem", issue_client("stranger"))
    auth = azure_access(endpoint.connection(certificate_path=str(path)), {}).auth_for("query")
    with pytest.raises(CredentialsError, match="AADSTS700027: the certificate is not registered"):
        auth.headers()


def test_a_federated_token_is_read_again_for_each_token_request(endpoint: TokenEndpoint) -> None:
    file = endpoint.folder / "federated"
    file.write_text(f"{FEDERATED}\n")
    endpoint.entra.token_lifetime_s = 299
    auth = azure_access(endpoint.connection(federated_token_file=str(file)), {}).auth_for("query")
    token_of(auth)
    endpoint.application.federated_tokens.clear()
    endpoint.application.federated_tokens.add("second.federated.token")
    file.write_text("second.federated.token")
    assert token_of(auth)


def test_a_federated_token_file_that_is_gone_is_named(endpoint: TokenEndpoint) -> None:
    environ = {"AZURE_FEDERATED_TOKEN_FILE": str(endpoint.folder / "gone")}
    auth = azure_access(endpoint.connection(auth="workload_identity"), environ).auth_for("query")
    with pytest.raises(CredentialsError, match=r"federated token file '.*gone' cannot be read"):
        auth.headers()


@pytest.mark.parametrize("client_id", [None, MANAGED])
def test_a_managed_identity_needs_nothing_but_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client_id: str | None
) -> None:
    for name in list(os.environ):
        if name.startswith(("IDENTITY_", "MSI_", "IMDS_")):
            monkeypatch.delenv(name)
    tokens = TokenRegistry(time.time)
    with SandboxServer(ManagedIdentity(MANAGED, tokens).app) as machine:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.base_url)
        extra = {"auth": "managed_identity", "managed_identity_client_id": client_id}
        auth = azure_access(Connection("az", "azure_log_analytics", extra=extra), {}).auth_for("query")
        first = token_of(auth)
        assert token_of(auth) == first
        auth.refresh()
        assert token_of(auth) != first
    known = tokens.find(first)
    assert known is not None
    assert known.audience == "https://api.loganalytics.io"


def test_a_machine_without_an_identity_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = TokenRegistry(time.time)
    with SandboxServer(ManagedIdentity(MANAGED, tokens).app) as machine:
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.base_url)
        extra = {"managed_identity_client_id": "of-another-machine"}
        auth = azure_access(Connection("az", "azure_log_analytics", extra=extra), {}).auth_for("query")
        with pytest.raises(
            CredentialsError, match=r"managed identity endpoint refused a token.*Identity not found"
        ):
            auth.headers()
    stopped = azure_access(Connection("az", "azure_log_analytics", extra=extra), {}).auth_for("query")
    with pytest.raises(Unavailable, match="run on an Azure machine that has a managed identity"):
        stopped.headers()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "wrong~s3cr3t"}, "AADSTS7000215: the client secret is wrong"),
        ({"scope": "https://no.such.api"}, "AADSTS500011: the tenant does not know the audience"),
        ({"tenantId": "99999999-0000-0000-0000-000000000000"}, "has no such tenant: check tenantId"),
    ],
)
def test_what_entra_refuses_is_one_sentence_without_the_secret(
    endpoint: TokenEndpoint, change: dict[str, str], said: str
) -> None:
    fields = {"password": SECRET, **change}
    auth = azure_access(endpoint.connection(**fields), {}).auth_for("query")
    with pytest.raises(CredentialsError, match=said) as raised:
        auth.headers()
    assert str(raised.value).startswith("Connection 'az': ")
    assert "s3cr3t" not in shown(raised.value)


def test_an_application_of_another_tenant_is_explained(endpoint: TokenEndpoint) -> None:
    del endpoint.entra.applications[CLIENT]  # type: ignore[attr-defined]
    with pytest.raises(CredentialsError, match=r"AADSTS700016: .*check the client id \(login\) and tenantId"):
        endpoint.by_secret().headers()


@pytest.mark.parametrize(
    ("path", "fault", "params", "said"),
    [
        ("/token", "http_error", {"status": 503, "headers": {"Retry-After": "20"}}, "HTTP 503"),
        ("/token", "http_error", {"status": 429, "headers": {"Retry-After": "20"}}, "no token"),
        ("/token", "non_json", {}, "an answer that is not a token"),
        ("/token", "empty_200", {}, "an answer that is not a token"),
        ("/token", "cut_body", {}, "no connection"),
        ("/token", "cut_body", {"whole_length": False}, "an answer that is not a token"),
        ("/token", "reset", {}, "no connection"),
        ("openid-configuration", "http_error", {"status": 500}, "HTTP 500"),
        ("openid-configuration", "http_error", {"status": 429}, "HTTP 429"),
        ("openid-configuration", "non_json", {}, "an answer that is not a token"),
        ("openid-configuration", "reset", {}, "no connection"),
    ],
)
def test_an_outage_asks_to_come_back_and_logs_no_token(
    endpoint: TokenEndpoint,
    path: str,
    fault: str,
    params: dict[str, Any],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    endpoint.faults.replace([{"match": {"path_contains": path}, "fault": fault, "params": params}])
    auth = endpoint.by_secret()
    with pytest.raises(Unavailable, match=f"gives no token at present .*{said}") as raised:
        auth.headers()
    assert raised.value.wait_s == (21.0 if "headers" in params else 6.0)
    assert "s3cr3t" not in shown(raised.value)
    assert "sandbox." not in caplog.text, "half a token is a secret too"
    endpoint.faults.replace([])
    auth.refresh()
    assert token_of(auth)


def test_a_failure_msal_repeats_from_memory_is_still_passing(endpoint: TokenEndpoint) -> None:
    rule = {
        "match": {"path_contains": "/token"},
        "fault": "http_error",
        "params": {"status": 429, "headers": {"Retry-After": "60"}},
        "times": 1,
    }
    endpoint.faults.replace([rule])
    auth = endpoint.by_secret()
    for _ in range(3):
        with pytest.raises(Unavailable):
            auth.headers()
    assert endpoint.token_requests == 1
