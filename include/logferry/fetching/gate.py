"""The gate: answers become rows at few places, whichever lane they came to.

Reading an answer needs the interpreter, of which this process has one: several threads at it only take it from each
other, and hold several answers' worth of memory for that. So there is one place here, and one in each process that
reads for this one (``readers``); those are started when answers are found waiting.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from logferry.clock import check_stop
from logferry.fetching.pace import Pace
from logferry.fetching.readers import Reader, Readers
from logferry.sources.base import MIB, Request, Response
from logferry.sources.reading import read_by

T = TypeVar("T")

_CROWD_BYTES = 12 * MIB
"""Answers that had to wait before it is worth starting another reader."""
_PATIENT_BYTES = 3 * MIB
_PATIENT_ANSWERS = 2
"""Answers that wait for a reader, and bytes of those and of what readers are at, before the place here is taken: what
is read here keeps the interpreter from the threads that fetch and write, but a long wait costs more."""
_LARGE_BYTES = 64 * MIB
"""Answers to come for which a reader is started at once, while the first are asked for."""


@dataclass(eq=False, slots=True)
class _Waiting:
    """A thread that waits for a place; ``here``: for the one in this process."""

    start: int
    number: int
    size: int
    here: bool
    came: threading.Event
    place: Reader | None = None

    @property
    def rank(self) -> tuple[int, int]:
        return self.start, self.number


class Gate:
    """Shared by the lanes of a ferry. Of those who wait the earliest in time is next: its rows are wanted first, and
    all others would have to wait somewhere until they are."""

    def __init__(self, readers: Readers | None = None) -> None:
        self._readers = readers or Readers(0)
        self._lock = threading.Lock()
        self._here_is_free = True
        self._lent: dict[Reader, int] = {}
        """Readers that are at work, and the sizes of their answers."""
        self._idle: list[Reader] = []
        self._starting: list[Reader] = []
        self._waiting: list[_Waiting] = []
        self._numbers = count()
        self._crowd_bytes = 0
        self.asking: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        """Held around every request."""
        self.places = 1
        """Answers that can be worked on at once."""

    @contextlib.contextmanager
    def turn(self, start: int, *, size: int = 0, here: bool = False) -> Iterator[Reader | None]:
        """A place for an answer of ``size`` bytes whose rows begin at the tick ``start``: a reader, or None for this
        process itself, as it always is with ``here``."""
        place = self._enter(start, size, here)
        try:
            yield place
        finally:
            self._leave(place)

    def expect(self, size: int) -> None:
        """Answers of about ``size`` bytes will come."""
        if size >= _LARGE_BYTES and self.places + len(self._starting) == 1:
            self._start_another()

    def ask_at_once(self, most: int) -> None:
        """From now on at most ``most`` searches of those that come by here are under way at once, however many threads
        fetch. Counts do not come by, and neither do lanes that were left behind."""
        self.asking = threading.Semaphore(most)

    def close(self) -> None:
        """End the readers. A thread that waits for a place still gets the one here."""
        with self._lock:
            self._starting.clear()
            self._idle.clear()
        self._readers.close()

    def _enter(self, start: int, size: int, here: bool) -> Reader | None:
        with self._lock:
            if self._here_is_free and not (self._waiting or self._idle or self._lent or self._starting):
                self._here_is_free = False
                return None
            self._welcome()
            mine = _Waiting(start, next(self._numbers), size, here, threading.Event())
            self._waiting.append(mine)
            while self._give_next():
                pass
            if mine.came.is_set():
                return mine.place
            # A reader is no help to those that must be read here.
            self._crowd_bytes += 0 if here else size
            crowded = self._crowd_bytes > _CROWD_BYTES
            if crowded:
                self._crowd_bytes = 0
        try:
            if crowded:
                self._start_another()
            mine.came.wait()
        except BaseException:
            self._give_up(mine)
            raise
        return mine.place

    def _start_another(self) -> None:
        if reader := self._readers.another():
            with self._lock:
                self._starting.append(reader)

    def _give_up(self, mine: _Waiting) -> None:
        """Interrupted while waiting: the turn may have come meanwhile."""
        with self._lock:
            waits = mine in self._waiting
            if waits:
                self._waiting.remove(mine)
        if not waits:
            self._leave(mine.place)

    def _leave(self, place: Reader | None) -> None:
        with self._lock:
            self._welcome()
            if place is None:
                self._here_is_free = True
            else:
                self._lent.pop(place, None)
                if place.lost:
                    self.places -= 1
                else:
                    self._idle.append(place)
            while self._waiting and self._give_next():
                pass

    def _welcome(self) -> None:
        """Take in the readers that have started meanwhile."""
        if not self._starting:
            return
        for reader in [one for one in self._starting if one.is_ready()]:
            self._starting.remove(reader)
            if not reader.lost:
                self._idle.append(reader)
                self.places += 1

    def _give_next(self) -> bool:
        """Give a free place to the earliest who can use it, if there is one."""
        anywhere = [one for one in self._waiting if not one.here]
        if self._idle and anywhere:
            first = min(anywhere, key=lambda one: one.rank)
            first.place = self._idle.pop()
            self._lent[first.place] = first.size
        elif self._here_is_free and (fit := self._fit_for_here(anywhere)):
            first = min(fit, key=lambda one: one.rank)
            self._here_is_free = False
        else:
            return False
        self._waiting.remove(first)
        first.came.set()
        return True

    def _fit_for_here(self, anywhere: list[_Waiting]) -> list[_Waiting]:
        """Those who wait and may be given the place here."""
        size = sum(self._lent.values()) + sum(one.size for one in anywhere)
        if not self._lent or size > _PATIENT_BYTES or len(anywhere) > _PATIENT_ANSWERS:
            return self._waiting
        return [one for one in self._waiting if one.here]


def guarded(
    exchange: Generator[Request, Response, T], gate: Gate, pace: Pace, start: int, *, here: bool = False
) -> Generator[Request, Response, T]:
    """The exchange, which asks for nothing after its thread was told to stop and takes its answers in turn, by the tick
    ``start`` of its rows; ``pace`` learns what they took. ``here``: they are read in this process, as a copy of them
    would cost more than its reading."""
    began, worked = time.monotonic(), time.thread_time()
    turns_s = turns_worked_s = apart_s = 0.0
    size = 0
    check_stop()
    try:
        request = next(exchange)
        while True:
            asking_began = time.monotonic()
            with gate.asking:
                turns_s += time.monotonic() - asking_began
                check_stop()
                response = yield request
            size += len(response.body)
            turn_began, turn_worked = time.monotonic(), time.thread_time()
            try:
                with gate.turn(start, size=len(response.body), here=here) as reader, read_by(reader):
                    # The wait may have been long.
                    check_stop()
                    try:
                        request = exchange.send(response)
                    finally:
                        apart_s += reader.cpu_s if reader and not reader.lost else 0.0
            finally:
                turns_s += time.monotonic() - turn_began
                turns_worked_s += time.thread_time() - turn_worked
    except StopIteration as end:
        worked_s = time.thread_time() - worked
        # The wait for a turn is no reason for more lanes, on the contrary.
        waited_s = (time.monotonic() - began - turns_s) - (worked_s - turns_worked_s)
        pace.came(max(0.0, waited_s), worked_s + apart_s, size)
        result: T = end.value
        return result
