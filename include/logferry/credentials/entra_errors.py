"""What Entra's refusals mean, and what to do about each.

Codes: https://learn.microsoft.com/entra/identity-platform/reference-error-codes. A message never quotes the
description as a whole: it is long, and it is not ours to know what it repeats.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import requests

from logferry.credentials.azure_identity import Identity
from logferry.credentials.entra_session import EndlessAnswer, EntraSession
from logferry.errors import CredentialsError, SourceError, Unavailable

_CODE = re.compile(r"AADSTS(\d+)")
_REPLAY_S = 6.0
"""MSAL repeats a failed answer for 5 s (or the server's Retry-After) instead of asking: earlier is in
vain."""
_SHOWN = 200

_REMEDIES = {
    "7000215": "the client secret is wrong: enter the secret's value, not its id",
    "7000222": "the client secret has expired: create a new one and enter its value",
    "700016": "the application is not in this tenant: check the client id (login) and tenantId",
    "7000112": "the application is disabled: enable it in Entra",
    "700027": "the certificate is not registered with the application: upload its public part, or renew it",
    "700024": "the assertion has expired or is not valid yet: check this machine's clock and the token file",
    "70021": "no federated credential of the application matches: check its issuer, subject and audience",
    "700211": "no federated credential of the application matches the token's issuer: correct it",
    "700212": "no federated credential of the application matches the token's audience: correct it",
    "700213": "no federated credential of the application matches the token's subject: correct it",
    "90002": "the tenant does not exist in this cloud: check tenantId and cloud_environment",
    "900023": "the tenant is neither a GUID nor a domain of this cloud: check tenantId",
    "500011": "the tenant does not know the audience: check cloud_environment, or set scope",
    "70011": "the scope is not valid: correct scope",
    "1002012": "the scope is not valid for an application: set scope to <audience>/.default",
    "53003": "a Conditional Access policy blocks the application: ask the tenant's administrator",
    "530035": "a security default blocks the application: ask the tenant's administrator",
}
_PASSING_CODES = {"90033", "90024", "50196", "90036", "1002016"}
_PASSING_ERRORS = {"temporarily_unavailable", "server_error", "slow_down"}


def refused_token(
    identity: Identity, where: str, scope: str, session: EntraSession, reply: Mapping[str, Any]
) -> CredentialsError | Unavailable:
    """The error for an OAuth error reply, which MSAL returns instead of raising."""
    error, description = str(reply.get("error") or "no token"), str(reply.get("error_description") or "")
    found = _CODE.search(description)
    code = found[1] if found else None
    busy = session.last_status == 429 or (session.last_status or 0) >= 500
    if busy or code in _PASSING_CODES or error in _PASSING_ERRORS:
        return _passing(identity, where, session, f"AADSTS{code}" if code else error)
    name = f"AADSTS{code}" if code else error
    remedy = _REMEDIES.get(code or "")
    if remedy is None:
        text = _redacted(description.splitlines()[0] if description else "no reason given", identity)
        remedy = f"{text} (asked for {scope})"
    return CredentialsError(f"Connection {identity.conn_id!r}: {where} refused a token, {name}: {remedy}.")


def refused_authority(identity: Identity, authority: str) -> CredentialsError:
    """The error for an authority that answers, but knows no such tenant."""
    return CredentialsError(
        f"Connection {identity.conn_id!r}: {authority} is no authority or has no such tenant: "
        "check tenantId, cloud_environment and authority."
    )


def refused_machine(identity: Identity, error: Exception) -> CredentialsError:
    """The error for a machine whose kind of managed identity MSAL cannot use."""
    return CredentialsError(
        f"Connection {identity.conn_id!r}: the managed identity of this machine cannot be used: "
        f"{str(error)[:_SHOWN].rstrip('. ')}; set another auth in the connection."
    )


def unanswered(identity: Identity, where: str, session: EntraSession, error: Exception) -> SourceError:
    """The error for an answer that did not come, or is no OAuth answer."""
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return SourceError(
            f"Connection {identity.conn_id!r}: the certificate of {where} is not trusted: "
            "name its authority's PEM file in ca_bundle."
        )
    if isinstance(error, EndlessAnswer):
        reason = str(error)
    elif isinstance(error, requests.Timeout):
        reason = "no answer in time"
    elif isinstance(error, requests.RequestException) and session.last_status is None:
        reason = "no connection"
    elif session.last_status is not None and session.last_status != 200:
        reason = f"HTTP {session.last_status}"
    else:
        reason = "an answer that is not a token"
    return _passing(identity, where, session, reason)


def _passing(identity: Identity, where: str, session: EntraSession, reason: str) -> Unavailable:
    hint = "it is asked again; should it last, check the authority and the network of this machine"
    if identity.auth == "managed_identity":
        hint = "run on an Azure machine that has a managed identity, or set another auth in the connection"
    return Unavailable(
        f"Connection {identity.conn_id!r}: {where} gives no token at present ({reason}): {hint}.",
        wait_s=max(_REPLAY_S, (session.last_retry_after or 0) + 1),
    )


def _redacted(text: str, identity: Identity) -> str:
    for secret in identity.secrets():
        text = text.replace(secret, "***")
    return text[:_SHOWN].rstrip(" .")
