"""Telling people: the notices of the engine, through Airflow's notifiers, to the channels of an export's ``notify``.

Best effort: a channel that fails is a warning in the task's log, and nothing here changes how a task ends.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec

from logferry.audit.survey import never_published
from logferry.clock import SystemClock
from logferry.notices.behind import (
    BEHIND_KEY,
    UNREADABLE_FOR,
    behind_notice,
    lost_notice,
    unreadable_notice,
)
from logferry.notices.memory import BackedMemory, LakeMemory, Memory
from logferry.notices.repeats import Sent, without
from logferry.notices.verification import unverified_notice, verification_notice
from logferry.records.manifest import Span
from logferry.window import Window
from logferry_airflow.asset_memory import AssetMemory
from logferry_airflow.channels import send_notice
from logferry_airflow.links import page_url
from logferry_airflow.retry import is_last_try

if TYPE_CHECKING:
    from logferry.audit.findings import Finding
    from logferry.audit.survey import Survey
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
    send_notice(spec, notice, _memory(spec, store, context), context, page)


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
        send_notice(spec, notice, memory, context, page_url(spec.name))


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
            send_notice(spec, notice, memory, context, page)


@_best_effort
def notify_unpublished(spec: ExportSpec, context: Mapping[str, Any], *, store: Store) -> None:
    """Tell of an export that has never published anything although it is due; call it at each survey that sees so.

    Since when it is seen is kept in Airflow, as of ``notify_unreadable``.
    """
    if not _wanted(spec, "behind") or (seen := AssetMemory.of(spec, context, UNPUBLISHED)) is None:
        return
    now = SystemClock().now()
    page = page_url(spec.name)
    missed = never_published(spec, seen.since(now), now)
    notice = behind_notice(spec, missed, now, page=page, never=True)
    if notice is not None:
        send_notice(spec, notice, _memory(spec, store, context), context, page)


@_best_effort
def notify_unreadable(spec: ExportSpec, error: Exception, context: Mapping[str, Any]) -> None:
    """Tell of a lake or a source that upkeep could not read for hours; call it at each failure.

    Since when is kept in Airflow, as the lake may be what fails: in the state store of the export's asset, which must
    be an inlet of the task.
    """
    if not _wanted(spec, "behind") or (memory := AssetMemory.of(spec, context, UNREADABLE)) is None:
        return
    now = SystemClock().now()
    since = memory.since(now)
    page = page_url(spec.name)
    notice = unreadable_notice(spec, str(error), since, now, page=page)
    if notice is not None:
        send_notice(spec, notice, memory, context, page)


@_best_effort
def notify_unverified_for_long(spec: ExportSpec, error: Exception, context: Mapping[str, Any]) -> None:
    """Tell of a lake that the audit could not read for hours; as ``notify_unreadable``, and to those whom that does
    not tell: one outage is one notice."""
    others = [channel for channel in spec.notify if "behind" not in channel.on]
    if not any("verification" in channel.on for channel in others):
        return
    if (memory := AssetMemory.of(spec, context, UNVERIFIED)) is None:
        return
    now = SystemClock().now()
    if now - memory.since(now) >= UNREADABLE_FOR:
        page = page_url(spec.name)
        notice = unverified_notice(spec, str(error), span=None, page=page)
        send_notice(spec, notice, memory, context, page, channels=others)


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
    send_notice(spec, unverified_notice(spec, str(error), span=span, page=page), _NoMemory(), context, page)


@_best_effort
def forget(spec: ExportSpec, context: Mapping[str, Any], *what: str) -> None:
    """What lasted (UNREADABLE, …) is over: the next time is news."""
    if not spec.notify:
        return
    for one in what:
        if (memory := AssetMemory.of(spec, context, one)) is not None:
            memory.forget()


def _wanted(spec: ExportSpec, kind: str) -> bool:
    return any(kind in channel.on for channel in spec.notify)


def _store_of(spec: ExportSpec) -> Store:
    from logferry.audit.archive import open_archive
    from logferry_airflow.hooks.connections import connect

    return open_archive(spec, connect).store


def _memory(spec: ExportSpec, store: Store, context: Mapping[str, Any]) -> Memory:
    """In the lake, and in Airflow what a lake that can only be read does not take."""
    lake = LakeMemory(store, spec.name)
    spare = AssetMemory.of(spec, context, _SPARE)
    return lake if spare is None else BackedMemory(lake, spare)


class _NoMemory:
    def load(self) -> list[Sent]:
        return []

    def change(self, work: Callable[[list[Sent]], list[Sent]]) -> bool:
        return False
