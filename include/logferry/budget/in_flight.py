"""Requests under way at once, of one credential: slots that are held while a request is.

On one machine a slot is the lock of a file, which the kernel gives back when the process dies. On a board of several
machines it is a lease that its holder renews every few seconds and that expires when the holder is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from logferry.budget.board import Board, BoardDown
from logferry.budget.local_board import LocalBoard
from logferry.budget.slots import Slots

LEASE_MS = 60_000
_RENEW_S = 15.0
_FOREVER_MS = 1 << 50

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Slots)


class InFlight(Protocol):
    def hold(self, name: str, share: str, most: int) -> Callable[[], None] | None:
        """Take one of ``most`` slots for the export: what gives it back, or None when it is not its turn."""
        ...


@contextlib.contextmanager
def held(slots: InFlight, name: str, share: str, most: int, sleep: Callable[[float], None]) -> Iterator[None]:
    """Around one exchange; waits for a slot through ``sleep``."""
    pause = 0.01
    while (give_back := slots.hold(name, share, most)) is None:
        sleep(random.uniform(pause / 2, pause))
        pause = min(pause * 1.5, 0.2)
    try:
        yield
    finally:
        give_back()


class LocalSlots:
    """Slots of one machine."""

    def __init__(self, board: LocalBoard) -> None:
        self._board = board

    def hold(self, name: str, share: str, most: int) -> Callable[[], None] | None:
        descriptors: dict[int, int] = {}

        def work(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, int | None]:
            slots = _slots(record)
            for slot in range(most):
                if (descriptor := self._locked(f"{name}-{slot}.slot")) is not None:
                    descriptors[slot] = descriptor
            given = slots.give(share, "", now_ms, descriptors.keys(), _FOREVER_MS)
            return _encode(slots), given

        given: int | None = None
        try:
            given = self._board.change(name, work)
        finally:
            for slot, descriptor in descriptors.items():
                if slot != given:
                    os.close(descriptor)
        if given is None:
            return None
        mine = descriptors[given]
        return lambda: os.close(mine)

    def _locked(self, name: str) -> int | None:
        descriptor = self._board.open(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor


class LeasedSlots:
    """Slots on a board of several machines; a thread renews the leases while any is held."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._holder = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._mine: set[tuple[str, int]] = set()
        self._renewing = False
        self._wake = threading.Event()

    def hold(self, name: str, share: str, most: int) -> Callable[[], None] | None:
        def work(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, int | None]:
            slots = _slots(record)
            free = slots.free(max(1, most // divided_by), now_ms, LEASE_MS)
            given = slots.give(share, self._holder, now_ms, free, LEASE_MS)
            return _encode(slots), given

        given = self._board.change(name, work)
        if given is None:
            return None
        with self._lock:
            self._mine.add((name, given))
            if not self._renewing:
                self._renewing = True
                threading.Thread(target=self._renew, name="logferry-leases", daemon=True).start()
        return lambda: self._release(name, given)

    def _release(self, name: str, slot: int) -> None:
        with self._lock:
            self._mine.discard((name, slot))

        def work(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, None]:
            slots = _slots(record)
            slots.release(self._holder, slot)
            return _encode(slots), None

        with contextlib.suppress(BoardDown):
            self._board.change(name, work)

    def _renew(self) -> None:
        while True:
            self._wake.wait(_RENEW_S)
            with self._lock:
                if not self._mine:
                    self._renewing = False
                    return
                names = {name for name, _ in self._mine}
                mine = set(self._mine)
            for name in names:
                with contextlib.suppress(BoardDown):
                    self._renew_all(name, {slot for held_name, slot in mine if held_name == name})

    def _renew_all(self, name: str, slots_held: set[int]) -> None:
        def work(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, None]:
            slots = _slots(record)
            slots.renew(self._holder, slots_held, now_ms + LEASE_MS)
            return _encode(slots), None

        self._board.change(name, work)


def _slots(record: bytes) -> Slots:
    try:
        return _decoder.decode(record) if record else Slots()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Slots()
