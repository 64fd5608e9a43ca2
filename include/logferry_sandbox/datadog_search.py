"""Log search: the request of both endpoints, the page it gets, and how its pagination ends.

Sources: https://docs.datadoghq.com/api/latest/logs/#search-logs-post and #search-logs-get
"""

import itertools
import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, urlencode

from logferry_sandbox.datadog_cursor import Cursor, decode_cursor
from logferry_sandbox.datadog_errors import DatadogRefusalError, invalid
from logferry_sandbox.datadog_filter import Filter, read_filter
from logferry_sandbox.datadog_order import FacetOrder, Rows, TimeOrder
from logferry_sandbox.datadog_query import Query
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore, parse_event
from logferry_sandbox.faults import FaultPlan
from logferry_sandbox.http_server import HttpRequest, Made, Piece

SEARCH_FAULTS = frozenset(
    {
        "datadog:status_timeout",
        "datadog:warnings",
        "datadog:repeat_cursor",
        "datadog:duplicate_rows",
        "datadog:out_of_order",
        "datadog:expired_cursor",
        "datadog:malformed_cursor",
        "datadog:drop_row",
        "datadog:swap_row",
        "datadog:empty_page_with_cursor",
        "datadog:truncated_series",
    }
)
_quote = lru_cache(maxsize=1024)(quote_plus)
_SORT = re.compile(r"-?(timestamp|@\S+)")
_GET_MEMBERS = {
    "filter[query]": ("filter", "query"),
    "filter[from]": ("filter", "from"),
    "filter[to]": ("filter", "to"),
    "filter[storage_tier]": ("filter", "storage_tier"),
    "page[cursor]": ("page", "cursor"),
}


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A checked search. ``sort`` is ``timestamp`` or ``@facet``, with ``-`` for descending."""

    found: Filter
    sort: str
    limit: int
    cursor: Cursor | None


class SearchEndpoint:
    """Answers searches over ``store``. Thread-safe."""

    def __init__(self, store: DatadogStore, plan: FaultPlan) -> None:
        self._store = store
        self._plan = plan
        self._attempts = itertools.count(1)
        self._facet_orders: dict[tuple[Any, ...], FacetOrder] = {}
        self._facet_lock = threading.Lock()

    def answer(
        self,
        raw: Mapping[str, Any],
        request: HttpRequest,
        settings: DatadogSettings,
        restriction: Query,
        now_ms: int,
        request_id: str,
    ) -> list[Piece]:
        """The body of the answer to the search ``raw``, in pieces. Raises DatadogRefusalError."""
        found = read_filter(raw.get("filter"), settings, self._store.indexes, restriction, now_ms)
        search = read_search(raw, found, settings)
        if search.cursor is not None and self._plan.take("datadog:expired_cursor", request) is not None:
            raise invalid("page.cursor", "cursor has expired")
        faulty = self._plan.has_rules  # faults strike single events
        order = self._order(search, apart=faulty)
        cap = min(search.limit, settings.short_pages or search.limit)
        try:
            rows = order.page(search.cursor, cap)
            meta: dict[str, Any] = {"elapsed": 12, "request_id": request_id, "status": "done"}
            warnings = list(found.warnings)
            after = self._faulty(rows, meta, warnings, order, search, request) if faulty else None
        except ValueError:
            raise invalid("page.cursor", "invalid cursor") from None
        if warnings:
            meta["warnings"] = warnings
        self._plan.count_rows(len(rows.bodies) if faulty else rows.size)
        if after is None and rows.bodies and (settings.final_cursor or not rows.exhausted):
            after = rows.last
        if after is not None:
            text = after.encode()
            if self._plan.take("datadog:malformed_cursor", request) is not None:
                text = text[: len(text) // 2]
            return _page(rows.bodies, meta, text, raw, request)
        if rows.bodies:
            return _json_page(rows.bodies, meta)
        return _end(settings.page_end, meta, search.cursor or order.start(), raw, request)

    def _order(self, search: SearchRequest, *, apart: bool) -> TimeOrder | FacetOrder:
        found, descending = search.found, search.sort.startswith("-")
        field = search.sort.removeprefix("-")
        if field == "timestamp":
            return TimeOrder(self._store, found, descending=descending, apart=apart)
        key = (found.selection.key(), found.from_ms, found.to_ms, search.sort)
        with self._facet_lock:
            if key not in self._facet_orders:
                # Sorting by a facet reads every event of the range: worth keeping for the next page.
                self._facet_orders = {key: FacetOrder(self._store, found, field, descending=descending)}
            return self._facet_orders[key]

    def _faulty(
        self,
        rows: Rows,
        meta: dict[str, Any],
        warnings: list[Mapping[str, str]],
        order: TimeOrder | FacetOrder,
        search: SearchRequest,
        request: HttpRequest,
    ) -> Cursor | None:
        """Do to the page what the fault plan says; returns the cursor to give instead of the honest one."""
        bodies, take = rows.bodies, self._plan.take
        if take("datadog:status_timeout", request) is not None:
            # Half of the rows are missing for good: the cursor goes on after the last of them.
            meta["status"] = "timeout"
            del bodies[len(bodies) // 2 :]
            return rows.last
        if (params := take("datadog:warnings", request)) is not None:
            default = {"code": "partial", "title": "Partial results", "detail": "a shard did not answer"}
            warnings.append({**default, **params})
        if take("datadog:empty_page_with_cursor", request) is not None:
            bodies.clear()
            return replace(search.cursor or order.start(), attempt=next(self._attempts))
        if take("datadog:drop_row", request) is not None and bodies:
            del bodies[len(bodies) // 2]
            return rows.last
        if len(bodies) > 1 and take("datadog:swap_row", request) is not None:
            twin = bodies[len(bodies) // 2 - 1]
            assert isinstance(twin, bytes)  # where there are faults, a page holds event by event
            bodies[len(bodies) // 2] = _under_a_new_id(twin)
        if take("datadog:out_of_order", request) is not None and len(bodies) > 1:
            bodies[0], bodies[-1] = bodies[-1], bodies[0]
        if search.cursor is not None:
            if take("datadog:duplicate_rows", request) is not None:
                previous = order.row_at(search.cursor)
                if previous is not None:
                    bodies.insert(0, previous)
            if take("datadog:repeat_cursor", request) is not None:
                return search.cursor
        return None


def read_search(raw: Mapping[str, Any], found: Filter, settings: DatadogSettings) -> SearchRequest:
    """Check sort and page of a request body; unknown members are ignored. Raises DatadogRefusalError."""
    sort = raw.get("sort", "-timestamp")
    if not isinstance(sort, str) or not _SORT.fullmatch(sort):
        raise invalid("sort", "must be timestamp, -timestamp, @facet or -@facet")
    page = raw.get("page")
    if page is None:
        page = {}
    if not isinstance(page, Mapping):
        raise invalid("page", "must be an object")
    limit = page.get("limit", 10)
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise invalid("page.limit", "must be an integer")
    if not 1 <= limit <= settings.max_limit:
        raise invalid("page.limit", f"must be between 1 and {settings.max_limit}")
    text = page.get("cursor")
    if text is None:
        return SearchRequest(found, sort, limit, None)
    try:
        return SearchRequest(found, sort, limit, decode_cursor(text))
    except (ValueError, TypeError):
        raise invalid("page.cursor", "invalid cursor") from None


def body_of_get(query: Mapping[str, list[str]]) -> dict[str, Any]:
    """The request body the query parameters of GET /api/v2/logs/events stand for."""
    body: dict[str, Any] = {"filter": {}, "page": {}}
    for name, (group, member) in _GET_MEMBERS.items():
        if name in query:
            body[group][member] = query[name][-1]
    if "sort" in query:
        body["sort"] = query["sort"][-1]
    if "filter[indexes]" in query:
        names = (name for value in query["filter[indexes]"] for name in value.split(","))
        body["filter"]["indexes"] = list(names)
    if "page[limit]" in query:
        text = query["page[limit]"][-1]
        if not re.fullmatch(r"-?\d{1,9}", text):
            raise DatadogRefusalError(
                400, f"input_validation_error(Field 'page[limit]' is invalid: {text!r})"
            )
        body["page"]["limit"] = int(text)
    return body


def _under_a_new_id(body: bytes) -> bytes:
    event_id = parse_event(body)["id"]
    return body.replace(event_id.encode(), (event_id[:-4] + "Twin").encode(), 1)


def _page(
    bodies: list[Piece], meta: dict[str, Any], text: str, raw: Mapping[str, Any], request: HttpRequest
) -> list[Piece]:
    meta = {"elapsed": meta.pop("elapsed"), "page": {"after": text}, **meta}
    return _json_page(bodies, meta, {"next": _next_link(text, raw, request)})


def _end(
    shape: str, meta: dict[str, Any], here: Cursor, raw: Mapping[str, Any], request: HttpRequest
) -> list[Piece]:
    """The empty page after the last one, in one of the shapes recorded from the real API."""
    match shape:
        case "no_meta":
            return [b'{"data":[]}']
        case "null_data":
            return [b'{"data":null,"meta":' + _json(meta) + b"}"]
        case "page_null":
            return _json_page([], {**meta, "page": None})
        case "empty_with_cursor":
            return _page([], meta, here.encode(), raw, request)
        case _:
            return _json_page([], meta)


def _json_page(
    bodies: list[Piece], meta: Mapping[str, Any], links: Mapping[str, str] | None = None
) -> list[Piece]:
    tail = b',"links":' + _json(links) if links else b""
    texts = [body for body in bodies if not isinstance(body, Made)]
    data: list[Piece]
    if 1 < len(bodies) == len(texts):
        data = [b",".join(texts)]
    else:  # A single run of events goes out as it is: joining would copy it, or hold what is made while it is sent.
        data = [piece for body in bodies for piece in (b",", body)][1:]
    return [b'{"data":[', *data, b'],"meta":' + _json(meta) + tail + b"}"]


def _next_link(cursor: str, raw: Mapping[str, Any], request: HttpRequest) -> str:
    """The GET endpoint with the parameters of this request, whichever endpoint it came to."""
    filter_ = raw.get("filter") or {}
    page = raw.get("page") or {}
    params = {
        "sort": raw.get("sort"),
        "filter[to]": filter_.get("to"),
        "page[cursor]": cursor,
        "filter[from]": filter_.get("from"),
        "filter[query]": filter_.get("query"),
        "filter[indexes]": ",".join(filter_["indexes"]) if filter_.get("indexes") else None,
        "filter[storage_tier]": filter_.get("storage_tier"),
        "page[limit]": page.get("limit"),
    }
    host = request.headers.get("host", "127.0.0.1")
    given = {name: value for name, value in params.items() if value is not None}
    return f"http://{host}/api/v2/logs/events?{urlencode(given, quote_via=_quote)}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
