"""A board in Redis, for many machines: one key per record, changed by compare-and-swap, by the server's clock.

Needs the package ``redis``. The connection is Airflow's of type ``redis``
(https://airflow.apache.org/docs/apache-airflow-providers-redis/stable/connections/redis.html).
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from typing import Any, TypeVar

from logferry.budget.board import BoardDown, Work
from logferry.connection import Connection
from logferry.errors import DefinitionError

T = TypeVar("T")

_READ = "return {redis.call('GET', KEYS[1]) or '', redis.call('TIME')}"
_SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_PREFIX = "logferry:budget:"
_KEPT_MS = 7 * 24 * 3_600_000
_TIMEOUT_S = 2.0
_MOST_TRIES = 200
_TLS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_keyfile", "ssl_certfile", "ssl_check_hostname")


class RedisBoard:
    """Raises DefinitionError when the package is missing; nothing is sent before the first change."""

    def __init__(self, connection: Connection, sleep: Callable[[float], None]) -> None:
        try:
            redis: Any = importlib.import_module("redis")
            retries: Any = importlib.import_module("redis.retry")
            backoff: Any = importlib.import_module("redis.backoff")
        except ImportError:
            raise DefinitionError(
                f"budget_connection {connection.conn_id!r} is a Redis, and the Python package redis is not "
                "installed; install it (pip install redis)"
            ) from None
        self._errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._sleep = sleep
        tls = {name: value for name in _TLS if (value := connection.option(name)) is not None}
        self._client: Any = redis.Redis(
            host=connection.host or "localhost",
            port=connection.port or 6379,
            db=_database(connection),
            username=connection.login,
            password=connection.password,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            # The client's own ten tries would hold a request up for a minute; whoever stands by tries again.
            retry=retries.Retry(backoff.NoBackoff(), 0),
            **({"ssl": True, **tls} if connection.flag("ssl") else {}),
        )
        self._read = self._client.register_script(_READ)
        self._swap = self._client.register_script(_SWAP)

    def change(self, name: str, work: Work[T]) -> T:
        """Raises BoardDown when the server does not answer."""
        key = _PREFIX + name
        for tried in range(_MOST_TRIES):
            try:
                record, (seconds, microseconds) = self._read(keys=[key])
                now_ms = int(seconds) * 1000 + int(microseconds) // 1000
                changed, result = work(record, now_ms, 1)
                if changed is None or changed == record or self._swap([key], [record, changed, _KEPT_MS]):
                    return result
            except self._errors as error:
                raise BoardDown(f"{type(error).__name__}: {error}"[:200]) from None
            self._sleep(random.uniform(0, 0.002 * min(tried + 1, 10)))
        raise BoardDown(f"{_MOST_TRIES} tries to change a record were all too late")

    def peek(self, name: str) -> tuple[bytes, int]:
        """A record, empty when there is none, and the server's time in milliseconds. Raises BoardDown."""
        try:
            record, (seconds, microseconds) = self._read(keys=[_PREFIX + name])
        except self._errors as error:
            raise BoardDown(f"{type(error).__name__}: {error}"[:200]) from None
        return record, int(seconds) * 1000 + int(microseconds) // 1000


def _database(connection: Connection) -> int:
    """``db`` of the extra, as Airflow's form has it, or the path of a URI."""
    found = connection.text("db") or connection.schema or "0"
    if not found.isdecimal():
        raise DefinitionError(f"Connection {connection.conn_id!r}: extra field 'db' must be a whole number.")
    return int(found)
