"""What is said of an export that does not keep up with its schedule, or that nobody can look at."""

from __future__ import annotations

from collections.abc import Sequence

from logferry.dag_ids import dag_id
from logferry.notices.notice import Notice, compose, key_of, range_command, said_of
from logferry.records.manifest import Span
from logferry.schedule import Schedule
from logferry.spec import ExportSpec
from logferry.window import TICK_PER_HOUR, Window, format_duration, format_instant
from logferry.wording import counted

GRACE = TICK_PER_HOUR
"""Ticks that a window may be late beyond its settling and one more period of its schedule: upkeep looks once an hour,
and starts what was missed itself."""
UNREADABLE_FOR = 3 * TICK_PER_HOUR
"""Ticks for which a lake or a source may stay unreadable before somebody is told."""
BEHIND_KEY = key_of("behind")
"""One for as long as the export is behind, however the number of its windows moves."""


def late_windows(spec: ExportSpec, missed: Sequence[Window], now: int) -> list[Window]:
    """Those that are not published although, at tick ``now``, even the next window should be, and GRACE is over."""
    schedule = Schedule(spec.schedule)
    return [window for window in missed if now >= schedule.next_after(window.end) + spec.settle + GRACE]


def behind_notice(
    spec: ExportSpec, missed: Sequence[Window], now: int, *, page: str | None, never: bool = False
) -> Notice | None:
    """The notice of windows that are long due; None while there is none. ``missed``: ascending.

    ``never``: nothing of the export was ever published.
    """
    late = late_windows(spec, missed, now)
    if not late:
        return None
    span = Span.of(Window(late[0].start, late[-1].end))
    due = late[0].end + spec.settle
    windows = counted(len(late), "window")
    return Notice(
        kind="behind",
        export=spec.name,
        window=span,
        subject=f"{spec.name} is behind: {windows} not published, the oldest due {_ago(now - due)} ago",
        text=compose(
            f"{spec.name} is behind: {windows} of its schedule {spec.schedule!r} not published, from "
            f"{said_of(span)}.",
            numbers=f"The oldest, {said_of(Span.of(late[0]))}, was due at {format_instant(due)}, "
            f"{_ago(now - due)} ago.{' It has never published anything.' if never else ''}",
            likely="its runs fail (look at the newest failed one), wait for a slot of its pool, or for the allowance "
            "of the source",
            next_step=f"the runs of {dag_id(spec.name)} in Airflow; by hand: "
            f"{range_command('export', spec.name, span)}",
            page=page,
        ),
        keys=(BEHIND_KEY,),
    )


def lost_notice(spec: ExportSpec, lost: Sequence[Window], *, page: str | None) -> Notice | None:
    """The notice of windows that were never published and that the source holds no more; told once, at most once for
    each day of the archive. ``lost``: ascending."""
    if not lost:
        return None
    span = Span.of(Window(lost[0].start, lost[-1].end))
    kept = "" if spec.source.retention is None else f" (`retention` {format_duration(spec.source.retention)})"
    return Notice(
        kind="behind",
        export=spec.name,
        window=span,
        subject=f"{spec.name} lost {counted(len(lost), 'window')} to the source's retention",
        text=compose(
            f"{spec.name} lost {counted(len(lost), 'window')}: never published, and the source "
            f"holds them no more{kept}.",
            numbers=f"From {said_of(span)}, the newest {said_of(Span.of(lost[-1]))}.",
            likely="its runs failed, or the scheduler was down, for longer than the source keeps rows",
            next_step="bring the rows back at the source if it can (Datadog: rehydrate from an archive), then "
            f"{range_command('export', spec.name, Span.of(lost[-1]))}",
            page=page,
        ),
        keys=(key_of("lost", format_instant(lost[-1].end)[:10]),),
        once=True,
    )


def unreadable_notice(
    spec: ExportSpec, cause: str, since: int, now: int, *, page: str | None
) -> Notice | None:
    """The notice of an export whose lake or source has not answered upkeep for UNREADABLE_FOR; None before that.

    ``cause``: what it answers, one sentence without secrets. ``since``: the tick of the first failure in a row.
    """
    if now - since < UNREADABLE_FOR:
        return None
    return Notice(
        kind="behind",
        export=spec.name,
        window=None,
        subject=f"{spec.name} cannot be looked after for {_ago(now - since)}",
        text=compose(
            f"{spec.name} cannot be looked after since {format_instant(since)}: its lake or its "
            "source does not answer.",
            numbers=cause,
            likely="credentials that expired or changed, a network in between, or an outage of the vendor",
            next_step=f"logferry doctor {spec.source.connection} --kind {spec.source.kind}; "
            f"logferry coverage {spec.name}",
            page=page,
        ),
        keys=(key_of("unreadable"),),
    )


def _ago(ticks: int) -> str:
    """Whole hours, or days from the second on."""
    hours = ticks // TICK_PER_HOUR
    return counted(hours, "hour") if hours < 48 else counted(hours // 24, "day")
