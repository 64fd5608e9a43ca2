"""What a bucket makes of conditional writes: tried out once, remembered in the lake.

Of the look-alikes of S3 some enforce conditions, some refuse them and some accept and ignore them; only trying
tells. What is tried is one request after the other: a store that fails only when two arrive at once is not found
out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from logferry.clock import SystemClock
from logferry.errors import StoreError
from logferry.stores.base import NotFound
from logferry.stores.s3_bucket import Bucket
from logferry.stores.s3_errors import error_code, status_of, was_repeated
from logferry.window import TICK_PER_HOUR, format_instant

REMEMBERED_KEY = "_manifests/_store.json"
PROBE_FOLDER = "_manifests/.probe"
_FORMAT = 1
_ATTEMPTS = 3
_REFUSALS = (400, 405, 409, 412, 501)
_ABANDONED_AFTER = 24 * TICK_PER_HOUR


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``_manifests/_store.json``: each truth value says whether that condition is enforced.

    ``copy_if_match`` stands for If-Match and If-None-Match on the target of a copy, ``complete_if_match`` for
    If-Match at the completion of a multipart upload, ``delete_if_match`` for If-Match on a delete.
    """

    format: int
    endpoint: str
    create_if_absent: bool
    replace_if_match: bool
    copy_if_match: bool
    complete_if_match: bool
    delete_if_match: bool
    probed_at: str

    @property
    def enforced(self) -> bool:
        """Whether of several writers with one condition exactly one wins.

        What a copy ignores is done by a PUT instead. There is no such way round the other two: only by completing an
        upload do equal bytes get another ETag, and nothing but a delete takes an object away.
        """
        return (
            self.create_if_absent
            and self.replace_if_match
            and self.complete_if_match
            and self.delete_if_match
        )

    def of_put(self, expected: str | None) -> bool:
        """Whether a PUT that expects this ETag, or no object, is refused where it should be."""
        return self.create_if_absent if expected is None else self.replace_if_match


def conditions_of(bucket: Bucket) -> Conditions:
    """What is remembered of the bucket at its endpoint; it is probed where nothing readable is."""
    endpoint = endpoint_of(bucket)
    try:
        remembered = msgspec.json.decode(bucket.get(REMEMBERED_KEY), type=Conditions)
    except (NotFound, msgspec.DecodeError):
        remembered = None
    if remembered is not None and (remembered.format, remembered.endpoint) == (_FORMAT, endpoint):
        return remembered
    found = _probe(bucket, endpoint)
    with bucket.explained("write", REMEMBERED_KEY):
        bucket.client.put_object(
            **bucket.at(REMEMBERED_KEY), Body=msgspec.json.encode(found), ContentType="application/json"
        )
    return found


def endpoint_of(bucket: Bucket) -> str:
    """The endpoint without anything secret; ``aws`` for Amazon's own."""
    if not bucket.settings.endpoint_url:
        return "aws"
    parts = urlsplit(bucket.settings.endpoint_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _Inconclusive(Exception):
    """A request was refused that boto3 had sent twice: the first may have been carried out."""


def _probe(bucket: Bucket, endpoint: str) -> Conditions:
    _clear_abandoned(bucket)
    for _ in range(_ATTEMPTS):
        folder = f"{PROBE_FOLDER}/{uuid.uuid4().hex}"
        with suppress(_Inconclusive), bucket.explained("probe", folder):
            attempt = _Probe(bucket, folder)
            try:
                return Conditions(
                    format=_FORMAT,
                    endpoint=endpoint,
                    create_if_absent=attempt.create_if_absent(),
                    replace_if_match=attempt.replace_if_match(),
                    copy_if_match=attempt.copy_if_match(),
                    complete_if_match=attempt.complete_if_match(),
                    delete_if_match=attempt.delete_if_match(),
                    probed_at=format_instant(SystemClock().now()),
                )
            finally:
                attempt.clear()
    raise StoreError(
        f"Cannot find out which conditions {bucket.url} enforces: the store breaks off too many requests; "
        "run again later or check the store."
    )


def _clear_abandoned(bucket: Bucket) -> None:
    """Deletes what a killed probe left."""
    earliest = SystemClock().now() - _ABANDONED_AFTER
    old = [info.key for info in bucket.list(f"{PROBE_FOLDER}/") if info.modified_at < earliest]
    with bucket.explained("probe", PROBE_FOLDER):
        for key in old:
            bucket.client.delete_object(**bucket.at(key))


class _Probe:
    """Throw-away objects in one folder of the bucket; each question is answered by what really happens there.

    An ETag is sent as the store gave it and, where that is refused, bare: as in ``s3_conditional``.
    """

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self._client = bucket.client
        self._target = bucket.at(f"{folder}/target")
        self._source = bucket.at(f"{folder}/source")
        self._missing = bucket.at(f"{folder}/missing")

    def create_if_absent(self) -> bool:
        first = _accepted(lambda: self._put(self._target, b"created", IfNoneMatch="*"))
        second = _accepted(lambda: self._put(self._target, b"created again", IfNoneMatch="*"))
        return first and not second

    def replace_if_match(self) -> bool:
        stale, right = self._put(self._target, b"before"), self._put(self._target, b"now")
        return not (
            _accepted_in_a_form(lambda etag: self._put(self._target, b"stale", IfMatch=etag), stale)
            or _accepted_in_a_form(lambda etag: self._put(self._missing, b"nothing", IfMatch=etag), stale)
        ) and _accepted_in_a_form(lambda etag: self._put(self._target, b"after", IfMatch=etag), right)

    def copy_if_match(self) -> bool:
        self._put(self._source, b"copied")
        stale, right = self._put(self._target, b"before"), self._put(self._target, b"now")
        return not (
            _accepted_in_a_form(lambda etag: self._copy(IfMatch=etag), stale)
            or _accepted(lambda: self._copy(IfNoneMatch="*"))
        ) and _accepted_in_a_form(lambda etag: self._copy(IfMatch=etag), right)

    def complete_if_match(self) -> bool:
        stale, right = self._put(self._target, b"before"), self._put(self._target, b"now")
        return not _accepted_in_a_form(self._complete, stale) and _accepted_in_a_form(self._complete, right)

    def delete_if_match(self) -> bool:
        stale, right = self._put(self._target, b"before"), self._put(self._target, b"now")
        return not _accepted_in_a_form(self._delete, stale) and _accepted_in_a_form(self._delete, right)

    def clear(self) -> None:
        """Best effort: where deleting is refused the writes themselves will say why."""
        for address in (self._target, self._source, self._missing):
            with suppress(ClientError, BotoCoreError):
                self._client.delete_object(**address)

    def _put(self, address: Mapping[str, str], body: bytes, **condition: str) -> str:
        return str(self._client.put_object(**address, Body=body, **condition)["ETag"])

    def _copy(self, **condition: str) -> object:
        return self._client.copy_object(**self._target, CopySource=self._source, **condition)

    def _delete(self, etag: str) -> object:
        return self._client.delete_object(**self._target, IfMatch=etag)

    def _complete(self, etag: str) -> object:
        upload = {
            **self._target,
            "UploadId": self._client.create_multipart_upload(**self._target)["UploadId"],
        }
        try:
            part = self._client.upload_part(**upload, PartNumber=1, Body=b"part")["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
            return self._client.complete_multipart_upload(**upload, MultipartUpload=parts, IfMatch=etag)
        except BaseException:
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**upload)
            raise


def _accepted_in_a_form(send: Callable[[str], object], etag: str) -> bool:
    return _accepted(lambda: send(etag)) or _accepted(lambda: send(etag.strip('"')))


def _accepted(send: Callable[[], object]) -> bool:
    """False when the store refuses the condition, or refuses to know it."""
    try:
        send()
    except ClientError as error:
        if status_of(error) not in _REFUSALS and error_code(error) not in ("NoSuchKey", "NoSuchUpload"):
            raise
        if was_repeated(error):
            raise _Inconclusive from error
        return False
    return True
