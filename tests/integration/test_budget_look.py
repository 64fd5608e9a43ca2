"""A look at a budget on a real Redis and a real PostgreSQL: it says what the budget forecasts, and leaves no trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.free_port import free_port
from tests.integration.budget_servers import RedisServer, postgres_server, redis_server

from logferry.budget import Budget
from logferry.budget.board import BoardDown, SharedBoard
from logferry.budget.budget import record_name
from logferry.budget.in_flight import LeasedSlots
from logferry.budget.look import look_at
from logferry.budget.opening import shared_board
from logferry.clock import SystemClock
from logferry.connection import Connection

RECORD = record_name("credential", "datadog_search")

pytestmark = pytest.mark.integration

HEADERS = {
    "x-ratelimit-limit": "300",
    "x-ratelimit-period": "3600",
    "x-ratelimit-remaining": "200",
    "x-ratelimit-reset": "1800",
}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Connection]:
    with postgres_server() as connection:
        yield connection


@pytest.fixture(params=["redis", "postgres"])
def shared(request: pytest.FixtureRequest) -> Connection:
    found = request.getfixturevalue(request.param)
    return found.connection if isinstance(found, RedisServer) else found


def opened(connection: Connection) -> SharedBoard:
    return shared_board(connection, "source", SystemClock())


def test_it_says_what_the_budget_forecasts(shared: Connection, tmp_path: Path) -> None:
    assert look_at(opened(shared), "credential", "datadog_search", share="web") is None
    board = opened(shared)
    budget = Budget("credential", folder=tmp_path, share="web", board=board, slots=LeasedSlots(board))
    budget.acquire("datadog_search")
    budget.learn("datadog_search", 200, HEADERS)
    before = board.peek(RECORD)[0]
    seen = look_at(opened(shared), "credential", "datadog_search", share="web")
    assert seen is not None
    told = budget.forecast("datadog_search")
    assert told is not None
    assert (seen.forecast.limit, seen.forecast.left, seen.forecast.others) == (300, told.left, told.others)
    assert board.peek(RECORD)[0] == before


def test_looking_makes_no_record(shared: Connection) -> None:
    board = opened(shared)
    assert board.peek("nobody-was-here")[0] == b""
    assert board.peek("nobody-was-here")[0] == b""


@pytest.mark.parametrize("conn_type", ["redis", "postgres"])
def test_a_server_that_is_not_there_is_down(conn_type: str) -> None:
    away = Connection("shared", conn_type, host="127.0.0.1", port=free_port(), login="u", schema="0")
    with pytest.raises(BoardDown):
        look_at(opened(away), "credential", "datadog_search", share="web")
