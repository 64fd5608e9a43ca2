"""The token endpoint as Microsoft's own library, MSAL, meets it over TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msal
import pytest
import requests

from logferry_sandbox.azure_certificates import issue_client
from logferry_sandbox.azure_sandbox import CLIENT_ID, MANAGED_ID, AzureSandbox

pytestmark = pytest.mark.integration

ARM_SCOPE = "https://management.core.windows.net//.default"
OTHER_ID = "00000000-0000-4000-8000-000000000009"


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AzureSandbox]:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "IDENTITY_ENDPOINT", "MSI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with AzureSandbox(state_dir=tmp_path / "azure") as running:
        yield running


def sign_in(
    sandbox: AzureSandbox, credential: Any, scope: str | None = None, **options: str
) -> dict[str, Any]:
    """The answer of MSAL with a new application each time, since it replays failures for a while."""
    described = sandbox.describe()
    application = msal.ConfidentialClientApplication(
        options.get("client_id", described["client_id"]),
        client_credential=credential,
        authority=options.get("authority", described["authority"]),
        instance_discovery=False,
        verify=described["ca_bundle"],
    )
    answer: dict[str, Any] = application.acquire_token_for_client([scope or described["scope"]])
    return answer


def secret(sandbox: AzureSandbox) -> str:
    return str(sandbox.describe()["client_secret"])


def test_a_secret_gets_a_token_for_the_scope_asked(sandbox: AzureSandbox) -> None:
    for scope, audience in (
        (None, "https://api.loganalytics.io"),
        (ARM_SCOPE, "https://management.core.windows.net"),
        ("https://api.loganalytics.us/.default", "https://api.loganalytics.us"),
        ("https://management.core.usgovcloudapi.net/.default", "https://management.core.usgovcloudapi.net"),
        ("https://management.core.chinacloudapi.cn/.default", "https://management.core.chinacloudapi.cn"),
    ):
        answer = sign_in(sandbox, secret(sandbox), scope)
        token = sandbox.tokens.find(answer["access_token"])
        assert token is not None
        assert (token.audience, token.client_id) == (audience, CLIENT_ID)
        assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599)


def test_a_certificate_signs_in_and_an_unknown_one_does_not(sandbox: AzureSandbox) -> None:
    pem = Path(sandbox.describe()["certificate_path"]).read_text()
    key, mark, certificate = pem.partition("-----BEGIN CERTIFICATE")
    known = {"private_key": key, "public_certificate": mark + certificate}
    assert "access_token" in sign_in(sandbox, known)
    stranger = issue_client("stranger")
    unknown = {
        "private_key": stranger.key_pem().decode(),
        "public_certificate": stranger.certificate_pem().decode(),
    }
    refused = sign_in(sandbox, unknown)
    assert refused["error"] == "invalid_client"
    assert "AADSTS700027" in refused["error_description"]


def test_a_federated_token_is_read_again_for_each_request(sandbox: AzureSandbox) -> None:
    path = Path(sandbox.describe()["federated_token_file"])
    assert "access_token" in sign_in(sandbox, {"client_assertion": path.read_text})
    path.write_text("another")
    assert sign_in(sandbox, {"client_assertion": path.read_text})["error"] == "invalid_client"
    sandbox.applications[CLIENT_ID].federated_tokens.add("another")
    assert "access_token" in sign_in(sandbox, {"client_assertion": path.read_text})


def test_refusals_come_with_entras_numbers(sandbox: AzureSandbox) -> None:
    wrong = sign_in(sandbox, "wrong")
    assert (wrong["error"], wrong["error_codes"]) == ("invalid_client", [7000215])
    assert wrong["error_description"].startswith("AADSTS7000215: Invalid client secret provided.")
    assert wrong["correlation_id"]
    unknown = sign_in(sandbox, secret(sandbox), client_id=OTHER_ID)
    assert (unknown["error"], unknown["error_codes"]) == ("unauthorized_client", [700016])
    resource = sign_in(sandbox, secret(sandbox), "https://api.example.com/.default")
    assert (resource["error"], resource["error_codes"]) == ("invalid_resource", [500011])
    scope = sign_in(sandbox, secret(sandbox), "https://api.loganalytics.io/Data.Read")
    assert (scope["error"], scope["error_codes"]) == ("invalid_scope", [1002012])


def test_an_unknown_tenant_fails_at_discovery(sandbox: AzureSandbox) -> None:
    described = sandbox.describe()
    elsewhere = described["authority"].replace(described["tenant_id"], OTHER_ID)
    with pytest.raises(ValueError, match=r"AADSTS90002|unable|Unable"):
        sign_in(sandbox, secret(sandbox), authority=elsewhere)
    answer = requests.get(
        f"{elsewhere}/v2.0/.well-known/openid-configuration", verify=described["ca_bundle"], timeout=30
    )
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])


def test_the_authority_is_accepted_as_an_oidc_issuer_too(sandbox: AzureSandbox) -> None:
    described = sandbox.describe()
    application = msal.ConfidentialClientApplication(
        described["client_id"],
        client_credential=described["client_secret"],
        oidc_authority=f"{described['authority']}/v2.0",
        verify=described["ca_bundle"],
    )
    assert "access_token" in application.acquire_token_for_client([described["scope"]])


def test_a_token_of_299_seconds_is_fetched_again_every_time(sandbox: AzureSandbox) -> None:
    described = sandbox.describe()
    sandbox.entra.token_lifetime_s = 299
    application = msal.ConfidentialClientApplication(
        described["client_id"],
        client_credential=described["client_secret"],
        authority=described["authority"],
        instance_discovery=False,
        verify=described["ca_bundle"],
    )
    answers = [application.acquire_token_for_client([described["scope"]]) for _ in range(2)]
    assert [answer["token_source"] for answer in answers] == ["identity_provider", "identity_provider"]
    assert answers[0]["access_token"] != answers[1]["access_token"]


def test_a_broken_token_endpoint_raises_in_msal(sandbox: AzureSandbox) -> None:
    sandbox.entra_plan.replace(
        [{"fault": "http_error", "match": {"path_contains": "/token"}, "params": {"status": 503}, "times": 9}]
    )
    with pytest.raises(msal.exceptions.MsalServiceError):
        sign_in(sandbox, secret(sandbox))
    sandbox.entra_plan.replace([])
    assert "access_token" in sign_in(sandbox, secret(sandbox))


def test_a_client_that_does_not_know_the_ca_refuses_the_server(sandbox: AzureSandbox) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(sandbox.describe()["authority"], timeout=30)


def test_a_managed_identity_gets_a_token(sandbox: AzureSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", sandbox.describe()["imds_endpoint"])
    for identity in (
        msal.SystemAssignedManagedIdentity(),
        msal.UserAssignedManagedIdentity(client_id=MANAGED_ID),
    ):
        client = msal.ManagedIdentityClient(identity, http_client=requests.Session())
        answer = client.acquire_token_for_client(resource="https://api.loganalytics.io")
        token = sandbox.tokens.find(answer["access_token"])
        assert token is not None
        assert (token.audience, token.client_id) == ("https://api.loganalytics.io", MANAGED_ID)
    stranger = msal.ManagedIdentityClient(
        msal.UserAssignedManagedIdentity(client_id=OTHER_ID), http_client=requests.Session()
    )
    assert (
        stranger.acquire_token_for_client(resource="https://api.loganalytics.io")["error"]
        == "invalid_request"
    )


def test_the_identity_endpoint_wants_its_header(sandbox: AzureSandbox) -> None:
    url = f"{sandbox.describe()['imds_endpoint']}/metadata/identity/oauth2/token"
    query = {"api-version": "2018-02-01", "resource": "https://api.loganalytics.io"}
    assert requests.get(url, params=query, timeout=30).status_code == 400
    assert requests.get(url, params=query, headers={"Metadata": "true"}, timeout=30).status_code == 200


def test_private_files_are_readable_by_their_owner_only(sandbox: AzureSandbox) -> None:
    for name in ("client.pem", "entra-server.pem"):
        assert (sandbox.state_dir / name).stat().st_mode & 0o077 == 0
