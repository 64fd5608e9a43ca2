"""A bucket, or a folder of it, as a store: S3 and its look-alikes, by way of boto3.

Objects come into being whole: by one PUT, or by a multipart upload that is aborted when anything fails. A
killed process leaves an unfinished upload, which no reader sees: give the bucket a lifecycle rule that aborts
those.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

from logferry.credentials.aws import S3Settings, s3_client
from logferry.errors import StoreError
from logferry.stores.base import AlreadyExists, NotFound, ObjectInfo, check_key, check_metadata
from logferry.stores.s3_errors import explained, status_of

_MIB = 1 << 20
_ONE_PUT_BYTES = 8 * _MIB
_ONE_COPY_BYTES = 4 << 30
_UPLOAD = TransferConfig(multipart_threshold=_ONE_PUT_BYTES, multipart_chunksize=8 * _MIB, max_concurrency=4)
# CopyObject takes up to 5 GiB (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html).
_COPY = TransferConfig(multipart_threshold=_ONE_COPY_BYTES, multipart_chunksize=256 * _MIB, max_concurrency=4)
_DELETE_AT_ONCE = 1000
_READ_ATTEMPTS = 4
_CREATE_ATTEMPTS = 5
_CONTENT_TYPES = {".parquet": "application/vnd.apache.parquet", ".json": "application/json"}


class S3Store:
    """The ``Store`` in ``s3://bucket/prefix``; safe to share between threads.

    Raises CredentialsError or DefinitionError at once for settings boto3 cannot use; nothing is sent yet.
    """

    def __init__(self, bucket: str, prefix: str, settings: S3Settings) -> None:
        if prefix:
            check_key(prefix)
        self.url = f"s3://{bucket}/{prefix}" if prefix else f"s3://{bucket}"
        self._bucket = bucket
        self._folder = f"{prefix}/" if prefix else ""
        self._settings = settings
        self._client = s3_client(settings)
        self._deletes_in_batches = True

    def put_file(self, key: str, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
        about = {"Metadata": check_metadata(metadata), "ContentType": _content_type(key)}
        full_key = self._key(key)
        try:
            size = path.stat().st_size
            with self._explained("write", key):
                if size < _ONE_PUT_BYTES:
                    with path.open("rb") as body:
                        self._client.put_object(Bucket=self._bucket, Key=full_key, Body=body, **about)
                else:
                    with create_transfer_manager(self._client, _UPLOAD) as transfers:
                        transfers.upload(str(path), self._bucket, full_key, extra_args=about).result()
        except OSError as error:
            raise StoreError(f"Cannot read {path} to upload it: {error.strerror or error}.") from error
        self._check_size(key, size)

    def put_bytes(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        arguments = {
            "Bucket": self._bucket,
            "Key": self._key(key),
            "Body": data,
            "ContentType": _content_type(key),
        }
        with self._explained("write", key):
            if not if_absent:
                self._client.put_object(**arguments)
                return
            self._create(key, arguments)

    def _create(self, key: str, arguments: Mapping[str, Any]) -> None:
        """PUT with If-None-Match.

        409 says that another write is under way and that the request should be sent again
        (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). A 412 after a
        repeated request may be the answer to our own first one, whose reply was lost: then the object holds
        our bytes.
        """
        for attempt in range(_CREATE_ATTEMPTS):
            try:
                self._client.put_object(**arguments, IfNoneMatch="*")
            except ClientError as error:
                if status_of(error) == 409 and attempt < _CREATE_ATTEMPTS - 1:
                    continue
                if status_of(error) != 412:
                    raise
                repeated = attempt > 0 or error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0
                if repeated and self.read(key) == arguments["Body"]:
                    return
                raise AlreadyExists(f"{self.url}/{key} already exists.") from None
            else:
                return

    def read(self, key: str) -> bytes:
        return self._get(key, {})

    def read_range(self, key: str, start: int, length: int) -> bytes:
        if length <= 0:
            return b""
        wanted = f"bytes={start}" if start < 0 else f"bytes={start}-{start + length - 1}"
        try:
            return self._get(key, {"Range": wanted})[:length]
        except _BeyondTheEnd:
            return b""

    def _get(self, key: str, arguments: Mapping[str, str]) -> bytes:
        """The body, read again when the connection breaks within it: boto3 repeats only the request."""
        with self._explained("read", key):
            for attempt in range(_READ_ATTEMPTS):
                try:
                    answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key), **arguments)
                except ClientError as error:
                    if status_of(error) == 416:
                        raise _BeyondTheEnd from None
                    raise
                try:
                    return bytes(answer["Body"].read())
                except (HTTPClientError, IncompleteReadError):
                    if attempt == _READ_ATTEMPTS - 1:
                        raise
        raise AssertionError("the last attempt returns or raises")

    def head(self, key: str) -> ObjectInfo | None:
        with self._explained("read", key):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._key(key))
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise
        return ObjectInfo(key, answer["ContentLength"], answer["ETag"], answer["Metadata"])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._explained("list", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._folder + prefix
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield ObjectInfo(entry["Key"].removeprefix(self._folder), entry["Size"], entry["ETag"])

    def move(self, source_key: str, target_key: str, *, metadata: Mapping[str, str] | None = None) -> None:
        found = self.head(source_key)
        if found is None:
            raise NotFound(f"Cannot move {self.url}/{source_key}: there is no such object.")
        # Given explicitly even when kept: a copy in parts takes no metadata over by itself.
        about = {
            "Metadata": dict(found.metadata) if metadata is None else check_metadata(metadata),
            "MetadataDirective": "REPLACE",
            "ContentType": _content_type(target_key),
        }
        origin = {"Bucket": self._bucket, "Key": self._key(source_key)}
        with self._explained("move", source_key), create_transfer_manager(self._client, _COPY) as transfers:
            transfers.copy(origin, self._bucket, self._key(target_key), extra_args=about).result()
        self._check_size(target_key, found.size)
        self.delete([source_key])

    def delete(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        while batch := list(islice(remaining, _DELETE_AT_ONCE)):
            with self._explained("delete", batch[0]):
                if not self._delete_batch(batch):
                    for key in batch:
                        self._client.delete_object(Bucket=self._bucket, Key=self._key(key))

    def _delete_batch(self, keys: Iterable[str]) -> bool:
        """False when the store takes no batches: some want a Content-MD5 that boto3 no longer sends."""
        if not self._deletes_in_batches:
            return False
        objects = [{"Key": self._key(key)} for key in keys]
        try:
            answer = self._client.delete_objects(
                Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
        except ClientError as error:
            if status_of(error) not in (400, 501):
                raise
            self._deletes_in_batches = False
            return False
        for failure in answer.get("Errors", ()):
            if failure.get("Code") != "NoSuchKey":
                raise ClientError(
                    {"Error": {"Code": failure.get("Code", ""), "Message": failure.get("Message", "")}},
                    "DeleteObjects",
                )
        return True

    def _key(self, key: str) -> str:
        return self._folder + check_key(key)

    def _check_size(self, key: str, size: int) -> None:
        """Catches a store that acknowledged less than it was sent."""
        stored = self.head(key)
        if stored is None or stored.size != size:
            found = "nothing" if stored is None else f"{stored.size} bytes"
            raise StoreError(
                f"{self.url}/{key} should hold {size} bytes and holds {found}: another writer replaced it, "
                "or the store lost part of it; run again."
            )

    def _explained(self, doing: str, key: str) -> Any:
        return explained(self._settings, self._bucket, doing, f"{self.url}/{key}")


class _BeyondTheEnd(Exception):
    """The range begins where the object has ended."""


def _content_type(key: str) -> str:
    return _CONTENT_TYPES.get(Path(key).suffix, "application/octet-stream")
