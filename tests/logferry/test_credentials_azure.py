"""Azure's clouds, endpoints, identities and Entra's refusals; nothing here asks for a token."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

from logferry.connection import Connection, connection_for
from logferry.credentials.azure import AzureAccess, azure_access
from logferry.credentials.azure_identity import Identity, azure_identity
from logferry.credentials.certificate import client_certificate
from logferry.credentials.entra_errors import refused_token, unanswered
from logferry.credentials.entra_session import EntraSession
from logferry.errors import CredentialsError, DefinitionError, SourceError, Unavailable

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
SECRET = "client~s3cr3t"


def azure(login: str | None = "app-id", password: str | None = SECRET, **extra: Any) -> Connection:
    return Connection(
        "az", "azure_log_analytics", login=login, password=password, extra={"tenantId": TENANT, **extra}
    )


def authority_of(access: AzureAccess) -> str:
    return access.tokens["query"]._authority


def scopes_of(access: AzureAccess) -> tuple[str, str]:
    return access.tokens["query"]._scope, access.tokens["arm"]._scope


@pytest.mark.parametrize(
    ("cloud", "query", "arm", "authority", "scopes"),
    [
        (
            None,
            "https://api.loganalytics.azure.com",
            "https://management.azure.com",
            "https://login.microsoftonline.com",
            ("https://api.loganalytics.io/.default", "https://management.core.windows.net/.default"),
        ),
        (
            "AzureUSGovernment",
            "https://api.loganalytics.us",
            "https://management.usgovcloudapi.net",
            "https://login.microsoftonline.us",
            ("https://api.loganalytics.us/.default", "https://management.core.usgovcloudapi.net/.default"),
        ),
        (
            "AzureChinaCloud",
            "https://api.loganalytics.azure.cn",
            "https://management.chinacloudapi.cn",
            "https://login.chinacloudapi.cn",
            (
                "https://api.loganalytics.azure.cn/.default",
                "https://management.core.chinacloudapi.cn/.default",
            ),
        ),
    ],
)
def test_each_cloud_has_its_own_hosts_and_audiences(
    cloud: str | None, query: str, arm: str, authority: str, scopes: tuple[str, str]
) -> None:
    access = azure_access(azure(cloud_environment=cloud), {})
    assert (access.query_endpoint, access.arm_endpoint) == (query, arm)
    assert authority_of(access) == f"{authority}/{TENANT}"
    assert scopes_of(access) == scopes


def test_the_authority_host_of_the_environment_tells_the_cloud() -> None:
    environ = {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "app-id",
        "AZURE_CLIENT_SECRET": SECRET,
        "AZURE_AUTHORITY_HOST": "login.partner.microsoftonline.cn",
    }
    access = azure_access(connection_for("az", "azure_monitor", environ), environ)
    assert access.query_endpoint == "https://api.loganalytics.azure.cn"
    assert authority_of(access) == f"https://login.partner.microsoftonline.cn/{TENANT}"


def test_every_address_and_the_audience_can_be_overridden() -> None:
    access = azure_access(
        azure(
            query_endpoint="http://127.0.0.1:1/v1/",
            arm_endpoint="http://127.0.0.1:2/",
            authority="https://127.0.0.1:3",
            scope="https://own.example",
        ),
        {},
    )
    assert (access.query_endpoint, access.arm_endpoint) == ("http://127.0.0.1:1", "http://127.0.0.1:2")
    assert authority_of(access) == f"https://127.0.0.1:3/{TENANT}"
    assert scopes_of(access) == (
        "https://own.example/.default",
        "https://management.core.windows.net/.default",
    )


def test_an_authority_with_a_path_is_taken_as_it_is() -> None:
    access = azure_access(azure(authority="https://127.0.0.1:3/other-tenant/"), {})
    assert authority_of(access) == "https://127.0.0.1:3/other-tenant"


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (
            {"cloud_environment": "AzureGermanCloud"},
            "cloud_environment 'AzureGermanCloud' is unknown: use one of",
        ),
        ({"authority": "http://127.0.0.1:3"}, "authority must start with https://"),
        ({"authority": "https://"}, "authority must be a URL"),
        ({"query_endpoint": "http://api.example"}, "query_endpoint is .* unencrypted"),
        ({"arm_endpoint": "management"}, "arm_endpoint must be a URL"),
        ({"auth": "password"}, "auth 'password' is unknown: use one of secret, certificate"),
        ({"tenantId": "a/b"}, "tenantId 'a/b' is neither a GUID nor a domain name"),
        ({"ca_bundle": "/no/such/file"}, "ca_bundle '/no/such/file' cannot be read"),
    ],
)
def test_fields_that_cannot_work_are_refused(extra: dict[str, str], reason: str) -> None:
    with pytest.raises(DefinitionError, match=rf"Connection 'az': {reason}") as raised:
        azure_access(azure(**extra), {})
    assert SECRET not in str(raised.value)


def test_another_type_is_refused() -> None:
    with pytest.raises(DefinitionError, match="it must be of type azure_log_analytics or azure"):
        azure_access(Connection("az", "wasb"), {})


@pytest.mark.parametrize(
    ("conn", "auth"),
    [
        (azure(), "secret"),
        (azure(certificate_path="/c.pem"), "secret"),
        (azure(password=None, certificate_path="/c.pem"), "certificate"),
        (azure(password=None, certificate_data="x"), "certificate"),
        (azure(auth="certificate", certificate_path="/c.pem"), "certificate"),
        (azure(password=None, federated_token_file="/t"), "workload_identity"),
        (azure(login=None, password=None, managed_identity_client_id="m"), "managed_identity"),
        (azure(login=None, password=None, auth="managed_identity"), "managed_identity"),
    ],
)
def test_the_way_to_sign_in_is_named_or_follows_from_the_fields(conn: Connection, auth: str) -> None:
    assert azure_identity(conn, {}).auth == auth


def test_the_stock_connection_keeps_its_own_field_names() -> None:
    extra = {"extra__azure__tenantId": TENANT, "cloud_environment": "AzureUSGovernment"}
    access = azure_access(Connection("az", "azure", login="app-id", password=SECRET, extra=extra), {})
    assert authority_of(access) == f"https://login.microsoftonline.us/{TENANT}"
    workload = Connection(
        "az", "azure", extra={"workload_identity_tenant_id": TENANT, "managed_identity_client_id": "m"}
    )
    identity = azure_identity(workload, {"AZURE_FEDERATED_TOKEN_FILE": "/t"})
    assert (identity.auth, identity.tenant, identity.client_id) == ("workload_identity", TENANT, "m")


@pytest.mark.parametrize("name", ["tenantId", "tenant_id"])
def test_the_tenant_has_two_spellings(name: str) -> None:
    conn = Connection("az", "azure", login="i", password=SECRET, extra={name: TENANT})
    assert azure_identity(conn, {}).tenant == TENANT


def test_a_workload_identity_takes_what_the_platform_injects() -> None:
    environ = {
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "injected",
        "AZURE_FEDERATED_TOKEN_FILE": "/var/run/token",
    }
    conn = Connection("az", "azure_log_analytics", extra={"auth": "workload_identity"})
    identity = azure_identity(conn, environ)
    assert (identity.tenant, identity.client_id, identity.proof) == (TENANT, "injected", "/var/run/token")
    assert identity.secrets() == (), "a path is no secret"


@pytest.mark.parametrize(
    ("conn", "missing"),
    [
        (azure(login=None), r"lacks login \(the client id\): auth 'secret' needs it"),
        (azure(tenantId=""), "lacks tenantId in extra"),
        (azure(password=None, auth="secret"), r"lacks password \(the client secret\)"),
        (azure(password=None, auth="certificate"), "lacks certificate_path or certificate_data in extra"),
        (azure(password=None, auth="workload_identity"), "lacks federated_token_file in extra"),
        (azure(password=None), r"names no credential: fill in password \(the client secret\), or set auth"),
    ],
)
def test_missing_fields_are_named(conn: Connection, missing: str) -> None:
    with pytest.raises(CredentialsError, match=f"Connection 'az' {missing}"):
        azure_identity(conn, {})


def test_the_budget_belongs_to_the_principal() -> None:
    one = azure_access(azure(), {})
    assert one.auth_for("query") is one.auth_for("query")
    assert one.auth_for("query").key == one.auth_for("arm").key
    assert one.auth_for("query").key == azure_access(azure(password="renewed"), {}).auth_for("query").key
    assert one.auth_for("query").key != azure_access(azure(login="other"), {}).auth_for("query").key


def test_secrets_are_known_before_any_token_and_no_repr_tells_them() -> None:
    access = azure_access(azure(), {})
    assert access.auth_for("query").secrets() == (SECRET,)
    assert SECRET not in repr(access)
    assert SECRET not in repr(azure_identity(azure(), {}))


Pair = tuple[rsa.RSAPrivateKey, x509.Certificate]


def pair(name: str = "app") -> Pair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key, certificate_of(key, name)


def certificate_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, name: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, start, start + timedelta(days=90)
    )
    return builder.sign(key, hashes.SHA256())


@pytest.fixture(scope="module")
def own() -> Pair:
    return pair()


@pytest.fixture(scope="module")
def issuer() -> Pair:
    return pair("issuer")


def pem_key(key: Any, encryption: KeySerializationEncryption | None = None) -> bytes:
    encoded: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return encoded


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def test_a_certificate_is_read_from_pem_whatever_the_order(own: Pair, issuer: Pair, tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_bytes(pem(issuer[1]) + pem(own[1]) + pem_key(own[0]))
    credential = client_certificate("az", str(path), inline=False, passphrase=None)
    assert credential["private_key"].encode() == pem_key(own[0])
    assert credential["public_certificate"].encode() == pem(own[1]) + pem(issuer[1])


def test_a_certificate_with_a_passphrase_is_read_from_pem_and_pfx(own: Pair, tmp_path: Path) -> None:
    encryption = BestAvailableEncryption(b"open sesame")
    (tmp_path / "app.pem").write_bytes(pem_key(own[0], encryption) + pem(own[1]))
    pfx = pkcs12.serialize_key_and_certificates(b"app", own[0], own[1], None, encryption)
    (tmp_path / "app.pfx").write_bytes(pfx)
    expected = {"private_key": pem_key(own[0]).decode(), "public_certificate": pem(own[1]).decode()}
    for name in ("app.pem", "app.pfx"):
        path = str(tmp_path / name)
        assert client_certificate("az", path, inline=False, passphrase="open sesame") == expected
        with pytest.raises(CredentialsError, match="certificate_password"):
            client_certificate("az", path, inline=False, passphrase="wrong")
        with pytest.raises(CredentialsError, match="certificate_password"):
            client_certificate("az", path, inline=False, passphrase=None)
    inline = base64.encodebytes(pfx).decode()
    assert client_certificate("az", inline, inline=True, passphrase="open sesame") == expected


def test_certificate_data_may_have_lost_its_line_breaks_to_a_form(own: Pair) -> None:
    text = (pem_key(own[0]) + pem(own[1])).decode()
    for data in (text, text.replace("\n", "\\n")):
        credential = client_certificate("az", data, inline=True, passphrase=None)
        assert credential["private_key"].encode() == pem_key(own[0])


def test_what_is_no_certificate_with_its_key_is_refused_unseen(
    own: Pair, issuer: Pair, tmp_path: Path
) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    for content in (
        b"s3cr3t nonsense",
        pem(own[1]),
        pem_key(own[0]),
        pem_key(own[0]) + pem(issuer[1]),
        pem_key(elliptic) + pem(certificate_of(elliptic, "elliptic")),
        b"-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----",
    ):
        path = tmp_path / "c"
        path.write_bytes(content)
        with pytest.raises(
            CredentialsError, match="must hold a certificate and its RSA private key"
        ) as raised:
            client_certificate("az", str(path), inline=False, passphrase=None)
        assert "s3cr3t" not in str(raised.value)
        assert raised.value.__context__ is None
    with pytest.raises(CredentialsError, match="certificate_data must hold"):
        client_certificate("az", "s3cr3t", inline=True, passphrase=None)
    with pytest.raises(
        CredentialsError, match=r"certificate_path '.*gone' cannot be read .*: correct the path"
    ):
        client_certificate("az", str(tmp_path / "gone"), inline=False, passphrase=None)


IDENTITY = Identity("az", "secret", TENANT, "app-id", SECRET)


def refusal(description: str, *, error: str = "invalid_client", status: int = 401) -> Exception:
    session = EntraSession(None)
    session.last_status = status
    reply = {"error": error, "error_description": description, "correlation_id": "c"}
    return refused_token(IDENTITY, "https://login.example/t", "https://api/.default", session, reply)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (7000215, "enter the secret's value, not its id"),
        (7000222, "the client secret has expired"),
        (700016, "check the client id (login) and tenantId"),
        (90002, "check tenantId and cloud_environment"),
        (500011, "check cloud_environment, or set scope"),
        (700027, "the certificate is not registered"),
        (700213, "the token's subject"),
    ],
)
def test_entras_refusal_comes_with_its_code_and_the_remedy(number: int, remedy: str) -> None:
    error = refusal(f"AADSTS{number}: Something long about {SECRET}. Trace ID: x")
    assert isinstance(error, CredentialsError)
    assert f"'az': https://login.example/t refused a token, AADSTS{number}: " in str(error)
    assert remedy in str(error)
    assert SECRET not in str(error)


def test_an_unknown_refusal_is_quoted_in_part_and_without_the_secret() -> None:
    error = refusal(f"AADSTS99999: No {SECRET} {'x' * 500}\r\nTrace ID: y")
    assert isinstance(error, CredentialsError)
    assert "AADSTS99999: No *** xxx" in str(error)
    assert SECRET not in str(error)
    assert len(str(error)) < 400
    assert "no reason given" in str(refusal("", error="access_denied", status=403))


@pytest.mark.parametrize(
    ("description", "error", "status"),
    [
        ("AADSTS90033: A transient error has occurred.", "invalid_request", 400),
        ("", "temporarily_unavailable", 400),
        ("AADSTS7000215: wrong", "invalid_client", 429),
    ],
)
def test_a_passing_refusal_asks_to_wait_longer_than_msal_repeats_it(
    description: str, error: str, status: int
) -> None:
    raised = refusal(description, error=error, status=status)
    assert isinstance(raised, Unavailable)
    assert raised.wait_s is not None
    assert raised.wait_s > 5


def test_a_named_wait_is_kept() -> None:
    session = EntraSession(None)
    session.last_status, session.last_retry_after = 429, 40.0
    error = unanswered(IDENTITY, "https://login.example/t", session, ValueError())
    assert isinstance(error, Unavailable)
    assert error.wait_s == 41.0
    assert "HTTP 429" in str(error)


@pytest.mark.parametrize(
    ("cause", "kind", "said"),
    [
        (requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"), SourceError, "not trusted: .*ca_bundle"),
        (requests.exceptions.SSLError("EOF"), Unavailable, "no connection"),
        (requests.ConnectTimeout(), Unavailable, "no answer in time"),
        (requests.ConnectionError(), Unavailable, "no connection"),
    ],
)
def test_a_missing_answer_says_why(cause: Exception, kind: type[Exception], said: str) -> None:
    error = unanswered(IDENTITY, "https://login.example/t", EntraSession(None), cause)
    assert type(error) is kind
    assert re.search(said, str(error))


def test_a_machine_without_an_identity_is_told_what_to_do() -> None:
    identity = Identity("az", "managed_identity", None, None)
    error = unanswered(
        identity, "the managed identity endpoint", EntraSession(None), requests.ConnectTimeout()
    )
    assert "run on an Azure machine that has a managed identity, or set another auth" in str(error)
