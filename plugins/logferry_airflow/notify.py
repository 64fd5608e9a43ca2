"""Telling people: the notices of the engine, through Airflow's notifiers, to the channels of an export's ``notify``.

Best effort: a channel that fails is a warning in the task's log, and nothing here changes how a task ends.
"""

from __future__ import annotations

import functools
import html
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

from logferry.audit.upkeep import never_published
from logferry.clock import SystemClock
from logferry.notices.behind import (
    BEHIND_KEY,
    UNREADABLE_FOR,
    behind_notice,
    lost_notice,
    unreadable_notice,
)
from logferry.notices.delivery import deliver
from logferry.notices.memory import BackedMemory, LakeMemory, Memory
from logferry.notices.notice import Notice
from logferry.notices.repeats import Sent, without
from logferry.notices.verification import unverified_notice, verification_notice
from logferry.records.manifest import Span
from logferry.spec import NotifySpec, SmtpNotifySpec
from logferry.window import Window, format_instant, instant_or_none
from logferry_airflow.assets import export_asset
from logferry_airflow.links import page_url
from logferry_airflow.retry import is_last_try
from logferry_airflow.time_limit import within
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

UNREADABLE = "logferry_unreadable"
"""The lake or the source does not answer the survey."""
UNVERIFIED = "logferry_unverified"
"""The lake does not answer the audit."""
UNPUBLISHED = "logferry_unpublished"
"""Nothing of the export is published, and its DAG is not paused."""
_SPARE = "logferry_spare"
"""What the memory in the lake could not take."""

_MOST_KEPT = 100
"""Notices: Airflow keeps the value of a key in one field."""

LIMIT_S = 30.0
"""Seconds that a channel has for one notice; what takes longer counts as not sent."""


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
    _deliver(spec, notice, _memory(spec, store, context), context, page)


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
        memory = _memory(spec, store or _store_of(spec), context)
        _deliver(spec, notice, memory, context, page_url(spec.name))


@_best_effort
def notify_behind(spec: ExportSpec, found: Survey, context: Mapping[str, Any], *, store: Store) -> None:
    """Tell of windows that are long due or lost; where there are none, forget that there were."""
    if not _wanted(spec, "behind"):
        return
    memory = _memory(spec, store, context)
    now = SystemClock().now()
    page = page_url(spec.name)
    behind = behind_notice(spec, found.missed, now, page=page)
    if behind is None:
        memory.change(lambda sent: without(sent, BEHIND_KEY))
    for notice in (behind, lost_notice(spec, found.lost, page=page)):
        if notice is not None:
            _deliver(spec, notice, memory, context, page)


@_best_effort
def notify_unpublished(spec: ExportSpec, context: Mapping[str, Any], *, store: Store) -> None:
    """Tell of an export that has never published anything although it is due; call it at each survey that sees so.

    Since when it is seen is kept in Airflow, as of ``notify_unreadable``.
    """
    if not _wanted(spec, "behind") or (seen := _AirflowMemory.of(spec, context, UNPUBLISHED)) is None:
        return
    now = SystemClock().now()
    page = page_url(spec.name)
    missed = never_published(spec, seen.since(now), now)
    notice = behind_notice(spec, missed, now, page=page, never=True)
    if notice is not None:
        _deliver(spec, notice, _memory(spec, store, context), context, page)


@_best_effort
def notify_unreadable(spec: ExportSpec, error: Exception, context: Mapping[str, Any]) -> None:
    """Tell of a lake or a source that upkeep could not read for hours; call it at each failure.

    Since when is kept in Airflow, as the lake may be what fails: in the state store of the export's asset, which must
    be an inlet of the task.
    """
    if not _wanted(spec, "behind") or (memory := _AirflowMemory.of(spec, context, UNREADABLE)) is None:
        return
    now = SystemClock().now()
    since = memory.since(now)
    page = page_url(spec.name)
    notice = unreadable_notice(spec, str(error), since, now, page=page)
    if notice is not None:
        _deliver(spec, notice, memory, context, page)


@_best_effort
def notify_unverified_for_long(spec: ExportSpec, error: Exception, context: Mapping[str, Any]) -> None:
    """Tell of a lake that the audit could not read for hours; as ``notify_unreadable``, and to those whom that does
    not tell: one outage is one notice."""
    others = [channel for channel in spec.notify if "behind" not in channel.on]
    if not any("verification" in channel.on for channel in others):
        return
    if (memory := _AirflowMemory.of(spec, context, UNVERIFIED)) is None:
        return
    now = SystemClock().now()
    if now - memory.since(now) >= UNREADABLE_FOR:
        page = page_url(spec.name)
        notice = unverified_notice(spec, str(error), span=None, page=page)
        _deliver(spec, notice, memory, context, page, channels=others)


@_best_effort
def notify_unverified(
    spec: ExportSpec, error: Exception, context: Mapping[str, Any], *, window: Window | None
) -> None:
    """Tell of a verification that somebody asked for and that found no lake to read, once it is not tried again.

    It is not remembered: the lake would have to, and each was asked for.
    """
    if not _wanted(spec, "verification") or not is_last_try(error, context):
        return
    span = None if window is None else Span.of(window)
    page = page_url(spec.name, window)
    _deliver(spec, unverified_notice(spec, str(error), span=span, page=page), _NoMemory(), context, page)


@_best_effort
def forget(spec: ExportSpec, context: Mapping[str, Any], *what: str) -> None:
    """What lasted (UNREADABLE, …) is over: the next time is news."""
    if not spec.notify:
        return
    for one in what:
        if (memory := _AirflowMemory.of(spec, context, one)) is not None:
            memory.forget()


def _wanted(spec: ExportSpec, kind: str) -> bool:
    return any(kind in channel.on for channel in spec.notify)


def _deliver(
    spec: ExportSpec,
    notice: Notice,
    memory: Memory,
    context: Mapping[str, Any],
    page: str | None,
    *,
    channels: Sequence[NotifySpec] | None = None,
) -> None:
    """``channels``: None for all of the export's."""

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


def _store_of(spec: ExportSpec) -> Store:
    from logferry.audit.archive import open_archive
    from logferry_airflow.hooks.connections import connect

    return open_archive(spec, connect).store


def _memory(spec: ExportSpec, store: Store, context: Mapping[str, Any]) -> Memory:
    """In the lake, and in Airflow what a lake that can only be read does not take."""
    lake = LakeMemory(store, spec.name)
    spare = _AirflowMemory.of(spec, context, _SPARE)
    return lake if spare is None else BackedMemory(lake, spare)


class _NoMemory:
    def load(self) -> list[Sent]:
        return []

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> bool:
        return False


class _AirflowMemory:
    """What was told of one thing that lasts, and since when, kept with the export's asset in Airflow's database."""

    def __init__(self, values: Any, what: str) -> None:
        self._values = values
        self._since = f"{what}_since"
        self._notices = f"{what}_notices"

    @classmethod
    def of(cls, spec: ExportSpec, context: Mapping[str, Any], what: str) -> _AirflowMemory | None:
        """None where Airflow gives the task no such store: the asset is neither an inlet nor an outlet of it."""
        stores = context.get("asset_state_store")
        try:
            return None if stores is None else cls(stores[export_asset(spec.name)], what)
        except KeyError:
            return None

    def since(self, now: int) -> int:
        """The tick of the first failure in a row: this one, unless an earlier one is kept."""
        kept = instant_or_none(self._values.get(self._since))
        if kept is None:
            self._values.set(self._since, format_instant(now))
        return now if kept is None else kept

    def forget(self) -> None:
        if self._values.get(self._since) is not None:
            self._values.delete(self._since)
            self._values.delete(self._notices)

    def load(self) -> list[Sent]:
        import msgspec

        try:
            return msgspec.convert(self._values.get(self._notices) or [], list[Sent])
        except (msgspec.ValidationError, RecursionError):
            return []
        except Exception as error:
            log.warning(
                "what was told lately cannot be read from Airflow (%s): %s", type(error).__name__, error
            )
            return []

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> bool:
        import msgspec

        before = self.load()
        after = work(before)[-_MOST_KEPT:]
        try:
            if after != before:
                self._values.set(self._notices, msgspec.to_builtins(after))
        except Exception as error:
            log.warning("what was told cannot be remembered in Airflow (%s): %s", type(error).__name__, error)
            return False
        return True
