"""A bucket, or a folder of it: what is asked of it, and how its answers and refusals are read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

from logferry.credentials.aws import S3Settings, s3_client
from logferry.errors import StoreError
from logferry.stores.base import ObjectInfo, changed, check_key
from logferry.stores.s3_errors import explained, status_of
from logferry.window import from_datetime

_READ_ATTEMPTS = 4
_READ_BYTES = 1 << 20
_CONTENT_TYPES = {".parquet": "application/vnd.apache.parquet", ".json": "application/json"}


class Bucket:
    """The objects below ``s3://name/prefix``; safe to share between threads. Nothing is sent at birth."""

    def __init__(self, name: str, prefix: str, settings: S3Settings) -> None:
        if prefix:
            check_key(prefix)
        self.url = f"s3://{name}/{prefix}" if prefix else f"s3://{name}"
        self.name = name
        self.folder = f"{prefix}/" if prefix else ""
        self.settings = settings
        self.client = s3_client(settings)

    def key(self, key: str) -> str:
        return self.folder + check_key(key)

    def at(self, key: str) -> dict[str, str]:
        """The object's address, as requests and sources of copies name it."""
        return {"Bucket": self.name, "Key": self.key(key)}

    def explained(self, doing: str, key: str) -> AbstractContextManager[None]:
        return explained(self.settings, self.name, doing, f"{self.url}/{key}")

    def head(self, key: str) -> ObjectInfo | None:
        with self.explained("read", key):
            try:
                answer = self.client.head_object(**self.at(key))
            except ClientError as error:
                if status_of(error) == 404:
                    return None
                raise
        return ObjectInfo(
            key,
            answer["ContentLength"],
            quoted(answer["ETag"]),
            from_datetime(answer["LastModified"]),
            answer["Metadata"],
        )

    def list(self, prefix: str, after: str | None = None) -> Iterator[ObjectInfo]:
        start = {} if after is None else {"StartAfter": self.key(after)}
        with self.explained("list", prefix):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.name, Prefix=self.folder + prefix, **start
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    if after is not None and entry["Key"] <= self.key(after):
                        continue  # Some look-alikes ignore StartAfter.
                    yield ObjectInfo(
                        entry["Key"].removeprefix(self.folder),
                        entry["Size"],
                        quoted(entry["ETag"]),
                        from_datetime(entry["LastModified"]),
                    )

    def get(self, key: str, **arguments: str) -> bytes:
        """The body, empty for a range that begins beyond the end.

        It is read again when the connection breaks within it: boto3 repeats only the request.
        """
        with self.explained("read", key):
            for attempt in range(_READ_ATTEMPTS):
                try:
                    answer = self.client.get_object(**self.at(key), **arguments)
                except ClientError as error:
                    if status_of(error) == 416:
                        return b""
                    raise
                try:
                    return bytes(answer["Body"].read())
                except (HTTPClientError, IncompleteReadError):
                    if attempt == _READ_ATTEMPTS - 1:
                        raise
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def downloaded(self, found: ObjectInfo) -> Iterator[BinaryIO]:
        """The object in a temporary file of this machine. Raises Changed when it is not ``found`` any more."""
        try:
            with tempfile.TemporaryFile(prefix="logferry-") as file:
                self._download(found, file)
                yield file
        except OSError as error:
            raise StoreError(
                f"Cannot keep {self.url}/{found.key} in {tempfile.gettempdir()} for a moment: "
                f"{error.strerror or error}; free some space or set TMPDIR."
            ) from error

    def _download(self, found: ObjectInfo, file: BinaryIO) -> None:
        with self.explained("read", found.key):
            for attempt in range(_READ_ATTEMPTS):
                file.seek(0)
                file.truncate()
                answer = self.client.get_object(**self.at(found.key))
                if quoted(answer["ETag"]) != found.etag:
                    raise changed(f"{self.url}/{found.key}", found.etag, quoted(answer["ETag"]))
                try:
                    for chunk in answer["Body"].iter_chunks(_READ_BYTES):
                        file.write(chunk)
                except (HTTPClientError, IncompleteReadError):
                    if attempt == _READ_ATTEMPTS - 1:
                        raise
                else:
                    break
        if file.tell() != found.size:
            raise StoreError(
                f"{self.url}/{found.key} should hold {found.size} bytes and came with {file.tell()}: run again."
            )

    def confirm(self, key: str, size: int, etag: str | None = None) -> None:
        """Catches a store that acknowledged less than it was sent; ``etag`` tells a later writer's object."""
        stored = self.head(key)
        if stored is not None and etag is not None and stored.etag != etag:
            return
        if stored is None or stored.size != size:
            found = "nothing" if stored is None else f"{stored.size} bytes"
            raise StoreError(
                f"{self.url}/{key} should hold {size} bytes and holds {found}: another writer replaced it, "
                "or the store lost part of it; run again."
            )


def about(key: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What is kept with an object beside its bytes."""
    return {"Metadata": dict(metadata), "ContentType": content_type(key)}


def content_type(key: str) -> str:
    return _CONTENT_TYPES.get(Path(key).suffix, "application/octet-stream")


def quoted(etag: str) -> str:
    """One form for all answers: some stores quote the ETag in one and not in the other."""
    return f'"{etag.strip(chr(34))}"'
