"""What the retired Log Search API finds: Windows events and heartbeats at millisecond resolution, from a
seed.

Times are integers of milliseconds since 1970-01-01, ranges half-open.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

EVENTS_PER_DAY = 800
HEARTBEATS_PER_DAY = 288
BUSY_HOUR = 13
BUSY_ROWS = 6200
"""Events of hour 13 of a busy day: more than one search can return."""
_MS_PER_DAY = 86_400_000
_MS_PER_HOUR = 3_600_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEVELS = ["Information"] * 6 + ["Warning"] * 3 + ["Error"]
_SOURCES = ["Service Control Manager", "Microsoft-Windows-Kernel-General", "Größenprüfung"]
_TEXTS = {
    "Information": "The service entered the running state.",
    "Warning": "The name resolution timed out after none of the servers responded.\r\nRetry later.",
    "Error": 'The service "spooler" terminated with the following error: 数据无效',
}

Row = dict[str, Any]


def format_ms(ms: int) -> str:
    """ISO-8601 with milliseconds and Z."""
    at = _EPOCH + timedelta(milliseconds=ms)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03}Z"


@lru_cache(maxsize=32)
def day_rows(seed: int, day: int, busy: bool) -> tuple[list[int], list[Row]]:
    """The times and rows of one day (days since 1970-01-01), in time order."""
    choose = random.Random(f"log-search:{seed}:{day}")
    begin = day * _MS_PER_DAY
    times = [begin + int(choose.random() * _MS_PER_DAY) for _ in range(EVENTS_PER_DAY)]
    # Ties, and a row exactly on the edges of an hour, are everyday things at this resolution.
    times[:6] = [times[6]] * 3 + [begin, begin + _MS_PER_HOUR, begin + _MS_PER_HOUR - 1]
    if busy:
        hour = begin + BUSY_HOUR * _MS_PER_HOUR
        times += [hour + int(choose.random() * _MS_PER_HOUR) for _ in range(BUSY_ROWS)]
    rows = [_event(choose, at) for at in sorted(times)]
    rows += [
        _heartbeat(choose, begin + n * _MS_PER_DAY // HEARTBEATS_PER_DAY) for n in range(HEARTBEATS_PER_DAY)
    ]
    pairs = sorted(((row.pop("_ms"), row["id"], row) for row in rows), key=lambda pair: pair[:2])
    return [at for at, _, _ in pairs], [row for _, _, row in pairs]


def _common(choose: random.Random, kind: str, at: int) -> Row:
    time = format_ms(at)
    return {
        "_ms": at,
        "id": f"{choose.getrandbits(128):032x}",
        "Type": kind,
        "TimeGenerated": time,
        "Computer": f"web-{choose.randrange(4)}.shop.example",
        "SourceSystem": "OpsManager",
        "__metadata": {"Type": kind, "TimeGenerated": time},
    }


def _event(choose: random.Random, at: int) -> Row:
    level = choose.choice(_LEVELS)
    return _common(choose, "Event", at) | {
        "EventLog": "System",
        "EventLevelName": level,
        "EventID": choose.choice([16, 1014, 7031, 7036]),
        "Source": choose.choice(_SOURCES),
        "RenderedDescription": _TEXTS[level],
    }


def _heartbeat(choose: random.Random, at: int) -> Row:
    return _common(choose, "Heartbeat", at) | {"Category": "Direct Agent", "OSType": "Windows"}


def matching(
    seed: int, busy_days: frozenset[date], start: int, stop: int, matches: Callable[[Mapping[str, Any]], bool]
) -> Iterator[Row]:
    """The rows of [start, stop) that match, newest first."""
    if start >= stop:
        return
    for day in range((stop - 1) // _MS_PER_DAY, start // _MS_PER_DAY - 1, -1):
        busy = date(1970, 1, 1) + timedelta(days=day) in busy_days
        times, rows = day_rows(seed, day, busy)
        for row in reversed(rows[bisect_left(times, start) : bisect_left(times, stop)]):
            if matches(row):
                yield row
