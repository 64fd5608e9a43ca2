"""A range day by day, for charts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from logferry.view.archive_state import ArchiveState
from logferry.view.index import Index
from logferry.view.kept_slice import Elsewhere
from logferry.view.letters import LETTERS
from logferry.view.plain import bounded, instant
from logferry.window import TICK_PER_DAY, Window, format_instant

MOST_DAYS = 4_000


@dataclass(slots=True)
class _Day:
    rows: int = 0
    bytes: int = 0
    late_rows: int | None = None
    requests: int = 0
    retried: int = 0
    throttled: int = 0
    cells: Counter[str] = field(default_factory=Counter)


def series(state: ArchiveState, window: Window, *, now: int) -> dict[str, Any]:
    """The body of ``…/series``: of every day of UTC that the window touches, at most MOST_DAYS of them, the slices of
    the window that begin in it.

    ``late_rows``: rows that came after a slice's first publication; None where that is known of no slice. ``requests``:
    of the newest publication of every window that begins on that day. Raises LakeUnread.
    """
    index = state.index
    due = index.due_before(state.spec, now)
    first_day = window.start // TICK_PER_DAY
    last_day = min(-(-window.end // TICK_PER_DAY), first_day + MOST_DAYS)
    days = [_Day() for _ in range(last_day - first_day)]
    begin, end = index.numbers(window)
    # A slice need not divide a day, so the last one may end in the day after.
    end = min(end, _first_of(index, last_day))
    _count_slices(index, days, first_day, begin, end, due)
    for one in index.publications:
        day = one.window.start // TICK_PER_DAY - first_day
        if one.requests is not None and 0 <= day < len(days) and one.window.start in window:
            days[day].requests += one.requests.sent
            days[day].retried += one.requests.retried
            days[day].throttled += one.requests.throttled
    return {
        "name": state.spec.name,
        "from": format_instant(window.start),
        "to": format_instant(end * index.grid),
        "days": [
            {
                "day": format_instant((first_day + number) * TICK_PER_DAY)[:10],
                "rows": bounded(day.rows),
                "bytes": bounded(day.bytes),
                "late_rows": None if day.late_rows is None else bounded(day.late_rows),
                "requests": bounded(day.requests),
                "retried": bounded(day.retried),
                "throttled": bounded(day.throttled),
                "cells": {letter: day.cells[letter] for letter in LETTERS},
            }
            for number, day in enumerate(days)
        ],
        "lateness": {"known_from": instant(index.first_told())},
    }


def _count_slices(index: Index, days: list[_Day], first_day: int, begin: int, end: int, due: int) -> None:
    elsewhere: set[Elsewhere] = set()
    for first, after, cell in index.known(begin, end):
        if cell.letter is None:
            continue
        if cell.rows is None:
            _count_alike(index, days, first_day, first, after, cell.letter)
            elsewhere.update(index.others_of(first))
            continue
        day = days[first * index.grid // TICK_PER_DAY - first_day]
        day.cells[cell.letter] += 1
        day.rows += cell.rows
        day.bytes += cell.bytes or 0
        if cell.first_rows is not None:
            day.late_rows = (day.late_rows or 0) + max(0, cell.rows - cell.first_rows)
    for one in elsewhere:
        day = days[min(max(one.window.start // TICK_PER_DAY - first_day, 0), len(days) - 1)]
        day.rows += one.rows
        day.bytes += one.bytes
    due_number = min(max(due // index.grid, begin), end)
    for number, day in enumerate(days):
        start = max(_first_of(index, first_day + number), begin)
        after = max(start, min(_first_of(index, first_day + number + 1), end))
        due_here = min(max(due_number, start), after)
        day.cells["M"] = due_here - start - index.published(start, due_here)
        day.cells["N"] = after - due_here - index.published(due_here, after)


def _count_alike(index: Index, days: list[_Day], first_day: int, first: int, end: int, letter: str) -> None:
    """Adjoining cells of one letter, each in the day that it begins in."""
    while first < end:
        day = first * index.grid // TICK_PER_DAY
        after = min(end, _first_of(index, day + 1))
        days[day - first_day].cells[letter] += after - first
        first = after


def _first_of(index: Index, day: int) -> int:
    """The first cell that begins on a day."""
    return -(-day * TICK_PER_DAY // index.grid)
