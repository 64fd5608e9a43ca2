"""S3 as a store, against a server in another process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from tests.integration.s3_server import S3Server, running_s3_server
from tests.logferry.stores.behaviour import Fill, RaceBehaviour, StoreBehaviour, keys_of

from logferry.connection import Connection
from logferry.credentials.aws import s3_client, s3_settings
from logferry.errors import StoreError
from logferry.stores import Changed
from logferry.stores.conditions import REMEMBERED_KEY
from logferry.stores.s3 import S3Store

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def conn(s3_server: S3Server) -> Connection:
    return Connection(
        "lake",
        "aws",
        login=s3_server.access_key,
        password=s3_server.secret,
        extra={"endpoint_url": s3_server.endpoint_url, "region_name": "us-east-1"},
    )


@pytest.fixture(scope="module")
def client(conn: Connection) -> Any:
    return s3_client(s3_settings(conn))


@pytest.fixture(scope="module")
def bucket(client: Any) -> str:
    name = f"lake-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="module")
def shared_store(conn: Connection, bucket: str) -> S3Store:
    return S3Store(bucket, "acme/logs", s3_settings(conn))


@pytest.fixture
def store(shared_store: S3Store) -> Iterator[S3Store]:
    yield shared_store
    shared_store.delete([info.key for info in shared_store.list("")])


@pytest.fixture
def fill(store: S3Store) -> Fill:
    def put(keys: Iterable[str]) -> None:
        with ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(store.put_bytes, key, b"") for key in keys]:
                done.result()

    return put


class TestS3StoreOnAServer(StoreBehaviour, RaceBehaviour):
    pass


UPLOADER = """
import sys
from pathlib import Path
from logferry.connection import connection_for
from logferry.credentials.aws import s3_settings
from logferry.errors import StoreError
from logferry.stores.s3 import S3Store

store = S3Store(sys.argv[1], "acme/logs", s3_settings(connection_for("lake", "aws")))

def third_part(request, **_):
    if "partNumber=3" in request.url:
        print("third part", flush=True)
        sys.stdin.read()  # until this process is killed

store._bucket.client.meta.events.register("before-send.s3.UploadPart", third_part)
store.put_file("big.parquet", Path(sys.argv[2]))
"""


def uri_of(server: S3Server) -> str:
    return (
        f"aws://{server.access_key}:{server.secret}@/"
        f"?region_name=us-east-1&endpoint_url={server.endpoint_url}"
    )


def test_an_upload_whose_process_is_killed_leaves_the_old_object(
    store: S3Store, s3_server: S3Server, bucket: str, client: Any, tmp_path: Path
) -> None:
    store.put_bytes("big.parquet", b"old")
    big = tmp_path / "big"
    big.write_bytes(b"x" * (30 << 20))
    uploader = subprocess.Popen(
        [sys.executable, "-c", UPLOADER, bucket, str(big)],
        env={**os.environ, "AIRFLOW_CONN_LAKE": uri_of(s3_server)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert uploader.stdout is not None
        assert uploader.stdout.readline() == b"third part\n"
    finally:
        os.killpg(uploader.pid, signal.SIGKILL)
        uploader.communicate()
    assert store.read("big.parquet") == b"old"
    assert keys_of(store) == ["big.parquet"]
    unfinished = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [upload["Key"] for upload in unfinished] == ["acme/logs/big.parquet"]
    for upload in unfinished:
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def test_a_network_that_breaks_within_an_upload_leaves_nothing(
    conn: Connection, bucket: str, client: Any, tmp_path: Path
) -> None:
    once = replace(conn, extra={**conn.extra, "config_kwargs": {"retries": {"total_max_attempts": 1}}})
    store = S3Store(bucket, "acme/logs", s3_settings(once))
    big = tmp_path / "big"
    big.write_bytes(b"x" * (30 << 20))

    def break_third_part(request: Any, **_: Any) -> None:
        if "partNumber=3" in request.url:
            raise ConnectionClosedError(endpoint_url=request.url)

    store._bucket.client.meta.events.register("before-send.s3.UploadPart", break_third_part)
    with pytest.raises(StoreError, match=r"Cannot write .* cannot be reached: check endpoint_url"):
        store.put_file("big.parquet", big)
    assert keys_of(store) == []
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_a_server_enforces_conditions_of_puts_and_of_uploads(conn: Connection, bucket: str) -> None:
    store = S3Store(bucket, "not probed yet", s3_settings(conn))
    assert store.enforces_conditions()
    answers = json.loads(store.read(REMEMBERED_KEY))
    names = ("create_if_absent", "replace_if_match", "complete_if_match", "delete_if_match", "copy_if_match")
    assert [answers[name] for name in names] == [True, True, True, True, False]


def test_a_sweep_aborts_old_uploads_and_leaves_young_ones(store: S3Store, bucket: str, client: Any) -> None:
    for key in ("_staging/a", "_staging/b", "elsewhere"):
        client.create_multipart_upload(Bucket=bucket, Key=f"acme/logs/{key}")
    assert store.sweep("_staging/", older_than_s=3600) == 0
    assert len(client.list_multipart_uploads(Bucket=bucket)["Uploads"]) == 3
    assert store.sweep("_staging/", older_than_s=-3600) == 2
    assert store.sweep("elsewhere", older_than_s=-3600) == 1
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


def test_old_uploads_are_aborted_beside_objects_that_stay(store: S3Store, bucket: str, client: Any) -> None:
    store.put_bytes("web/dt=2026-11-20/part.parquet", b"rows")
    for key in ("web/dt=2026-11-20/part.parquet", "web2/part.parquet"):
        client.create_multipart_upload(Bucket=bucket, Key=f"acme/logs/{key}")
    assert store.abort_uploads("web/", older_than_s=3600) == 0
    assert store.abort_uploads("web/", older_than_s=-3600) == 1
    assert keys_of(store) == ["web/dt=2026-11-20/part.parquet"]
    assert store.abort_uploads("web2/", older_than_s=-3600) == 1


WRITER = """
import sys
from tests.logferry.stores.behaviour import raise_counter
from logferry.connection import connection_for
from logferry.credentials.aws import s3_settings
from logferry.stores.s3 import S3Store

store = S3Store(sys.argv[1], "acme/logs", s3_settings(connection_for("lake", "aws")))
sys.stdin.readline()
raised = 0
while raised < 10:
    raised += raise_counter(store)
"""


def test_a_counter_that_processes_raise_at_once_misses_nobody(
    store: S3Store, s3_server: S3Server, bucket: str
) -> None:
    store.put_bytes("counter", b"000")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, bucket],
            env={**os.environ, "AIRFLOW_CONN_LAKE": uri_of(s3_server)},
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for writer in writers:
        writer.communicate(b"go\n")
    assert [writer.returncode for writer in writers] == [0, 0]
    assert store.read("counter") == b"020"


def test_what_was_seen_before_a_server_was_killed_holds_afterwards(tmp_path: Path) -> None:
    log, data = tmp_path / "log", tmp_path / "data"

    def store_on(server: S3Server) -> S3Store:
        extra = {"endpoint_url": server.endpoint_url}
        conn = Connection("lake", "aws", login=server.access_key, password=server.secret, extra=extra)
        return S3Store("lake", "acme/logs", s3_settings(conn))

    with running_s3_server(log, data=data) as server:
        store = store_on(server)
        store._bucket.client.create_bucket(Bucket="lake")
        store.put_bytes("staged", b"rows")
        first = store.place("staged", "final", expected=None, metadata={"row-hash": "1"})
        seen = store.renew("final", expected=first)
    port = int(server.endpoint_url.rpartition(":")[2])
    with running_s3_server(log, data=data, port=port) as server:
        store = store_on(server)
        made: list[str] = []
        store._bucket.client.meta.events.register(
            "before-send.s3", lambda event_name, **_: made.append(event_name.rpartition(".")[2])
        )
        assert store.enforces_conditions()
        assert made == ["GetObject"], "the probe is remembered"
        found = store.head("final")
        assert found is not None
        assert (found.etag, dict(found.metadata)) == (seen, {"row-hash": "1"})
        with pytest.raises(Changed):
            store.place("staged", "final", expected=first)
        store.place("staged", "final", expected=seen)
        assert store.read("final") == b"rows"
