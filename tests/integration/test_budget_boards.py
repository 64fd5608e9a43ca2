"""One allowance for several machines: through a real Redis, through a real PostgreSQL, and while either is away."""

from __future__ import annotations

import contextlib
import importlib
import logging
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.free_port import free_port
from tests.integration.budget_servers import (
    PASSWORD,
    RedisServer,
    postgres_server,
    redis_server,
)

from logferry.budget import Budget
from logferry.budget.board import Board, BoardDown
from logferry.budget.in_flight import LeasedSlots
from logferry.budget.local_board import LocalBoard
from logferry.budget.opening import open_budget
from logferry.budget.postgres_board import PostgresBoard
from logferry.budget.redis_board import RedisBoard
from logferry.budget.standby_board import StandbyBoard
from logferry.clock import SystemClock
from logferry.connection import Connection
from logferry.errors import CredentialsError, DefinitionError
from logferry.window import TICK_PER_SECOND

pytestmark = pytest.mark.integration

SOURCE = Connection("source", "datadog_logs", extra={"budget_connection": "shared"})
NAMED = {"x-ratelimit-limit": "300", "x-ratelimit-period": "3600", "x-ratelimit-reset": "1800"}


class SteppingClock:
    """The real time, moved on by sleeping instead of waiting."""

    def __init__(self) -> None:
        self._ahead = 0

    def now(self) -> int:
        return SystemClock().now() + self._ahead

    def sleep(self, seconds: float) -> None:
        self._ahead += round(seconds * TICK_PER_SECOND)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Connection]:
    with postgres_server() as connection:
        yield connection


@pytest.fixture(params=["psycopg", "psycopg2"])
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One of the two drivers, as if the other were not installed."""
    name: str = request.param
    pytest.importorskip(name)
    monkeypatch.setattr("logferry.budget.postgres_board.DRIVERS", (name,))
    return name


@pytest.fixture(params=["redis", "psycopg", "psycopg2"])
def shared(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """A server of each kind, PostgreSQL through each driver."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        return server.connection
    pytest.importorskip(request.param)
    monkeypatch.setattr("logferry.budget.postgres_board.DRIVERS", (request.param,))
    found: Connection = request.getfixturevalue("postgres")
    module: Any = importlib.import_module(request.param)
    with contextlib.closing(
        module.connect(host=found.host, user=found.login, dbname=found.schema)
    ) as session:
        session.cursor().execute("DROP TABLE IF EXISTS logferry_budget")
        session.commit()
    return found


@pytest.fixture
def board(shared: Connection) -> Callable[[], Board]:
    """A board of a machine of its own, each time."""
    if shared.conn_type == "redis":
        return lambda: RedisBoard(shared, lambda seconds: None)
    return lambda: PostgresBoard(shared)


def test_no_change_is_lost_among_many_writers(board: Callable[[], Board]) -> None:
    def add() -> None:
        mine = board()
        for _ in range(50):
            mine.change(
                "counted", lambda record, now_ms, divided_by: (b"%d" % (int(record or b"0") + 1), None)
            )

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert board().change("counted", lambda record, now_ms, divided_by: (None, record)) == b"200"


def test_the_clock_is_the_servers(board: Callable[[], Board]) -> None:
    here_ms = SystemClock().now() // 10_000
    there_ms = board().change("clock", lambda record, now_ms, divided_by: (None, now_ms))
    assert abs(there_ms - here_ms) < 60_000


def test_a_change_that_fails_leaves_the_record_and_its_lock_alone(board: Callable[[], Board]) -> None:
    mine = board()
    mine.change("kept", lambda record, now_ms, divided_by: (b"before", None))

    def fail(record: bytes, now_ms: int, divided_by: int) -> tuple[bytes, None]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mine.change("kept", fail)
    assert board().change("kept", lambda record, now_ms, divided_by: (None, record)) == b"before"


def test_two_machines_take_from_one_allowance(shared: Connection, tmp_path: Path) -> None:
    budgets = [
        open_budget(f"two-{shared.conn_type}", SOURCE, lambda *_: shared, share=name, folder=tmp_path / name)
        for name in ("one", "two")
    ]
    budgets[0].acquire("search")
    budgets[0].learn("search", 200, {**NAMED, "x-ratelimit-remaining": "299"})
    for number in range(40):
        budgets[number % 2].acquire("search")
    found = budgets[1].forecast("search")
    assert found is not None
    assert found.left == 270 - 41
    assert found.sharing == 2


def test_in_flight_holds_for_all_machines(board: Callable[[], Board], tmp_path: Path) -> None:
    one, two = (LeasedSlots(board()) for _ in range(2))
    given = [one.hold("slots", "alpha", 2), one.hold("slots", "alpha", 2)]
    assert None not in given
    assert two.hold("slots", "bravo", 2) is None
    give_back = given[0]
    assert give_back is not None
    give_back()
    assert one.hold("slots", "alpha", 2) is None, "another export has waited"
    assert two.hold("slots", "bravo", 2) is not None


def test_while_redis_is_away_work_goes_on_with_this_machines_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    caplog.set_level(logging.INFO, logger="logferry")
    clock = SteppingClock()
    with redis_server(folder) as server:

        def machine(name: str) -> Budget:
            return open_budget(
                "away",
                SOURCE,
                lambda *_: server.connection,
                share="export",
                clock=clock,
                folder=tmp_path / name,
            )

        one, two = machine("one"), machine("two")
        one._board._machine = "one"  # type: ignore[attr-defined]
        two._board._machine = "two"  # type: ignore[attr-defined]
        for budget in (two, one):
            budget.acquire("search")
            budget.learn("search", 200, {**NAMED, "x-ratelimit-remaining": "299"})
        server.stop()
        waited = one.waited_s
        for _ in range(120):
            one.acquire("search")
        assert one.waited_s == waited, "its half of 270 is 135"
        for _ in range(30):
            one.acquire("search")
        assert one.waited_s > waited
        warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert len(warnings) == 1
        assert "'shared' cannot be reached" in warnings[0].getMessage()
        assert PASSWORD not in caplog.text
        server.start()
        for _ in range(20):  # each time it is asked once, and it may be slow to come up
            clock.sleep(60)
            one.acquire("search")
            if "can be reached again" in caplog.text:
                break
        assert "can be reached again" in caplog.text


@pytest.mark.parametrize("conn_type", ["redis", "postgres"])
def test_a_server_that_is_not_there_is_no_error(
    conn_type: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = Connection("shared", conn_type, host="127.0.0.1", port=free_port(), password=PASSWORD)
    budget = open_budget("nowhere", SOURCE, lambda *_: nowhere, clock=SteppingClock(), folder=tmp_path)
    budget.acquire("search")
    budget.acquire("azure_query")
    with budget.in_flight("azure_query"):
        pass
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    assert PASSWORD not in caplog.text


def test_a_wrong_password_is_said_without_showing_it(redis: RedisServer, tmp_path: Path) -> None:
    wrong = replace(redis.connection, password="wrong-secret")
    with pytest.raises(BoardDown) as caught:
        RedisBoard(wrong, lambda seconds: None).change("x", lambda record, now_ms, divided_by: (None, None))
    assert "wrong-secret" not in str(caught.value)


def test_another_type_of_connection_is_refused_in_one_sentence(tmp_path: Path) -> None:
    other = Connection("shared", "mysql")
    with pytest.raises(
        DefinitionError, match=r"'shared' is of type 'mysql'; name one of type redis or postgres"
    ):
        open_budget("key", SOURCE, lambda *_: other, folder=tmp_path)


@pytest.mark.parametrize(("conn_type", "package"), [("redis", "redis"), ("postgres", "psycopg")])
def test_a_missing_package_is_named(
    conn_type: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(DefinitionError, match=rf"pip install '?{package}"):
        open_budget("key", SOURCE, lambda *_: Connection("shared", conn_type), folder=tmp_path)


def test_a_connection_that_is_not_configured_is_an_error(tmp_path: Path) -> None:
    from logferry.connection import connection_for

    with pytest.raises(CredentialsError, match="AIRFLOW_CONN_SHARED"):
        open_budget("key", SOURCE, lambda name, kind: connection_for(name, kind, {}), folder=tmp_path)


class Mute:
    """A server that takes connections and never answers; as PostgreSQL it does so after the greeting, if ``greets``."""

    def __init__(self, *, greets: bool = False) -> None:
        self._greets = greets
        self._came: queue.Queue[object] = queue.Queue()
        self._kept: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                one, who = self._socket.accept()
                self._came.put(who)
                self._kept.append(one)
                if self._greets:
                    with contextlib.suppress(OSError, struct.error):  # It may have gone meanwhile.
                        self._greet(one)

    @property
    def connections(self) -> int:
        """How many there were until now, also those not taken yet."""
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            return next(number for number in count() if self._came.get(timeout=30) == last.getsockname())

    def _greet(self, one: socket.socket) -> None:
        (length,) = struct.unpack("!I", one.recv(4))
        one.recv(length)

        def message(kind: bytes, body: bytes) -> bytes:
            return kind + struct.pack("!I", len(body) + 4) + body

        named = [b"server_version\x0016\0", b"client_encoding\0UTF8\0", b"DateStyle\0ISO, MDY\0"]
        one.sendall(
            message(b"R", struct.pack("!I", 0))
            + b"".join(message(b"S", parameter) for parameter in named)
            + message(b"K", struct.pack("!II", 1, 1))
            + message(b"Z", b"I")
        )

    def close(self) -> None:
        self._socket.close()
        for one in self._kept:
            one.close()


@pytest.fixture
def mute() -> Iterator[Callable[..., Mute]]:
    servers: list[Mute] = []

    def start(**options: bool) -> Mute:
        servers.append(Mute(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def nothing(record: bytes, now_ms: int, divided_by: int) -> tuple[None, None]:
    return None, None


def test_a_redis_that_does_not_answer_is_asked_once(
    mute: Callable[..., Mute], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logferry.budget.redis_board._TIMEOUT_S", 0.05)
    server = mute()
    board = RedisBoard(
        Connection("shared", "redis", host="127.0.0.1", port=server.port), lambda seconds: None
    )
    with pytest.raises(BoardDown):
        board.change("x", nothing)
    assert server.connections == 1


@pytest.mark.parametrize("greets", [False, True])
def test_a_postgresql_that_stops_answering_is_down(
    driver: str, mute: Callable[..., Mute], monkeypatch: pytest.MonkeyPatch, greets: bool
) -> None:
    monkeypatch.setattr("logferry.budget.postgres_board._DEADLINE_S", 0.3)
    server = mute(greets=greets)
    options = {"sslmode": "disable", "gssencmode": "disable"}
    board = PostgresBoard(
        Connection(
            "shared", "postgres", host="127.0.0.1", port=server.port, login="u", schema="d", extra=options
        )
    )
    with pytest.raises(BoardDown):
        board.change("x", nothing)
    assert server.connections == 1


class Down:
    """A board that is away; it says how often it was asked, and what happened meanwhile."""

    def __init__(self) -> None:
        self.asked = 0
        self.meanwhile: Callable[[], object] = lambda: None

    def change(self, name: str, work: object) -> None:
        self.asked += 1
        self.meanwhile()
        raise BoardDown("away")


def test_while_one_thread_tries_again_the_others_stay_here(tmp_path: Path) -> None:
    clock, shared = SteppingClock(), Down()
    board = StandbyBoard(shared, LocalBoard(clock, tmp_path), clock=clock, name="shared")  # type: ignore[arg-type]
    board.change("x", nothing)
    clock.sleep(16)
    shared.meanwhile = lambda: board.change("x", nothing)
    board.change("x", nothing)
    assert shared.asked == 2


def test_the_number_of_machines_is_kept_by_server_and_forgotten_after_a_day(tmp_path: Path) -> None:
    clock, local_clock = SteppingClock(), SteppingClock()
    local, meeting = LocalBoard(local_clock, tmp_path / "here"), LocalBoard(clock, tmp_path / "there")

    def standby(shared: Board, place: str, machine: str = "") -> StandbyBoard:
        made = StandbyBoard(shared, local, clock=clock, name="shared", place=place)
        made._machine = machine or made._machine
        return made

    def machines(place: str) -> int:
        away = standby(Down(), place)  # type: ignore[arg-type]
        return away.change("x", lambda record, now_ms, divided_by: (None, divided_by))

    for machine in ("one", "two"):
        standby(meeting, "here", machine).change("x", nothing)
    assert (machines("here"), machines("elsewhere")) == (2, 1)
    local_clock.sleep(25 * 3600)
    assert machines("here") == 1
