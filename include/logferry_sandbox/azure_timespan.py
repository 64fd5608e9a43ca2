"""The `timespan` of a query request: an ISO-8601 duration, start/end, start/duration, or duration/end.

https://learn.microsoft.com/azure/azure-monitor/logs/api/timespan
"""

from __future__ import annotations

import re
from decimal import Decimal

from logferry_sandbox.kql_values import TICKS_PER_DAY, TICKS_PER_SECOND, parse_datetime

_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)
_UNIT_SECONDS = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3600, 60, 1)


def parse_duration(text: str) -> int | None:
    """Ticks of an ISO-8601 duration (a year is 365 days, a month 30); None when the text is none."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    seconds = sum(Decimal(part or 0) * unit for part, unit in zip(match.groups(), _UNIT_SECONDS, strict=True))
    return int(seconds * TICKS_PER_SECOND)


def parse_timespan(text: str, now: int, *, end_inclusive: bool) -> tuple[int, int]:
    """The half-open range of ticks a request's timespan means at `now`; raises ValueError.

    The vendor does not document whether the end belongs to the range, so that is the caller's choice.
    """
    first, slash, second = text.partition("/")
    begin, begin_length = parse_datetime(first), parse_duration(first)
    if not slash:
        if begin_length is None:
            raise ValueError(f"Invalid timespan: '{text}'")
        start, stop = now - begin_length, now
    else:
        end, end_length = parse_datetime(second), parse_duration(second)
        if begin is not None and end is not None:
            start, stop = begin, end
        elif begin is not None and end_length is not None:
            start, stop = begin, begin + end_length
        elif begin_length is not None and end is not None:
            start, stop = end - begin_length, end
        else:
            raise ValueError(f"Invalid timespan: '{text}'")
    return start, stop + 1 if end_inclusive else stop


def unix_seconds_to_ticks(seconds: float) -> int:
    """Ticks since 0001-01-01 of a clock reading."""
    return 719_162 * TICKS_PER_DAY + int(Decimal(str(seconds)) * TICKS_PER_SECOND)
