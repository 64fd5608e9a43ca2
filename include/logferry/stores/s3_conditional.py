"""Writes to a bucket that happen only while the object there is the one that was seen.

Conditions: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html. Each way is used only
where the bucket was seen to enforce it; elsewhere the condition is checked first and acted on afterwards, which
is right for a single writer only.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from botocore.exceptions import BotoCoreError, ClientError

from logferry.errors import StoreError
from logferry.stores.base import AlreadyExists, Changed, NotFound, ObjectInfo, changed, check_metadata
from logferry.stores.conditions import Conditions
from logferry.stores.s3_bucket import Bucket, about, content_type, quoted
from logferry.stores.s3_errors import error_code, status_of, was_repeated

_ATTEMPTS = 5
# One CopyObject, UploadPartCopy or PutObject takes up to 5 GiB
# (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
_AT_ONCE_BYTES = 5 << 30
_READ_BYTES = 1 << 20
_MD5 = re.compile(r'"[0-9a-f]{32}"')

Send = Callable[..., Mapping[str, Any]]
Own = Callable[[ObjectInfo], bool]
"""Whether the object there is what this writer wanted to write."""


def put_bytes(bucket: Bucket, conditions: Conditions, key: str, data: bytes, expected: str | None) -> None:
    """``expected`` None creates. Raises AlreadyExists when that fails, Changed for any other ETag."""

    def send(**condition: str) -> Mapping[str, Any]:
        return _sent(
            bucket.client.put_object(**bucket.at(key), Body=data, ContentType=content_type(key), **condition)
        )

    enforced = conditions.of_put(expected)
    try:
        _write(bucket, key, expected, enforced, send, lambda found: bucket.get(found.key) == data)
    except Changed as error:
        if expected is not None:
            raise
        raise AlreadyExists(f"{bucket.url}/{key} already exists.") from error


def place(
    bucket: Bucket,
    conditions: Conditions,
    source_key: str,
    target_key: str,
    expected: str | None,
    metadata: Mapping[str, str] | None,
) -> str:
    """Copies within the store where it enforces the condition or none at all, else by way of this machine."""
    kept = None if metadata is None else check_metadata(metadata)
    source = bucket.head(source_key)
    if source is None:
        raise NotFound(f"Cannot place {bucket.url}/{source_key}: there is no such object.")
    _check_size(bucket, source)
    properties = about(target_key, source.metadata if kept is None else kept)

    def copy(**condition: str) -> Mapping[str, Any]:
        answer = bucket.client.copy_object(
            **bucket.at(target_key),
            CopySource=bucket.at(source_key),
            MetadataDirective="REPLACE",
            **properties,
            **condition,
        )
        return _sent(answer["CopyObjectResult"])

    def own(found: ObjectInfo) -> bool:
        return found.metadata == properties["Metadata"] and _same_bytes(bucket, source, found)

    if conditions.copy_if_match or not conditions.of_put(expected):
        etag = _write(bucket, target_key, expected, conditions.copy_if_match, copy, own)
    else:
        with bucket.downloaded(source) as file:
            put = _put_of(bucket, target_key, file, properties)
            etag = _write(bucket, target_key, expected, True, put, own)
    bucket.confirm(target_key, source.size, etag)
    return etag


def renew(bucket: Bucket, conditions: Conditions, key: str, expected: str) -> str:
    """The ETag of an object that came in one request is its MD5, that of one that came in parts is another hash
    with the number of parts (https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html): so an object of
    one form is written again in the other.
    """
    found = bucket.head(key)
    if found is None or found.etag != expected:
        raise changed(f"{bucket.url}/{key}", expected, None if found is None else found.etag)
    _check_size(bucket, found)
    if "-" in expected:
        with bucket.downloaded(found) as file:
            put = _put_of(bucket, key, file, about(key, found.metadata))
            enforced = conditions.replace_if_match
            etag = _write(bucket, key, expected, enforced, put, lambda now: _one_part(now.etag) == expected)
    else:
        etag = _copy_in_one_part(bucket, conditions, found)
    if etag == expected:
        raise StoreError(
            f"{bucket.url}/{key} keeps its ETag when its bytes are written again, so that a writer that stopped "
            "half-way cannot be locked out: end that run, delete the object and run again."
        )
    bucket.confirm(key, found.size, etag)
    return etag


def remove(bucket: Bucket, key: str, expected: str) -> None:
    """Looked at first, since some look-alikes ignore If-Match on a delete and others do not know it (501): right for a
    single writer only, which the lease sees to.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
    """
    with bucket.explained("delete", key):
        for etag in (expected, expected.strip('"')):
            _check(bucket, key, expected, bucket.head(key))
            try:
                bucket.client.delete_object(**bucket.at(key), IfMatch=etag)
                return
            except ClientError as error:
                if status_of(error) == 501:
                    bucket.client.delete_object(**bucket.at(key))
                    return
                if status_of(error) not in (409, 412) and error_code(error) != "NoSuchKey":
                    raise
        raise changed(f"{bucket.url}/{key}", expected, expected)


def _copy_in_one_part(bucket: Bucket, conditions: Conditions, found: ObjectInfo) -> str:
    key, client = found.key, bucket.client
    with bucket.explained("renew", key):
        upload = client.create_multipart_upload(**bucket.at(key), **about(key, found.metadata))["UploadId"]
        try:
            copied = client.upload_part_copy(
                **bucket.at(key), UploadId=upload, PartNumber=1, CopySource=bucket.at(key)
            )
            part = copied["CopyPartResult"]["ETag"]

            def complete(**condition: str) -> Mapping[str, Any]:
                parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
                return _sent(
                    client.complete_multipart_upload(
                        **bucket.at(key), UploadId=upload, MultipartUpload=parts, **condition
                    )
                )

            return _write(
                bucket,
                key,
                found.etag,
                conditions.complete_if_match,
                complete,
                lambda now: now.etag == _one_part(quoted(part)),
            )
        except BaseException:
            with suppress(ClientError, BotoCoreError):
                client.abort_multipart_upload(**bucket.at(key), UploadId=upload)
            raise


def _write(bucket: Bucket, key: str, expected: str | None, enforced: bool, send: Send, own: Own) -> str:
    """Sends the write under its condition and gives the new ETag. Raises Changed.

    A refusal of a repeated request may be the answer to our own first one, whose reply was lost: then the object
    there is ``own``. And Ceph up to 16.2 compares If-Match with the bare ETag, without its quotes.
    """
    with bucket.explained("write", key):
        if not enforced:
            _check(bucket, key, expected, bucket.head(key))
            return str(send()["ETag"])
        for bare in (False, True):
            try:
                return _conditionally(send, expected, bare=bare)
            except _Refused as refused:
                found = bucket.head(key)
                if refused.repeated and found is not None and own(found):
                    return found.etag
                _check(bucket, key, expected, found)
        raise changed(f"{bucket.url}/{key}", expected, expected)


def _check(bucket: Bucket, key: str, expected: str | None, found: ObjectInfo | None) -> None:
    etag = None if found is None else found.etag
    if etag != expected:
        raise changed(f"{bucket.url}/{key}", expected, etag)


class _Refused(Exception):
    """The condition does not hold."""

    def __init__(self, repeated: bool) -> None:
        super().__init__()
        self.repeated = repeated


def _conditionally(send: Send, expected: str | None, *, bare: bool) -> str:
    """409 says that another write is under way and that the request should be sent again."""
    condition = {"IfNoneMatch": "*"}
    if expected is not None:
        condition = {"IfMatch": expected.strip('"') if bare else expected}
    for attempt in range(_ATTEMPTS):
        try:
            return str(send(**condition)["ETag"])
        except ClientError as error:
            if status_of(error) == 409 and attempt < _ATTEMPTS - 1:
                continue
            # 404: there is no object to match, or the upload was completed by the request before.
            if status_of(error) == 412 or error_code(error) in ("NoSuchKey", "NoSuchUpload"):
                raise _Refused(attempt > 0 or was_repeated(error)) from error
            raise
    raise AssertionError("the last attempt returns or raises")


def _sent(answer: Mapping[str, Any]) -> Mapping[str, str]:
    return {"ETag": quoted(answer["ETag"])}


def _put_of(bucket: Bucket, key: str, file: BinaryIO, properties: Mapping[str, Any]) -> Send:
    def put(**condition: str) -> Mapping[str, Any]:
        file.seek(0)
        return _sent(bucket.client.put_object(**bucket.at(key), Body=file, **properties, **condition))

    return put


def _same_bytes(bucket: Bucket, one: ObjectInfo, other: ObjectInfo) -> bool:
    if one.size != other.size:
        return False
    with bucket.downloaded(one) as first, bucket.downloaded(other) as second:
        return _digest(first) == _digest(second)


def _digest(file: BinaryIO) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(_READ_BYTES):
        digest.update(chunk)
    return digest.digest()


def _one_part(etag: str) -> str | None:
    """The ETag in one part of the bytes that have this one in none; None where this one is no MD5."""
    if not _MD5.fullmatch(etag):
        return None
    return f'"{hashlib.md5(bytes.fromhex(etag[1:-1]), usedforsecurity=False).hexdigest()}-1"'


def _check_size(bucket: Bucket, found: ObjectInfo) -> None:
    if found.size > _AT_ONCE_BYTES:
        raise StoreError(
            f"{bucket.url}/{found.key} holds {found.size:,} bytes, more than the 5 GiB that S3 copies at once: "
            "choose shorter slices."
        )
