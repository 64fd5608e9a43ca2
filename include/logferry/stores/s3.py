"""A bucket, or a folder of it, as a store: S3 and its look-alikes, by way of boto3.

Objects come into being whole: by one PUT or one copy, or by a multipart upload that is aborted when anything
fails. A killed process leaves an unfinished upload, which no reader sees and which ``sweep`` aborts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError

from logferry.credentials.aws import S3Settings
from logferry.errors import StoreError
from logferry.stores import s3_conditional
from logferry.stores.base import ObjectInfo, check_metadata
from logferry.stores.conditions import Conditions, conditions_of
from logferry.stores.s3_bucket import Bucket, about, content_type
from logferry.stores.s3_errors import error_code, status_of
from logferry.window import from_datetime

_MIB = 1 << 20
_ONE_PUT_BYTES = 8 * _MIB
_UPLOAD = TransferConfig(multipart_threshold=_ONE_PUT_BYTES, multipart_chunksize=8 * _MIB, max_concurrency=4)
_DELETE_AT_ONCE = 1000
_WITHOUT_UPLOADS = (400, 405, 501)


class S3Store:
    """The ``Store`` in ``s3://bucket/prefix``; safe to share between threads.

    Raises CredentialsError or DefinitionError at once for settings boto3 cannot use; nothing is sent yet. The
    first condition asks what the bucket enforces (``conditions``).

    An ETag here is the bytes' hash: an object that is replaced and then put back byte for byte has its old one.
    """

    def __init__(self, bucket: str, prefix: str, settings: S3Settings) -> None:
        self._bucket = Bucket(bucket, prefix, settings)
        self._conditions: Conditions | None = None
        self._probing = threading.Lock()
        self._deletes_in_batches = True
        self.url = self._bucket.url

    @property
    def endpoint(self) -> str:
        """Where the bucket's requests go, such as ``https://s3.eu-central-1.amazonaws.com``."""
        return str(self._bucket.client.meta.endpoint_url)

    def enforces_conditions(self) -> bool:
        return self._known_conditions().enforced

    def _known_conditions(self) -> Conditions:
        with self._probing:
            if self._conditions is None:
                self._conditions = conditions_of(self._bucket)
            return self._conditions

    def put_file(self, key: str, path: Path, *, metadata: Mapping[str, str] | None = None) -> None:
        properties = about(key, check_metadata(metadata))
        address, client = self._bucket.at(key), self._bucket.client
        try:
            size = path.stat().st_size
            with self._bucket.explained("write", key):
                if size < _ONE_PUT_BYTES:
                    with path.open("rb") as body:
                        client.put_object(**address, Body=body, **properties)
                else:
                    with create_transfer_manager(client, _UPLOAD) as transfers:
                        transfers.upload(
                            str(path), address["Bucket"], address["Key"], extra_args=properties
                        ).result()
        except OSError as error:
            raise StoreError(f"Cannot read {path} to upload it: {error.strerror or error}.") from error
        self._bucket.confirm(key, size)

    def put_bytes(
        self, key: str, data: bytes, *, if_absent: bool = False, if_match: str | None = None
    ) -> None:
        address = self._bucket.at(key)
        if if_absent or if_match is not None:
            expected = None if if_absent else if_match
            s3_conditional.put_bytes(self._bucket, self._known_conditions(), key, data, expected)
            return
        with self._bucket.explained("write", key):
            self._bucket.client.put_object(**address, Body=data, ContentType=content_type(key))

    def place(
        self,
        source_key: str,
        target_key: str,
        *,
        expected: str | None,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        conditions = self._known_conditions()
        return s3_conditional.place(self._bucket, conditions, source_key, target_key, expected, metadata)

    def settle(self, keys: Iterable[str]) -> None:
        """Every answer says that what it is about is durable:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/DataDurability.html."""

    def renew(self, key: str, *, expected: str) -> str:
        return s3_conditional.renew(self._bucket, self._known_conditions(), key, expected)

    def remove(self, key: str, *, expected: str) -> None:
        s3_conditional.remove(self._bucket, key, expected)

    def read(self, key: str) -> bytes:
        return self._bucket.get(key)

    def read_range(self, key: str, start: int, length: int) -> bytes:
        if length <= 0:
            return b""
        wanted = f"bytes={start}" if start < 0 else f"bytes={start}-{start + length - 1}"
        return self._bucket.get(key, Range=wanted)[:length]

    def head(self, key: str) -> ObjectInfo | None:
        return self._bucket.head(key)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        return self._bucket.list(prefix, after)

    def sweep(self, prefix: str, *, older_than_s: float) -> int:
        latest = from_datetime(datetime.now(UTC) - timedelta(seconds=older_than_s))
        old = [info.key for info in self.list(prefix) if info.modified_at < latest]
        self.delete(old)
        return len(old) + self.abort_uploads(prefix, older_than_s=older_than_s)

    def abort_uploads(self, prefix: str, *, older_than_s: float) -> int:
        """A store that lists no unfinished uploads is left with them."""
        latest = datetime.now(UTC) - timedelta(seconds=older_than_s)
        client, name = self._bucket.client, self._bucket.name
        aborted = 0
        with self._bucket.explained("sweep", prefix):
            pages = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=name, Prefix=self._bucket.folder + prefix
            )
            try:
                old = [
                    upload
                    for page in pages
                    for upload in page.get("Uploads", ())
                    if upload["Initiated"] < latest
                ]
            except ClientError as error:
                if status_of(error) in _WITHOUT_UPLOADS:
                    return 0
                raise
            for upload in old:
                try:
                    client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
                except ClientError as error:
                    # Completed or aborted meanwhile.
                    if error_code(error) != "NoSuchUpload":
                        raise
                else:
                    aborted += 1
        return aborted

    def delete(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        while batch := list(islice(remaining, _DELETE_AT_ONCE)):
            with self._bucket.explained("delete", batch[0]):
                if not self._delete_batch(batch):
                    for key in batch:
                        self._bucket.client.delete_object(**self._bucket.at(key))

    def _delete_batch(self, keys: Iterable[str]) -> bool:
        """False when the store takes no batches: some want a Content-MD5 that boto3 no longer sends."""
        if not self._deletes_in_batches:
            return False
        objects = [{"Key": self._bucket.key(key)} for key in keys]
        try:
            answer = self._bucket.client.delete_objects(
                Bucket=self._bucket.name, Delete={"Objects": objects, "Quiet": True}
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
