"""A line in the task log every few seconds, so that a long export is never silent."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from logferry.publishing.publish import SliceResult

HEARTBEAT_S = 10.0


class Announces(Protocol):
    """A logger, whoever made it."""

    def info(self, event: str, /, *args: object) -> object: ...


class ProgressLog:
    """The engine's ``Progress`` for a task: one line per finished slice, and one every 10 s while it is open.

    The heartbeat is a thread, because a page, a proof or a wait for the request budget may take longer than 10 s.
    """

    def __init__(self, log: Announces, *, slices: int, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._log = log
        self._slices = slices
        self._heartbeat_s = heartbeat_s
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="logferry-progress", daemon=True)
        self._done = self._answers = self._rows = self._bytes = 0

    def __enter__(self) -> ProgressLog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

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
        counted = "not counted" if result.source_rows is None else f"{result.source_rows:,}"
        self._log.info(
            "slice %s %s: %s rows, %s at the source (%s)",
            result.start,
            result.status,
            f"{result.rows:,}",
            counted,
            self.line(),
        )

    def line(self) -> str:
        """How far it is."""
        with self._lock:
            return (
                f"{self._done} of {self._slices} slices, {self._answers:,} answers, {self._rows:,} rows, "
                f"{self._bytes / 1e6:,.1f} MB received"
            )

    def _beat(self) -> None:
        while not self._closed.wait(self._heartbeat_s):
            self._log.info("still exporting: %s", self.line())
