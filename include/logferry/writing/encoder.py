"""The background thread that encodes: compression and checksums need no interpreter lock, so fetching goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

_AHEAD_BYTES = 32 * 1024 * 1024
"""What the work under way and behind it may hold in memory: one full row group, or a few short ones, so that rows need
not wait for a group to be done before a short one follows it."""
_MOST_AHEAD = 8
"""Pieces of work that are under way or wait."""


class Encoder:
    """Does pieces of work one after another, in the order given. Leaving the context waits for the last, or by an
    exception only for the one under way.

    For one caller's thread. ``among``: processes that share the memory for what waits.
    """

    def __init__(self, *, among: int = 1) -> None:
        self._ahead_bytes = _AHEAD_BYTES // among
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="logferry-encode")
        self._ahead: deque[tuple[Future[Any], int]] = deque()

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error nobody wants what has not begun.
        self._threads.shutdown(wait=True, cancel_futures=kind is not None)

    def submit(self, work: Callable[[], T], *, size: int = 0) -> Future[T]:
        """Have the work done, which holds ``size`` bytes of memory, as soon as all before it is.

        Waits while what is under way or waits leaves no room for it. Raises what went wrong before.
        """
        while self._ahead and (self._ahead[0][0].done() or not self._has_room(size)):
            # One that failed stays, so that every caller is told until it is dropped.
            self._ahead[0][0].result()
            self._ahead.popleft()
        begun = self._threads.submit(work)
        self._ahead.append((begun, size))
        return begun

    def drop(self, works: Iterable[Future[Any]]) -> None:
        """Nobody wants these any more: what has not begun never will, and what is under way is waited for. What went
        wrong with them is forgotten; all other work goes on."""
        dropped = set(works)
        # wait() would also wait until a thread has come by what is cancelled, and so for what is before it.
        wait([work for work in dropped if not work.cancel()])
        self._ahead = deque((work, size) for work, size in self._ahead if work not in dropped)

    def _has_room(self, size: int) -> bool:
        held = sum(size for _, size in self._ahead)
        return held + size <= self._ahead_bytes and len(self._ahead) < _MOST_AHEAD


def finished(value: T) -> Future[T]:
    """What needs no work, as the result of some."""
    future: Future[T] = Future()
    future.set_result(value)
    return future
