"""The way of a notice to the channels of an export's ``notify``: by Airflow's notifiers, each within its time."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from logferry.clock import SystemClock
from logferry.notices.delivery import deliver
from logferry.notices.memory import Memory
from logferry.notices.notice import Notice
from logferry.spec import NotifySpec, SmtpNotifySpec
from logferry_airflow.time_limit import within
from logferry_airflow.webhook import WebhookNotifier

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

    from logferry.spec import ExportSpec

LIMIT_S = 30.0
"""Seconds that a channel has for one notice; what takes longer counts as not sent."""


def send_notice(
    spec: ExportSpec,
    notice: Notice,
    memory: Memory,
    context: Mapping[str, Any],
    page: str | None,
    *,
    channels: Sequence[NotifySpec] | None = None,
) -> None:
    """Send what of the notice is not in the ``memory`` yet. ``channels``: None for all of the export's."""

    def send(channel: NotifySpec, chosen: Notice) -> None:
        # ``notify`` itself: calling the notifier would render the text as a template, and queries are in it.
        notifier = notifier_for(channel, chosen)
        within(LIMIT_S, lambda: notifier.notify(context))  # type: ignore[arg-type]

    to = spec.notify if channels is None else channels
    deliver(notice, to, memory, send, SystemClock().now(), page=page)


def notifier_for(channel: NotifySpec, notice: Notice) -> BaseNotifier:
    """Airflow's notifier that carries the notice. Raises RuntimeError, saying what to install, where there is none."""
    if not isinstance(channel, SmtpNotifySpec):
        return WebhookNotifier(webhook_conn_id=channel.connection, text=notice.text)
    try:
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier
    except ImportError:
        raise RuntimeError(
            "mail needs the SMTP provider, which is not installed here; add apache-airflow-providers-smtp to the "
            "workers' environment"
        ) from None
    return SmtpNotifier(
        smtp_conn_id=channel.connection,
        to=list(channel.to),
        subject=" ".join(notice.subject.split()),
        html_content=f'<pre style="white-space: pre-wrap">{html.escape(notice.text)}</pre>',
    )
