"""Every form in which an ad-hoc search takes a time, resolved once to an absolute tick.

The forms are those of Datadog's guide to its search API
(https://docs.datadoghq.com/logs/guide/access-your-log-data-programmatically/#time-settings): ISO-8601 with
any offset, milliseconds since the Unix epoch, and date math on the present (``now``, ``now-1h``, ``+1h``,
``-2d``; units s, m, h, d). Exports take absolute times only: ``window.parse_instant``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from logferry.errors import DefinitionError
from logferry.window import (
    EARLIEST,
    LATEST,
    TICK_PER_MS,
    Window,
    format_instant,
    from_datetime,
    parse_duration,
    parse_instant,
)

_MATH = re.compile(r"(now)?((?:[+-][0-9]{1,9}[smhd])*)")
_STEP = re.compile(r"([+-])([0-9]+[smhd])")
_MILLISECONDS = re.compile(r"-?[0-9]{1,15}")
_NAIVE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,7}))?)?)?")
_OFFSET_ZONE = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?(\d{2}))?", re.I)
_DAY_S = 86_400
_FORMS = (
    "write 2026-11-20T00:00:00Z, 2026-11-20T00:00:00+01:00, milliseconds since 1970, now, now-1h, +1h or -2d "
    "(units s m h d)"
)


@dataclass(frozen=True, slots=True)
class TimeForms:
    """Resolves times against one present. ``now``: a tick. ``zone``: of ISO times without one, else None."""

    now: int
    zone: tzinfo | None = None

    def resolve(self, text: str) -> int:
        """The tick that ``text`` means. Raises DefinitionError with the forms there are."""
        written = text.strip()
        math = _MATH.fullmatch(written)
        if written and math:
            tick = self._steps(math[2])
        elif _MILLISECONDS.fullmatch(written):
            tick = int(written) * TICK_PER_MS
        elif naive := _NAIVE.fullmatch(written):
            tick = self._local(text, naive)
        else:
            try:
                tick = parse_instant(written)
            except ValueError as error:
                reason = str(error).partition(";")[0]
                reason = f"{text!r} is not a time" if "absolute time" in reason else reason
                raise DefinitionError(f"{reason}; {_FORMS}") from None
        if not EARLIEST <= tick < LATEST:
            raise DefinitionError(f"{text!r} is not between 1970 and 2200; {_FORMS}")
        return tick

    def range(self, start: str, end: str) -> Window:
        """The half-open range of two times. Raises DefinitionError when it is empty or reversed."""
        first, last = self.resolve(start), self.resolve(end)
        if first >= last:
            what = "ends where it begins" if first == last else "is reversed"
            raise DefinitionError(
                f"the range from {start} ({format_instant(first)}) to {end} ({format_instant(last)}) {what}; "
                "give a --from that lies before --to"
            )
        return Window(first, last)

    def _steps(self, steps: str) -> int:
        tick = self.now
        for sign, length in _STEP.findall(steps):
            tick += parse_duration(length) if sign == "+" else -parse_duration(length)
        return tick

    def _local(self, text: str, match: re.Match[str]) -> int:
        if self.zone is None:
            raise DefinitionError(
                f"{text!r} has no zone; add Z or an offset such as +01:00, or give --timezone or "
                "--time-offset"
            )
        numbers = [int(part or 0) for part in match.groups()[:6]]
        try:
            local = datetime(*numbers, tzinfo=self.zone)  # type: ignore[misc, arg-type]
            folds = {moment.astimezone(UTC) for moment in (local.replace(fold=0), local.replace(fold=1))}
        except (ValueError, OverflowError) as error:
            raise DefinitionError(f"{text!r} is not a date that exists: {error}") from None
        if len(folds) > 1:
            back = [moment.astimezone(self.zone).replace(tzinfo=None) for moment in folds]
            what = "occurs twice" if local.replace(tzinfo=None) in back else "does not exist"
            raise DefinitionError(
                f"{text!r} {what} in {self.zone} (the clock is changed then); write it with an offset"
            )
        return from_datetime(folds.pop()) + int((match[7] or "").ljust(7, "0"))


def zone_of(timezone_name: str | None, offset_s: int | None) -> tzinfo | None:
    """The zone for ISO times without one: an offset in seconds beats a name; None when neither is given.

    A name is a region (``Europe/Paris``), ``UTC`` or a distance from it (``UTC+3``, ``+05:30``).
    Raises DefinitionError.
    """
    if offset_s is not None:
        if abs(offset_s) >= _DAY_S:
            raise DefinitionError(f"the time offset of {offset_s} s is a day or more; give seconds from UTC")
        return timezone(timedelta(seconds=offset_s))
    if timezone_name is None:
        return None
    if match := _OFFSET_ZONE.fullmatch(timezone_name.strip()):
        hours, minutes = int(match[2]), int(match[3] or 0)
        if hours < 24 and minutes < 60:
            distance = timedelta(hours=hours, minutes=minutes)
            return timezone(distance if match[1] == "+" else -distance)
    try:
        return ZoneInfo(timezone_name.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DefinitionError(
            f"the timezone {timezone_name!r} is not known; write a region such as Europe/Paris, or UTC+3"
        ) from None
