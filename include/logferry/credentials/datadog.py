"""Datadog: which API host, and the keys or the token.

Sites: https://docs.datadoghq.com/getting_started/site/; keys and tokens:
https://docs.datadoghq.com/api/latest/authentication/.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

import msgspec

from logferry.connection import Connection
from logferry.credentials.authenticator import Authenticator, credential_key
from logferry.credentials.endpoint import base_url, ca_bundle, header_value, wrong_type
from logferry.errors import CredentialsError, DefinitionError

_DEFAULT_SITE = "datadoghq.com"
_SITE = re.compile(r"(?!app\.|api\.)[a-z0-9-]+(\.[a-z0-9-]+)+")


class DatadogAccess(msgspec.Struct, frozen=True):
    """``base_url`` has no trailing slash; ``ca_bundle`` None means the usual trust store.

    ``org`` is the connection's own name for its organisation, None when it gives none: keys do not say whose
    they are, and two organisations of one site must not pass for one archive.
    """

    base_url: str
    auth: Authenticator
    ca_bundle: str | None
    org: str | None


class DatadogKeys:
    """Headers that never change: two keys, or one token."""

    def __init__(self, headers: Mapping[str, str], *, key: str, secrets: tuple[str, ...]) -> None:
        self.key = key
        self._headers = dict(headers)
        self._secrets = secrets

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def refresh(self) -> bool:
        """Keys do not renew themselves."""
        return False

    def secrets(self) -> tuple[str, ...]:
        return self._secrets


def datadog_access(conn: Connection) -> DatadogAccess:
    """Access as a ``datadog_logs`` or stock ``datadog`` connection describes it.

    Raises CredentialsError naming the missing field, DefinitionError for a wrong type, site or URL.
    """
    url = _api_url(conn)
    return DatadogAccess(base_url=url, auth=_keys(conn, url), ca_bundle=ca_bundle(conn), org=conn.text("org"))


def _api_url(conn: Connection) -> str:
    if conn.conn_type == "datadog_logs":
        if conn.host:
            return base_url(conn, "host", _host_url(conn, conn.host.strip().rstrip("/")))
    elif conn.conn_type == "datadog":
        # The stock type's own host field is the name its events are sent under, no address.
        api_host = conn.text("api_host")
        if api_host:
            return base_url(conn, "api_host", api_host if "://" in api_host else f"https://{api_host}")
    else:
        raise wrong_type(conn, "datadog_logs or datadog")
    site = (conn.text("site") or _DEFAULT_SITE).lower()
    if not _SITE.fullmatch(site):
        raise DefinitionError(
            f"Connection {conn.conn_id!r}: site {site!r} is not a Datadog site: give its bare name, such as "
            "datadoghq.com, us5.datadoghq.com or datadoghq.eu."
        )
    return f"https://api.{site}"


def _host_url(conn: Connection, host: str) -> str:
    """``host``, a URL, with the connection's port and its path (``schema``)."""
    scheme, separator, address = host.partition("://")
    name, slash, _ = address.partition("/")
    if slash and (conn.port or conn.schema):
        raise DefinitionError(
            f"Connection {conn.conn_id!r}: host has a path, so that port and schema cannot follow it: write the whole "
            "URL in host, such as https://host:port/path."
        )
    if _is_ipv6(name):
        # From a URI the connection has it without the brackets, as Airflow's own.
        address = f"[{name}]{address[len(name) :]}"
    port = f":{conn.port}" if conn.port else ""
    path = f"/{conn.schema}" if conn.schema else ""
    return f"{scheme}{separator}{address}{port}{path}"


def _is_ipv6(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).version == 6
    except ValueError:
        return False


def _keys(conn: Connection, url: str) -> DatadogKeys:
    token = conn.text("bearer_token")
    if token:
        header_value(conn, "bearer_token", token)
        return DatadogKeys(
            {"Authorization": f"Bearer {token}"}, key=credential_key("datadog", url, token), secrets=(token,)
        )
    api_key, app_key = conn.text("api_key"), conn.text("app_key")
    if not api_key or not app_key:
        missing = " and ".join(name for name in ("api_key", "app_key") if not conn.text(name))
        raise CredentialsError(
            f"Connection {conn.conn_id!r} lacks {missing} in its extra fields: "
            "fill in api_key and app_key, or bearer_token."
        )
    header_value(conn, "api_key", api_key)
    header_value(conn, "app_key", app_key)
    return DatadogKeys(
        {"DD-API-KEY": api_key, "DD-APPLICATION-KEY": app_key},
        # The allowance belongs to the organisation, and so does the API key.
        key=credential_key("datadog", url, api_key),
        secrets=(api_key, app_key),
    )
