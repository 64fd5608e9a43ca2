"""The line: what the lanes have fetched ahead, kept in order until its turn comes, within bounds."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from logferry.clock import Stopped
from logferry.fetching.fetch import Account, Final, Restart
from logferry.fetching.job import Job
from logferry.fetching.spool import Spool, Spooled
from logferry.fetching.table_bytes import table_bytes

MEMORY_BYTES = 16 * 1024 * 1024
"""Arrow bytes that wait in memory; a table of the job at the head goes beyond when nothing else of it waits."""
SPOOL_BYTES = 1024 * 1024 * 1024
"""Bytes that wait on disk."""


@dataclass(slots=True)
class _Waiting:
    """A Final; its table is on disk where ``spooled`` says so, else it counts for ``bytes`` of memory."""

    final: Final
    bytes: int
    spooled: Spooled | None = None


@dataclass(slots=True, eq=False)
class Place:
    """One job's place in the line."""

    job: Job
    account: Account = field(default_factory=Account)
    waiting: deque[_Waiting] = field(default_factory=deque)
    done: bool = False
    left: bool = False
    """Nobody takes what else comes of it."""
    error: BaseException | None = None
    told: bool = False
    """Whoever took its rows was told of the error."""
    spool: Spool | None = None
    spooled: int = 0


class Line:
    """Lanes put, one consumer takes; ``lock`` guards all of it.

    The job at the head may always go on, so that the line moves: its rows wait in memory while there is room, and
    one table always. Those behind it wait in memory too, then on disk in ``folder`` while the consumer has nothing to
    do, and when it has, they hold their next page back: it could not be used sooner anyway. ``among``: processes that
    share the room.
    """

    def __init__(self, folder: Path, *, among: int = 1) -> None:
        self._folder = folder
        self._memory_bytes = MEMORY_BYTES // among
        self._spool_bytes = SPOOL_BYTES // among
        self.lock = threading.Lock()
        self._places: deque[Place] = deque()
        self._moved = threading.Condition(self.lock)
        """For lanes that want a job: another one may be taken."""
        self._freed = threading.Condition(self.lock)
        """For lanes that have rows: there may be room. Of its own, because it is told of every table that is taken."""
        self._came = threading.Condition(self.lock)
        """For the consumer: something came."""
        self._starving = False
        self._ended = False
        self._end_error: BaseException | None = None
        self._memory = self._disk = 0
        self.most_memory = self.most_disk = 0
        """The most bytes that ever waited."""
        self.stop = threading.Event()

    # The lanes' side

    def room(self, ahead: int) -> bool:
        """Whether another job may be begun while ``ahead`` of them are under way or wait; with the lock."""
        return len(self._places) < ahead and (self._disk < self._spool_bytes or not self._places)

    def wait(self) -> None:
        """Until something changed for a lane; with the lock."""
        self._moved.wait()

    def wake(self) -> None:
        """Something changed for the lanes; with the lock."""
        self._moved.notify_all()

    def begin(self, job: Job) -> Place:
        """A place behind all others; with the lock."""
        place = Place(job)
        self._places.append(place)
        self._tell_of(place)
        return place

    def end(self, error: BaseException | None = None) -> None:
        """No more jobs come; an error that is why is raised behind all places. With the lock."""
        self._ended = True
        if self._end_error is None:
            self._end_error = error
        self._came.notify_all()
        self._move()

    @property
    def ended(self) -> bool:
        return self._ended or self.stop.is_set()

    def put(self, place: Place, final: Final) -> None:
        """Raises Stopped when nobody will take it, StoreError when the disk is full."""
        size = table_bytes(final.table) if final.table is not None else 0
        with self.lock:
            while True:
                if place.left or self.stop.is_set():
                    raise Stopped
                head = self._places[0] is place
                if not size or self._memory + size <= self._memory_bytes or (head and not place.waiting):
                    self._memory += size
                    self.most_memory = max(self.most_memory, self._memory)
                    place.waiting.append(_Waiting(final, size))
                    self._tell_of(place)
                    return
                if not head and self._starving and self._disk < self._spool_bytes:
                    break
                self._freed.wait()
        self._put_on_disk(place, final)

    def finish(self, place: Place, error: BaseException | None) -> None:
        """No more comes of this job. Whatever ended it is raised where its rows end.

        Unless that is a Restart, nobody will get further: what is behind it is given up, but for what is whole there.
        """
        with self.lock:
            place.error = error
            place.done = True
            if error is not None and not isinstance(error, Restart) and not place.left:
                self._end_behind(place)
            self._tell_of(place)

    def _put_on_disk(self, place: Place, final: Final) -> None:
        if final.table is None:
            raise AssertionError("a Final without rows takes no room")
        if place.spool is None:
            place.spool = Spool(self._folder)
        spooled = place.spool.append(final.table)
        with self.lock:
            if place.left:
                place.spool.close()
                raise Stopped
            self._disk += spooled.bytes
            self.most_disk = max(self.most_disk, self._disk)
            place.spooled += spooled.bytes
            place.waiting.append(_Waiting(Final(None, final.before, final.notes), 0, spooled))
            self._tell_of(place)

    def _tell_of(self, place: Place) -> None:
        """Something came of a job: the consumer waits for the head only."""
        if self._places and self._places[0] is place:
            self._came.notify_all()

    # The consumer's side

    def places(self) -> Iterator[Place]:
        """Every job's place in order, each at the head until the next is asked for.

        Raises, at the end, what ended the line: also the error of a place whose rows nobody took to their end.
        """
        while True:
            with self.lock:
                while not self._places and not self._ended:
                    self._starve()
                if not self._places:
                    break
                place = self._places[0]
            yield place
            self._leave(place)
        if self._end_error is not None:
            raise self._end_error

    def finals(self, place: Place) -> Iterator[Final]:
        """What came of the job at the head, and what else comes. None of it is kept while the next is waited for."""
        while self._has_more(place):
            yield self._taken(place)
        if place.error is not None:
            place.told = True
            raise place.error

    def _has_more(self, place: Place) -> bool:
        """Waits until that is known."""
        with self.lock:
            while not place.waiting and not place.done:
                self._starve()
            return bool(place.waiting)

    def _taken(self, place: Place) -> Final:
        with self.lock:
            one = place.waiting.popleft()
            self._memory -= one.bytes
            self._freed.notify_all()
        if one.spooled is None or place.spool is None:
            return one.final
        return Final(place.spool.read(one.spooled), one.final.before, one.final.notes)

    def end_behind_head(self) -> None:
        """No more is fetched. What is whole behind the head is still to be had."""
        with self.lock:
            if self._places:
                self._end_behind(self._places[0])

    def close(self) -> None:
        """Tell the lanes to stop; nothing is kept."""
        with self.lock:
            self.stop.set()
            self._move()
            for place in self._places:
                self._empty(place)

    def _end_behind(self, place: Place) -> None:
        self._ended = True
        whole: deque[Place] = deque()
        while self._places[-1] is not place:
            other = self._places.pop()
            if other.done and other.error is None:
                whole.appendleft(other)
            else:
                self._empty(other)
        self._places.extend(whole)
        self._move()

    def _starve(self) -> None:
        self._starving = True
        # Who waits for room may put its rows on disk now.
        self._freed.notify_all()
        try:
            self._came.wait()
        finally:
            self._starving = False

    def _leave(self, place: Place) -> None:
        with self.lock:
            self._places.popleft()
            if place.error is not None and not place.told and not isinstance(place.error, Restart):
                self._end_error = place.error
            self._empty(place)
            self._move()

    def _move(self) -> None:
        """Anything may have changed for the lanes; with the lock."""
        self._moved.notify_all()
        self._freed.notify_all()

    def _empty(self, place: Place) -> None:
        place.left = True
        self._memory -= sum(one.bytes for one in place.waiting)
        place.waiting.clear()
        self._disk -= place.spooled
        place.spooled = 0
        if place.spool is not None:
            place.spool.close()
