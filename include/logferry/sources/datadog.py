"""Datadog Logs Search, API v2: what is asked and how an answer is read.

Search: https://docs.datadoghq.com/api/latest/logs/#search-logs-post.
Counts: https://docs.datadoghq.com/api/latest/logs/#aggregate-events.
Neither page says whether a bound is inclusive, so every request asks one millisecond wider on both sides; rows
outside are dropped by the ferry, and buckets outside the window by ``count``.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from decimal import Decimal
from typing import Any, Literal

import msgspec

from logferry.convert.datadog import output_schema, read_events
from logferry.convert.repair import MarkedDocument
from logferry.errors import (
    CountUnavailable,
    CredentialsError,
    CursorLost,
    FailedAnswer,
    QueryRejected,
    SourceError,
    TooMuch,
    Unavailable,
)
from logferry.http import excerpt
from logferry.sources.base import Page, Request, Response, SourceColumn, SourceSchema
from logferry.spec import ColumnSpec, DatadogSourceSpec
from logferry.window import TICK_PER_HOUR, TICK_PER_MS, TICK_PER_SECOND, Window, format_instant, parse_instant

SEARCH_PATH = "/api/v2/logs/events/search"
AGGREGATE_PATH = "/api/v2/logs/analytics/aggregate"
PAGE_ROWS = 1000
"""The documented most of ``page.limit``."""
_MOST_BINS = 100
"""Bins asked of one timeseries; the API's own default resolution is 150 points, its maximum is unpublished."""
_PASSING = ("resource_exhausted", "deadline_exceeded", "request_timeout", "too many pending")
"""Texts of passing faults that may come with any status."""


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


class _Bucket(msgspec.Struct):
    computes: dict[str, Any]


class _Buckets(msgspec.Struct):
    buckets: list[_Bucket]


class _AggregateAnswer(msgspec.Struct):
    data: _Buckets | None = None
    meta: Meta | None = None
    errors: msgspec.Raw = _ABSENT


_decode_search = msgspec.json.Decoder(_SearchAnswer).decode
_decode_aggregate = msgspec.json.Decoder(_AggregateAnswer, float_hook=Decimal).decode


class DatadogSource:
    """One export's search against one Datadog organisation."""

    kind = "datadog"
    tick = TICK_PER_MS
    answer_rows = None
    page_rows = PAGE_ROWS
    search_bucket = "datadog_search"
    ordered = True
    unique_ids = True

    def __init__(
        self,
        spec: DatadogSourceSpec,
        columns: Mapping[str, ColumnSpec],
        *,
        base_url: str,
        org: str | None = None,
    ) -> None:
        self._spec = spec
        self._columns = dict(columns)
        self._base_url = base_url.rstrip("/")
        self._org = org

    def identity(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "endpoint": self._base_url,
            "org": self._org,
            "query": self._spec.query,
            "indexes": list(self._spec.indexes),
            "storage_tier": self._spec.storage_tier,
        }

    def schema(self, window: Window) -> Generator[Request, Response, SourceSchema]:
        """The fixed columns and the promoted ones; nothing is asked."""
        columns = []
        for field in output_schema(self._columns):
            promoted = self._columns.get(field.name)
            columns.append(
                SourceColumn(
                    name=field.name,
                    arrow=str(field.type),
                    source_name=promoted.path if promoted else field.name,
                    source_type=promoted.type if promoted else "json",
                )
            )
        yield from ()
        return SourceSchema(tuple(columns), has_id=True)

    def page(
        self, span: Window, cursor: str | None, schema: SourceSchema
    ) -> Generator[Request, Response, Page]:
        page: dict[str, Any] = {"limit": PAGE_ROWS}
        if cursor is not None:
            page["cursor"] = cursor
        body = {"filter": self._filter(span), "sort": "timestamp", "page": page}
        response = yield self._request(SEARCH_PATH, "search", self.search_bucket, body)
        if response.status != 200:
            raise refusal(response, resumed=cursor is not None)
        data, after = read_search(response.body)
        batch, notes = read_events(data, self._columns)
        return Page(batch, after, len(response.body), notes)

    def count(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        """Rows per bin by a timeseries of buckets aligned to the clock.

        A window with an empty bin is counted once more by a plain ``total`` over the same range: buckets
        without rows are left out of an answer, so only an equal total tells an empty bin from a series that was
        cut short.
        """
        # Buckets of up to an hour are sure to be aligned to UTC whatever the bin.
        interval = TICK_PER_HOUR if bin_ticks % TICK_PER_HOUR == 0 else bin_ticks
        counts: dict[int, int] = {}
        step = interval * _MOST_BINS
        for start in range(window.start, window.end, step):
            part = Window(start, min(start + step, window.end))
            series, everything = yield from self._series(part, interval)
            if len(series) < part.ticks // interval:
                total = yield from self._total(part)
                if total != everything:
                    raise FailedAnswer(
                        f"Datadog's counts contradict each other for {part}: the buckets hold {everything:,} "
                        f"rows, the total is {total:,}"
                    )
            for bucket, rows in series.items():
                bin_start = bucket // bin_ticks * bin_ticks
                counts[bin_start] = counts.get(bin_start, 0) + rows
        return counts

    def _series(
        self, part: Window, bin_ticks: int
    ) -> Generator[Request, Response, tuple[dict[int, int], int]]:
        compute = {"aggregation": "count", "type": "timeseries", "interval": _interval(bin_ticks)}
        buckets = yield from self._aggregate(part, compute)
        counts: dict[int, int] = {}
        everything = 0
        for bucket in buckets:
            for point in _points(bucket):
                start, rows = _point(point)
                everything += rows
                if start % bin_ticks:
                    raise CountUnavailable(
                        f"Datadog's buckets are not aligned to {_interval(bin_ticks)}: one starts at "
                        f"{format_instant(start)}"
                    )
                if start in part:
                    if start in counts:
                        raise FailedAnswer(f"Datadog counted the bucket {format_instant(start)} twice")
                    counts[start] = rows
        return counts, everything

    def _total(self, part: Window) -> Generator[Request, Response, int]:
        buckets = yield from self._aggregate(part, {"aggregation": "count", "type": "total"})
        return sum(_rows(bucket.computes.get("c0")) for bucket in buckets)

    def _aggregate(
        self, part: Window, compute: dict[str, str]
    ) -> Generator[Request, Response, list[_Bucket]]:
        body = {"filter": self._filter(part), "compute": [compute]}
        response = yield self._request(AGGREGATE_PATH, "count", "datadog_aggregate", body)
        if response.status == 403:
            yield from self._check_readable(part)
            raise CountUnavailable(f"Datadog does not let this key count: {excerpt(response.body)}")
        if response.status != 200:
            raise refusal(response, resumed=False)
        try:
            answer = _decode_aggregate(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
            raise FailedAnswer(f"Datadog's count is not readable: {error}") from error
        check_whole(answer.meta, answer.errors, what="count")
        if answer.data is None:
            raise FailedAnswer(f"Datadog's count holds no data ({len(response.body):,} bytes)")
        return answer.data.buckets

    def _check_readable(self, part: Window) -> Generator[Request, Response, None]:
        """Tell a key that may search but not count from one that may do neither: raises for the latter."""
        body = {"filter": self._filter(part), "sort": "timestamp", "page": {"limit": 1}}
        response = yield self._request(SEARCH_PATH, "search", self.search_bucket, body)
        if response.status != 200:
            raise refusal(response, resumed=False)

    def _filter(self, span: Window) -> dict[str, Any]:
        return {
            "from": str(span.start // TICK_PER_MS - 1),
            "to": str(-(-span.end // TICK_PER_MS) + 1),
            "query": self._spec.query,
            "indexes": list(self._spec.indexes),
            "storage_tier": self._spec.storage_tier,
        }

    def _request(
        self, path: str, purpose: Literal["search", "count"], bucket: str, body: dict[str, Any]
    ) -> Request:
        return Request(
            method="POST",
            url=self._base_url + path,
            purpose=purpose,
            bucket=bucket,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
            body=msgspec.json.encode(body),
        )


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
        raise FailedAnswer(f"Datadog's page is not whole JSON ({len(body):,} bytes): {error}") from error
    check_whole(answer.meta, answer.errors, what="page")
    data = bytes(answer.data) if marked is None else marked.restore(bytes(answer.data))
    if not data:
        raise FailedAnswer(f"Datadog's page holds no data member ({len(body):,} bytes)")
    if data == b"null":
        data = b"[]"
    if not data.startswith(b"["):
        raise FailedAnswer(f"Datadog's data is not a list ({len(data):,} bytes)")
    page = answer.meta.page if answer.meta else None
    return data, (page.after or None) if page else None


def check_whole(meta: Meta | None, errors: msgspec.Raw, *, what: str) -> None:
    """Raise unless the answer says that it is whole; older answers without a status are taken as whole."""
    if bytes(errors) not in (b"", b"null", b"[]"):
        raise FailedAnswer(f"Datadog's {what} carries errors: {excerpt(bytes(errors))}")
    if meta is None:
        return
    for warning in meta.warnings or ():
        text = warning.detail or warning.title or warning.code or "no text"
        if warning.code == "unknown_index":
            raise QueryRejected(f"Datadog does not know an index of this export ({text}); correct `indexes`")
        raise FailedAnswer(f"Datadog's {what} is partial: {text}")
    if meta.status not in (None, "done"):
        raise FailedAnswer(f"Datadog's {what} is partial: its status is {meta.status!r}, not 'done'")


def refusal(response: Response, *, resumed: bool) -> SourceError | QueryRejected | CredentialsError:
    """The error for an answer that is not 200. ``resumed``: the request carried a cursor."""
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
            texts.append(str(entry.get("detail") or entry.get("title") or entry))
        else:
            texts.append(str(entry))
    return "; ".join(texts)[:300] or excerpt(body)


def _interval(ticks: int) -> str:
    """The interval in the documented form, e.g. ``1h`` or ``5m``."""
    seconds = ticks // TICK_PER_SECOND
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    raise AssertionError


def _points(bucket: _Bucket) -> list[Any]:
    points = bucket.computes.get("c0")
    if not isinstance(points, list):
        raise FailedAnswer("Datadog's count is not a timeseries")
    return points


def _point(point: Any) -> tuple[int, int]:
    try:
        return parse_instant(point["time"]), _rows(point["value"])
    except (KeyError, TypeError, ValueError):
        raise FailedAnswer(
            f"Datadog's count holds a bucket that is not readable: {str(point)[:100]}"
        ) from None


def _rows(value: Any) -> int:
    """A count that may come as int, float or text; anything but a whole number is refused."""
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        number = Decimal(-1)
    # The exponent is looked at first: int() of 1e999999 would fill the memory.
    if not number.is_finite() or number.adjusted() > 18 or number < 0 or number != number.to_integral_value():
        raise FailedAnswer(f"Datadog's count holds {str(value)[:40]!r}, which is no number of rows")
    return int(number)
