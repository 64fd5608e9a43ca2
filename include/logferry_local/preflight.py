"""What must be true before anything starts; each failure is one sentence with its remedy."""

from __future__ import annotations

import fcntl
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from logferry.errors import DefinitionError
from logferry_local.settings import Settings

NEEDED_BYTES = 500 * 1024 * 1024


def check(settings: Settings) -> None:
    """Raise DefinitionError when there is no disk or the port is taken."""
    settings.home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.home).free
    if free < NEEDED_BYTES:
        raise DefinitionError(
            f"only {free // 2**20} MB are free in {settings.home}; the local Airflow needs {NEEDED_BYTES // 2**20} MB"
        )
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.port))
        except OSError:
            raise DefinitionError(
                f"port {settings.port} is in use on 127.0.0.1; stop what listens there, or choose another with "
                f"AIRFLOW_PORT={settings.port + 1} make run"
            ) from None


@contextmanager
def only_run(settings: Settings) -> Iterator[None]:
    """Hold the state folder for this run alone. Raises DefinitionError when another one has it."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DefinitionError(
                f"another make run is using {settings.home}; end it, or set LOGFERRY_HOME and AIRFLOW_PORT"
            ) from None
        yield
