"""What the headers of an answer say about the allowance.

Datadog names it in ``X-RateLimit-Limit/-Period/-Remaining/-Reset``; Reset is the seconds to go, in whole numbers
(https://docs.datadoghq.com/api/latest/rate-limits/). Azure says nothing but ``Retry-After`` on a 429
(https://learn.microsoft.com/azure/azure-monitor/service-limits#log-analytics-workspaces); on any other status that
header means nothing. A value that cannot be is taken as not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from logferry.clock import Clock, SystemClock
from logferry.window import TICK_PER_SECOND

LONGEST_MS = 24 * 3_600_000
"""No allowance is counted over more than a day; a longer wish is a mistake."""
_EPOCH_SECONDS = 1_000_000_000
"""A Reset beyond this many seconds can only be a point in time, not a wait."""
_MOST_REQUESTS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RateAnswer:
    """One answer: ``limit`` requests per ``period_ms`` (both or neither), ``remaining`` of them, ``reset_ms`` until the
    period ends; ``wait_ms``: what a 429 asks for, None where it names no time or the status is another one."""

    status: int = 200
    limit: int | None = None
    period_ms: int | None = None
    remaining: int | None = None
    reset_ms: int | None = None
    wait_ms: int | None = None


def read_answer(status: int, headers: Mapping[str, str], clock: Clock) -> RateAnswer:
    """``headers``: names in lower case."""
    limit, period_s = _whole(headers, "x-ratelimit-limit"), _whole(headers, "x-ratelimit-period")
    if not limit or not period_s or period_s * 1000 > LONGEST_MS or limit > _MOST_REQUESTS:
        limit = period_s = None
    remaining, reset_s = _whole(headers, "x-ratelimit-remaining"), _whole(headers, "x-ratelimit-reset")
    if reset_s is not None and reset_s > _EPOCH_SECONDS:
        reset_s = max(0, reset_s - clock.now() // TICK_PER_SECOND)
    wait_s = None
    if status == 429:
        wait_s = reset_s if reset_s is not None else retry_after_s(headers, clock)
    if reset_s is not None and period_s is not None:
        reset_s = min(reset_s, period_s)
    return RateAnswer(
        status=status,
        limit=limit,
        period_ms=period_s and period_s * 1000,
        remaining=None if limit is None or remaining is None else min(remaining, limit),
        reset_ms=None if reset_s is None else reset_s * 1000,
        wait_ms=None if wait_s is None else min(int(wait_s * 1000), LONGEST_MS),
    )


def retry_after_s(headers: Mapping[str, str], clock: Clock | None = None) -> float | None:
    """Seconds that ``Retry-After`` asks for (a number of seconds or an HTTP date), a day at most; None without one."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_MS / 1000)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    # An HTTP date is in UTC by definition, whether it says so or not.
    at = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, at.timestamp() - (clock or SystemClock()).now() / TICK_PER_SECOND)


def _whole(headers: Mapping[str, str], name: str) -> int | None:
    text = headers.get(name, "").strip()
    try:
        number = int(float(text)) if text else None
    except (ValueError, OverflowError):
        return None
    return None if number is None or number < 0 else number
