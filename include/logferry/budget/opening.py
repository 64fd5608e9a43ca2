"""From a source's connection to the budget of its credential."""

from __future__ import annotations

from pathlib import Path

from logferry.budget.board import SharedBoard
from logferry.budget.budget import Budget
from logferry.budget.in_flight import LeasedSlots
from logferry.budget.local_board import LocalBoard
from logferry.budget.standby_board import StandbyBoard
from logferry.clock import Clock, SystemClock
from logferry.connection import Connect, Connection
from logferry.errors import DefinitionError


def open_budget(
    key: str,
    connection: Connection,
    connect: Connect,
    *,
    share: str = "",
    clock: Clock | None = None,
    folder: Path | None = None,
) -> Budget:
    """The budget that the connection's extra fields ``in_flight`` and ``budget_connection`` describe.

    ``key`` names the credential, ``share`` the export. ``connect(id, "budget")`` looks the other connection up.
    Raises DefinitionError and CredentialsError when a field or the other connection is wrong; a server that does not
    answer is no error (see ``StandbyBoard``).
    """
    clock = clock or SystemClock()
    most = connection.in_flight
    other = connection.budget_connection
    if other is None:
        return Budget(key, clock=clock, folder=folder, share=share, most_in_flight=most)
    found = connect(other, "budget")
    shared = shared_board(found, connection.conn_id, clock)
    place = f"{found.conn_type} {found.host} {found.port} {found.schema} {found.text('db')}"
    board = StandbyBoard(shared, LocalBoard(clock, folder), clock=clock, name=other, place=place)
    return Budget(key, clock=clock, share=share, most_in_flight=most, board=board, slots=LeasedSlots(board))


def shared_board(found: Connection, wanted_by: str, clock: Clock) -> SharedBoard:
    """The board behind a ``budget_connection`` of the connection ``wanted_by``. Raises DefinitionError."""
    match found.conn_type:
        case "redis":
            from logferry.budget.redis_board import RedisBoard

            return RedisBoard(found, clock.sleep)
        case "postgres" | "postgresql":
            from logferry.budget.postgres_board import PostgresBoard

            return PostgresBoard(found)
    raise DefinitionError(
        f"Connection {wanted_by!r}: its budget_connection {found.conn_id!r} is of type {found.conn_type!r}; name one "
        "of type redis or postgres."
    )
