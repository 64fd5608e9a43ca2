"""The crew of one window: this process, and its mate where that saves time, each taking the next chunk."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from logferry.mate import Mate, MateLost
from logferry.plan import Chunk, Plan
from logferry.publishing.results import ChunkResult

if TYPE_CHECKING:
    from logferry.ferry import Ferry

log = logging.getLogger(__name__)

_MOST_ROWS = 1_000_000
"""Rows of a chunk: every one ends in a count, and its lanes in a standstill."""
_WORTH_ROWS = 20_000
"""Rows of a window from which a mate saves more than it costs."""
_LEAST_IN_FLIGHT = 4
"""Searches under way at once from which each process can fetch ahead with its half."""
_LARGEST_PART = 0.75
"""Share of a window's rows that its largest chunk may have: whoever has one of more would be quicker with the whole
machine."""
_ROWS_PER_S = 50_000
"""Rows that one process exports in a second (benchmarks/RESULTS.md); a source that lets come fewer keeps no second one
busy."""


def export_plan(ferry: Ferry, plan: Plan, mate: Mate | None) -> list[ChunkResult]:
    """The results of all of the plan's chunks, in order of time. After a failure nothing of them stays staged."""
    if mate is not None and mate.can_work and _is_worth(ferry, plan):
        rows = _rows(plan)
        rounds = -(-rows // (2 * _MOST_ROWS))
        chunks = plan.chunks(rows_per_chunk=-(-rows // (2 * rounds)))
        if max(map(_rows, chunks)) <= rows * _LARGEST_PART:
            return _Crew(ferry, chunks, among=2).work(mate)
    return _Crew(ferry, plan.chunks(rows_per_chunk=_MOST_ROWS), among=1).work(None)


def _is_worth(ferry: Ferry, plan: Plan) -> bool:
    held_up = plan.eta_s is not None and plan.eta_s > _rows(plan) / _ROWS_PER_S
    return ferry.most_in_flight >= _LEAST_IN_FLIGHT and _rows(plan) >= _WORTH_ROWS and not held_up


def _rows(work: Plan | Chunk) -> int:
    return sum(planned.to_fetch or 0 for planned in work.slices)


class _MateFailed(Exception):
    """What is done here is not wanted any more."""


class _Crew:
    """The chunks of one window, of which each process takes the next. ``among``: the processes."""

    def __init__(self, ferry: Ferry, chunks: list[Chunk], *, among: int) -> None:
        self._ferry = ferry
        self._among = among
        self._left = deque(enumerate(chunks))
        self._done: dict[int, ChunkResult] = {}
        self._failure: BaseException | None = None
        """Of the mate."""
        self._is_given_up = False

    def work(self, mate: Mate | None) -> list[ChunkResult]:
        """Do them all, with the mate's help."""
        try:
            with nullcontext() if mate is None else self._helped_by(mate):
                self._take_all(self._export_here)
            # What a mate that was lost was at.
            self._among = 1
            self._take_all(self._export_here)
        except BaseException as error:
            with suppress(Exception):
                self._ferry.discard(list(self._done.values()))
            if isinstance(error, _MateFailed) and self._failure is not None:
                raise self._failure from None
            raise
        return [self._done[place] for place in sorted(self._done)]

    @contextmanager
    def _helped_by(self, mate: Mate) -> Iterator[None]:
        """At the end of the context the mate has finished what it took; when the context fails that is broken off."""
        helper = threading.Thread(target=self._take_with, args=(mate,), name="mate")
        try:
            helper.start()
            yield
            helper.join()
        except BaseException:
            self._is_given_up = True
            if helper.is_alive():
                mate.close()
                helper.join()
            raise
        self._check()

    def _take_with(self, mate: Mate) -> None:
        try:
            self._take_all(lambda chunk: mate.export(chunk, self._ferry.progress, among=self._among))
        except MateLost as error:
            if not self._is_given_up:
                log.warning(
                    "the second process of this export has ended (%s); what it was at is fetched here", error
                )
        except BaseException as error:  # whatever it is, the window must not look whole
            self._failure = error

    def _take_all(self, export: Callable[[Chunk], ChunkResult]) -> None:
        """Until none is left."""
        while True:
            try:
                place, chunk = self._left.popleft()
            except IndexError:
                return
            try:
                self._done[place] = export(chunk)
            except MateLost:
                self._left.appendleft((place, chunk))
                raise

    def _export_here(self, chunk: Chunk) -> ChunkResult:
        self._check()
        return self._ferry.export(chunk, before_slice=self._check, among=self._among)

    def _check(self) -> None:
        if self._failure is not None:
            raise _MateFailed
