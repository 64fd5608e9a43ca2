"""What was last read of each export's archive, shared by the threads of one process.

A lake that is slow, hangs or is gone holds nobody up for long: each is read by a thread of its own, and what was read
last stays.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace

from logferry.clock import Clock
from logferry.connection import Connect
from logferry.errors import LogferryError
from logferry.spec import ExportSpec
from logferry.view.archive_state import ArchiveState, whole_second
from logferry.view.plain import cut
from logferry.view.reading import Emptied, EmptiedLake, Read, read, taken_as_empty
from logferry.view.shared_boards import SharedBoards
from logferry.view.stored_records import StoredRecords
from logferry.window import TICK_PER_MINUTE, TICK_PER_SECOND, format_instant

log = logging.getLogger(__name__)

_FRESH = 2 * TICK_PER_SECOND
"""An archive is looked at once in so long, however many ask."""
_RETRY = 10 * TICK_PER_SECOND
"""One that could not be read is tried again after so long."""
_EMPTY_FOR = 10 * TICK_PER_MINUTE
"""A lake in which nothing is left is taken to be empty after so long: until then its disk may be mounted again."""
_MOST_ARCHIVES = 200
_MOST_ENTRIES = 400_000
"""Of all indexes together (``Index.entries``): some 150 MB."""


@dataclass(slots=True)
class _Reading:
    """A thread that reads a lake. ``began``: by the monotonic clock; ``began_at``: a tick; ``clock``: of the processor
    time that it takes, None before it runs and where there is none."""

    began: float
    began_at: int
    done: Future[None] = field(default_factory=Future)
    clock: int | None = None

    def __post_init__(self) -> None:
        # Who gives up waiting for it must not cancel it for the others.
        self.done.set_running_or_notify_cancel()

    def worked_s(self) -> float:
        """Seconds of a processor that it has taken so far: more and more while it reckons, no more while it waits for
        its lake."""
        try:
            return 0.0 if self.clock is None else time.clock_gettime(self.clock)
        except OSError:
            # It has ended just now.
            return 0.0


@dataclass(slots=True)
class _Entry:
    state: ArchiveState
    lock: threading.Lock = field(default_factory=threading.Lock)
    reading: _Reading | None = None
    looked_at: int | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """A look at an archive. ``answered`` is done once its lake was read, however that went; None where it was read
    just now. ``patience_s``: how long that is worth waiting for. ``state``: the archive as it stands, which blames the
    lake while it has not answered. ``away``: it could not be read before either. ``worked_s``: see ``_Reading``.
    """

    answered: Future[None] | None
    patience_s: float
    state: Callable[[], ArchiveState]
    away: bool = False
    worked_s: Callable[[], float] = float


class Archives:
    """The archives of many exports, for many threads. One for a process.

    ``patience_s``: how long a caller waits for a lake before it gets what was read last.
    """

    def __init__(self, connect: Connect, clock: Clock, *, patience_s: float = 4.0) -> None:
        self._connect = connect
        self._clock = clock
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._records = StoredRecords()
        self._boards = SharedBoards(connect, clock)

    def state(self, spec: ExportSpec) -> ArchiveState:
        """The archive of an export as it stands, or as it was when it could last be read. Never raises."""
        look = self.look(spec)
        if look.answered is not None:
            wait([look.answered], timeout=look.patience_s)
        return look.state()

    def look(self, spec: ExportSpec) -> Look:
        """Begin to read an archive, unless that was done just now; waits for nothing."""
        entry = self._entry(spec)
        reading = self._begun(entry, spec)
        if reading is None:
            return Look(None, 0.0, lambda: entry.state)
        waited = time.monotonic() - reading.began
        away = entry.state.spec == spec and not entry.state.reachable
        return Look(
            reading.done,
            max(0.0, self._patience_s - waited),
            lambda: self._seen(entry, spec, reading),
            away,
            reading.worked_s,
        )

    def is_known(self, spec: ExportSpec) -> bool:
        """Whether its archive was read before: then a look at it is some small requests, and no work."""
        state = self._entry(spec).state
        return state.spec == spec and (state.known or not state.reachable)

    def _seen(self, entry: _Entry, spec: ExportSpec, reading: _Reading) -> ArchiveState:
        with entry.lock:
            state = entry.state if entry.state.spec == spec else self._blank(spec)
            silent = not reading.done.done() or state is not entry.state
        return _silent(state, reading) if silent else state

    def _begun(self, entry: _Entry, spec: ExportSpec) -> _Reading | None:
        """The reading that is under way, begun where none is; None where the last one is fresh enough."""
        with entry.lock:
            now = self._clock.now()
            if entry.looked_at is not None and entry.state.spec == spec:
                fresh = _FRESH if entry.state.reachable else _RETRY
                if 0 <= now - entry.looked_at < fresh:
                    return None
            if entry.reading is None:
                entry.reading = _Reading(time.monotonic(), now)
                threading.Thread(
                    target=self._read,
                    args=(entry, spec, entry.reading),
                    name=f"archive-{spec.name}",
                    daemon=True,
                ).start()
            return entry.reading

    def _entry(self, spec: ExportSpec) -> _Entry:
        with self._lock:
            entry = self._entries.get(spec.name)
            if entry is None:
                entry = self._entries[spec.name] = _Entry(self._blank(spec))
            self._entries.move_to_end(spec.name)
            kept = sum(one.state.entries for one in self._entries.values())
            while len(self._entries) > 1 and (len(self._entries) > _MOST_ARCHIVES or kept > _MOST_ENTRIES):
                _, dropped = self._entries.popitem(last=False)
                kept -= dropped.state.entries
            return entry

    def _blank(self, spec: ExportSpec) -> ArchiveState:
        return ArchiveState(spec, None, self._records, self._boards)

    def _read(self, entry: _Entry, spec: ExportSpec, reading: _Reading) -> None:
        if hasattr(time, "pthread_getcpuclockid"):
            reading.clock = time.pthread_getcpuclockid(threading.get_ident())
        state = entry.state if entry.state.spec == spec else self._blank(spec)
        now = reading.began_at
        try:
            found = self._found(spec, state, now)
            state = ArchiveState(spec, found, self._records, self._boards, read_at=self._clock.now())
        except EmptiedLake as error:
            state = _emptied(state, error, now)
        except LogferryError as error:
            state = replace(state.away(cut(str(error)), now), emptied_at=None)
        except Exception as error:
            log.exception("the archive of %s cannot be read", spec.name)
            reason = f"Reading the lake failed with {type(error).__name__}; the server's log says more."
            state = replace(state.away(reason, now), emptied_at=None)
        with entry.lock:
            entry.state = state
            entry.reading = None
            entry.looked_at = self._clock.now()
        reading.done.set_result(None)

    def _found(self, spec: ExportSpec, state: ArchiveState, now: int) -> Read:
        """Raises EmptiedLake while a lake in which nothing is left any more is not taken to be empty."""
        try:
            return read(spec, self._connect, state.read, now=now)
        except EmptiedLake as error:
            since = now if state.emptied_at is None else state.emptied_at
            if now - since < _EMPTY_FOR:
                raise
            return taken_as_empty(spec, self._connect, Emptied(error.records, since), now=now)


def _silent(state: ArchiveState, reading: _Reading) -> ArchiveState:
    """A state while its lake keeps a caller waiting: why it could not be read before says more than that."""
    if not state.reachable:
        return state
    since = format_instant(whole_second(reading.began_at))
    reason = (
        f"The lake has not answered since {since}."
        if state.known
        else f"The lake is being read for the first time, since {since}; try again in a moment."
    )
    return state.away(reason, reading.began_at)


def _emptied(state: ArchiveState, error: EmptiedLake, now: int) -> ArchiveState:
    since = whole_second(now) if state.emptied_at is None else state.emptied_at
    reason = (
        f"{error} This was first seen at {format_instant(since)}. See whether its disk is mounted. If it was deleted "
        f"on purpose, it counts as empty from {format_instant(since + _EMPTY_FOR)} on."
    )
    return replace(state.away(reason, now), emptied_at=since)
