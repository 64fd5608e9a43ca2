"""From a notice to Airflow's notifiers: what arrives is text, whatever is in it."""

from __future__ import annotations

import json
import socketserver
import sys
import threading
from collections.abc import Iterator
from email import message_from_string

import pytest

from logferry.notices.notice import Notice
from logferry.spec import SmtpNotifySpec, WebhookNotifySpec
from logferry_airflow.channels import notifier_for
from logferry_airflow.webhook import WebhookNotifier

pytestmark = [pytest.mark.airflow, pytest.mark.integration]


class Mailbox(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as smtplib speaks."""

    def handle(self) -> None:
        self.wfile.write(b"220 mail\r\n")
        while line := self.rfile.readline():
            command = line[:4].upper()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                mail = b""
                while (line := self.rfile.readline()) != b".\r\n":
                    mail += line
                self.server.mails.append(mail.decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The mails that a local server took, and the connection ``mail`` to it."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.mails = []  # type: ignore[attr-defined]
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "logferry@example.org"}
        connection = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": server.server_address[1],
            "extra": extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(connection))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.mails  # type: ignore[attr-defined]
        server.shutdown()


HOSTILE = Notice(
    kind="short",
    export="web_errors",
    window=None,
    subject="web_errors is short\r\nBcc: everybody@example.org",
    text="line one {{ 7 * 7 }}\n<script>alert(1)</script>",
    keys=("k",),
)


def test_mail_goes_out_as_text_whatever_is_in_it(mails: list[str]) -> None:
    channel = SmtpNotifySpec(connection="mail", to=("oncall@example.org", "boss@example.org"))
    notifier_for(channel, HOSTILE).notify({})
    mail = message_from_string(mails[0])
    assert mail["Subject"] == "web_errors is short Bcc: everybody@example.org"
    assert (mail["From"], mail["Bcc"]) == ("logferry@example.org", None)
    assert {address.strip() for address in mail["To"].split(",")} == {
        "oncall@example.org",
        "boss@example.org",
    }
    part = mail.get_payload(0)
    assert not isinstance(part, str)
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    assert b"line one {{ 7 * 7 }}\n&lt;script&gt;alert(1)&lt;/script&gt;" in content


def test_without_the_smtp_provider_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.smtp.notifications.smtp", None)
    with pytest.raises(RuntimeError, match="add apache-airflow-providers-smtp to the workers' environment"):
        notifier_for(SmtpNotifySpec(connection="mail", to=("oncall@example.org",)), HOSTILE)


def test_a_webhook_channel_of_the_definition_is_a_webhook() -> None:
    notifier = notifier_for(WebhookNotifySpec(connection="hook"), HOSTILE)
    assert isinstance(notifier, WebhookNotifier)
    assert (notifier.webhook_conn_id, notifier.text) == ("hook", HOSTILE.text)
