"""Lanes: threads that fetch ahead, while the rows are taken strictly in order.

Requests spend most of their time under way. So several jobs are fetched at once, begun in order of time; the first
one's rows are handed on as they come, those of the others wait in the line.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from logferry.body import forget_body
from logferry.clock import Stopped, stoppable
from logferry.fetching.fetch import Fetcher
from logferry.fetching.job import Fetched, Job
from logferry.fetching.line import Line, Place
from logferry.fetching.memory_pool import use_thrifty_pool
from logferry.fetching.turns import short_turns

_AHEAD = 2
"""Jobs for each lane that are under way or wait: one that is done early finds another."""
_LEAST_PAGES, _ENOUGH_PAGES = 10, 15
"""Pages of the smallest piece, and of one that is large enough for every purpose: its rows make a row group, and the
rows of those behind the head, which wait, fit the memory that they may take."""
_ANSWERS_BYTES = 64 * 1024 * 1024
"""What the answers that the lanes work on may take together."""
_ALLOWANCE_S = 1.0
"""Seconds for which a known allowance holds."""
_PATIENCE_S = 2.0
"""Seconds that the threads are waited for at the end. They are told to stop before: what still waits for an answer
then sends nothing after it, and dies with the process."""


class Lanes:
    """Lanes of one fetcher, of which at most ``most`` have a search under way; with one everything is fetched where it
    is taken, without threads.

    ``folder``: where rows wait that find no room in memory. ``allowance()``: requests per second that the budget
    has to give, None while that is not known. ``among``: processes that share the memory for answers and rows.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        most: int,
        folder: Path,
        allowance: Callable[[], float | None],
        among: int = 1,
    ) -> None:
        self.most = most
        fetcher.gate.ask_at_once(most)
        self._fetcher = fetcher
        self._folder = folder
        self._allowance = allowance
        self._among = among

    def least_rows(self, rows: int) -> int | None:
        """Rows of a piece that are enough where ``rows`` are to be fetched, so that there is one for every lane; None
        where pieces are to be as large as they can."""
        source = self._fetcher.source
        if self.most < 2 or source.answer_rows is not None:
            return None
        pages = rows // (_AHEAD * self.most * source.page_rows)
        return min(max(_LEAST_PAGES, pages), _ENOUGH_PAGES) * source.page_rows

    @contextlib.contextmanager
    def fetched(self, jobs: Iterator[Job]) -> Iterator[FetchedJobs]:
        """The jobs in their order, each to be taken before the next is asked for; what is left of it then is lost.

        ``jobs`` is advanced by the lanes, one at a time, as they become free. Leaving the context ends them.
        """
        if self.most < 2:
            yield FetchedJobs((Fetched.here(job, self._fetcher) for job in jobs), None)
            return
        use_thrifty_pool()
        with short_turns():
            line = Line(self._folder, among=self._among)
            crew = _Crew(self._fetcher, jobs, line, self.most, self._allowance, self._among)
            try:
                crew.grow()
                yield FetchedJobs(
                    (Fetched(place.job, place.account, line.finals(place)) for place in line.places()), line
                )
            finally:
                try:
                    line.close()
                finally:
                    crew.join()


class FetchedJobs(Iterator[Fetched]):
    """What ``Lanes.fetched`` gives."""

    def __init__(self, jobs: Iterator[Fetched], line: Line | None) -> None:
        self._jobs = jobs
        self._line = line

    def __next__(self) -> Fetched:
        return next(self._jobs)

    def rest(self) -> Iterator[Fetched]:
        """After one that failed: those behind it that are whole already. Nothing more is asked for.

        Raises, at the end, what kept other jobs from being chosen.
        """
        if self._line is not None:
            self._line.end_behind_head()
            yield from self._jobs


class _Crew:
    """The threads of one ``Lanes.fetched``."""

    def __init__(
        self,
        fetcher: Fetcher,
        jobs: Iterator[Job],
        line: Line,
        most: int,
        allowance: Callable[[], float | None],
        among: int,
    ) -> None:
        self._fetcher = fetcher
        self._jobs = jobs
        self._line = line
        self._most = most
        self._allowance = allowance
        self._among = among
        self._threads: list[threading.Thread] = []
        self._wanted = 1
        self._choosing = False
        self._asked_s: float | None = None
        self._per_second: float | None = None

    def grow(self) -> None:
        """Start what is wanted more."""
        with self._line.lock:
            while len(self._threads) < self._wanted and not self._line.ended:
                number = len(self._threads)
                thread = threading.Thread(
                    target=self._work, args=(number,), name=f"lane-{number}", daemon=True
                )
                thread.start()
                self._threads.append(thread)

    def join(self) -> None:
        end = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _work(self, number: int) -> None:
        try:
            with stoppable(self._line.stop):
                while (place := self._next(number)) is not None:
                    self._fetch(place)
        except BaseException as error:  # a lane that is lost must not look like the end of the rows
            with self._line.lock:
                self._line.end(error)

    def _next(self, number: int) -> Place | None:
        """The next job, as soon as this lane is wanted for it."""
        line = self._line
        with line.lock:
            while not line.ended and (
                self._choosing or number >= self._wanted or not line.room(_AHEAD * self._wanted)
            ):
                if number >= self._wanted:
                    forget_body()
                line.wait()
            if line.ended:
                return None
            self._choosing = True
        job: Job | None = None
        failed: BaseException | None = None
        try:
            # Where a piece ends may take a count.
            job = next(self._jobs, None)
        except BaseException as error:  # raised where the job would have been
            failed = error
        with line.lock:
            self._choosing = False
            if job is None:
                line.end(failed)
                return None
            place = line.begin(job)
            line.wake()
        return place

    def _fetch(self, place: Place) -> None:
        failed: BaseException | None = None
        try:
            self._adapt(place.job)
            for _ in map(partial(self._line.put, place), place.job.fetch(self._fetcher, place.account)):
                # No name here keeps those rows in memory while the next are fetched.
                self._adapt(place.job)
        except Stopped:
            failed = AssertionError("a lane was stopped whose rows were still wanted")
        except BaseException as error:  # whatever it is, the rows must not end as if they were whole
            failed = error
        self._line.finish(place, failed)

    def _adapt(self, job: Job) -> None:
        """So many lanes as are worth having by what is known now."""
        pace, per_second = self._fetcher.pace, self._allowed()
        unsized = self._fetcher.source.answer_rows is not None and not job.size.known
        if not pace.known and (per_second is None or unsized):
            # The first answer tells how much to ask for, and how often.
            wanted = 1
        else:
            places = self._fetcher.gate.places
            wanted = pace.lanes(
                self._most,
                places=places,
                per_second=per_second,
                memory=_ANSWERS_BYTES // self._among,
                # Beside another process one lane is enough: both are never without work at once.
                least=1 if self._among > 1 else 2,
            )
        with self._line.lock:
            more = wanted > self._wanted
            self._wanted = wanted
            if more:
                self._line.wake()
        if more:
            self.grow()

    def _allowed(self) -> float | None:
        """What the budget has to give; it is not asked for every page, because all processes meet there."""
        now = time.monotonic()
        if self._asked_s is None or self._per_second is None or now - self._asked_s > _ALLOWANCE_S:
            self._asked_s, self._per_second = now, self._allowance()
        return self._per_second
