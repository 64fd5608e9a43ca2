"""Limits and cache of the query API: a rate per principal, concurrent queries, and the two-minute response
cache.

https://learn.microsoft.com/azure/azure-monitor/service-limits#log-queries-and-language
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from logferry_sandbox.http_server import HttpResponse

Clock = Callable[[], float]


class RateLimit:
    """At most so many requests of one principal in a sliding window."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def admit(self, principal: str, limit: int, window_s: float) -> int | None:
        """None when the request may pass, else the whole seconds until one may."""
        now = self._clock()
        with self._lock:
            recent = self._recent[principal]
            while recent and recent[0] <= now - window_s:
                recent.popleft()
            if len(recent) >= limit:
                return max(1, math.ceil(recent[0] + window_s - now))
            recent.append(now)
            return None


class Concurrency:
    """How many queries of each principal run at this moment."""

    def __init__(self) -> None:
        self._running: defaultdict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    @contextmanager
    def enter(self, principal: str, limit: int) -> Iterator[bool]:
        """Yields whether the query may run beside those already running."""
        with self._lock:
            admitted = self._running[principal] < limit
            if admitted:
                self._running[principal] += 1
        try:
            yield admitted
        finally:
            if admitted:
                with self._lock:
                    self._running[principal] -= 1


@dataclass(frozen=True, slots=True)
class Cached:
    at: float
    response: HttpResponse


class ResponseCache:
    """Answers by request; at most `_KEPT` of them, each of moderate size."""

    _KEPT = 64
    _LARGEST = 4_000_000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: dict[tuple[str, ...], Cached] = {}
        self._lock = threading.Lock()

    def put(self, key: tuple[str, ...], response: HttpResponse) -> None:
        """Remember an answer."""
        if response.size > self._LARGEST or response.pieces:
            return
        with self._lock:
            self._answers.pop(key, None)
            self._answers[key] = Cached(self._clock(), response)
            while len(self._answers) > self._KEPT:
                del self._answers[next(iter(self._answers))]

    def get(self, key: tuple[str, ...], max_age_s: float) -> HttpResponse | None:
        """The remembered answer, with its `Age`, unless it is older than `max_age_s`."""
        with self._lock:
            cached = self._answers.get(key)
        if cached is None:
            return None
        age = self._clock() - cached.at
        if age > max_age_s:
            return None
        response = cached.response
        return replace(response, headers=response.headers | {"Age": str(int(age))})
