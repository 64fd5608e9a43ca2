"""Datadog Logs Search, API v2: what is asked and how an answer is read.

Search: https://docs.datadoghq.com/api/latest/logs/#search-logs-post.
Counts: https://docs.datadoghq.com/api/latest/logs/#aggregate-events.
Neither page says whether a bound is inclusive, so every request asks one millisecond wider on both sides; rows
outside are dropped by the ferry, and buckets outside the window by ``count``.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Literal

import msgspec

from logferry.convert.datadog import output_schema
from logferry.errors import CountUnavailable, FailedAnswer, QueryRejected
from logferry.sources.base import BINS, MIB, Page, Request, Response, Share, SourceColumn, SourceSchema
from logferry.sources.bounds import COUNT_BYTES
from logferry.sources.datadog_answers import (
    Bucket,
    point_of,
    points_of,
    read_counts,
    read_search,
    refusal,
    total_beside,
    whole_rows,
)
from logferry.sources.datadog_reading import DatadogReading
from logferry.sources.reading import read_page
from logferry.spec import ColumnSpec, DatadogSourceSpec
from logferry.window import TICK_PER_MS, Window, format_duration, format_instant
from logferry.wording import excerpt

SEARCH_PATH = "/api/v2/logs/events/search"
AGGREGATE_PATH = "/api/v2/logs/analytics/aggregate"
PAGE_ROWS = 1000
"""The documented most of ``page.limit``."""
MOST_BINS = 150
"""Bins asked of one timeseries: the points that the API gives when no interval is asked for. Its maximum is
unpublished."""

_PAGE_BYTES = 32 * MIB
"""More is asked for with fewer rows to a page: a page of 1,000 events is 1 to 2 MB."""
_ANSWER_S = 300.0
"""4 kB/s would bring such a page."""

_TOTAL = {"aggregation": "count", "type": "total"}


class _CountRefused(QueryRejected):
    """A count was refused; only a search tells whether the query is wrong or this tier cannot be counted."""


class DatadogSource:
    """One export's search against one Datadog organisation."""

    kind = "datadog"
    tick = TICK_PER_MS
    answer_rows = None
    page_rows = PAGE_ROWS
    most_bins = MOST_BINS
    most_shares = 1
    """Not divided: within one millisecond the cursor goes on."""
    most_in_flight = 16
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
        self._takes_both = True
        self._reading = DatadogReading(self._columns)

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
        self,
        span: Window,
        cursor: str | None,
        schema: SourceSchema,
        *,
        limit: int | None = None,
        share: Share | None = None,
    ) -> Generator[Request, Response, Page]:
        """One page of at most ``limit`` rows (PAGE_ROWS when None). There are no shares here: ValueError."""
        if share is not None:
            raise ValueError(
                "Datadog's rows cannot be divided into shares; its cursor pages through one tick"
            )
        page: dict[str, Any] = {"limit": PAGE_ROWS if limit is None else limit}
        if cursor is not None:
            page["cursor"] = cursor
        body = {"filter": self._filter(span), "sort": "timestamp", "page": page}
        response = yield self._request(SEARCH_PATH, "search", self.search_bucket, body)
        if response.status != 200:
            raise refusal(response, resumed=cursor is not None)
        return read_page(self._reading, response.body)

    def count(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        """Rows per bin by a timeseries of buckets aligned to the clock, and the total of the same range.

        Buckets without rows are left out of an answer, or filled with 0, so only an equal total tells an empty bin
        from a series that was cut short. A range whose numbers contradict each other is counted in halves. Raises
        FailedAnswer when those of one bucket do, and CountUnavailable when Datadog refuses to count a query that it
        searches.
        """
        try:
            counts = yield from self._counted(window, bin_ticks)
        except _CountRefused as error:
            yield from self._check_readable(window)
            raise CountUnavailable(f"Datadog searches this query and does not count it: {error}") from error
        return counts

    def _counted(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        interval = bucket_length(bin_ticks)
        counts: dict[int, int] = {}
        step = interval * MOST_BINS
        waiting = [
            Window(start, min(start + step, window.end)) for start in range(window.start, window.end, step)
        ]
        while waiting:
            part = waiting.pop()
            series, everything, total = yield from self._series(part, interval)
            if total is None:
                total = yield from self._total(part)
            if total != everything:
                halves = part.pieces(2, interval)
                if len(halves) < 2:
                    raise FailedAnswer(
                        f"Datadog's counts contradict each other for {part}: the buckets hold "
                        f"{everything:,} rows, the total is {total:,}"
                    )
                waiting += halves
                continue
            for bucket, rows in series.items():
                bin_start = bucket - (bucket - window.start) % bin_ticks
                counts[bin_start] = counts.get(bin_start, 0) + rows
        return counts

    def _series(
        self, part: Window, interval: int
    ) -> Generator[Request, Response, tuple[dict[int, int], int, int | None]]:
        """The rows of each bucket within the part, of all buckets, and their total where the answer tells it."""
        length = format_duration(interval)
        asked = [{"aggregation": "count", "type": "timeseries", "interval": length}, _TOTAL]
        try:
            buckets = yield from self._aggregate(part, asked if self._takes_both else asked[:1])
        except _CountRefused:
            if not self._takes_both:
                raise
            # That one answer may hold a series and a total is not documented: they are asked for apart then.
            buckets = yield from self._aggregate(part, asked[:1])
            self._takes_both = False
        counts: dict[int, int] = {}
        everything = 0
        for bucket in buckets:
            for point in points_of(bucket):
                start, rows = point_of(point)
                everything += rows
                if start % interval:
                    raise CountUnavailable(
                        f"Datadog's buckets are not aligned to {length}: one starts at {format_instant(start)}"
                    )
                if start in part:
                    if start in counts:
                        raise FailedAnswer(f"Datadog counted the bucket {format_instant(start)} twice")
                    counts[start] = rows
        return counts, everything, total_beside(buckets)

    def _total(self, part: Window) -> Generator[Request, Response, int]:
        buckets = yield from self._aggregate(part, [_TOTAL])
        return sum(whole_rows(bucket.computes.get("c0")) for bucket in buckets)

    def _aggregate(
        self, part: Window, computes: list[dict[str, str]]
    ) -> Generator[Request, Response, list[Bucket]]:
        body = {"filter": self._filter(part), "compute": computes}
        response = yield self._request(AGGREGATE_PATH, "count", "datadog_aggregate", body)
        if response.status == 403:
            yield from self._check_readable(part)
            raise CountUnavailable(f"Datadog does not let this key count: {excerpt(response.body)}")
        if response.status != 200:
            error = refusal(response, resumed=False)
            raise _CountRefused(str(error)) if isinstance(error, QueryRejected) else error
        return read_counts(response.body)

    def _check_readable(self, part: Window) -> Generator[Request, Response, None]:
        """Tell what can be searched but not counted from what can be neither: raises for the latter."""
        body = {"filter": self._filter(part), "sort": "timestamp", "page": {"limit": 1}}
        response = yield self._request(SEARCH_PATH, "search", self.search_bucket, body)
        if response.status != 200:
            raise refusal(response, resumed=False)
        read_search(response.body)

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
            answer_s=_ANSWER_S,
            most_bytes=_PAGE_BYTES if purpose == "search" else COUNT_BYTES,
        )


def bucket_length(bin_ticks: int) -> int:
    """The longest of BINS that divides a bin: buckets of that length are sure to be aligned to UTC."""
    return max(length for length in BINS if bin_ticks % length == 0)
