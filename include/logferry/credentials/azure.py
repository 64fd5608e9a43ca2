"""Azure: which cloud, which endpoints, and one token source per audience.

Endpoints and audiences of the national clouds:
https://learn.microsoft.com/azure/azure-monitor/logs/api/access-api and the cloud configurations of the Azure
SDKs. The public query host and its audience differ by design: tokens are still issued for
api.loganalytics.io.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from logferry.connection import Connection
from logferry.credentials.authenticator import Authenticator
from logferry.credentials.azure_identity import Identity, azure_identity
from logferry.credentials.endpoint import base_url, ca_bundle, wrong_type
from logferry.credentials.entra import EntraTokens
from logferry.errors import DefinitionError

ScopeKind = Literal["query", "arm"]


@dataclass(frozen=True, slots=True)
class _Cloud:
    query_endpoint: str
    query_scope: str
    arm_endpoint: str
    arm_scope: str
    authority_hosts: tuple[str, ...]


_CLOUDS = {
    "AzurePublicCloud": _Cloud(
        query_endpoint="https://api.loganalytics.azure.com",
        query_scope="https://api.loganalytics.io/.default",
        arm_endpoint="https://management.azure.com",
        arm_scope="https://management.core.windows.net/.default",
        authority_hosts=("login.microsoftonline.com",),
    ),
    "AzureUSGovernment": _Cloud(
        query_endpoint="https://api.loganalytics.us",
        query_scope="https://api.loganalytics.us/.default",
        arm_endpoint="https://management.usgovcloudapi.net",
        arm_scope="https://management.core.usgovcloudapi.net/.default",
        authority_hosts=("login.microsoftonline.us",),
    ),
    "AzureChinaCloud": _Cloud(
        query_endpoint="https://api.loganalytics.azure.cn",
        query_scope="https://api.loganalytics.azure.cn/.default",
        arm_endpoint="https://management.chinacloudapi.cn",
        arm_scope="https://management.core.chinacloudapi.cn/.default",
        authority_hosts=("login.chinacloudapi.cn", "login.partner.microsoftonline.cn"),
    ),
}


@dataclass(frozen=True, slots=True)
class AzureAccess:
    """Endpoints without trailing slash or version; ``ca_bundle`` None means the usual trust store."""

    query_endpoint: str
    arm_endpoint: str
    ca_bundle: str | None
    tokens: Mapping[ScopeKind, EntraTokens]

    def auth_for(self, scope_kind: ScopeKind) -> Authenticator:
        """The authenticator of the query API or of the management API (ARM); the same one at each call."""
        return self.tokens[scope_kind]


def azure_access(conn: Connection, environ: Mapping[str, str] = os.environ) -> AzureAccess:
    """Access as an ``azure_log_analytics`` or stock ``azure`` connection describes it.

    ``environ`` fills in what a workload identity's webhook injects (AZURE_FEDERATED_TOKEN_FILE,
    AZURE_CLIENT_ID, AZURE_TENANT_ID). Raises CredentialsError naming the missing field, DefinitionError for a
    wrong one.
    """
    if conn.conn_type not in ("azure_log_analytics", "azure"):
        raise wrong_type(conn, "azure_log_analytics or azure")
    override = conn.text("authority")
    authority = _authority(conn, override) if override else None
    cloud = _cloud(conn, authority)
    identity = azure_identity(conn, environ)
    if authority is None:
        authority = f"https://{cloud.authority_hosts[0]}"
    bundle = ca_bundle(conn)
    scopes: dict[ScopeKind, str] = {
        "query": _scope(conn.text("scope") or cloud.query_scope),
        "arm": cloud.arm_scope,
    }
    query_endpoint = base_url(conn, "query_endpoint", conn.text("query_endpoint") or cloud.query_endpoint)
    return AzureAccess(
        query_endpoint=query_endpoint.removesuffix("/v1"),
        arm_endpoint=base_url(conn, "arm_endpoint", conn.text("arm_endpoint") or cloud.arm_endpoint),
        ca_bundle=bundle,
        tokens={kind: _tokens(identity, authority, scope, bundle) for kind, scope in scopes.items()},
    )


def _tokens(identity: Identity, authority: str, scope: str, bundle: str | None) -> EntraTokens:
    if identity.tenant and not urlsplit(authority).path.strip("/"):
        authority = f"{authority}/{identity.tenant}"
    return EntraTokens(identity, authority=authority, scope=scope, ca_bundle=bundle)


def _authority(conn: Connection, written: str) -> str:
    """https with a host; MSAL refuses anything else, and a token request carries the secret."""
    url = written if "://" in written else f"https://{written}"
    if not url.lower().startswith("https://"):
        raise DefinitionError(f"Connection {conn.conn_id!r}: authority must start with https://.")
    return base_url(conn, "authority", url)


def _cloud(conn: Connection, authority: str | None) -> _Cloud:
    name = conn.text("cloud_environment")
    if name is None:
        host = urlsplit(authority or "").hostname
        matching = [cloud for cloud in _CLOUDS.values() if host in cloud.authority_hosts]
        return matching[0] if matching else _CLOUDS["AzurePublicCloud"]
    if name not in _CLOUDS:
        raise DefinitionError(
            f"Connection {conn.conn_id!r}: cloud_environment {name!r} is unknown: use one of "
            f"{', '.join(_CLOUDS)}."
        )
    return _CLOUDS[name]


def _scope(written: str) -> str:
    """Applications are granted an audience as a whole, which Entra spells ``<audience>/.default``."""
    return written if written.endswith("/.default") else f"{written.rstrip('/')}/.default"
