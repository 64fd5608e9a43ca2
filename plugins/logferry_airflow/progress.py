"""A line in the task log every few seconds, so that a long export is never silent."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from logferry.wording import counted

if TYPE_CHECKING:
    from logferry.budget import Forecast
    from logferry.ferry import Ferry
    from logferry.plan import SlicePlan
    from logferry.publishing.results import SliceResult

HEARTBEAT_S = 10.0
_SOME_ANSWERS = 3
"""From then on the export's own speed says something."""


class Announces(Protocol):
    """A logger, whoever made it."""

    def info(self, event: str, /, *args: object) -> object: ...

    def warning(self, event: str, /, *args: object) -> object: ...


class Heartbeat:
    """A line every ``every_s`` seconds while it is open: ``still <doing>: <how far>``.

    It is a thread, because a page, a proof or a wait for the request budget may take longer than that.
    """

    def __init__(
        self, log: Announces, doing: str, how_far: Callable[[], str], *, every_s: float = HEARTBEAT_S
    ) -> None:
        self._log = log
        self._doing = doing
        self._how_far = how_far
        self._every_s = every_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="logferry-progress", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._closed.wait(self._every_s):
            self._log.info("still %s: %s", self._doing, self._how_far())


def since_now(monotonic: Callable[[], float] = time.monotonic) -> Callable[[], str]:
    """How far, where only the time tells: ``for 1 min 20 s``."""
    began = monotonic()
    return lambda: f"for {said_time(monotonic() - began)}"


def spent(ferry: Ferry) -> str:
    """How far, where requests tell: how many were sent, and how long they waited for the allowance."""
    stats, budget = ferry.client.stats, ferry.client.budget
    sent = counted(sum(stats[kind] for kind in ("search", "count", "schema")), "request")
    waited = f", waited {said_time(budget.waited_s)} for the allowance" if budget.waited_s >= 1 else ""
    return f"{sent} sent{waited}"


class ProgressLog:
    """The engine's ``Progress`` for a task: one line per finished slice, and a heartbeat while it is open."""

    def __init__(
        self,
        log: Announces,
        *,
        slices: int,
        heartbeat_s: float = HEARTBEAT_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._slices = slices
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._heartbeat = Heartbeat(log, "exporting", self.line, every_s=heartbeat_s)
        self._done = self._answers = self._rows = self._bytes = 0
        self._written = 0
        self._wrong: Counter[str] = Counter()
        self._opened = self._began = monotonic()
        self._outlook: Outlook | None = None
        self._kept: list[Callable[[], int]] = []

    def __enter__(self) -> ProgressLog:
        self._heartbeat.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heartbeat.__exit__(kind, error, trace)

    def expect(self, outlook: Outlook) -> None:
        """What is to come, from now on part of every line."""
        self._outlook = outlook
        self._began = self._monotonic()

    def already(self, rows: Callable[[], int]) -> None:
        """Rows that need not be fetched, because an earlier stretch of this task did."""
        self._kept.append(rows)

    def page(self, rows: int, body_bytes: int) -> None:
        """Count one answer."""
        with self._lock:
            self._answers += 1
            self._rows += rows
            self._bytes += body_bytes

    def slice_done(self, result: SliceResult) -> None:
        """Say how one slice ended."""
        with self._lock:
            self._done += 1
            self._written += result.rows
            self._wrong[result.status] += result.status != "proven"
        at_source = "not counted" if result.source_rows is None else f"{result.source_rows:,}"
        tell = self._log.warning if result.status == "short" else self._log.info
        tell(
            "slice %s %s: %s, %s at the source (%d of %s)",
            result.start,
            result.status,
            counted(result.rows, "row"),
            at_source,
            self._done,
            counted(self._slices, "slice"),
        )

    def outcome(self) -> str:
        """What came of it, once it is done."""
        with self._lock:
            wrong = ", ".join(f"{count:,} {status}" for status, count in sorted(self._wrong.items()) if count)
            slices = counted(self._done, "slice") + (f" ({wrong})" if wrong else "")
            return (
                f"{slices}, {counted(self._written, 'row')} written; {counted(self._answers, 'answer')}, "
                f"{self._bytes / 1e6:,.1f} MB received in {said_time(self._monotonic() - self._opened)}"
            )

    def line(self) -> str:
        """How far it is."""
        with self._lock:
            done, answers, rows, size = self._done, self._answers, self._rows, self._bytes
        kept = sum(rows_kept() for rows_kept in self._kept)
        said = [
            f"{done} of {counted(self._slices, 'slice')}",
            counted(answers, "answer"),
            f"{size / 1e6:,.1f} MB received",
        ]
        if self._outlook is None:
            return ", ".join([said[0], said[1], counted(rows, "row"), said[2]])
        elapsed_s = self._monotonic() - self._began
        return ", ".join([*said, *self._outlook.say(answers, rows, kept, elapsed_s)])


class Outlook:
    """What is left of the planned slices, and how long it takes by the allowance that all share."""

    def __init__(self, ferry: Ferry, slices: Sequence[SlicePlan]) -> None:
        # Here, because a DAG file is parsed every few seconds and this brings pyarrow.
        from logferry.plan import estimate_requests

        self._client = ferry.client
        self._forecast = ferry.forecast
        self._at_once = ferry.most_in_flight
        self._requests = estimate_requests(ferry.source, list(slices))
        uncounted = any(planned.to_fetch is None for planned in slices)
        self._planned = None if uncounted else sum(planned.to_fetch or 0 for planned in slices)

    def say(self, answers: int, rows: int, kept: int, elapsed_s: float) -> list[str]:
        """``answers`` with ``rows`` came in ``elapsed_s`` seconds; ``kept`` rows need not come."""
        said = []
        forecast = self._forecast()
        if self._planned is None:
            said.append(counted(rows, "row"))
        else:
            done = min(rows + kept, self._planned)
            share = done / self._planned if self._planned else 1.0
            said.append(f"{done:,} of {self._planned:,} rows ({share:.0%})")
            if left := -(-self._requests * (self._planned - done) // max(1, self._planned)):
                eta_s = self._eta_s(forecast, left, answers, elapsed_s)
                said.append(f"{counted(left, 'request')} left")
                said.append("time unknown" if eta_s is None else f"about {said_time(eta_s)} to go")
        if forecast is not None:
            period = said_time(forecast.period_s)
            said.append(f"allowance {max(0, forecast.left):,} of {forecast.limit:,} for this {period}")
        if throttled := self._client.stats["throttled"]:
            said.append(f"{counted(throttled, 'answer')} of 429")
        if self._client.budget.waited_s >= 1:
            said.append(f"waited {self._client.budget.waited_s:,.0f} s for the allowance")
        return said

    def _eta_s(self, forecast: Forecast | None, left: int, answers: int, elapsed_s: float) -> float | None:
        """Seconds until ``left`` more answers are there; None while nothing is known.

        By the learned allowance, unless the export has been much slower than that: then it is held up by the source, or
        shares its part of the allowance with other tasks, and goes on at its own speed.
        """
        by_allowance = None if forecast is None else forecast.seconds_for(left, at_once=self._at_once)
        if answers < _SOME_ANSWERS:
            return by_allowance
        by_speed = left * elapsed_s / answers
        return by_speed if by_allowance is None or by_allowance < by_speed / 2 else by_allowance


def said_time(seconds: float) -> str:
    """``45 s``, ``7 min 20 s``, ``5 h 3 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
