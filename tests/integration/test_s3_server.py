"""S3 as a store, against a server in another process."""

from __future__ import annotations

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
from tests.integration.s3_server import S3Server
from tests.logferry.stores.behaviour import Fill, StoreBehaviour, keys_of

from logferry.connection import Connection
from logferry.credentials.aws import s3_client, s3_settings
from logferry.errors import StoreError
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


class TestS3StoreOnAServer(StoreBehaviour):
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

store._client.meta.events.register("before-send.s3.UploadPart", third_part)
store.put_file("big.parquet", Path(sys.argv[2]))
"""


def test_an_upload_whose_process_is_killed_leaves_the_old_object(
    store: S3Store, s3_server: S3Server, bucket: str, client: Any, tmp_path: Path
) -> None:
    store.put_bytes("big.parquet", b"old")
    big = tmp_path / "big"
    big.write_bytes(b"x" * (30 << 20))
    uri = (
        f"aws://{s3_server.access_key}:{s3_server.secret}@/"
        f"?region_name=us-east-1&endpoint_url={s3_server.endpoint_url}"
    )
    uploader = subprocess.Popen(
        [sys.executable, "-c", UPLOADER, bucket, str(big)],
        env={**os.environ, "AIRFLOW_CONN_LAKE": uri},
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

    store._client.meta.events.register("before-send.s3.UploadPart", break_third_part)
    with pytest.raises(StoreError, match=r"Cannot write .* cannot be reached: check endpoint_url"):
        store.put_file("big.parquet", big)
    assert keys_of(store) == []
    assert client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
