"""When an export's windows begin and end: a cron expression or preset, read in UTC.

A boundary is an instant at which the schedule fires; the window of a run lies between two of them. The days
come from croniter (so day-of-month and day-of-week combine as they do in Airflow's cron timetables), the
times of day from its expansion of the minute and hour fields: whole numbers all the way, and quick for
every-minute schedules. A plain time on every day, such as a preset's, needs no croniter: loading it takes as long
as a few requests.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import count, pairwise

from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    Window,
    from_datetime,
    to_datetime,
)

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}

# Digits, names of months and days, and the signs of cron. croniter's H and R are left out on purpose:
# they stand for hashed and random times, which would differ from one process to the next.
_FIELD = re.compile(
    r"(?:[0-9*/,#-]|L|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT)+", re.I
)
_PLAIN = re.compile(r"\*|[0-9]{1,2}")
_HINT = "write five fields (minute hour day month weekday) such as '0 3 * * *', or one of " + ", ".join(
    PRESETS
)


class Schedule:
    """The boundaries of a five-field cron expression or a preset. Raises ValueError, one sentence."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        text = expression.strip()
        if text.startswith("@"):
            if text not in PRESETS:
                raise ValueError(f"{text!r} is not a preset; {_HINT}")
            text = PRESETS[text]
        fields = text.split()
        if len(fields) != 5 or not all(_FIELD.fullmatch(field) for field in fields):
            raise ValueError(f"{expression!r} is not a cron expression; {_HINT}")
        self.cron = " ".join(fields)
        self._days_cron = " ".join(["0", "0", *fields[2:]])
        self._every_day = fields[2:] == ["*", "*", "*"]
        minutes, hours = _plain(fields[0], 60), _plain(fields[1], 24)
        if minutes is None or hours is None or not self._every_day:
            minutes, hours = self._expanded()
        self._times = sorted(
            hour * TICK_PER_HOUR + minute * TICK_PER_MINUTE for hour in hours for minute in minutes
        )

    def _expanded(self) -> tuple[list[int], list[int]]:
        """The minutes and the hours at which it fires, as croniter reads them; ValueError where it never does."""
        from croniter import CroniterError, croniter

        try:
            minutes, hours, *_ = croniter.expand(self.cron)[0]
            croniter(self._days_cron, to_datetime(0)).get_next(datetime)
            return _numbers(minutes, 60), _numbers(hours, 24)
        except (CroniterError, ValueError, TypeError) as error:
            raise ValueError(f"{self.expression!r} is not a schedule that fires ({error}); {_HINT}") from None

    def __repr__(self) -> str:
        return f"Schedule({self.expression!r})"

    def boundaries(self, window: Window) -> list[int]:
        """Every boundary in the half-open window, in ticks, ascending."""
        found = []
        for tick in self._from(window.start):
            if tick >= window.end:
                break
            found.append(tick)
        return found

    def next_after(self, tick: int) -> int:
        """The first boundary later than ``tick``."""
        return next(self._from(tick + 1))

    def previous_at_or_before(self, tick: int) -> int:
        """The last boundary that is not later than ``tick``."""
        day = tick - tick % TICK_PER_DAY
        if self._fires_on(day):
            for time in reversed(self._times):
                if day + time <= tick:
                    return day + time
        if self._every_day:
            return day - TICK_PER_DAY + self._times[-1]
        from croniter import croniter

        earlier = croniter(self._days_cron, to_datetime(day)).get_prev(datetime)
        return from_datetime(earlier) + self._times[-1]

    def cut(self, window: Window) -> list[Window]:
        """The window in adjoining pieces, cut at every boundary inside it; end pieces may be partial."""
        edges = [window.start, *(tick for tick in self.boundaries(window) if tick > window.start), window.end]
        return [Window(a, b) for a, b in pairwise(edges)]

    def grid(self, start: int) -> int:
        """The coarsest grid, in ticks, on which every boundary of the 366 days after ``start`` lies.

        At least six days with boundaries are looked at, so that a rare schedule meets a leap year too.
        """
        # Every time of day occurs on every day, so one time on all days and all times on one day say it all.
        first = self._times[0]
        common = math.gcd(*(time - first for time in self._times))
        for number, day in enumerate(self._days(start - start % TICK_PER_DAY)):
            if number >= 6 and day >= start + 366 * TICK_PER_DAY:
                break
            common = math.gcd(common, day + first)
            if common and TICK_PER_DAY % common == 0:
                break  # Every other day lies a whole number of days away, so it changes nothing any more.
        return common

    def _fires_on(self, day: int) -> bool:
        return next(self._days(day)) == day

    def _from(self, tick: int) -> Iterator[int]:
        """Every boundary at or after ``tick``, without end."""
        for day in self._days(tick - tick % TICK_PER_DAY):
            yield from (day + time for time in self._times if day + time >= tick)

    def _days(self, day: int) -> Iterator[int]:
        """Midnight of every day with boundaries, from ``day`` on, without end."""
        if self._every_day:  # croniter takes a third of a millisecond for each day
            yield from count(day, TICK_PER_DAY)
        from croniter import croniter

        # One microsecond earlier, so that the day itself is found when it is one of the schedule's.
        days = croniter(self._days_cron, to_datetime(day - 1))
        while True:
            yield from_datetime(days.get_next(datetime))


def _plain(field: str, size: int) -> list[int] | None:
    """The values of a field that is ``*`` or one number of its range; None for any other."""
    if _PLAIN.fullmatch(field) is None:
        return None
    if field == "*":
        return list(range(size))
    return [int(field)] if int(field) < size else None


def _numbers(field: list[int | str], size: int) -> list[int]:
    """The values of one expanded field; croniter writes ``*`` for all of them."""
    if field == ["*"]:
        return list(range(size))
    return [int(value) for value in field]


def largest_slice(grid: int, asked: int) -> int:
    """The longest slice of whole minutes that divides ``grid`` and is not longer than ``asked``, in ticks."""
    minutes = grid // TICK_PER_MINUTE
    for candidate in range(min(asked // TICK_PER_MINUTE, minutes), 1, -1):
        if minutes % candidate == 0:
            return candidate * TICK_PER_MINUTE
    return TICK_PER_MINUTE


def smallest_slice(grid: int, asked: int) -> int:
    """The shortest slice of whole minutes that divides ``grid`` and is not shorter than ``asked``, in ticks."""
    minutes = grid // TICK_PER_MINUTE
    shortest = -(-asked // TICK_PER_MINUTE)
    return next((at for at in range(shortest, minutes) if minutes % at == 0), minutes) * TICK_PER_MINUTE
