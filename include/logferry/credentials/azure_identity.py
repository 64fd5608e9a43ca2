"""Who asks Entra for a token, and with what proof."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from logferry.connection import Connection
from logferry.credentials.authenticator import credential_key
from logferry.credentials.federated_token import federated_token
from logferry.errors import CredentialsError, DefinitionError

Auth = Literal["secret", "certificate", "workload_identity", "managed_identity"]
_TENANT = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")


@dataclass(frozen=True, slots=True)
class Identity:
    """A principal and its proof, as the connection names them; the files it names are read when used.

    ``tenant`` and ``client_id`` are None for a managed identity of the machine itself. ``proof`` is the
    client secret, the certificate's or the token file's path, or the certificate itself (``inline``).
    """

    conn_id: str
    auth: Auth
    tenant: str | None
    client_id: str | None
    proof: str | None = field(default=None, repr=False)
    inline: bool = False
    passphrase: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        """Azure counts requests per principal, whatever its proof."""
        return credential_key("azure", self.tenant or "", self.client_id or "")

    def secrets(self) -> tuple[str, ...]:
        is_secret = self.auth == "secret" or self.inline
        return tuple(text for text in (self.proof if is_secret else None, self.passphrase) if text)

    def client_credential(self) -> Any:
        """MSAL's ``client_credential``. Reads the certificate now, the token file at each token request."""
        proof = self.proof or ""
        if self.auth == "certificate":
            from logferry.credentials.certificate import client_certificate  # cryptography, for this alone

            return client_certificate(self.conn_id, proof, inline=self.inline, passphrase=self.passphrase)
        if self.auth == "workload_identity":
            return {"client_assertion": lambda: federated_token(self.conn_id, proof)}
        return proof


def azure_identity(conn: Connection, environ: Mapping[str, str]) -> Identity:
    """The identity of an Azure connection. Raises CredentialsError or DefinitionError naming the field."""
    auth = _auth(conn)
    own_client_id = conn.text("managed_identity_client_id")
    if auth == "managed_identity":
        # AZURE_CLIENT_ID is not looked at: it may belong to an application.
        return Identity(conn.conn_id, auth, tenant=None, client_id=own_client_id)
    tenant = conn.text("tenantId", "tenant_id", "workload_identity_tenant_id")
    client_id = (conn.login or "").strip() or None
    if auth == "workload_identity":
        tenant = tenant or environ.get("AZURE_TENANT_ID")
        client_id = client_id or own_client_id or environ.get("AZURE_CLIENT_ID")
    required = {"login (the client id)": client_id, "tenantId in extra": tenant}
    inline = False
    passphrase = None
    if auth == "secret":
        proof = (conn.password or "").strip() or None
        required["password (the client secret)"] = proof
    elif auth == "certificate":
        proof = conn.text("certificate_path")
        if proof is None:
            proof, inline = conn.text("certificate_data"), True
        passphrase = conn.text("certificate_password")
        required["certificate_path or certificate_data in extra"] = proof
    else:
        proof = conn.text("federated_token_file") or environ.get("AZURE_FEDERATED_TOKEN_FILE")
        required["federated_token_file in extra"] = proof
    missing = [name for name, value in required.items() if not value]
    if missing:
        raise CredentialsError(
            f"Connection {conn.conn_id!r} lacks {', '.join(missing)}: auth {auth!r} needs it."
        )
    if not _TENANT.fullmatch(tenant or ""):
        raise DefinitionError(
            f"Connection {conn.conn_id!r}: tenantId {tenant!r} is neither a GUID nor a domain name."
        )
    return Identity(conn.conn_id, auth, tenant, client_id, proof, inline, passphrase)


def _auth(conn: Connection) -> Auth:
    """The extra field ``auth``, else what the fields that are filled in amount to."""
    named = conn.text("auth")
    if named is not None:
        if named not in get_args(Auth):
            raise DefinitionError(
                f"Connection {conn.conn_id!r}: auth {named!r} is unknown: use one of "
                f"{', '.join(get_args(Auth))}."
            )
        return cast(Auth, named)
    if conn.password:
        return "secret"
    if conn.option("certificate_path", "certificate_data"):
        return "certificate"
    if conn.option("federated_token_file", "workload_identity_tenant_id"):
        return "workload_identity"
    if conn.option("managed_identity_client_id"):
        return "managed_identity"
    raise CredentialsError(
        f"Connection {conn.conn_id!r} names no credential: fill in password (the client secret), or set "
        f"auth in extra to one of {', '.join(get_args(Auth))}."
    )
