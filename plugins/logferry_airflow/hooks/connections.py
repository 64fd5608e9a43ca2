"""Airflow's connections for the engine: looked up, masked, translated."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret

from logferry.connection import Connection, connection_for
from logferry.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Connection as AirflowConnection

    from logferry.credentials.authenticator import Authenticator

SECRET_OPTIONS = (
    "api_key",
    "app_key",
    "bearer_token",
    "certificate_data",
    "certificate_password",
    "client_secret",
    "aws_secret_access_key",
    "aws_session_token",
)
"""The extra fields that hold a credential, of every connection type the engine reads."""


def connect(conn_id: str, kind: str) -> Connection:
    """The connection ``conn_id`` for a source kind, ``aws`` or ``budget``, its credentials masked in the logs.

    Where Airflow has no connection of that id, the variables of the source's own tools take its place. Raises
    CredentialsError when there is neither, DefinitionError for an unreadable one.
    """
    try:
        found = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        connection = connection_for(conn_id, kind)
    else:
        connection = from_airflow(conn_id, found)
    mask_connection(connection)
    return connection


def from_airflow(conn_id: str, found: AirflowConnection) -> Connection:
    """The same fields as the engine's value. Raises DefinitionError when ``extra`` is not a JSON object."""
    try:
        extra = json.loads(found.extra) if found.extra else {}
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        # From None, and without the text: a broken extra may be all secret.
        raise DefinitionError(f"Connection {conn_id!r}: extra must be a JSON object.") from None
    return Connection(
        conn_id=conn_id,
        conn_type=found.conn_type or "",
        host=found.host or None,
        schema=found.schema or None,
        login=found.login or None,
        password=found.password or None,
        port=found.port,
        extra=extra,
    )


def mask_connection(connection: Connection) -> None:
    """Replace every credential of this connection by ``***`` wherever a task or the supervisor logs.

    The password also as it stands in a URL: drivers of databases quote theirs in errors.
    """
    mask(connection.password, *(connection.option(name) for name in SECRET_OPTIONS))
    if connection.password is not None:
        mask(quote(connection.password, safe=""))


class MaskingAuthenticator:
    """An authenticator whose tokens are masked before they are used, also one renewed in the middle of a task."""

    def __init__(self, inner: Authenticator) -> None:
        self.key = inner.key
        self._inner = inner
        self._masked: Mapping[str, str] = {}

    def headers(self) -> Mapping[str, str]:
        """The inner one's headers; new ones only after every secret is masked."""
        headers = self._inner.headers()
        if headers != self._masked:
            mask(*self._inner.secrets())
            self._masked = dict(headers)
        return headers

    def refresh(self) -> bool:
        return self._inner.refresh()

    def secrets(self) -> tuple[str, ...]:
        return self._inner.secrets()


def mask(*secrets: object) -> None:
    """Mask these values; Airflow itself skips the ones under five characters."""
    for secret in secrets:
        if secret is not None:
            mask_secret(str(secret))
