"""A single writer at a time, for stores that do not enforce conditions.

The lease is an object that names a run, a token and when it expires. Taking it is put, pause, look again: of two runs
that put theirs at a time the later stays. It holds as long as no run stands still for longer than the pause between
looking and putting, nor for longer than the lease between its steps, and clocks differ by less than the margin.
Where conditions are enforced none of this is needed.
"""

from __future__ import annotations

import logging
import secrets

import msgspec

from logferry.clock import Clock
from logferry.errors import StoreError, Superseded
from logferry.layout import lease_key
from logferry.stores.base import NotFound, Store
from logferry.window import TICK_PER_SECOND, format_instant

log = logging.getLogger(__name__)

LASTS_S = 300
"""One step of a publication, copying the largest object included, must be over well within this time."""
_RENEWED_AFTER_S = 60
_MARGIN_S = 30
"""How long after its end another run's lease is still left alone: clocks differ."""
_PAUSE_S = 2.0
_LOOKS_S = 5.0
_WAITS_S = 30.0


class _Claim(msgspec.Struct, frozen=True):
    run: str
    token: str
    expires_at: int


class Lease:
    """The right of one run to write to one export's archive."""

    def __init__(self, store: Store, export: str, run: str, clock: Clock) -> None:
        self._store = store
        self._key = lease_key(export)
        self._export = export
        self._run = run
        self._clock = clock
        self._token = secrets.token_hex(16)
        self._until = 0

    def acquire(self) -> None:
        """Wait, for a short time, until no other run holds it. Raises StoreError when one still does."""
        waited = 0.0
        while True:
            other = self._read()
            if other is None or other.token == self._token or not self._lives(other):
                self._put()
                self._clock.sleep(_PAUSE_S)
                waited += _PAUSE_S
                other = self._read()
                if other is not None and other.token == self._token:
                    return
            if other is not None and waited >= _WAITS_S:
                until = f" at {format_instant(other.expires_at)}" if self._lives(other) else ""
                raise StoreError(
                    f"{self._export} in {self._store.url} is being written by the run {other.run}, whose lease "
                    f"{self._key} ends{until} unless it is renewed; run again after that"
                )
            self._clock.sleep(_LOOKS_S)
            waited += _LOOKS_S

    def check(self) -> None:
        """To be called before every write: renews the lease, or raises Superseded when another run took it."""
        now = self._clock.now()
        there = self._read()
        if there is None or there.token != self._token or now >= self._until:
            taken = there is not None and there.token != self._token
            raise Superseded(
                f"the lease of this run on {self._export} in {self._store.url} "
                f"{f'was taken over by the run {there.run}' if taken and there else 'has ended'}, as it stood still "
                "for too long; nothing was committed; run the window again"
            )
        if self._until - now < (LASTS_S - _RENEWED_AFTER_S) * TICK_PER_SECOND:
            self._put()

    def release(self) -> None:
        """Let others in at once. A failure is only logged: the lease ends by itself."""
        try:
            there = self._read()
            if there is not None and there.token == self._token:
                self._store.delete([self._key])
        except StoreError as error:
            log.warning("the lease %s in %s stays until it expires: %s", self._key, self._store.url, error)

    def _put(self) -> None:
        self._until = self._clock.now() + LASTS_S * TICK_PER_SECOND
        claim = _Claim(self._run, self._token, self._until)
        self._store.put_bytes(self._key, msgspec.json.encode(claim))

    def _read(self) -> _Claim | None:
        try:
            return msgspec.json.decode(self._store.read(self._key), type=_Claim)
        except NotFound:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            log.warning("%s in %s is no lease and is replaced", self._key, self._store.url)
            return None

    def _lives(self, claim: _Claim) -> bool:
        """A lease that ends later than any that is taken now is of a clock that went wrong, and not believed."""
        now = self._clock.now()
        margin = _MARGIN_S * TICK_PER_SECOND
        return now - margin < claim.expires_at <= now + LASTS_S * TICK_PER_SECOND + margin
