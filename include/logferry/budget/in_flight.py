"""Requests under way at once, of one credential: slots that are held while a request is.

On one machine a slot is the lock of a file, which the kernel gives back when the process dies. On a board of several
machines it is a lease that its holder renews every few seconds and that expires when the holder is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from logferry.budget.board import Board
from logferry.budget.local_board import LocalBoard
from logferry.budget.slots import Slots
from logferry.errors import Unavailable

log = logging.getLogger(__name__)

LONGEST_WAIT_FOR_SLOT_S = 3600.0
_WORTH_SAYING_S = 60.0
_COME_BACK_S = 300.0
LEASE_MS = 60_000
_RENEW_S = 15.0
_FOREVER_MS = 1 << 50

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Slots)


class InFlight(Protocol):
    def hold(self, name: str, share: str, most: int) -> Callable[[], None] | None:
        """Take one of ``most`` slots for the export: what gives it back, or None when it is not its turn."""
        ...

    def where(self, name: str) -> str:
        """What holds the slots, for people."""
        ...


@contextlib.contextmanager
def held(slots: InFlight, name: str, share: str, most: int, sleep: Callable[[float], None]) -> Iterator[None]:
    """Around one exchange; waits for a slot through ``sleep``.

    Raises Unavailable after LONGEST_WAIT_FOR_SLOT_S: whoever holds the slots does not go on.
    """
    pause, waited_s, told = 0.01, 0.0, False
    while (give_back := slots.hold(name, share, most)) is None:
        if waited_s >= LONGEST_WAIT_FOR_SLOT_S:
            raise Unavailable(
                f"all {most} requests that may be under way at once were in use for {waited_s:.0f} s "
                f"({slots.where(name)}); end the process that holds them if it stands still",
                wait_s=_COME_BACK_S,
            )
        if waited_s >= _WORTH_SAYING_S and not told:
            told = True
            log.warning(
                "waiting for one of %d requests that may be under way at once (%s)", most, slots.where(name)
            )
        step = random.uniform(pause / 2, pause)
        sleep(step)
        waited_s += step
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

    def where(self, name: str) -> str:
        return f"locks of {self._board.folder}/{name}-*.slot"

    def _locked(self, name: str) -> int | None:
        descriptor = self._board.open(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise self._board.failed(name, error) from error
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
        self._complained = False

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

    def where(self, name: str) -> str:
        return f"leases in the record {name} of the budget_connection"

    def _release(self, name: str, slot: int) -> None:
        with self._lock:
            self._mine.discard((name, slot))

        def work(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, None]:
            slots = _slots(record)
            slots.release(self._holder, slot)
            return _encode(slots), None

        try:
            self._board.change(name, work)
        except Exception as error:
            # The answer is here; the lease ends by itself.
            self._complain("given back", error)

    def _complain(self, what: str, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            log.warning(
                "the lease of a request under way cannot be %s (%s); it runs out by itself", what, error
            )

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
                # Whatever goes wrong: without this thread every lease of this process would end.
                try:
                    self._renew_all(name, {slot for held_name, slot in mine if held_name == name})
                except Exception as error:
                    self._complain("renewed", error)

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
