"""A board in PostgreSQL, for many machines: one row per record, changed under its lock, by the server's clock.

Needs ``psycopg`` (3) or ``psycopg2``. The connection is Airflow's of type ``postgres``
(https://airflow.apache.org/docs/apache-airflow-providers-postgres/stable/connections/postgres.html); its user must be
able to create the table ``logferry_budget``, or to read and write it where somebody created it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

from logferry.budget.board import BoardDown, Work
from logferry.connection import Connection
from logferry.errors import DefinitionError

T = TypeVar("T")

DRIVERS = ("psycopg", "psycopg2")
"""The first that is installed is used."""

_TABLE = "CREATE TABLE IF NOT EXISTS logferry_budget (name text PRIMARY KEY, record bytea NOT NULL)"
_EXISTS = "SELECT to_regclass('logferry_budget') IS NOT NULL"
_ROW = "INSERT INTO logferry_budget (name, record) VALUES (%s, '') ON CONFLICT DO NOTHING"
# The clock is read in the outer query, that is after the row's lock was had.
_READ = """
WITH mine AS MATERIALIZED (SELECT record FROM logferry_budget WHERE name = %s FOR UPDATE)
SELECT record, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM mine
"""
_PEEK = """
SELECT (SELECT record FROM logferry_budget WHERE name = %s), (extract(epoch FROM clock_timestamp()) * 1000)::bigint
"""
_WRITE = "UPDATE logferry_budget SET record = %s WHERE name = %s"
_TIMEOUT_S = 5
_DEADLINE_S = 8.0
"""For one change from end to end: what the server's own time-outs are for, unless the server is what stands still."""
_ALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": _TIMEOUT_S * 1000,
}
_LIBPQ = ("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "keepalives_idle")


class PostgresBoard:
    """Raises DefinitionError when there is no driver; connects at the first change, and again after a failure."""

    def __init__(self, connection: Connection) -> None:
        self._driver = _driver(connection.conn_id)
        self._options: dict[str, Any] = {
            "host": connection.host,
            "port": connection.port,
            "dbname": connection.schema,
            "user": connection.login,
            "password": connection.password,
            "connect_timeout": _TIMEOUT_S,
            "application_name": "logferry budget",
            # With another DateStyle psycopg2 sends a query while it connects, where no deadline holds.
            "options": f"-c statement_timeout={_TIMEOUT_S}s -c lock_timeout={_TIMEOUT_S}s -c datestyle=ISO",
            **_ALIVE,
            **{name: value for name in _LIBPQ if (value := connection.option(name)) is not None},
        }
        self._lock = threading.Lock()
        self._session: Any = None
        self._process = 0
        self._failed = 0
        self._connecting: threading.Thread | None = None

    def change(self, name: str, work: Work[T]) -> T:
        """Raises BoardDown when the server does not answer, within seconds and for all who wait at once."""
        failed = self._failed
        with self._lock:
            if failed != self._failed:
                raise BoardDown("it failed for another thread just now")
            try:
                return self._changed(name, work)
            except BoardDown:
                self._failed += 1
                raise
            except self._driver.Error as error:
                self._failed += 1
                self._drop()
                raise BoardDown(f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]) from None
            except BaseException:
                self._drop()
                raise

    def peek(self, name: str) -> tuple[bytes, int]:
        """A record, empty when there is none, and the server's time in milliseconds, in a session of its own.

        No table is made, no row is locked. Raises BoardDown.
        """
        given = {name: value for name, value in self._options.items() if value is not None}
        try:
            with (
                contextlib.closing(self._connected(given)) as session,
                _deadline(session),
                session.cursor() as cursor,
            ):
                cursor.execute(_EXISTS)
                if not cursor.fetchone()[0]:
                    return b"", 0
                cursor.execute(_PEEK, (name,))
                record, now_ms = cursor.fetchone()
        except self._driver.Error as error:
            raise BoardDown(f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]) from None
        return bytes(record or b""), int(now_ms)

    def _changed(self, name: str, work: Work[T]) -> T:
        session = self._open()
        with _deadline(session), session.cursor() as cursor:
            cursor.execute(_READ, (name,))
            found = cursor.fetchone()
            if found is None:
                cursor.execute(_ROW, (name,))
                cursor.execute(_READ, (name,))
                found = cursor.fetchone()
            record = bytes(found[0])
            changed, result = work(record, int(found[1]), 1)
            if changed is not None and changed != record:
                cursor.execute(_WRITE, (changed, name))
            session.commit()
        return result

    def _open(self) -> Any:
        if self._session is not None and self._process == os.getpid():
            return self._session
        # A connection that came through a fork belongs to the parent.
        given = {name: value for name, value in self._options.items() if value is not None}
        session = self._connected(given)
        with _deadline(session), session.cursor() as cursor:
            cursor.execute(_EXISTS)
            if not cursor.fetchone()[0]:
                try:
                    cursor.execute(_TABLE)
                except self._driver.Error:
                    # Two that begin at the same moment: one creates it, and the other may be told so.
                    session.rollback()
                    cursor.execute(_EXISTS)
                    if not cursor.fetchone()[0]:
                        session.close()
                        raise
            session.commit()
        self._session, self._process = session, os.getpid()
        return session

    def _connected(self, given: dict[str, Any]) -> Any:
        """A new session, made by the driver in a thread, of which there is never more than one.

        ``connect_timeout`` holds for each address, and not for looking the name up.
        """
        if self._connecting is not None and self._connecting.is_alive():
            raise BoardDown("it still does not answer")
        made: queue.SimpleQueue[Any] = queue.SimpleQueue()
        given_up = threading.Event()

        def connect() -> None:
            try:
                session = self._driver.connect(**given)
            except Exception as error:
                made.put(error)
            else:
                made.put(session)
                if given_up.is_set():
                    session.close()

        self._connecting = threading.Thread(target=connect, name="logferry-postgres", daemon=True)
        self._connecting.start()
        try:
            found = made.get(timeout=_DEADLINE_S)
        except queue.Empty:
            given_up.set()
            raise BoardDown(f"no connection after {_DEADLINE_S:g} s") from None
        if isinstance(found, Exception):
            raise found
        return found

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None and self._process == os.getpid():
            with contextlib.suppress(Exception):
                session.close()


@contextlib.contextmanager
def _deadline(session: Any) -> Iterator[None]:
    """Cuts the connection when what is done in it takes too long, so that whoever waits for an answer fails."""
    over = False
    lock = threading.Lock()

    def cut() -> None:
        # Never a descriptor that belongs to somebody else by now.
        with lock, contextlib.suppress(Exception):
            if not over:
                with socket.socket(fileno=os.dup(session.fileno())) as duplicate:
                    duplicate.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(_DEADLINE_S, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            over = True


def _driver(conn_id: str) -> Any:
    for name in DRIVERS:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise DefinitionError(
        f"budget_connection {conn_id!r} is a PostgreSQL, and neither of the Python packages psycopg and psycopg2 is "
        "installed; install one (pip install 'psycopg[binary]')"
    )
