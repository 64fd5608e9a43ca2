"""A board in PostgreSQL, for many machines: one row per record, changed under its lock, by the server's clock.

Needs ``psycopg`` (3) or ``psycopg2``. The connection is Airflow's of type ``postgres``
(https://airflow.apache.org/docs/apache-airflow-providers-postgres/stable/connections/postgres.html); its user must be
able to create the table ``logferry_budget``, or to read and write it where somebody created it.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from typing import Any, TypeVar

from logferry.budget.board import BoardDown, Work
from logferry.connection import Connection
from logferry.errors import DefinitionError

T = TypeVar("T")

_TABLE = "CREATE TABLE IF NOT EXISTS logferry_budget (name text PRIMARY KEY, record bytea NOT NULL)"
_EXISTS = "SELECT to_regclass('logferry_budget') IS NOT NULL"
_ROW = "INSERT INTO logferry_budget (name, record) VALUES (%s, '') ON CONFLICT DO NOTHING"
# The clock is read in the outer query, that is after the row's lock was had.
_READ = """
WITH mine AS MATERIALIZED (SELECT record FROM logferry_budget WHERE name = %s FOR UPDATE)
SELECT record, (extract(epoch FROM clock_timestamp()) * 1000)::bigint FROM mine
"""
_WRITE = "UPDATE logferry_budget SET record = %s WHERE name = %s"
_TIMEOUT_S = 5
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
            "options": f"-c statement_timeout={_TIMEOUT_S}s -c lock_timeout={_TIMEOUT_S}s",
            **{name: connection.option(name) for name in _LIBPQ},
        }
        self._lock = threading.Lock()
        self._session: Any = None
        self._process = 0

    def change(self, name: str, work: Work[T]) -> T:
        """Raises BoardDown when the server does not answer."""
        with self._lock:
            try:
                return self._changed(name, work)
            except self._driver.Error as error:
                self._drop()
                raise BoardDown(f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]) from None
            except BaseException:
                self._drop()
                raise

    def _changed(self, name: str, work: Work[T]) -> T:
        session = self._open()
        with session.cursor() as cursor:
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
        session = self._driver.connect(**given)
        with session.cursor() as cursor:
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

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None and self._process == os.getpid():
            with contextlib.suppress(Exception):
                session.close()


def _driver(conn_id: str) -> Any:
    for name in ("psycopg", "psycopg2"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    raise DefinitionError(
        f"budget_connection {conn_id!r} is a PostgreSQL, and neither of the Python packages psycopg and psycopg2 is "
        "installed; install one (pip install 'psycopg[binary]')"
    )
