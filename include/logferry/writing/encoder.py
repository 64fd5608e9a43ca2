"""The background thread that encodes: compression and checksums need no interpreter lock, so fetching goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")


class Encoder:
    """Does pieces of work one after another, in the order given. Leaving the context waits for the last.

    At most one is under way or waiting, so no more than its rows are in memory beside those being collected. For one
    caller's thread.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="logferry-encode")
        self._newest: Future[None] | None = None

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Begin the work as soon as the one before is done. Raises what that one raised."""
        if self._newest is not None:
            self._newest.result()
        begun = self._threads.submit(work)
        self._newest = begun  # type: ignore[assignment]  # Only its errors are of interest here.
        return begun

    def settle(self) -> None:
        """Wait until nothing is under way; what went wrong there is forgotten."""
        if self._newest is not None:
            wait([self._newest])
        self._newest = None


def finished(value: T) -> Future[T]:
    """What needs no work, as the result of some."""
    future: Future[T] = Future()
    future.set_result(value)
    return future
