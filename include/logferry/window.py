"""Half-open UTC intervals in integer ticks: the only place that parses, splits and formats time.

One tick is 100 ns, counted from the Unix epoch. It is the finest resolution of the sources (KQL ``datetime``:
https://learn.microsoft.com/azure/data-explorer/kusto/query/scalar-data-types/datetime); a source with a coarser
clock (Datadog: 1 ms) says so in ``LogSource.tick`` and gets bounds that lie on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

TICK_PER_MICROSECOND = 10
TICK_PER_MS = 10_000
TICK_PER_SECOND = 10_000_000
TICK_PER_MINUTE = 60 * TICK_PER_SECOND
TICK_PER_HOUR = 60 * TICK_PER_MINUTE
TICK_PER_DAY = 24 * TICK_PER_HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_INSTANT = -719_162 * TICK_PER_DAY
"""0001-01-01T00:00:00Z: no calendar here, nor KQL's ``datetime``, reaches further back."""
LAST_INSTANT = 2_932_897 * TICK_PER_DAY - 1
"""9999-12-31T23:59:59.9999999Z, the last tick that can be written."""
EARLIEST = 0
LATEST = 84_006 * TICK_PER_DAY
"""Exports and searches lie in [EARLIEST, LATEST): from 1970 to the end of 2199."""
_UNITS = {"s": TICK_PER_SECOND, "m": TICK_PER_MINUTE, "h": TICK_PER_HOUR, "d": TICK_PER_DAY}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_PLAIN_LENGTH = len("2026-11-20T00:00:00Z")
_PLAIN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_INSTANT = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,7}))?)?([Zz]|[+-]\d{2}(?::?\d{2})?)"
)


def parse_duration(text: str) -> int:
    """Ticks of ``<n>s``, ``<n>m``, ``<n>h`` or ``<n>d``. Raises ValueError with one sentence."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write a whole number and s, m, h or d, such as 30m")
    return int(match[1]) * _UNITS[match[2]]


def format_duration(ticks: int) -> str:
    """The shortest ``<n>s|m|h|d`` that is exactly ``ticks`` (a whole number of seconds)."""
    for unit in ("d", "h", "m", "s"):
        if ticks % _UNITS[unit] == 0 and (ticks or unit == "m"):
            return f"{ticks // _UNITS[unit]}{unit}"
    raise ValueError(f"{ticks} ticks are not a whole number of seconds")


def parse_instant(text: str) -> int:
    """Ticks of an ISO-8601 instant with an offset or ``Z``, up to seven decimals.

    Raises ValueError with one sentence, also for an instant whose UTC year is not one of 1 to 9999.
    """
    if len(text) == _PLAIN_LENGTH and (plain := _plain(text)) is not None:
        return plain
    match = _INSTANT.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not an absolute time with a zone; write it like 2026-11-20T00:00:00Z or with +01:00"
        )
    year, month, day, hour, minute = (int(match[i]) for i in range(1, 6))
    try:
        moment = datetime(year, month, day, hour, minute, int(match[6] or 0), tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date that exists: {error}") from None
    tick = from_datetime(moment) + int((match[7] or "").ljust(7, "0"))
    offset = match[8]
    if offset not in ("Z", "z"):
        digits = offset[1:].replace(":", "").ljust(4, "0")
        hours, minutes = int(digits[:2]), int(digits[2:])
        if hours > 23 or minutes > 59:
            raise ValueError(f"{text!r} has an offset beyond a day")
        distance = hours * TICK_PER_HOUR + minutes * TICK_PER_MINUTE
        tick += -distance if offset[0] == "+" else distance
    if not FIRST_INSTANT <= tick <= LAST_INSTANT:
        raise ValueError(f"{text!r} is not within the years 1 to 9999 of UTC; correct the year")
    return tick


def instant_or_none(text: str | None) -> int | None:
    """``parse_instant``; None for None and for what is no time."""
    try:
        return None if text is None else parse_instant(text)
    except ValueError:
        return None


@lru_cache(maxsize=1 << 16)
def _plain(text: str) -> int | None:
    """An instant as ``format_instant`` writes whole seconds; None for another form. The records of a year of hourly
    slices name tens of thousands of them, each several times."""
    if _PLAIN.fullmatch(text) is None:
        return None
    try:
        return from_datetime(datetime.fromisoformat(text))
    except ValueError:
        return None


def from_datetime(moment: datetime) -> int:
    """Ticks of an aware datetime, exactly (a datetime holds whole microseconds). Naive: ValueError."""
    if moment.tzinfo is None:
        raise ValueError(
            f"{moment.isoformat()} has no zone; give an absolute time such as 2026-11-20T00:00:00Z"
        )
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * TICK_PER_SECOND + delta.microseconds * TICK_PER_MICROSECOND


def to_datetime(tick: int) -> datetime:
    """The UTC datetime at or just before ``tick`` (a datetime cannot hold the last 100 ns digit).

    ValueError with one sentence for a tick outside FIRST_INSTANT to LAST_INSTANT.
    """
    if not FIRST_INSTANT <= tick <= LAST_INSTANT:
        raise ValueError(f"{tick} ticks since 1970 are not within the years 1 to 9999; correct the time")
    return _EPOCH + timedelta(microseconds=tick // TICK_PER_MICROSECOND)


def format_instant(tick: int) -> str:
    """``2026-11-20T00:00:00Z``, with as many decimals as the tick needs (none, 3, 6 or 7).

    ValueError like ``to_datetime``.
    """
    fraction = tick % TICK_PER_SECOND
    # isoformat pads the year; %Y does not on every platform.
    text = to_datetime(tick - fraction).replace(tzinfo=None).isoformat(timespec="seconds")
    if fraction == 0:
        return f"{text}Z"
    digits = f"{fraction:07d}"
    for length in (3, 6):
        if set(digits[length:]) == {"0"}:
            return f"{text}.{digits[:length]}Z"
    return f"{text}.{digits}Z"


def format_compact(tick: int) -> str:
    """``20261120T030000Z`` for object keys; ValueError for a time that is not a whole second."""
    if tick % TICK_PER_SECOND:
        raise ValueError(f"{format_instant(tick)} is not a whole second")
    return format_instant(tick).replace("-", "").replace(":", "")


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """The half-open interval ``[start, end)`` in ticks since the Unix epoch; never empty or reversed."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end <= self.start:
            what = "empty" if self.end == self.start else "reversed"
            raise ValueError(
                f"the window from {format_instant(self.start)} to {format_instant(self.end)} is {what}; "
                "its end must lie after its start"
            )

    def __str__(self) -> str:
        return f"[{format_instant(self.start)}, {format_instant(self.end)})"

    @property
    def ticks(self) -> int:
        """Length in ticks."""
        return self.end - self.start

    def __contains__(self, tick: int) -> bool:
        return self.start <= tick < self.end

    def covers(self, other: Window) -> bool:
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: Window) -> bool:
        """Whether the two share an instant."""
        return self.start < other.end and other.start < self.end

    def on_grid(self, grid: int) -> bool:
        """True when both ends are multiples of ``grid`` ticks since the epoch."""
        return self.start % grid == 0 and self.end % grid == 0

    def slices(self, grid: int) -> Iterator[Window]:
        """The clock-aligned pieces of length ``grid``. The window must lie on the grid: ValueError."""
        if not self.on_grid(grid):
            raise ValueError(f"the window {self} does not lie on the grid of {format_duration(grid)}")
        for start in range(self.start, self.end, grid):
            yield Window(start, start + grid)

    def pieces(self, count: int, tick: int) -> list[Window]:
        """At most ``count`` adjoining pieces of nearly equal length, each edge a multiple of ``tick``.

        Together they are exactly this window. Fewer pieces come back when the window has fewer ticks.
        """
        edges = {self.start, self.end}
        for index in range(1, count):
            edge = (self.start + self.ticks * index // count) // tick * tick
            if self.start < edge < self.end:
                edges.add(edge)
        ordered = sorted(edges)
        return [Window(start, end) for start, end in pairwise(ordered)]
