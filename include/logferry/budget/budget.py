"""Permission to send, one request at a time, for every thread, process and machine that uses one credential."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import msgspec

from logferry.budget.allowance import Allowance
from logferry.budget.board import Board
from logferry.budget.forecast import Forecast
from logferry.budget.headers import read_answer
from logferry.budget.in_flight import InFlight, LocalSlots, held
from logferry.budget.learning import learn
from logferry.budget.local_board import LocalBoard
from logferry.clock import Clock, SystemClock
from logferry.errors import StoreError, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_WAIT_S = 120.0
"""The longest pause asked for by a server that is slept through inside a call."""
KNOWN_ALLOWANCES: dict[str, tuple[int, int]] = {"azure_query": (200, 30), "azure_arm": (200, 30)}
"""Documented allowances (requests, seconds) of APIs that do not name theirs in the answers
(https://learn.microsoft.com/azure/azure-monitor/service-limits#log-queries-and-language)."""
_LAYOUT = 3
"""Of the records. Another layout has records of another name: one that is half understood would be worse than none, and
two releases that are at work together must not spoil each other's."""
IN_FLIGHT: dict[str, int] = {"azure_query": 4}
"""Requests under way at once where the API limits them: Log Analytics allows five, and one is left to the people."""
_WORTH_SAYING_S = 5.0

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Allowance)


class Budget:
    """Hands out permission to send one request at a time; safe for many threads.

    ``key`` names the credential (a digest, not the credential), ``share`` the export that asks: exports take turns.
    ``most_in_flight`` replaces the numbers of ``IN_FLIGHT``. ``board`` and ``slots`` are where all who
    spend the allowance meet; by default this machine's processes, in ``folder``.
    """

    def __init__(
        self,
        key: str,
        *,
        clock: Clock | None = None,
        folder: Path | None = None,
        share: str = "",
        most_in_flight: int | None = None,
        board: Board | None = None,
        slots: InFlight | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        local = LocalBoard(self._clock, folder) if board is None or slots is None else None
        self._board: Board = board or _not_none(local)
        self._slots: InFlight = slots or LocalSlots(_not_none(local))
        self._credential = key
        self._share = _digest(share, 8)
        self._most_in_flight = most_in_flight
        self._names: dict[str, str] = {}
        self._sent = threading.local()
        self._waiting = threading.Lock()
        self.waited_s = 0.0
        self._complained = False

    def acquire(self, bucket: str) -> None:
        """Wait until the bucket has a request to give to this export, and take it.

        Raises Unavailable when the source asked for a longer pause than LONGEST_WAIT_S: the caller may have
        better things to do than to sleep. An ordinary period is waited for, however long it is.
        """
        while True:
            wait_ms, blocked_ms, now_ms = self._change(bucket, self._take)
            if wait_ms == 0:
                self._tickets()[bucket] = now_ms
                return
            if blocked_ms > LONGEST_WAIT_S * 1000:
                blocked_s = blocked_ms / 1000
                raise Unavailable(f"the source asked for a pause of {blocked_s:.0f} s", wait_s=blocked_s)
            pause = wait_ms / 1000 + random.uniform(0.01, 0.1)
            self.count_wait(pause)
            if pause > _WORTH_SAYING_S:
                log.info("waiting %.0f s for the allowance of %s", pause, bucket)
            self._clock.sleep(pause)

    def in_flight(self, bucket: str) -> AbstractContextManager[None]:
        """Around one exchange: no more of them at once, by anybody, than the API allows this credential."""
        if bucket not in IN_FLIGHT:
            return contextlib.nullcontext()
        most = self._most_in_flight or IN_FLIGHT[bucket]
        name = f"{_credential_name(self._credential, bucket)}-slots"
        return held(self._slots, name, self._share, most, self._sleep_for_slot)

    def _sleep_for_slot(self, seconds: float) -> None:
        self.count_wait(seconds)
        self._clock.sleep(seconds)

    def count_wait(self, seconds: float) -> None:
        """Add a pause that somebody makes for want of allowance to ``waited_s``."""
        with self._waiting:
            self.waited_s += seconds

    def learn(self, bucket: str, status: int, headers: Mapping[str, str]) -> None:
        """Correct the bucket by what an answer says about it; call it in the thread that asked.

        ``headers``: names in lower case. The answer is here: where what it says cannot be kept, a warning says so.
        """
        answer = read_answer(status, headers, self._clock)
        sent_ms = self._tickets().pop(bucket, None)

        def work(state: Allowance, now_ms: int, divided_by: int) -> None:
            learn(state, sent_ms, now_ms, answer)

        try:
            self._change(bucket, work)
        except StoreError as error:
            if not self._complained:
                self._complained = True
                log.warning("what an answer says of the allowance is lost: %s", error)

    def wait_s(self, bucket: str) -> float:
        """Seconds until a request could be sent, 0 when at once: for a caller that would rather come back later."""
        return self._look(bucket, lambda state, now_ms: state.wait_ms(now_ms)) / 1000

    def forecast(self, bucket: str) -> Forecast | None:
        """How requests will be handed out to this export from now on; None while nothing is known."""
        return self._look(bucket, lambda state, now_ms: state.forecast(now_ms, {self._share, _AD_HOC}))

    def requests_per_second(self, bucket: str) -> float | None:
        """What there is to give in the coming second: the learned allowance less the reserve and what others spend,
        or all that is left of it now where that is more. None while nothing is known."""
        found = self.forecast(bucket)
        return None if found is None else max(found.due / found.period_s, found.left / found.sharing)

    def _take(self, state: Allowance, now_ms: int, divided_by: int) -> tuple[int, int, int]:
        wait_ms = state.take(now_ms, self._share, divided_by=divided_by)
        return wait_ms, state.blocked_ms(now_ms), now_ms

    def _change(self, bucket: str, work: Callable[[Allowance, int, int], T]) -> T:
        def on_record(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, T]:
            state = _state(record, bucket)
            result = work(state, now_ms, divided_by)
            return _encode(state), result

        return self._board.change(self._name(bucket), on_record)

    def _look(self, bucket: str, look: Callable[[Allowance, int], T]) -> T:
        def on_record(record: bytes, now_ms: int, divided_by: int) -> tuple[None, T]:
            return None, look(_state(record, bucket), now_ms)

        return self._board.change(self._name(bucket), on_record)

    def _name(self, bucket: str) -> str:
        """Reckoned once: it is asked for twice a request."""
        if (name := self._names.get(bucket)) is None:
            name = self._names[bucket] = record_name(self._credential, bucket)
        return name

    def _tickets(self) -> dict[str, int]:
        """When this thread's request was let go, per bucket: its answer is judged by that."""
        tickets: dict[str, int] | None = getattr(self._sent, "tickets", None)
        if tickets is None:
            tickets = self._sent.tickets = {}
        return tickets


def record_name(key: str, bucket: str) -> str:
    """The name of a bucket's record on a board."""
    return f"{_credential_name(key, bucket)}-{_LAYOUT}"


def _credential_name(key: str, bucket: str) -> str:
    return f"{_digest(key, 16)}-{bucket}"


def forecast_of(record: bytes, bucket: str, *, share: str, now_ms: int) -> Forecast | None:
    """What a record says of the time from ``now_ms`` on, to the export ``share``; None where it says nothing."""
    return _state(record, bucket).forecast(now_ms, {_digest(share, 8), _AD_HOC})


def _state(record: bytes, bucket: str) -> Allowance:
    state = None
    if record:
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            state = _decoder.decode(record)
    if state is None or not state.is_sane:
        state = Allowance()
    if state.limit is None and bucket in KNOWN_ALLOWANCES:
        limit, seconds = KNOWN_ALLOWANCES[bucket]
        known = Allowance.documented(limit, seconds * 1000)
        known.pause, known.shares, known.answer_ms = state.pause, state.shares, state.answer_ms
        return known
    return state


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]


_AD_HOC = _digest("", 8)
"""The share of searches that belong to no export: they are short, and nobody reckons with them."""


def _not_none(board: LocalBoard | None) -> LocalBoard:
    assert board is not None
    return board
