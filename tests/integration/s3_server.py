"""An S3 server in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.free_port import free_port

_STARTED_WITHIN_S = 60


@dataclass(frozen=True)
class S3Server:
    """An S3 that answers at ``endpoint_url``. It accepts any key and any secret."""

    endpoint_url: str
    access_key: str
    secret: str


@contextmanager
def running_s3_server(log: Path, *, data: Path | None = None, port: int | None = None) -> Iterator[S3Server]:
    """ministack on 127.0.0.1, logging to ``log``; its process group is killed (SIGKILL) at the end.

    ``data``: the folder in which objects outlive the server; None keeps them in memory. ``port``: that of a server
    which ran before, to take its place; None takes a free one.
    """
    port = port or free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environ |= {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "s3", "LOG_LEVEL": "WARNING"}
    if data is not None:
        environ |= {"S3_PERSIST": "1", "S3_DATA_DIR": str(data)}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        _wait_until_answering(endpoint, process, log)
        yield S3Server(endpoint, "AKIDEXAMPLE", "not-checked")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_answering(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Returns once the server answers; ``urlopen`` gives up on a silent one."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(_STARTED_WITHIN_S * 5):
        try:
            direct.open(endpoint, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            try:
                process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(
                f"ministack ended with status {process.returncode}:\n{log.read_text()}"
            ) from None
    raise RuntimeError(f"ministack does not answer at {endpoint}:\n{log.read_text()}")
