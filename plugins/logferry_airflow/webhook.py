"""A Slack-compatible incoming webhook as one of Airflow's notifiers.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks; Mattermost, Rocket.Chat, Discord (``/slack``)
and others take the same message. Whoever knows the address may post, so all of it is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseNotifier

from logferry.errors import CredentialsError, DefinitionError, LogferryError

if TYPE_CHECKING:
    from logferry.connection import Connection

TIMEOUT_S = 10.0
_SCHEMES = ("http", "https")
_LONGEST = 30_000
"""Characters; Slack cuts a text at 40,000."""


class NotSent(LogferryError):
    """The webhook did not take the message. Says why, and never where to."""


class WebhookNotifier(BaseNotifier):
    """Post a text to the webhook of a connection.

    The address is the connection's host, a full URL or a host name, with the connection's password as the last part of
    its path where there is one (so Slack's own connection type works), or the extra field ``url``. The extra field
    ``ca_bundle`` is the path of a PEM file. Raises NotSent and DefinitionError; neither shows the address.

    :param webhook_conn_id: the connection.
    :param text: what to say. (templated when it is used as a callback)
    """

    template_fields: Sequence[str] = ("text",)

    def __init__(self, *, webhook_conn_id: str, text: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.webhook_conn_id = webhook_conn_id
        self.text = text

    def notify(self, context: Mapping[str, Any]) -> None:
        """Post the text, once. The server may take ten seconds to connect, and ten for each piece of its answer."""
        import requests
        from airflow.sdk import BaseHook

        from logferry_airflow.hooks.connections import from_airflow, mask

        connection = from_airflow(self.webhook_conn_id, BaseHook.get_connection(self.webhook_conn_id))
        url = webhook_url(connection)
        # urllib3 logs paths and queries, at its lowest level.
        secret = connection.password
        mask(url, urlsplit(url).path, urlsplit(url).query or None, secret, secret and secret.strip())
        try:
            answer = requests.post(
                url,
                json={"text": escaped(self.text)[:_LONGEST]},
                timeout=TIMEOUT_S,
                allow_redirects=False,
                verify=connection.text("ca_bundle") or True,
                stream=True,  # The answer's body says nothing that its status does not.
            )
        except (requests.RequestException, ValueError, OSError) as error:
            # From None: what requests says of a failure begins with the address.
            raise NotSent(f"the webhook of {self.webhook_conn_id!r} {_why(error)}") from None
        with answer:
            if not 200 <= answer.status_code < 300:
                raise NotSent(
                    f"the webhook of {self.webhook_conn_id!r} answered {answer.status_code}"
                    f"{_REMEDIES.get(answer.status_code, '')}"
                )


_GONE = "; it was removed, or the connection's secret is not the right one"
_REMEDIES = {
    400: "; it does not take Slack's form of a message",
    401: _GONE,
    403: _GONE,
    404: _GONE,
    410: _GONE,
    429: "; it is sent too much",
}


_HOSTS = {"slackwebhook": "https://hooks.slack.com/services"}
"""Where a connection type of Airflow's providers leads when its host is left empty."""


def webhook_url(connection: Connection) -> str:
    """The address; DefinitionError or CredentialsError, without it, where the connection gives none."""
    # A line break at the end comes with a secret that was kept in a file.
    given, host = (connection.text("url") or "").strip(), (connection.host or "").strip()
    secret = (connection.password or "").strip()
    if secret.startswith(("https://", "http://")):
        given, secret = secret, ""
    text = given or _of_host(host, connection) or _HOSTS.get(connection.conn_type, "")
    if secret:
        text = _with_secret(text, secret)
    if any(char.isspace() or not char.isprintable() for char in text):
        raise DefinitionError(
            f"Connection {connection.conn_id!r} has a space or a line break inside the address of its webhook: "
            "remove it."
        )
    try:
        parts = urlsplit(text)
        named = bool(parts.hostname)
        _ = parts.port
    except ValueError:
        named = False
    if not text or not named or parts.scheme not in _SCHEMES:
        raise DefinitionError(
            f"Connection {connection.conn_id!r} gives no address of a webhook: put its URL (https://…) into the host, "
            "or its secret last part into the password."
        )
    if parts.path.strip("/") == "" and not parts.query:
        raise CredentialsError(
            f"Connection {connection.conn_id!r} names a host only: add the webhook's path, in the host or as password."
        )
    return text


def _of_host(host: str, connection: Connection) -> str:
    """A full URL, or a host name with or without a path; the connection's port where it names none itself.

    https, unless the connection's schema says http.
    """
    if not host:
        return ""
    if "://" not in host:
        host = f"{'http' if connection.schema == 'http' else 'https'}://{host}"
        # In a connection that is written as a URI the path is called schema.
        if connection.schema and connection.schema not in _SCHEMES:
            host = f"{host.rstrip('/')}/{connection.schema.lstrip('/')}"
    begin, slashes, rest = host.partition("://")
    name, slash, path = rest.partition("/")
    if connection.port and not re.search(r":\d*\Z", name):
        name = f"{name}:{connection.port}"
    return f"{begin}{slashes}{name}{slash}{path}"


def _with_secret(text: str, secret: str) -> str:
    """The address with the last part of its path, or of its query, where the secret begins with ``?``."""
    base, _, query = text.partition("?")
    path, _, more = secret.partition("?")
    if path:
        base = f"{base.rstrip('/')}/{quote(path.lstrip('/'), safe='/:')}"
    query = "&".join(piece for piece in (query, quote(more, safe="/:?=&%+")) if piece)
    return f"{base}?{query}" if query else base


def escaped(text: str) -> str:
    """Slack's three control characters as entities: names and queries are text, not mentions or links.

    https://docs.slack.dev/messaging/formatting-message-text#escaping
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _why(error: Exception) -> str:
    import requests

    if isinstance(error, requests.Timeout):
        return f"did not answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "offered a certificate that is not trusted; set the connection's ca_bundle to the CA file"
    return f"could not be reached ({type(error).__name__})"
