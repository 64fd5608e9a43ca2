"""A shared board that may be away: meanwhile this machine goes on alone, with its part of the allowance.

The part is the allowance divided by the machines that were at the shared board in the last minutes, so that all of them
together stay within it although they cannot see each other.
"""

from __future__ import annotations

import hashlib
import logging
import socket
import threading
from typing import TypeVar

import msgspec

from logferry.budget.board import Board, BoardDown, Work
from logferry.clock import Clock
from logferry.window import TICK_PER_SECOND

T = TypeVar("T")
log = logging.getLogger(__name__)

_RETRY_S = 15
_SIGN_IN_S = 30
_GONE_MS = 180_000
"""A machine that did not sign in for so long is not counted."""
_MACHINES = "machines"
_BELIEVED_MS = 24 * 3_600_000
"""How long the number of machines is believed that the shared board last told."""

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(dict[str, int])


class StandbyBoard:
    """``shared`` while it answers, else ``local``; says so once, and tries again every quarter of a minute.

    ``name``: of the connection, for people. ``place``: which server and database it is, kept as a digest only.
    """

    def __init__(self, shared: Board, local: Board, *, clock: Clock, name: str, place: str = "") -> None:
        self._shared, self._local = shared, local
        self._clock, self._named = clock, name
        self._machine = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]
        self._record = f"standby-machines-{hashlib.sha256(f'{name} {place}'.encode()).hexdigest()[:12]}"
        self._lock = threading.Lock()
        self._away_until = 0
        self._is_away = False
        self._signed_in = 0
        self._known: dict[str, bytes] = {}

    def change(self, name: str, work: Work[T]) -> T:
        if not self._skips():
            try:
                result = self._on_shared(name, work)
            except BoardDown as error:
                self._note_away(error)
            else:
                self._note_back()
                return result
        return self._on_local(name, work)

    @property
    def is_away(self) -> bool:
        return self._is_away

    def _on_shared(self, name: str, work: Work[T]) -> T:
        self._sign_in()

        def remembered(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes | None, T]:
            changed, result = work(record, now_ms, divided_by)
            self._known[name] = record if changed is None else changed
            return changed, result

        return self._shared.change(name, remembered)

    def _on_local(self, name: str, work: Work[T]) -> T:
        machines = max(1, self._local.change(self._record, _read_number))

        def divided(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes | None, T]:
            return work(record or self._known.get(name, b""), now_ms, machines)

        return self._local.change(name, divided)

    def _sign_in(self) -> None:
        """Tell the others of this machine, and remember here how many there are."""
        now = self._clock.now()
        if self._signed_in and now - self._signed_in < _SIGN_IN_S * TICK_PER_SECOND:
            return

        def signed(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, int]:
            seen = {name: at for name, at in _machines(record).items() if abs(now_ms - at) < _GONE_MS}
            seen[self._machine] = now_ms
            return _encode(seen), len(seen)

        count = self._shared.change(_MACHINES, signed)
        self._local.change(
            self._record, lambda record, now_ms, divided_by: (b"%d %d" % (count, now_ms), None)
        )
        self._signed_in = now

    def _skips(self) -> bool:
        """Whether to go on here; of the threads that may try the shared board again only the first one is told to."""
        with self._lock:
            if not self._is_away:
                return False
            now = self._clock.now()
            if now < self._away_until <= now + _RETRY_S * TICK_PER_SECOND:
                return True
            self._away_until = now + _RETRY_S * TICK_PER_SECOND
            return False

    def _note_away(self, error: BoardDown) -> None:
        with self._lock:
            self._away_until = self._clock.now() + _RETRY_S * TICK_PER_SECOND
            if not self._is_away:
                self._is_away = True
                log.warning(
                    "the budget_connection %r cannot be reached (%s); until it can, this machine keeps to its own part "
                    "of the allowance",
                    self._named,
                    error,
                )

    def _note_back(self) -> None:
        if self._is_away:
            with self._lock:
                self._is_away = False
            log.info("the budget_connection %r can be reached again", self._named)


def _machines(record: bytes) -> dict[str, int]:
    try:
        return _decoder.decode(record) if record else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}


def _read_number(record: bytes, now_ms: int, divided_by: int) -> tuple[None, int]:
    count, _, told_ms = record.partition(b" ")
    if not count.isdigit() or not told_ms.isdigit() or abs(now_ms - int(told_ms)) >= _BELIEVED_MS:
        return None, 1
    return None, int(count)
