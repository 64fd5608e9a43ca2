"""The two lakes of a chaos run, seen without the engine: a folder, and a bucket of an S3 server that gets killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from tests.free_port import free_port

_BUCKET = "lake"
_STARTED_WITHIN_S = 60
_FAREWELL_S = 0.3
_REGION = "us-east-1"


class Lake(Protocol):
    """``connection``: the fields of the destination's connection, None for a folder."""

    url: str
    restarts: int

    @property
    def connection(self) -> Mapping[str, Any] | None: ...

    def marks(self, prefix: str = "") -> dict[str, str]:
        """Every object's key and a mark that changes with its content."""

    def read(self, key: str) -> bytes:
        """The object. Raises FileNotFoundError."""

    def unfinished_uploads(self) -> int: ...


class Folder:
    """A lake on local disk."""

    connection = None
    restarts = 0

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self._root = root
        self.url = root.as_uri()

    def marks(self, prefix: str = "") -> dict[str, str]:
        found: dict[str, str] = {}
        for path in self._root.rglob("*"):
            key = path.relative_to(self._root).as_posix()
            if key.startswith(prefix) and not key.startswith(".tmp/"):
                try:
                    state = path.stat()
                except FileNotFoundError:
                    continue
                if path.is_file():
                    found[key] = f"{state.st_ino}-{state.st_mtime_ns}"
        return found

    def read(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def unfinished_uploads(self) -> int:
        return 0


class Bucket:
    """A lake in a bucket of ministack, an S3 server that keeps its objects on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._endpoint = f"http://127.0.0.1:{self._port}"
        self.url = f"s3://{_BUCKET}/logs"
        self.restarts = 0
        self.connection = {
            "conn_type": "aws",
            "login": "AKIDEXAMPLE",
            "password": "not-checked",
            "extra": {"endpoint_url": self._endpoint, "region_name": _REGION},
        }
        self._client = boto3.client(
            "s3",
            endpoint_url=self._endpoint,
            region_name=_REGION,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="not-checked",
            config=Config(
                s3={"addressing_style": "path"}, retries={"mode": "standard", "total_max_attempts": 8}
            ),
        )
        self._process = self._start()
        self._client.create_bucket(Bucket=_BUCKET)
        # ministack forgets a bucket without objects when it is restarted.
        self._client.put_object(Bucket=_BUCKET, Key="not-empty", Body=b"")

    def restart(self, *, gently: bool) -> None:
        """End the server, by SIGTERM or SIGKILL, and start it again on its data.

        ministack writes an object and what describes it as two files. A store that acknowledges whole objects is
        promised to the engine, so SIGKILL waits for a moment in which no such pair is half written.
        """
        if gently:
            self._process.terminate()
            # It would wait for clients that keep their connections open.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_FAREWELL_S)
        self._kill_between_writes()
        self._process.wait()
        self.restarts += 1
        self._process = self._start()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def marks(self, prefix: str = "") -> dict[str, str]:
        found: dict[str, str] = {}
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=_BUCKET, Prefix=f"logs/{prefix}"
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                found[entry["Key"].removeprefix("logs/")] = entry["ETag"]
        return found

    def read(self, key: str) -> bytes:
        try:
            return bytes(self._client.get_object(Bucket=_BUCKET, Key=f"logs/{key}")["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise FileNotFoundError(key) from None
            raise

    def unfinished_uploads(self) -> int:
        return len(self._client.list_multipart_uploads(Bucket=_BUCKET).get("Uploads", ()))

    def _start(self) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        environ |= {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self._port),
            "SERVICES": "s3",
            "LOG_LEVEL": "WARNING",
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self._folder / "objects"),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.s3_server"],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_answering(process)
        return process

    def _wait_until_answering(self, process: subprocess.Popen[bytes]) -> None:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        until = time.monotonic() + _STARTED_WITHIN_S
        while time.monotonic() < until and process.poll() is None:
            try:
                direct.open(self._endpoint, timeout=5).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"ministack does not answer, see {self._folder / 'log'}")

    def _kill_between_writes(self) -> None:
        while self._process.poll() is None:
            self._process.send_signal(signal.SIGSTOP)
            time.sleep(0.005)
            if not self._half_written():
                self._process.kill()
                return
            self._process.send_signal(signal.SIGCONT)
            time.sleep(0.01)

    def _half_written(self) -> bool:
        for path in (self._folder / "objects").rglob("*"):
            if path.suffix == ".tmp":
                return True
            if path.is_file() and not path.name.endswith(".meta.json"):
                about = path.with_name(f"{path.name}.meta.json")
                if not about.exists() or about.stat().st_mtime_ns < path.stat().st_mtime_ns:
                    return True
        return False


class Storms:
    """Restarts the S3 server now and then, by SIGKILL two times out of three."""

    def __init__(self, bucket: Bucket, choose: random.Random, every_s: float) -> None:
        self._bucket = bucket
        self._choose = choose
        self._every_s = every_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._rage, name="storms", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _rage(self) -> None:
        # On a busy machine a start takes long; the server must be there most of the time all the same.
        took_s = 0.0
        while not self._stopped.wait(max(self._choose.uniform(0.5, 1.5) * self._every_s, 3 * took_s)):
            began = time.monotonic()
            self._bucket.restart(gently=self._choose.random() < 1 / 3)
            took_s = time.monotonic() - began


@contextmanager
def lake_in(
    kind: str, folder: Path, choose: random.Random, every_s: float
) -> Iterator[tuple[Lake, ExitStack]]:
    """A lake of this kind (local, s3), and a stack whose ``close`` ends its restarts."""
    with ExitStack() as restarts:
        if kind == "local":
            yield Folder(folder / "lake"), restarts
            return
        bucket = Bucket(folder / "s3")
        try:
            restarts.callback(Storms(bucket, choose, every_s).stop)
            yield bucket, restarts
        finally:
            restarts.close()
            bucket.stop()


STORE_TROUBLE = (BotoCoreError, ClientError, OSError)
"""What reading may raise while the server is being restarted."""
