"""Texts through a webhook: real sockets, and secrets that stay secret."""

from __future__ import annotations

import json
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.plugins.local_webhook import SECRET, Webhook

from logferry.connection import Connection
from logferry.errors import CredentialsError, DefinitionError
from logferry_airflow.webhook import NotSent, WebhookNotifier, webhook_url

pytestmark = [pytest.mark.airflow, pytest.mark.integration]


def post(text: str = "hello") -> None:
    WebhookNotifier(webhook_conn_id="hook", text=text).notify({})


def test_a_text_is_posted_as_slack_takes_it(webhook: Webhook) -> None:
    post('<!channel> a & b\n"quoted"')
    assert webhook.posted == [
        (f"/services/{SECRET}", {"text": '&lt;!channel&gt; a &amp; b\n"quoted"'}),
    ]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "answered 404; it was removed, or the connection's secret is not the right one"),
        (302, "answered 302"),
        (500, "answered 500"),
    ],
)
def test_a_webhook_that_refuses_is_an_error_without_its_address(
    webhook: Webhook, status: int, said: str
) -> None:
    webhook.status = status
    with pytest.raises(NotSent) as caught:
        post()
    assert str(caught.value) == f"the webhook of 'hook' {said}"
    assert len(webhook.posted) == 1, "no redirect is followed"


def test_a_webhook_that_is_not_there_shows_no_secret(
    webhook: Webhook, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_HOOK", json.dumps({"conn_type": "http", "host": f"http://127.0.0.1:9/{SECRET}"})
    )
    with caplog.at_level(logging.DEBUG), pytest.raises(NotSent) as caught:
        post()
    assert "could not be reached" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "s3cr3t" not in str(caught.value)


def test_its_certificate_is_checked(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    webhook.server.socket = context.wrap_socket(webhook.server.socket, server_side=True)
    connection: dict[str, Any] = {
        "conn_type": "http",
        "host": webhook.url.replace("http:", "https:"),
        "password": SECRET,
    }
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps(connection))
    with pytest.raises(NotSent, match="a certificate that is not trusted; set the connection's ca_bundle"):
        post()
    connection["extra"] = {"ca_bundle": str(tmp_path / "ca.pem")}
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps(connection))
    post()
    assert webhook.texts == ["hello"]


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": f"https://hooks.slack.com/services/{SECRET}"}, f"https://hooks.slack.com/services/{SECRET}"),
        ({"host": "https://hooks.slack.com/services/", "password": f"/{SECRET}"},
         f"https://hooks.slack.com/services/{SECRET}"),
        ({"password": SECRET}, f"https://hooks.slack.com/services/{SECRET}"),
        ({"password": "https://chat.example.org/hooks/abc"}, "https://chat.example.org/hooks/abc"),
        ({"extra": {"url": "https://chat.example.org/hooks/abc"}}, "https://chat.example.org/hooks/abc"),
        ({"conn_type": "https", "host": "hooks.slack.com", "schema": "services/a/b"},
         "https://hooks.slack.com/services/a/b"),
        ({"conn_type": "http", "host": "chat.local", "port": 8065, "schema": "http", "password": "hooks/abc"},
         "http://chat.local:8065/hooks/abc"),
        ({"host": "chat.example.org", "password": "hooks/abc"}, "https://chat.example.org/hooks/abc"),
        ({"conn_type": "http", "host": "chat.example.org", "password": "hooks/abc"},
         "https://chat.example.org/hooks/abc"),
        ({"host": "chat.example.org/hooks", "port": 8065, "password": "abc"},
         "https://chat.example.org:8065/hooks/abc"),
        ({"host": "https://chat.example.org/hooks/abc", "port": 8065}, "https://chat.example.org:8065/hooks/abc"),
        ({"host": "https://chat.example.org:1/hooks/abc", "port": 8065}, "https://chat.example.org:1/hooks/abc"),
        ({"host": "https://chat.example.org/hooks", "password": "?key=1&t=x"},
         "https://chat.example.org/hooks?key=1&t=x"),
        ({"host": "https://chat.example.org/hooks?wait=true", "password": "abc"},
         "https://chat.example.org/hooks/abc?wait=true"),
        ({"password": f"{SECRET}\n"}, f"https://hooks.slack.com/services/{SECRET}"),
        ({"host": " https://chat.example.org/hooks/abc\r\n"}, "https://chat.example.org/hooks/abc"),
    ],
)  # fmt: skip
def test_the_address_may_stand_in_a_connection_in_several_ways(fields: dict[str, Any], url: str) -> None:
    assert webhook_url(Connection("hook", **{"conn_type": "slackwebhook", **fields})) == url


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, DefinitionError),
        ({"host": "ftp://chat/s3cr3t"}, DefinitionError),
        ({"host": "https://[s3cr3t"}, DefinitionError),
        ({"host": "https://chat.example.org/s3cr3t\nx"}, DefinitionError),
        ({"host": "chat.example.org s3cr3t"}, DefinitionError),
        ({"host": "https://hooks.slack.com"}, CredentialsError),
    ],
)
def test_a_connection_without_an_address_is_refused_without_showing_it(
    fields: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        webhook_url(Connection("hook", "http", **fields))
    assert "Connection 'hook'" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
