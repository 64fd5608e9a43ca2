"""What a Datadog answer says: whole or not, the end or not, refused for which reason.

Answers: https://docs.datadoghq.com/api/latest/logs/#search-logs-post and
https://docs.datadoghq.com/api/latest/logs/#aggregate-events; their recorded shapes differ more than the pages say.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec

from logferry.convert.repair import MarkedDocument
from logferry.errors import (
    CredentialsError,
    CursorLost,
    FailedAnswer,
    QueryRejected,
    SourceError,
    TooMuch,
    Unavailable,
)
from logferry.sources.base import Response
from logferry.sources.bounds import reason, text_of
from logferry.window import parse_instant
from logferry.wording import excerpt

_PASSING = ("resource_exhausted", "deadline_exceeded", "request_timeout", "too many pending")
"""Texts of passing faults that may come with any status."""


_LONGEST_CURSOR = 16_384
"""Recorded ones have some hundred characters."""
_ABSENT = msgspec.Raw(b"")


class _PageInfo(msgspec.Struct):
    after: str | None = None


class _Warning(msgspec.Struct):
    code: str | None = None
    title: str | None = None
    detail: str | None = None


class Meta(msgspec.Struct):
    status: str | None = None
    page: _PageInfo | None = None
    warnings: list[_Warning] | None = None


class _SearchAnswer(msgspec.Struct):
    data: msgspec.Raw = _ABSENT
    meta: Meta | None = None
    errors: msgspec.Raw = _ABSENT


class Bucket(msgspec.Struct):
    computes: dict[str, Any]


class _Buckets(msgspec.Struct):
    buckets: list[Bucket]


class _AggregateAnswer(msgspec.Struct):
    data: _Buckets | None = None
    meta: Meta | None = None
    errors: msgspec.Raw = _ABSENT


_decode_meta = msgspec.json.Decoder(Meta | None).decode
_decode_search = msgspec.json.Decoder(_SearchAnswer).decode
_decode_aggregate = msgspec.json.Decoder(_AggregateAnswer, float_hook=Decimal).decode


def read_search(body: bytes) -> tuple[bytes, str | None]:
    """The raw ``data`` array and the next cursor (None: the end) of a search answer with status 200.

    Every recorded shape of an end is understood: ``data`` null or empty, ``meta`` or ``page`` absent or null.
    Raises FailedAnswer when the answer is not whole.
    """
    marked: MarkedDocument | None = None
    try:
        try:
            answer = _decode_search(body)
        except msgspec.DecodeError:
            # Half of a surrogate pair in a message is legal JSON, but msgspec refuses the document for it.
            marked = MarkedDocument(body)
            answer = _decode_search(marked.document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FailedAnswer(
            f"Datadog's page is not whole JSON ({len(body):,} bytes): {reason(error)}"
        ) from error
    after = _cursor(answer.meta, answer.errors)
    data = bytes(answer.data) if marked is None else marked.restore(bytes(answer.data))
    if not data:
        raise FailedAnswer(f"Datadog's page holds no data member ({len(body):,} bytes)")
    if data == b"null":
        data = b"[]"
    if not data.startswith(b"["):
        raise FailedAnswer(f"Datadog's data is not a list ({len(data):,} bytes)")
    return data, after


def read_end(meta: msgspec.Raw, errors: msgspec.Raw) -> str | None:
    """The next cursor (None: the end) of a search answer, by its ``meta`` and ``errors`` as received (empty: not
    there). Raises as ``read_search`` does."""
    try:
        return _cursor(_decode_meta(meta) if bytes(meta) else None, errors)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FailedAnswer(f"the meta of Datadog's page is not readable: {reason(error)}") from error


def _cursor(meta: Meta | None, errors: msgspec.Raw) -> str | None:
    check_whole(meta, errors, what="page")
    page = meta.page if meta else None
    after = page.after if page else None
    if after and len(after) > _LONGEST_CURSOR:
        raise FailedAnswer(
            f"Datadog's cursor is {len(after):,} characters long and of more than {_LONGEST_CURSOR:,} none is "
            "believed; check what answers at the connection's site or host"
        )
    return after or None


def check_whole(meta: Meta | None, errors: msgspec.Raw, *, what: str) -> None:
    """Raise unless the answer says that it is whole; older answers without a status are taken as whole."""
    if bytes(errors) not in (b"", b"null", b"[]"):
        raise FailedAnswer(f"Datadog's {what} carries errors: {excerpt(bytes(errors))}")
    if meta is None:
        return
    for warning in meta.warnings or ():
        text = text_of(warning.detail or warning.title or warning.code or "no text")
        if warning.code == "unknown_index":
            raise QueryRejected(f"Datadog does not know an index of this export ({text}); correct `indexes`")
        raise FailedAnswer(f"Datadog's {what} is partial: {text}")
    if meta.status not in (None, "done"):
        raise FailedAnswer(f"Datadog's {what} is partial: its status is {text_of(meta.status)!r}, not 'done'")


def refusal(response: Response, *, resumed: bool) -> SourceError | QueryRejected | CredentialsError:
    """The error for an answer that is not 200. ``resumed``: the request carried a cursor.

    Of an unexpected 2xx only the size is told: its body may hold rows.
    """
    if 200 <= response.status < 300:
        return FailedAnswer(f"Datadog answered {response.status} with {len(response.body):,} bytes, not 200")
    text = error_text(response.body)
    lowered = text.lower()
    # A refused query is echoed in its error, so only the beginning of the text speaks of a fault there.
    refused = response.status in (400, 422)
    if any(lowered.startswith(phrase) if refused else phrase in lowered for phrase in _PASSING):
        return FailedAnswer(f"Datadog gave up on the query: {text}")
    if response.status == 401:
        return CredentialsError(
            f"Datadog refused the keys (401: {text}); check the API key, the application key and the site"
        )
    if response.status == 403:
        if "flex" in lowered or "storage_tier" in lowered:
            return CredentialsError(f"Datadog refuses this storage tier (403: {text}); check `storage_tier`")
        return CredentialsError(
            f"Datadog forbids this search (403: {text}); the application key needs the permission "
            "logs_read_data, and the keys must belong to the connection's site"
        )
    if response.status == 413:
        return TooMuch(f"Datadog says the request is too large: {text}")
    if response.status == 400 and resumed:
        return CursorLost(f"Datadog refused the cursor: {text}")
    if response.status in (400, 404, 422):
        return QueryRejected(
            f"Datadog refused the query ({response.status}: {text}); check query, indexes and tier"
        )
    return Unavailable(f"Datadog answered {response.status}: {text}")


def error_text(body: bytes) -> str:
    """The texts of ``errors`` (strings or objects with title and detail), else the start of the body."""
    try:
        errors = json.loads(body)["errors"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return excerpt(body)
    texts = []
    for entry in errors if isinstance(errors, list) else [errors]:
        if isinstance(entry, dict):
            texts.append(text_of(entry.get("detail") or entry.get("title")))
        else:
            texts.append(text_of(entry))
    return "; ".join(text for text in texts if text)[:300] or excerpt(body)


def read_counts(body: bytes) -> list[Bucket]:
    """The buckets of an aggregate answer with status 200. Raises FailedAnswer when it is not whole."""
    try:
        answer = _decode_aggregate(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        raise FailedAnswer(f"Datadog's count is not readable: {reason(error)}") from error
    check_whole(answer.meta, answer.errors, what="count")
    if answer.data is None:
        raise FailedAnswer(f"Datadog's count holds no data ({len(body):,} bytes)")
    return answer.data.buckets


def points_of(bucket: Bucket) -> list[Any]:
    """The points of a timeseries bucket. Raises FailedAnswer when it is none."""
    points = bucket.computes.get("c0")
    if not isinstance(points, list):
        raise FailedAnswer("Datadog's count is not a timeseries")
    return points


def total_beside(buckets: list[Bucket]) -> int | None:
    """The total that came beside a timeseries; None when none did."""
    totals = [bucket.computes.get("c1") for bucket in buckets]
    if not totals or any(total is None or isinstance(total, list) for total in totals):
        return None
    return sum(map(whole_rows, totals))


def point_of(point: Any) -> tuple[int, int]:
    """Where a point's bucket starts (tick) and how many rows it holds."""
    try:
        return parse_instant(point["time"]), whole_rows(point["value"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise FailedAnswer(
            f"Datadog's count holds a bucket that is not readable: {text_of(point)[:100]}"
        ) from None


def whole_rows(value: Any) -> int:
    """A count that may come as int, float or text; anything but a whole number is refused."""
    try:
        number = Decimal(text_of(value))
    except ArithmeticError:
        number = Decimal(-1)
    # The exponent is looked at first: int() of 1e999999 would fill the memory.
    if not number.is_finite() or number.adjusted() > 18 or number < 0 or number != number.to_integral_value():
        raise FailedAnswer(f"Datadog's count holds {text_of(value)[:40]!r}, which is no number of rows")
    return int(number)
