"""Telling people: the notices of the engine, through Airflow's notifiers, to the channels of an export's ``notify``.

Best effort: a channel that fails is a warning in the task's log, and nothing here changes how a task ends.
"""

from __future__ import annotations

import functools
import html
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec

from logferry.clock import SystemClock
from logferry.notices.behind import (
    BEHIND_KEY,
    behind_notice,
    lost_notice,
    unreadable_notice,
)
from logferry.notices.delivery import deliver
from logferry.notices.memory import LakeMemory, Memory
from logferry.notices.notice import Notice
from logferry.notices.repeats import Sent, without
from logferry.notices.verification import verification_notice
from logferry.spec import NotifySpec, SmtpNotifySpec
from logferry.window import format_instant, instant_or_none
from logferry_airflow.assets import export_asset
from logferry_airflow.links import page_url
from logferry_airflow.webhook import WebhookNotifier

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

    from logferry.audit.findings import Finding
    from logferry.audit.upkeep import Survey
    from logferry.records.manifest import Manifest
    from logferry.spec import ExportSpec
    from logferry.stores.base import Store

log = logging.getLogger(__name__)

P = ParamSpec("P")

SINCE_KEY = "logferry_unreadable_since"
NOTICES_KEY = "logferry_notices"


def _best_effort(tell: Callable[P, None]) -> Callable[P, None]:
    @functools.wraps(tell)
    def telling(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            tell(*args, **kwargs)
        except Exception as error:
            log.warning("nobody could be told (%s): %s: %s", tell.__name__, type(error).__name__, error)

    return telling


@_best_effort
def notify_short(
    spec: ExportSpec,
    manifest: Manifest,
    context: Mapping[str, Any],
    *,
    store: Store,
    on_page: bool,
    way_on: str,
) -> None:
    """Tell of a window that was published short; nothing for another one.

    ``on_page``: whether the coverage page and the command line know the export. ``way_on``: what else mends it.
    """
    if manifest.status != "short" or not _wanted(spec, "short"):
        return
    # Here, because it brings pyarrow.
    from logferry.notices.notice import range_command
    from logferry.notices.short import short_notice

    page = page_url(spec.name, manifest.window.window()) if on_page else None
    next_step = way_on
    if on_page:
        next_step = f"{range_command('export', spec.name, manifest.window)}; or {way_on}"
    notice = short_notice(manifest, page=page, way_on=next_step)
    _deliver(spec, notice, LakeMemory(store, spec.name), context, page)


@_best_effort
def notify_findings(
    spec: ExportSpec, findings: Iterable[Finding], context: Mapping[str, Any], *, store: Store | None = None
) -> None:
    """Tell of what ``verify`` found in the export's archive; notes are left out, and nothing is told of them alone.

    ``store``: the archive's, opened here where the caller has none.
    """
    if not _wanted(spec, "verification"):
        return
    notice = verification_notice(
        spec.name, findings, page=lambda span: page_url(spec.name, None if span is None else span.window())
    )
    if notice is not None:
        memory = LakeMemory(store or _store_of(spec), spec.name)
        _deliver(spec, notice, memory, context, page_url(spec.name))


@_best_effort
def notify_behind(spec: ExportSpec, found: Survey, context: Mapping[str, Any], *, store: Store) -> None:
    """Tell of windows that are long due or lost; where there are none, forget that there were."""
    if not _wanted(spec, "behind"):
        return
    memory = LakeMemory(store, spec.name)
    now = SystemClock().now()
    page = page_url(spec.name)
    behind = behind_notice(spec, found.missed, now, page=page)
    if behind is None:
        memory.change(lambda sent: without(sent, BEHIND_KEY))
    for notice in (behind, lost_notice(spec, found.lost, page=page)):
        if notice is not None:
            _deliver(spec, notice, memory, context, page)


@_best_effort
def notify_unreadable(spec: ExportSpec, error: Exception, context: Mapping[str, Any]) -> None:
    """Tell of a lake or a source that upkeep could not read for hours; call it at each failure.

    Since when is kept in Airflow, as the lake may be what fails: in the state store of the export's asset, which must
    be an inlet of the task.
    """
    if not _wanted(spec, "behind") or (memory := _AirflowMemory.of(spec, context)) is None:
        return
    now = SystemClock().now()
    since = memory.since(now)
    page = page_url(spec.name)
    notice = unreadable_notice(spec, str(error), since, now, page=page)
    if notice is not None:
        _deliver(spec, notice, memory, context, page)


@_best_effort
def forget_unreadable(spec: ExportSpec, context: Mapping[str, Any]) -> None:
    """Everything could be read again."""
    if _wanted(spec, "behind") and (memory := _AirflowMemory.of(spec, context)) is not None:
        memory.forget()


def _wanted(spec: ExportSpec, kind: str) -> bool:
    return any(kind in channel.on for channel in spec.notify)


def _deliver(
    spec: ExportSpec, notice: Notice, memory: Memory, context: Mapping[str, Any], page: str | None
) -> None:
    def send(channel: NotifySpec, chosen: Notice) -> None:
        # ``notify`` itself: calling the notifier would render the text as a template, and queries are in it.
        notifier_for(channel, chosen).notify(context)  # type: ignore[arg-type]

    deliver(notice, spec.notify, memory, send, SystemClock().now(), page=page)


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


def _store_of(spec: ExportSpec) -> Store:
    from logferry.audit.archive import open_archive
    from logferry_airflow.hooks.connections import connect

    return open_archive(spec, connect).store


class _AirflowMemory:
    """What was told of an export whose lake may not answer, kept with its asset in Airflow's database."""

    def __init__(self, values: Any) -> None:
        self._values = values

    @classmethod
    def of(cls, spec: ExportSpec, context: Mapping[str, Any]) -> _AirflowMemory | None:
        """None where Airflow gives the task no such store."""
        stores = context.get("asset_state_store")
        return None if stores is None else cls(stores[export_asset(spec.name)])

    def since(self, now: int) -> int:
        """The tick of the first failure in a row: this one, unless an earlier one is kept."""
        kept = instant_or_none(self._values.get(SINCE_KEY))
        if kept is None:
            self._values.set(SINCE_KEY, format_instant(now))
        return now if kept is None else kept

    def forget(self) -> None:
        for key in (SINCE_KEY, NOTICES_KEY):
            if self._values.get(key) is not None:
                self._values.delete(key)

    def load(self) -> list[Sent]:
        import msgspec

        try:
            return msgspec.convert(self._values.get(NOTICES_KEY) or [], list[Sent])
        except msgspec.ValidationError:
            return []

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> None:
        import msgspec

        self._values.set(NOTICES_KEY, msgspec.to_builtins(work(self.load())))
