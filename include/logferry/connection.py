"""Connections as Airflow describes them, read without Airflow.

``AIRFLOW_CONN_<ID>`` holds JSON or a URI, both as Airflow parses them
(https://airflow.apache.org/docs/apache-airflow/stable/howto/connection.html#storing-connections-in-environment-variables).
Where a connection is not configured, the variables that the vendors' own tools read take its place.
No message of this module shows a value of a connection: a broken one may be all secret.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from logferry.errors import CredentialsError, DefinitionError

_JSON_FIELDS = {"conn_type", "description", "host", "schema", "login", "password", "port", "extra"}
_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}
_MOST_IN_FLIGHT = {"azure": 5, "azure_log_analytics": 5}
_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True, slots=True)
class Connection:
    """The fields of one Airflow connection; its ``repr`` shows the id and the type only."""

    conn_id: str
    conn_type: str
    host: str | None = None
    schema: str | None = None
    login: str | None = None
    password: str | None = None
    port: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Connection(conn_id={self.conn_id!r}, conn_type={self.conn_type!r})"

    def option(self, *names: str) -> Any:
        """The first of these extra fields that is filled in, else None.

        ``extra__<type>__<name>``, the spelling of old connection forms, counts as ``<name>``. An empty form
        field is saved as "", so "" counts as not filled in.
        """
        for name in names:
            for key, value in self.extra.items():
                old_spelling = key.startswith("extra__") and key.endswith(f"__{name}")
                if (key == name or old_spelling) and value is not None and value != "":
                    return value
        return None

    def text(self, *names: str) -> str | None:
        """``option`` as stripped text. Raises DefinitionError for a value that is no text or number."""
        value = self.option(*names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DefinitionError(f"Connection {self.conn_id!r}: extra field {names[0]!r} must be text.")
        return str(value).strip() or None

    def flag(self, name: str) -> bool:
        """``option`` as a truth value, False when absent; text such as "true" counts."""
        value = self.option(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        word = str(value).strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
        raise DefinitionError(f"Connection {self.conn_id!r}: extra field {name!r} must be true or false.")

    def mapping(self, name: str) -> Mapping[str, Any]:
        """``option`` as an object, empty when absent; text holding a JSON object counts (URIs carry only
        text).
        """
        value = self.option(name)
        if value is None:
            return {}
        parsed = _json_object(value) if isinstance(value, str) else value
        if not isinstance(parsed, Mapping):
            raise DefinitionError(f"Connection {self.conn_id!r}: extra field {name!r} must be a JSON object.")
        return parsed

    @property
    def in_flight(self) -> int | None:
        """Extra field ``in_flight``: the most requests that are under way at once; None when it is left out.

        Raises DefinitionError unless it is a whole number from 1 to what the API takes: 5 for Azure, where it holds
        for everybody who uses the credential, and 16 for Datadog, where it holds for one task.
        """
        found = self.text("in_flight")
        if found is None:
            return None
        most = _MOST_IN_FLIGHT.get(self.conn_type, 16)
        if not found.isdecimal() or not found.isascii() or not 1 <= int(found) <= most:
            raise DefinitionError(
                f"Connection {self.conn_id!r}: extra field 'in_flight' must be a whole number from 1 to {most}."
            )
        return int(found)

    @property
    def budget_connection(self) -> str | None:
        """Extra field ``budget_connection``: the id of the Redis or PostgreSQL connection where the machines that use
        this credential share its request budget. Raises DefinitionError when it can be no id."""
        found = self.text("budget_connection")
        if found is not None and (_ID.fullmatch(found) is None or found == self.conn_id):
            raise DefinitionError(
                f"Connection {self.conn_id!r}: extra field 'budget_connection' must be the id of another connection, "
                "of type redis or postgres."
            )
        return found


Connect = Callable[[str, str], Connection]
"""``connect(connection id, kind)``: the connection, from wherever the caller keeps them."""


def is_sandbox(conn: Connection) -> bool:
    """True for a connection of the local sandbox, whose rows never share a folder with real ones."""
    return conn.flag("sandbox")


def variable_name(conn_id: str) -> str:
    """The environment variable that configures this connection."""
    return f"AIRFLOW_CONN_{conn_id.upper()}"


def connection_from_env(conn_id: str, environ: Mapping[str, str] = os.environ) -> Connection:
    """The connection in ``AIRFLOW_CONN_<ID>``.

    Raises CredentialsError when the variable is missing or empty, DefinitionError when it does not parse or
    when no variable can have the id's name.
    """
    variable = _variable(conn_id)
    value = environ.get(variable, "").strip()
    if not value:
        raise CredentialsError(
            f"Connection {conn_id!r} is not configured: set {variable} to its JSON or URI."
        )
    return parse_connection(conn_id, value, where=variable)


def connection_for(conn_id: str, kind: str, environ: Mapping[str, str] = os.environ) -> Connection:
    """``connection_from_env``, else the variables of the vendor's own tools.

    ``kind``: a source kind; or ``budget``, or ``aws``, which have no such variables here: boto3 looks through its own
    chain only where no connection is named. Raises as ``connection_from_env``.
    """
    variable = _variable(conn_id)
    if environ.get(variable, "").strip():
        return connection_from_env(conn_id, environ)
    vendor, otherwise = _OTHERWISE[kind]
    conn = vendor(conn_id, environ)
    if conn is None:
        raise CredentialsError(
            f"Connection {conn_id!r} is not configured: set {variable} to its JSON or URI, or {otherwise}."
        )
    return conn


def _variable(conn_id: str) -> str:
    """``variable_name``, refused where the id cannot be part of one."""
    if _ID.fullmatch(conn_id) is None:
        raise DefinitionError(
            f"{conn_id[:80]!r} is not the id of a connection: use letters, digits and _ - . (at most 200)."
        )
    return variable_name(conn_id)


def parse_connection(conn_id: str, value: str, *, where: str) -> Connection:
    """A connection from its JSON or URI text. Raises DefinitionError, calling the text ``where``."""
    if value.startswith("{"):
        return _from_json(conn_id, value, where)
    return _from_uri(conn_id, value, where)


def _from_json(conn_id: str, value: str, where: str) -> Connection:
    fields = _json_object(value)
    if fields is None:
        raise DefinitionError(f"{where} starts with {{ but is not a JSON object: correct its JSON.")
    unknown = sorted(set(fields) - _JSON_FIELDS)
    if unknown:
        raise DefinitionError(
            f"{where} has the unknown field {unknown[0]!r}: a connection has "
            f"{', '.join(sorted(_JSON_FIELDS))}."
        )
    extra = fields.get("extra") or {}
    if isinstance(extra, str):
        extra = _json_object(extra)
    if not isinstance(extra, dict):
        raise DefinitionError(f'{where}: "extra" must be a JSON object, or text holding one.')
    texts: dict[str, str | None] = {}
    for name in ("conn_type", "host", "schema", "login", "password"):
        text = fields.get(name)
        if text is not None and not isinstance(text, str):
            raise DefinitionError(f"{where}: {name!r} must be text.")
        texts[name] = text or None
    port = fields.get("port") or None
    if port is not None and not str(port).isdecimal():
        raise DefinitionError(f"{where}: 'port' must be a whole number.")
    if texts["conn_type"] is None:
        raise DefinitionError(f"{where} has no conn_type: add one, such as datadog_logs.")
    return Connection(
        conn_id=conn_id,
        conn_type=_conn_type(texts["conn_type"]),
        host=texts["host"],
        schema=texts["schema"],
        login=texts["login"],
        password=texts["password"],
        port=None if port is None else int(port),
        extra=extra,
    )


def _from_uri(conn_id: str, value: str, where: str) -> Connection:
    refused = DefinitionError(
        f"{where} is neither a JSON object nor a URI such as datadog-logs://?api_key=…&app_key=… "
        "(percent-encode the special characters in a URI)."
    )
    scheme, separator, rest = value.partition("://")
    if not separator or not scheme.replace("-", "").replace("_", "").isalnum() or rest.count("://") > 1:
        raise refused
    # `type://https://host/…` carries the protocol of the host, before any credentials.
    protocol, separator, after = rest.partition("://")
    if separator and "?" not in protocol and ("@" in protocol or ":" in protocol):
        raise refused
    has_protocol = bool(separator) and protocol.isalnum()
    try:
        parts = urlsplit(f"//{after if has_protocol else rest}")
        port = parts.port
    except ValueError:
        port = parts = None
    if parts is None:
        raise refused
    host = unquote(_host_of(parts.netloc))
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = _json_object(query["__extra__"]) if "__extra__" in query else query
    if extra is None:
        raise DefinitionError(f"{where}: the parameter __extra__ must be a percent-encoded JSON object.")
    return Connection(
        conn_id=conn_id,
        conn_type=_conn_type(scheme.lower()),
        host=(f"{protocol}://{host}" if has_protocol and host else host) or None,
        schema=unquote(parts.path[1:]) or None,
        login=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        port=port,
        extra=extra,
    )


def _host_of(netloc: str) -> str:
    """The host as written: ``urlsplit().hostname`` would turn it into lower case."""
    host = netloc.rpartition("@")[2]
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _conn_type(written: str) -> str:
    return written.replace("-", "_")


def _json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in ``text``, None when there is none.

    Returns instead of raising: a JSONDecodeError holds the whole text, and a traceback would keep it.
    """
    try:
        parsed = json.loads(text)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _datadog_variables(conn_id: str, environ: Mapping[str, str]) -> Connection | None:
    """DD_API_KEY, DD_APP_KEY, DD_SITE (https://docs.datadoghq.com/api/latest/authentication/)."""
    names = {"api_key": "DD_API_KEY", "app_key": "DD_APP_KEY", "site": "DD_SITE"}
    extra = {name: environ[variable] for name, variable in names.items() if environ.get(variable)}
    if not ({"api_key", "app_key"} & extra.keys()):
        return None
    return Connection(conn_id, "datadog_logs", extra=extra)


def _azure_variables(conn_id: str, environ: Mapping[str, str]) -> Connection | None:
    """The variables of azure-identity's EnvironmentCredential and WorkloadIdentityCredential.

    https://learn.microsoft.com/python/api/overview/azure/identity-readme#environment-variables
    """
    names = {
        "tenantId": "AZURE_TENANT_ID",
        "certificate_path": "AZURE_CLIENT_CERTIFICATE_PATH",
        "certificate_password": "AZURE_CLIENT_CERTIFICATE_PASSWORD",
        "federated_token_file": "AZURE_FEDERATED_TOKEN_FILE",
        "authority": "AZURE_AUTHORITY_HOST",
    }
    extra = {name: environ[variable] for name, variable in names.items() if environ.get(variable)}
    secret = environ.get("AZURE_CLIENT_SECRET") or None
    if not environ.get("AZURE_CLIENT_ID"):
        return None
    if not secret and not ({"certificate_path", "federated_token_file"} & extra.keys()):
        return None
    return Connection(
        conn_id, "azure_log_analytics", login=environ["AZURE_CLIENT_ID"], password=secret, extra=extra
    )


def _no_variables(conn_id: str, environ: Mapping[str, str]) -> Connection | None:
    """A misspelt id must not turn into whatever credentials AWS's chain finds on this machine."""
    return None


_Vendor = Callable[[str, Mapping[str, str]], Connection | None]
_AZURE_WANTED = (
    "set AZURE_TENANT_ID, AZURE_CLIENT_ID and one of AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH "
    "or AZURE_FEDERATED_TOKEN_FILE"
)
_OTHERWISE: dict[str, tuple[_Vendor, str]] = {
    "datadog": (_datadog_variables, "set DD_API_KEY and DD_APP_KEY"),
    "azure_monitor": (_azure_variables, _AZURE_WANTED),
    "azure_log_search": (_azure_variables, _AZURE_WANTED),
    "budget": (_no_variables, "leave `budget_connection` out of the source's connection"),
    "aws": (_no_variables, "leave `connection` out of the destination to use AWS's own chain of credentials"),
}
