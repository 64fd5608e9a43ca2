"""A survey: which windows of an export a run is due for.

Pure: the ledger, a way to count and the time go in, visits come out. A visit is due for a window that was

* missed: the schedule had it after the export's first publication, it has settled, and not all of it is published;
* moved: a slice inside the horizon whose count at the source is no longer the one that the ledger knows;
* uncounted: a slice that no count proves yet, because the source could not be counted, and now it can;
* closing: its horizon has ended, and a slice was last counted before its own did. No row can come any more, so one
  visit is enough.

A visit is a whole window of the schedule wherever it can be, because the latest manifest of a window lies under the
window's own key: publishing the moved slices alone would leave a window whose manifest is not the last word on it.
Its unmoved slices are counted and not fetched (``only_moved``). Slices of another definition are never visited: to
export them again is a decision, not upkeep.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from logferry.audit.stretches import Stretches
from logferry.schedule import Schedule
from logferry.window import (
    TICK_PER_DAY,
    Window,
    format_compact,
    format_duration,
    format_instant,
    instant_or_none,
)
from logferry.wording import counted

if TYPE_CHECKING:
    from logferry.records.ledger import Ledger, Published
    from logferry.spec import ExportSpec

UNCOUNTED_FOR = 31 * TICK_PER_DAY
"""After its horizon, a slice whose source could not be counted is tried for so long."""

Count = Callable[[Window], Mapping[int, int] | None]
"""Rows per slice of a window at the source, by slice start (absent: none); None when it cannot count, or only at the
price of a request for every slice."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A run that is due. ``seq``: the newest publication of any part of the window, 0 when there is none.

    ``reason``: for people; it begins with what makes the window due.
    """

    window: Window
    seq: int
    reason: str

    @property
    def run_id(self) -> str:
        """One id for one state of the window: the same until something of it is published."""
        start, end = format_compact(self.window.start), format_compact(self.window.end)
        return f"upkeep__{start}-{end}__{self.seq}"

    @property
    def conf(self) -> dict[str, str | bool]:
        """The params of the run; a function of window and ``seq``, as the id is."""
        span: dict[str, str | bool] = {
            "from": format_instant(self.window.start),
            "to": format_instant(self.window.end),
        }
        return {**span, "only_moved": True} if self.seq else span


@dataclass(frozen=True, slots=True)
class Survey:
    """``visits``: missed windows before moved ones, and closing ones last, each oldest first: years of windows to
    close must not hold up a night that was missed. ``missed``: the windows of the first ones, ascending. ``lost``:
    missed windows that lie wholly beyond the source's retention."""

    visits: list[Visit]
    missed: list[Window]
    lost: list[Window]


def survey(spec: ExportSpec, ledger: Ledger, count: Count, now: int, *, fingerprint: str | None) -> Survey:
    """What is due at tick ``now``; nothing before the export's first publication.

    ``count`` is asked once for each contiguous range of slices inside the horizon, and not again after it answered
    None; its errors pass through. ``fingerprint``: of the present definition; where it cannot be told (None), what
    is published is left alone.
    """
    if ledger.first_published_at is None:
        return Survey([], [], [])
    return _Surveyor(spec, ledger, count, now, fingerprint=fingerprint).survey()


def never_published(spec: ExportSpec, since: int, now: int) -> list[Window]:
    """The windows that an export without a publication should have published by tick ``now``, ascending.

    ``since``: the tick from which it was seen with nothing published and its DAG not paused. The first of them is the
    window that had ended by then: an unpaused DAG begins with it, and with none before ``spec.start``.
    """
    schedule = Schedule(spec.schedule)
    ended = schedule.previous_at_or_before(since)
    begin = max(spec.start, schedule.previous_at_or_before(ended - 1))
    settled = now - spec.settle
    if settled < begin:
        return []
    return [Window(*pair) for pair in pairwise(schedule.boundaries(Window(begin, settled + 1)))]


class _Surveyor:
    """One survey under way."""

    def __init__(
        self, spec: ExportSpec, ledger: Ledger, count: Count, now: int, *, fingerprint: str | None
    ) -> None:
        self._spec = spec
        self._ledger = ledger
        self._count = count
        self._now = now
        self._schedule = Schedule(spec.schedule)
        retention = spec.source.retention
        self._held_from = spec.start if retention is None else now - retention
        self._own = {
            slice_: published
            for slice_, published in sorted(ledger.slices.items())
            if published.fingerprint == fingerprint
            and slice_.ticks == spec.slice
            and slice_.on_grid(spec.slice)
            and slice_.start >= spec.start
        }
        self._stretches = Stretches(self._own)
        self._foreign = Stretches(slice_ for slice_ in ledger.slices if slice_ not in self._own)

    def survey(self) -> Survey:
        """Missed, moved and uncounted, closing: in this order windows are first named."""
        reasons: dict[Window, list[str]] = {}
        lost = []
        for window, missing in self._missed():
            if window.end <= self._held_from:
                lost.append(window)
                continue
            whole = window.ticks // self._spec.slice
            what = "all" if missing == whole else f"{missing} of"
            reasons.setdefault(window, []).append(f"missed: {what} {counted(whole, 'slice')} not published")
        missed = sorted(reasons)
        for window, slices in self._in_windows(self._moved(), missed):
            if self._would_empty(window, slices):
                continue
            reasons.setdefault(window, []).append(self._told(slices))
        for window, _ in self._in_windows(((slice_, 0) for slice_ in self._closing()), missed):
            # Once for the window, and not with the horizon of each of its slices.
            if window.end + self._spec.horizon <= self._now:
                horizon = format_duration(self._spec.horizon)
                reasons.setdefault(window, []).append(f"closing: its horizon of {horizon} has ended")
        # The dict has them in this order already: what is first due for a better reason came first.
        visits = [Visit(window, self._seq(window), "; ".join(why)) for window, why in reasons.items()]
        return Survey(visits, missed, lost)

    def _missed(self) -> Iterator[tuple[Window, int]]:
        """Windows of the schedule that should be published by now, and how many of their slices are not."""
        first = self._ledger.first_published_at
        if first is None:
            return
        begin = max(self._spec.start, self._schedule.previous_at_or_before(first))
        settled = self._now - self._spec.settle
        if settled < begin:
            return
        published = Stretches(self._ledger.slices)
        for start, end in pairwise(self._schedule.boundaries(Window(begin, settled + 1))):
            if published.around(start, Window(start, end)) == Window(start, end):
                continue
            # Beside slices of another definition only what is left between them is this definition's to write.
            for piece in self._foreign.gaps(Window(start, end), self._spec.slice):
                missing = sum(slice_ not in self._own for slice_ in piece.slices(self._spec.slice))
                if missing:
                    yield piece, missing

    def _told(self, slices: list[tuple[Window, int]]) -> str:
        """Why counts make a window due."""
        moved = [(slice_, rows) for slice_, rows in slices if _looked_at(self._own[slice_]) is not None]
        if not moved:
            first = format_instant(slices[0][0].start)
            return f"uncounted: {counted(len(slices), 'slice')}, the first at {first}; the source can be counted now"
        (slice_, rows), *_ = moved
        told = f"{self._own[slice_].entry.rows:,} published, {rows:,} at the source"
        return f"moved: {counted(len(moved), 'slice')}, the first at {format_instant(slice_.start)} ({told})"

    def _moved(self) -> Iterator[tuple[Window, int]]:
        """Slices whose count at the source is news, with the number: those inside the horizon, and for a while those
        whose last visit got no count. Such a one is visited only once it can be counted: until then a visit would
        leave it as it is, and it would be due again."""
        asked = [
            slice_
            for slice_, published in self._own.items()
            if slice_.start >= self._held_from
            and (
                self._now < slice_.end + self._spec.horizon
                or (
                    _looked_at(published) is None
                    and self._now < slice_.end + self._spec.horizon + UNCOUNTED_FOR
                )
            )
        ]
        for stretch in Stretches(asked):
            counts = self._count(stretch)
            if counts is None:
                return
            for slice_ in stretch.slices(self._spec.slice):
                rows = counts.get(slice_.start, 0)
                if _is_news(self._own[slice_], rows):
                    yield slice_, rows

    def _would_empty(self, window: Window, slices: list[tuple[Window, int]]) -> bool:
        """Whether a visit that is due for want of counts alone comes too late, the source having let go of rows: no
        proof would keep those that are published from giving way to the fewer that it still holds."""
        return window.end + self._spec.horizon <= self._now and any(
            _looked_at(self._own[slice_]) is None and rows < self._own[slice_].entry.rows
            for slice_, rows in slices
        )

    def _closing(self) -> Iterator[Window]:
        """Slices that were last counted before their horizon ended, and that the source can still be asked about."""
        for slice_, published in self._own.items():
            looked_at = _looked_at(published)
            closed = slice_.end + self._spec.horizon
            held = slice_.start >= self._held_from
            if held and looked_at is not None and looked_at < closed <= self._now:
                yield slice_

    def _in_windows(
        self, slices: Iterable[tuple[Window, int]], missed: Sequence[Window]
    ) -> Iterator[tuple[Window, list[tuple[Window, int]]]]:
        """Slices (ascending) by the window to run for them: the schedule's, where all of it is published or missed.

        In other windows it is the stretch of published slices around them: the rest is not due, or nobody asked.
        ``missed``: ascending.
        """
        window: Window | None = None
        gathered: list[tuple[Window, int]] = []
        for slice_, rows in slices:
            if window is None or slice_.start not in window:
                if window is not None:
                    yield window, gathered
                gathered = []
                window = self._window_of(slice_, missed)
            gathered.append((slice_, rows))
        if window is not None:
            yield window, gathered

    def _window_of(self, slice_: Window, missed: Sequence[Window]) -> Window:
        at = bisect_right(missed, slice_.start, key=lambda window: window.start) - 1
        if at >= 0 and missed[at].covers(slice_):
            return missed[at]
        start = self._schedule.previous_at_or_before(slice_.start)
        scheduled = Window(start, self._schedule.next_after(slice_.start))
        return self._stretches.around(slice_.start, scheduled) or slice_

    def _seq(self, window: Window) -> int:
        slices = window.slices(self._spec.slice)
        return max((self._own[slice_].seq for slice_ in slices if slice_ in self._own), default=0)


def _looked_at(published: Published) -> int | None:
    """The tick of the newest count of the slice at the source, None when its last visit got none.

    A kept slice has the count that proved it, and the one that it was kept at.
    """
    entry = published.entry
    at = entry.counted_at if entry.source_now is None else entry.source_now_at
    return instant_or_none(at)


def _is_news(published: Published, rows: int) -> bool:
    """Whether a visit would learn something at a source that counts ``rows``."""
    entry = published.entry
    if _looked_at(published) is None:
        return True
    if entry.status == "proven" and rows == entry.rows:
        # As many as were proven, after a visit that saw another number: a newer count proves them.
        return entry.source_now not in (None, rows)
    told = entry.source_rows if entry.source_now is None else entry.source_now
    return rows != (entry.rows if told is None else told)
