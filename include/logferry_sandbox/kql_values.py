"""KQL scalar values: types, ticks, literals, and the JSON the Log Analytics query API puts on the wire.

Times are integers of 100 ns since 0001-01-01 (the .NET epoch, which `bin()` is relative to); timespans are
integers of 100 ns. Source: https://learn.microsoft.com/kusto/query/scalar-data-types/
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

TICKS_PER_SECOND = 10_000_000
TICKS_PER_DAY = 86_400 * TICKS_PER_SECOND
UNIX_EPOCH_TICKS = date(1970, 1, 1).toordinal() * TICKS_PER_DAY - TICKS_PER_DAY
"""Ticks from 0001-01-01 to 1970-01-01."""
MAX_TICKS = 3_652_059 * TICKS_PER_DAY
"""One past the last tick of the year 9999."""

NET_TYPES = {
    "bool": "System.SByte",
    "int": "System.Int32",
    "long": "System.Int64",
    "real": "System.Double",
    "decimal": "System.Data.SqlTypes.SqlDecimal",
    "string": "System.String",
    "guid": "System.Guid",
    "datetime": "System.DateTime",
    "timespan": "System.TimeSpan",
    "dynamic": "System.Object",
}
NUMERIC = ("int", "long", "real", "decimal")
_COMPACT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

_DATETIME = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7})\d*)?)?)?"
    r"\s*(Z|[+-]\d{2}:?\d{2})?"
)
_TIMESPAN = re.compile(r"(-)?(?:(\d+)\.)?(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,7}))?)?")
_UNITS = {
    "d": TICKS_PER_DAY,
    "day": TICKS_PER_DAY,
    "days": TICKS_PER_DAY,
    "h": 3600 * TICKS_PER_SECOND,
    "hr": 3600 * TICKS_PER_SECOND,
    "hour": 3600 * TICKS_PER_SECOND,
    "hours": 3600 * TICKS_PER_SECOND,
    "m": 60 * TICKS_PER_SECOND,
    "min": 60 * TICKS_PER_SECOND,
    "minute": 60 * TICKS_PER_SECOND,
    "minutes": 60 * TICKS_PER_SECOND,
    "s": TICKS_PER_SECOND,
    "sec": TICKS_PER_SECOND,
    "second": TICKS_PER_SECOND,
    "seconds": TICKS_PER_SECOND,
    "ms": 10_000,
    "millisecond": 10_000,
    "milliseconds": 10_000,
    "microsecond": 10,
    "microseconds": 10,
    "tick": 1,
    "ticks": 1,
}
TIMESPAN_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))


def parse_datetime(text: str) -> int | None:
    """Ticks of an ISO-8601 date or time (no zone means UTC); None when the text is no datetime."""
    match = _DATETIME.fullmatch(text.strip())
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - 1
    except ValueError:
        return None
    clock = (int(hour or 0), int(minute or 0), int(second or 0))
    if clock[0] > 23 or clock[1] > 59 or clock[2] > 59:
        return None
    seconds = clock[0] * 3600 + clock[1] * 60 + clock[2]
    if zone and zone != "Z":
        shift = int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
        seconds -= shift if zone[0] == "+" else -shift
    return days * TICKS_PER_DAY + seconds * TICKS_PER_SECOND + int((fraction or "0").ljust(7, "0"))


@lru_cache(maxsize=200_000)
def _second_text(second: int) -> str:
    days, rest = divmod(second, 86_400)
    return f"{date.fromordinal(days + 1).isoformat()}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"


def format_datetime(ticks: int) -> str:
    """ISO-8601 with 0 to 7 decimals and Z, the way the query API prints a datetime."""
    second, fraction = divmod(ticks, TICKS_PER_SECOND)
    if not fraction:
        return _second_text(second) + "Z"
    return f"{_second_text(second)}.{f'{fraction:07}'.rstrip('0')}Z"


def parse_timespan(text: str) -> int | None:
    """Ticks of `[-][d.]hh:mm[:ss[.fffffff]]`, `1.5h`, `3d`, `10ticks`, or a bare number of days; None
    otherwise.
    """
    text = text.strip()
    match = _TIMESPAN.fullmatch(text)
    if match is not None:
        sign, days, hours, minutes, seconds, fraction = match.groups()
        total = int(days or 0) * 86_400 + int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)
        ticks = total * TICKS_PER_SECOND + int((fraction or "0").ljust(7, "0"))
        return -ticks if sign else ticks
    unit = re.fullmatch(rf"(-?\d+(?:\.\d+)?)\s*({TIMESPAN_UNIT})?", text)
    if unit is None:
        return None
    return int(Decimal(unit[1]) * _UNITS[unit[2] or "d"])


def format_timespan(ticks: int) -> str:
    """`[-][d.]hh:mm:ss[.fffffff]`."""
    sign, ticks = ("-", -ticks) if ticks < 0 else ("", ticks)
    days, rest = divmod(ticks, TICKS_PER_DAY)
    seconds, fraction = divmod(rest, TICKS_PER_SECOND)
    clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{sign}{f'{days}.' if days else ''}{clock}{f'.{fraction:07}' if fraction else ''}"


def format_real(value: float) -> str:
    """The text of a real: `NaN`, `Infinity`, `-Infinity`, or the shortest round-trip number."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def dump_dynamic(value: Any) -> str:
    """Compact JSON text of a dynamic value."""
    return _COMPACT.encode(value)


def to_text(kind: str, value: Any) -> str:
    """`tostring()`: null becomes the empty string."""
    if value is None:
        return ""
    match kind:
        case "string" | "guid":
            return str(value)
        case "bool":
            return "True" if value else "False"
        case "datetime":
            second, fraction = divmod(value, TICKS_PER_SECOND)
            return f"{_second_text(second)}.{fraction:07}Z"
        case "timespan":
            return format_timespan(value)
        case "real":
            return format_real(value)
        case "dynamic":
            return value if isinstance(value, str) else dump_dynamic(value)
        case _:
            return str(value)


def _whole(value: Any, text: str) -> int | None:
    if isinstance(value, float):
        return int(value) if math.isfinite(value) else None
    try:
        return int(Decimal(text))
    except (InvalidOperation, ValueError, OverflowError):
        return None


def _to_int(kind: str, value: Any, bits: int) -> int | None:
    if value is None:
        return None
    number = int(value) if isinstance(value, int) else _whole(value, to_text(kind, value))
    return number if number is not None and -(1 << bits - 1) <= number < 1 << bits - 1 else None


def _to_real(kind: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, int | float | Decimal):
        return float(value)
    try:
        return float(to_text(kind, value))
    except ValueError:
        return None


def _to_decimal(kind: str, value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        return Decimal(to_text(kind, value))
    except InvalidOperation:
        return None


def _to_bool(kind: str, value: Any) -> bool | None:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float | Decimal):
        return bool(value)
    return {"true": True, "false": False, "1": True, "0": False}.get(to_text(kind, value).lower())


def parse_dynamic(text: str) -> Any:
    """`todynamic()`: JSON when it parses, the bare string otherwise, null for nothing."""
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def convert(kind: str, value: Any, target: str) -> Any:
    """`value` of type `kind` as type `target`; null when it does not convert (KQL `toX()` rules)."""
    if kind == target:
        return value
    match target:
        case "string":
            return to_text(kind, value)
        case "long":
            return _to_int(kind, value, 64)
        case "int":
            return _to_int(kind, value, 32)
        case "real":
            return _to_real(kind, value)
        case "decimal":
            return _to_decimal(kind, value)
        case "bool":
            return _to_bool(kind, value)
        case "dynamic":
            return parse_dynamic(value) if kind == "string" else value
    if value is None:
        return None
    text = to_text(kind, value)
    match target:
        case "datetime":
            return value if kind in ("int", "long") else parse_datetime(text)
        case "timespan":
            return value if kind in ("int", "long") else parse_timespan(text)
        case "guid":
            return (
                text.lower()
                if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text)
                else None
            )
    raise ValueError(f"unknown KQL type {target}")


def _encode_dynamic(value: Any) -> str:
    # A dynamic that holds a plain string arrives bare; everything else as JSON text inside a string.
    return encode_basestring(value if isinstance(value, str) else dump_dynamic(value))


def _encode_real(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'"{format_real(value)}"'


ENCODERS: dict[str, Callable[[Any], str]] = {
    "bool": lambda value: "true" if value else "false",
    "int": str,
    "long": str,
    "real": _encode_real,
    "decimal": lambda value: f'"{value}"',
    "datetime": lambda value: f'"{format_datetime(value)}"',
    "timespan": lambda value: f'"{format_timespan(value)}"',
    "guid": lambda value: f'"{value}"',
    "string": encode_basestring,
    "dynamic": _encode_dynamic,
}


def encode_cells(kind: str, values: list[Any]) -> list[str]:
    """The JSON text of every value of one column, as the query API writes it in `rows`."""
    encode = ENCODERS[kind]
    return ["null" if value is None else encode(value) for value in values]
