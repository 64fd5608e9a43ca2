"""The request budget of one credential, shared by every thread and process of this machine.

Each API bucket has an allowance of ``limit`` requests per ``period_s`` seconds, learned from the answers:
Datadog names it in ``X-RateLimit-Limit/-Period/-Remaining/-Reset`` (Reset is the seconds to go; periods are
aligned to the clock: https://docs.datadoghq.com/api/latest/rate-limits/). Azure documents 200 requests per 30 s
for a principal and says nothing in its answers but ``Retry-After`` on a 429
(https://learn.microsoft.com/azure/azure-monitor/service-limits#log-analytics-workspaces).

A reserve is left to the people of the same organisation: 10 %, kept on the average of periods, so that an
allowance of 3 still gives 27 requests in 10 periods.

The state of a bucket is one small JSON file under a lock, so that the tasks of one machine share what they know.
It holds counters only, never a credential.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import random
import stat
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

import msgspec

from logferry.clock import Clock, SystemClock
from logferry.errors import DefinitionError, StoreError, Unavailable
from logferry.window import TICK_PER_MS, TICK_PER_SECOND

log = logging.getLogger(__name__)

RESERVE = 0.10
LONGEST_WAIT_S = 120.0
"""The longest pause asked for by a server that is slept through inside a call."""
_WORTH_SAYING_S = 5.0
_EPOCH_SECONDS = 1_000_000_000
"""A Reset beyond this many seconds can only be a point in time, not a wait."""
_LONGEST_BLOCK_MS = 24 * 3_600_000
"""No allowance is counted over more than a day; a longer wish is a mistake."""


class Allowance(msgspec.Struct):
    """What is known of one bucket; times in milliseconds since the Unix epoch.

    ``blocked_until_ms``: before it nothing is sent, because an answer said 429.
    """

    limit: int | None = None
    period_ms: int = 10_000
    period_ends_ms: int = 0
    spent: int = 0
    carried: float = 0.0
    grant: int = 0
    blocked_until_ms: int = 0

    def roll(self, now_ms: int) -> None:
        """Start the next period when the current one is over."""
        if self.limit is None or now_ms < self.period_ends_ms:
            return
        exact = self.limit * (1 - RESERVE) + self.carried
        self.grant = max(1, int(exact))
        self.carried = min(max(exact - self.grant, 0.0), 1.0)
        self.spent = 0
        self.period_ends_ms = (now_ms // self.period_ms + 1) * self.period_ms


KNOWN_ALLOWANCES: dict[str, tuple[int, int]] = {"azure_query": (200, 30), "azure_arm": (200, 30)}
"""Documented allowances (requests, seconds) of APIs that do not name theirs in the answers."""


class Budget:
    """Hands out permission to send one request at a time.

    ``key`` names the credential (a digest, not the credential). ``folder`` is where the machine's processes
    meet; the default lies in the temporary folder and belongs to this user alone.
    """

    def __init__(self, key: str, *, clock: Clock | None = None, folder: Path | None = None) -> None:
        self._clock = clock or SystemClock()
        self._folder = folder or Path(tempfile.gettempdir()) / f"logferry-{os.getuid()}"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self._folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise DefinitionError(
                f"{self._folder} can be written by other users; remove it, or set TMPDIR to a folder of yours"
            )
        self._key = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.waited_s = 0.0

    def acquire(self, bucket: str) -> None:
        """Wait until the bucket has a request to give, and take it.

        Raises Unavailable when the source asked for a longer pause than LONGEST_WAIT_S: the caller may have
        better things to do than to sleep. An ordinary period is waited for, however long it is.
        """
        while (wait_ms := self._take(bucket)) > 0:
            blocked_s = self._blocked_ms(bucket) / 1000
            if blocked_s > LONGEST_WAIT_S:
                raise Unavailable(f"the source asked for a pause of {blocked_s:.0f} s", wait_s=blocked_s)
            pause = wait_ms / 1000 + random.uniform(0.01, 0.1)
            self.waited_s += pause
            if pause > _WORTH_SAYING_S:
                log.info("waiting %.0f s for the allowance of %s", pause, bucket)
            self._clock.sleep(pause)

    def learn(self, bucket: str, status: int, headers: Mapping[str, str]) -> None:
        """Correct the bucket by what an answer says about it."""
        limit, period = _whole(headers, "x-ratelimit-limit"), _whole(headers, "x-ratelimit-period")
        remaining, reset = _whole(headers, "x-ratelimit-remaining"), _whole(headers, "x-ratelimit-reset")
        if reset is not None and reset > _EPOCH_SECONDS:
            reset = max(0, reset - self._clock.now() // TICK_PER_SECOND)
        with self._state(bucket) as state:
            now_ms = self._now_ms()
            if limit and period and limit > 0 and 0 < period * 1000 <= _LONGEST_BLOCK_MS:
                known = state.limit
                state.limit, state.period_ms = limit, period * 1000
                if known != limit:
                    state.grant, state.carried = max(1, int(limit * (1 - RESERVE))), 0.0
                if reset is not None:
                    ends_ms = now_ms + min(reset, period) * 1000
                    if known is None or abs(ends_ms - state.period_ends_ms) > 1000:
                        # Reset is rounded to seconds: the clock's own period border is the truer one.
                        aligned_ms = (now_ms // state.period_ms + 1) * state.period_ms
                        state.period_ends_ms = aligned_ms if abs(ends_ms - aligned_ms) <= 1000 else ends_ms
                if remaining is not None:
                    state.spent = max(state.spent, limit - remaining)
            if status == 429:
                wait_s = reset if reset is not None else retry_after_s(headers, self._clock)
                wait_ms = int(wait_s * 1000) if wait_s else state.period_ms
                state.blocked_until_ms = max(state.blocked_until_ms, now_ms + min(wait_ms, _LONGEST_BLOCK_MS))

    def requests_per_second(self, bucket: str) -> float | None:
        """The learned allowance less the reserve; None while nothing is known."""
        with self._state(bucket) as state:
            if state.limit is None:
                return None
            return state.limit * (1 - RESERVE) * 1000 / state.period_ms

    def _take(self, bucket: str) -> int:
        """Take one request: 0, or the milliseconds to wait before asking again."""
        with self._state(bucket) as state:
            now_ms = self._now_ms()
            if now_ms < state.blocked_until_ms:
                return state.blocked_until_ms - now_ms
            state.roll(now_ms)
            if state.limit is not None and state.spent >= state.grant:
                return max(1, state.period_ends_ms - now_ms)
            state.spent += 1
            return 0

    def _blocked_ms(self, bucket: str) -> int:
        with self._state(bucket) as state:
            return max(0, state.blocked_until_ms - self._now_ms())

    def _now_ms(self) -> int:
        return self._clock.now() // TICK_PER_MS

    @contextlib.contextmanager
    def _state(self, bucket: str) -> Iterator[Allowance]:
        path = self._folder / f"budget-{self._key}-{bucket}.json"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            # Someone tidied the temporary folder under a long run.
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(
                f"cannot keep the request budget in {path}: {error.strerror}; set TMPDIR"
            ) from error
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            try:
                state = msgspec.json.decode(file.read() or b"{}", type=Allowance)
            except (msgspec.DecodeError, UnicodeDecodeError):
                state = Allowance()
            if not 0 < state.period_ms <= _LONGEST_BLOCK_MS:
                state = Allowance()
            if state.limit is None and bucket in KNOWN_ALLOWANCES:
                limit, seconds = KNOWN_ALLOWANCES[bucket]
                state = Allowance(limit=limit, period_ms=seconds * 1000)
            # A clock that was set back must not make anyone wait for a time that never was.
            now_ms = self._now_ms()
            state.period_ends_ms = min(state.period_ends_ms, now_ms + state.period_ms)
            state.blocked_until_ms = min(state.blocked_until_ms, now_ms + _LONGEST_BLOCK_MS)
            yield state
            file.seek(0)
            file.truncate()
            file.write(msgspec.json.encode(state))


def retry_after_s(headers: Mapping[str, str], clock: Clock | None = None) -> float | None:
    """Seconds that ``Retry-After`` asks for (a number of seconds or an HTTP date); None without one."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_BLOCK_MS / 1000)
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
        return int(float(text)) if text else None
    except (ValueError, OverflowError):
        return None
