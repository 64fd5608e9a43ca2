"""The time forms the Datadog Logs API accepts, as integer epoch milliseconds.

Source: https://docs.datadoghq.com/logs/guide/access-your-log-data-programmatically/
"""

import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

_DATE_MATH = re.compile(r"now|(?:now)?([+-])(\d{1,9})([smhdw])")
_EPOCH_MS = re.compile(r"\d{1,15}")
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:?\d\d)",
)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_INTERVAL = re.compile(r"(\d{1,15})([smhdw]?)")


def parse_instant(value: Any, now_ms: int) -> int:
    """Epoch ms of an ISO-8601 text with zone, epoch milliseconds (text or number), or date math on ``now``.

    Digits below the millisecond are cut off. Raises ValueError for anything else, naive times included.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        if math := _DATE_MATH.fullmatch(value):
            sign, amount, unit = math.groups()
            if sign is None:
                return now_ms
            offset = int(amount) * _UNIT_MS[unit]
            return now_ms + offset if sign == "+" else now_ms - offset
        if _EPOCH_MS.fullmatch(value):
            return int(value)
        if iso := _ISO.fullmatch(value):
            day, clock, fraction, zone = iso.groups()
            with suppress(ValueError):  # digits in the right places that are no date
                whole = datetime.fromisoformat(f"{day}T{clock}{zone.upper()}")
                return int(whole.timestamp()) * 1000 + int(((fraction or "") + "000")[:3])
    raise ValueError(f"not a date: {value!r}")


def parse_interval(value: Any) -> int:
    """Milliseconds of ``5m``, ``1h``, ``1d`` or of a text of milliseconds. Raises ValueError."""
    match = _INTERVAL.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ValueError(f"not an interval: {value!r}")
    return int(match[1]) * _UNIT_MS.get(match[2], 1)


def format_instant(epoch_ms: int) -> str:
    """``2026-11-20T03:00:00.123Z``."""
    seconds, ms = divmod(epoch_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
