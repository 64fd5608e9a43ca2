"""Boards that machines share, looked at for the page: seldom, each by its own thread, and never waited for long."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from logferry.budget.board import BoardDown
from logferry.budget.look import Seen, look_at
from logferry.budget.opening import shared_board
from logferry.clock import Clock
from logferry.connection import Connect
from logferry.errors import LogferryError
from logferry.view.plain import cut
from logferry.window import TICK_PER_SECOND

log = logging.getLogger(__name__)

_FRESH = 10 * TICK_PER_SECOND
_MOST = 500
_SLOW = "The connection where its numbers are shared takes long to answer."
_UNKNOWN = "Not known yet: it is learned from the answers to the first export."


@dataclass(frozen=True, slots=True)
class Account:
    """Where the numbers of an allowance are kept: ``key`` names the credential, ``wanted_by`` the connection of the
    source, ``board`` the connection to the server, ``share`` the export."""

    key: str
    bucket: str
    wanted_by: str
    board: str
    share: str


@dataclass(slots=True)
class _Look:
    found: Seen | str = _SLOW
    looked_at: int | None = None
    done: threading.Event | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class SharedBoards:
    """For many threads. ``patience_s``: how long a caller waits before it gets what was seen last."""

    def __init__(self, connect: Connect, clock: Clock, *, patience_s: float = 1.0) -> None:
        self._connect = connect
        self._clock = clock
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._looks: dict[Account, _Look] = {}

    def seen(self, account: Account) -> Seen | str:
        """What is known of an allowance, or a sentence that says why nothing is."""
        with self._lock:
            if len(self._looks) >= _MOST and account not in self._looks:
                self._looks.pop(next(iter(self._looks)))
            look = self._looks.setdefault(account, _Look())
        with look.lock:
            now = self._clock.now()
            if look.looked_at is not None and 0 <= now - look.looked_at < _FRESH:
                return look.found
            done, begun = look.done, False
            if done is None:
                done, begun = threading.Event(), True
                look.done = done
                threading.Thread(
                    target=self._read, args=(account, look, done), name="budget-look", daemon=True
                ).start()
        if begun:
            done.wait(self._patience_s)
        return look.found

    def _read(self, account: Account, look: _Look, done: threading.Event) -> None:
        found: Seen | str
        try:
            connection = self._connect(account.board, "budget")
            board = shared_board(connection, account.wanted_by, self._clock)
            found = look_at(board, account.key, account.bucket, share=account.share) or _UNKNOWN
        except BoardDown as error:
            found = f"The connection {account.board!r} where it is shared cannot be reached ({cut(str(error), 300)})."
        except LogferryError as error:
            found = cut(str(error), 500)
        except Exception as error:
            log.exception("the board %s cannot be looked at", account.board)
            found = f"Looking at the connection {account.board!r} failed with {type(error).__name__}."
        with look.lock:
            look.found, look.looked_at, look.done = found, self._clock.now(), None
        done.set()
