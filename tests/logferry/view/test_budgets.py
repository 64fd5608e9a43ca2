"""The budget on the page: looked at, never taken from, and a sentence where nothing is known."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.logferry.conftest import ManualClock
from tests.logferry.memory_store import MemoryStore
from tests.logferry.view.made_year import YEAR_START, connect, make_year, year_spec
from tests.logferry.view.states import state_of

from logferry.audit.archive import Archive
from logferry.budget import Budget
from logferry.budget.board import BoardDown
from logferry.budget.budget import record_name
from logferry.connection import Connection
from logferry.errors import CredentialsError
from logferry.sources.opening import open_source
from logferry.view import shared_boards as shared_boards_module
from logferry.view.archive_state import ArchiveState
from logferry.view.budgets import budget_of
from logferry.view.fill import fill
from logferry.view.reading import look
from logferry.view.shared_boards import Account, SharedBoards
from logferry.window import TICK_PER_DAY, TICK_PER_SECOND

HEADERS = {
    "x-ratelimit-limit": "300",
    "x-ratelimit-period": "3600",
    "x-ratelimit-remaining": "200",
    "x-ratelimit-reset": "1800",
}
ACCOUNT = Account("key", "datadog_search", "dd", "shared", "web")


@dataclass
class Board:
    """A board on a server that can be away, or keep people waiting."""

    record: bytes = b""
    down: bool = False
    free: threading.Event = field(default_factory=threading.Event)
    asked: int = 0

    def __post_init__(self) -> None:
        self.free.set()

    def peek(self, name: str) -> tuple[bytes, int]:
        self.asked += 1
        self.free.wait(30)
        if self.down:
            raise BoardDown("ConnectionError: refused")
        return (self.record if name == record_name("key", "datadog_search") else b""), 1_000

    def change(self, name: str, work: object) -> None:
        raise AssertionError("the page changes nothing")


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Board:
    board = Board()
    monkeypatch.setattr(shared_boards_module, "shared_board", lambda *given: board)
    return board


def state(connection: Connection | None = None) -> ArchiveState:
    spec = year_spec()
    store = MemoryStore()
    make_year(store, spec, slices=48, missing=[30])
    state = state_of(store, spec)
    return replace(state, read=look(Archive(spec, store, connection, ""), opened_at=0, now=0))


def test_what_an_export_on_this_machine_learned_is_shown_and_gives_the_time_of_a_fill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    connection = connect("datadog_default", "datadog")
    shown = state(connection)
    assert budget_of(shown, now=clock.now())[0] is None
    assert "first export" in (budget_of(shown, now=clock.now())[1] or "")
    assert list(tmp_path.iterdir()) == []

    opened = open_source(shown.spec, connection)
    budget = Budget(opened.auth.key, clock=clock, share="web")
    budget.acquire("datadog_search")
    budget.learn("datadog_search", 200, HEADERS)
    found, note = budget_of(shown, now=clock.now())
    assert note is None
    assert found is not None
    assert (found["limit"], found["period_s"], found["reserve"], found["sharing"]) == (300, 3600, 0.1, 1)
    asked = shown.index.window(shown.index.first + 30)
    assert fill(shown, asked, now=YEAR_START + 9 * TICK_PER_DAY)["eta_s"] is not None


def test_without_the_connection_a_sentence_says_so() -> None:
    assert budget_of(state(None), now=0) == (
        None,
        "Not known here: this machine has no connection 'datadog_default'.",
    )


def test_numbers_that_machines_share_are_looked_at_seldom(board: Board, clock: ManualClock) -> None:
    boards = SharedBoards(connect, clock, patience_s=30)
    assert boards.seen(ACCOUNT) == "Not known yet: it is learned from the answers to the first export."
    assert boards.seen(ACCOUNT) == "Not known yet: it is learned from the answers to the first export."
    assert board.asked == 1
    clock.tick += 11 * TICK_PER_SECOND
    board.down = True
    assert boards.seen(ACCOUNT) == (
        "The connection 'shared' where it is shared cannot be reached (ConnectionError: refused)."
    )


def looking() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "budget-look"]


def test_a_server_that_keeps_people_waiting_is_waited_for_once(board: Board, clock: ManualClock) -> None:
    board.free.clear()
    boards = SharedBoards(connect, clock, patience_s=0.1)
    for thread in looking():
        thread.join(30)  # An earlier test's, which is about to end.
    said = {str(boards.seen(ACCOUNT)) for _ in range(5)}
    assert said == {"The connection where its numbers are shared takes long to answer."}
    assert len(looking()) == 1
    board.free.set()


def test_a_connection_that_is_not_there_is_named(clock: ManualClock) -> None:
    def nowhere(conn_id: str, kind: str) -> Connection:
        raise CredentialsError(f"Connection {conn_id!r} is not configured.")

    assert (
        SharedBoards(nowhere, clock, patience_s=30).seen(ACCOUNT) == "Connection 'shared' is not configured."
    )
