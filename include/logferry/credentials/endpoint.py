"""The addresses a connection may name."""

from __future__ import annotations

import ipaddress
import ssl
from urllib.parse import urlsplit

from logferry.connection import Connection, is_sandbox
from logferry.errors import DefinitionError


def base_url(conn: Connection, field: str, url: str) -> str:
    """The URL without its trailing slash, checked: https, or http where no secret can leave the machine.

    Plain http is for loopback addresses, and for connections marked as the sandbox, whose keys are no secret.
    Raises DefinitionError; the message never shows the URL's user part.
    """
    url = url.rstrip("/")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        # An invalid port raises only when it is read.
        valid = bool(host) and parts.port != 0
    except ValueError:
        parts, host, valid = urlsplit(""), "", False
    name = f"Connection {conn.conn_id!r}: {field}"
    if not valid or parts.scheme not in ("http", "https"):
        raise DefinitionError(f"{name} must be a URL that starts with https://, such as https://host:port.")
    if parts.username is not None or parts.password is not None:
        raise DefinitionError(f"{name} must not hold credentials: put them in the connection's own fields.")
    if parts.query or parts.fragment or any(c.isspace() for c in url):
        raise DefinitionError(f"{name} must end with its path: leave out spaces, ? and #.")
    if parts.scheme == "http" and not _is_loopback(host) and not is_sandbox(conn):
        raise DefinitionError(
            f"{name} is {url!r}, which would send credentials unencrypted: use https:// "
            "(http:// is for loopback addresses)."
        )
    return url


def ca_bundle(conn: Connection) -> str | None:
    """The file in extra ``ca_bundle``, None without one.

    Raises DefinitionError when it is not readable or holds no certificates.
    """
    path = conn.text("ca_bundle")
    if path is None:
        return None
    try:
        found = ssl.create_default_context(cafile=path).cert_store_stats()["x509"]
    except ssl.SSLError:
        found = 0
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DefinitionError(
            f"Connection {conn.conn_id!r}: ca_bundle {path!r} cannot be read ({reason}): "
            "name a PEM file of certificates."
        ) from error
    if not found:
        raise DefinitionError(
            f"Connection {conn.conn_id!r}: ca_bundle {path!r} holds no PEM certificates that can be read: "
            "name a file with -----BEGIN CERTIFICATE----- lines."
        )
    return path


def header_value(conn: Connection, field: str, value: str) -> str:
    """The value, checked to fit a header: the HTTP library would show it in its own complaint otherwise."""
    if not value.isascii() or not value.isprintable() or " " in value:
        raise DefinitionError(
            f"Connection {conn.conn_id!r}: {field} holds characters that no key has: copy it again."
        )
    return value


def wrong_type(conn: Connection, wanted: str) -> DefinitionError:
    return DefinitionError(
        f"Connection {conn.conn_id!r} is of type {conn.conn_type!r}: it must be of type {wanted}."
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
