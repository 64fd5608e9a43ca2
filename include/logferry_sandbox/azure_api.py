"""A stand-in for the Log Analytics query API: `/v1/workspaces/{guid}/query` and `/v1/{resourceId}/query`.

Strict about tokens, paths and bodies; truncates, throttles, caches and times out as the service does, and
misbehaves on request. https://learn.microsoft.com/azure/azure-monitor/logs/api/overview
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any
from urllib.parse import unquote

from logferry_sandbox.azure_answer import answer_head, numbered_answer, purpose_of
from logferry_sandbox.azure_control import control
from logferry_sandbox.azure_data import DayTable
from logferry_sandbox.azure_errors import (
    JSON_HEADERS,
    Limits,
    bad_argument,
    error_response,
    gateway_timeout,
    insufficient_access,
    partial_error,
    query_error,
    throttled,
)
from logferry_sandbox.azure_extras import extra_members, preferences
from logferry_sandbox.azure_limits import Concurrency, RateLimit, ResponseCache
from logferry_sandbox.azure_prepared import PreparedTable
from logferry_sandbox.azure_timespan import parse_timespan, unix_seconds_to_ticks
from logferry_sandbox.azure_workspace import AzureKnobs, Workspace
from logferry_sandbox.entra import QUERY_AUDIENCE, Application, TokenRegistry
from logferry_sandbox.faults import FaultPlan
from logferry_sandbox.http_server import HttpRequest, HttpResponse
from logferry_sandbox.kql import Answer, run_query, shuffled
from logferry_sandbox.kql_errors import KqlError, ScanTooLarge
from logferry_sandbox.kql_values import MAX_TICKS

API_FAULTS = frozenset(
    {
        "azure:partial_error",
        "azure:warning",
        "azure:expired_token",
        "azure:no_content",
        "azure:stale_cache",
        "azure:late_rows",
        "azure:drop_row",
        "azure:swap_row",
        "azure:column_added",
        "azure:throttled",
        "azure:gateway_timeout",
        "azure:network_denied",
    }
)
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EXPOSED = "Retry-After,Age,WWW-Authenticate,x-resource-identities,x-ms-status-location"


class QueryApi:
    """The query API over the given tables."""

    def __init__(
        self,
        workspace: Workspace,
        tables: Mapping[str, DayTable | PreparedTable],
        tokens: TokenRegistry,
        applications: Mapping[str, Application],
        plan: FaultPlan,
        *,
        knobs: AzureKnobs | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.workspace = workspace
        self.tables = tables
        self.knobs = knobs or AzureKnobs()
        self._tokens = tokens
        self._applications = applications
        self._plan = plan
        self._rate = RateLimit(clock)
        self._concurrency = Concurrency()
        self._cache = ResponseCache(clock)
        self._sleep = sleep

    def app(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if request.path.startswith("/_sandbox/"):
            return control(request, self.tables, self.knobs)
        response = self._answer(request)
        response.headers = {
            **response.headers,
            "Via": "1.1 draft-oms-sandbox",
            "Access-Control-Expose-Headers": _EXPOSED,
        }
        if "x-ms-client-request-id" in request.headers:
            response.headers["x-ms-client-request-id"] = request.headers["x-ms-client-request-id"]
        return response

    def _answer(self, request: HttpRequest) -> HttpResponse:
        principal = self._principal(request)
        if isinstance(principal, HttpResponse):
            return principal
        refused = self._check_path(request.path) or self._limits(request, principal)
        if refused is not None:
            return refused
        if self._plan.take("azure:no_content", request) is not None:
            return HttpResponse(204)
        asked = self._read(request)
        if isinstance(asked, HttpResponse):
            return asked
        with self._concurrency.enter(principal, self.knobs.concurrency) as admitted:
            if not admitted:
                return throttled(self.knobs.concurrency, 1, 1 if self.knobs.retry_after else None)
            if self.knobs.latency_s:
                self._sleep(self.knobs.latency_s)
            return self._query(request, *asked)

    def _principal(self, request: HttpRequest) -> str | HttpResponse:
        """Who asks, or why the token is refused."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            message = (
                "The 'Authorization' header is missing."
                if not scheme
                else "Valid authentication was not provided"
            )
            return error_response(401, "AuthenticationFailed", message)
        token = self._tokens.find(text.strip())
        forced = self._plan.take("azure:expired_token", request) is not None
        if token is None or forced or self._tokens.expired(token):
            return error_response(
                403, "InvalidAuthenticationToken", "The access token is invalid or has expired."
            )
        if token.audience != QUERY_AUDIENCE:
            return error_response(
                403,
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for the wrong audience or resource"
                f" '{token.audience}'. It should"
                f" exactly match one of the allowed audiences '{QUERY_AUDIENCE}'.",
            )
        application = self._applications.get(token.client_id)
        if application is not None and not application.may_read:
            return insufficient_access(self.workspace.name)
        if self._plan.take("azure:network_denied", request) is not None:
            return insufficient_access(self.workspace.name, network=True)
        return token.client_id

    def _check_path(self, path: str) -> HttpResponse | None:
        match = re.fullmatch(r"/v1/(.+)/query/?", unquote(path))
        if match is None:
            return error_response(404, "PathNotFoundError", "The requested path does not exist")
        scope = match[1].lower().strip("/")
        kind, _, guid = scope.partition("/")
        if kind == "workspaces":
            if _GUID.fullmatch(guid) is None:
                return error_response(404, "PathNotFoundError", "The requested path does not exist")
            known = guid == self.workspace.guid
        else:
            known = f"/{scope}" in (self.workspace.resource_id.lower(), self.workspace.component_id.lower())
        if known:
            return None
        return error_response(404, "ResourceNotFoundError", f"The resource '{scope}' could not be found")

    def _limits(self, request: HttpRequest, principal: str) -> HttpResponse | None:
        knobs = self.knobs
        forced = self._plan.take("azure:throttled", request)
        if forced is not None:
            return throttled(knobs.rate_limit, knobs.rate_window_s, forced.get("retry_after"))
        wait_s = self._rate.admit(principal, knobs.rate_limit, knobs.rate_window_s)
        if wait_s is None:
            return None
        return throttled(knobs.rate_limit, knobs.rate_window_s, wait_s if knobs.retry_after else None)

    def _read(self, request: HttpRequest) -> tuple[str, list[str]] | HttpResponse:
        """The query and the timespans of the request, or the answer to a request that cannot be read."""
        timespans = [text for text in request.query.get("timespan", []) if text]
        if request.method == "GET":
            query = request.query.get("query", [""])[0]
            return (query, timespans) if query else bad_argument(_validation("The query is missing"))
        if request.method != "POST":
            return error_response(405, "MethodNotAllowedError", "The method is not allowed for this path")
        # Without a JSON body the service answers an empty 200, as its documentation says.
        if "json" not in request.headers.get("content-type", "").lower() or not request.body:
            return HttpResponse(200)
        try:
            body = json.loads(request.body)
        except ValueError:
            return bad_argument({"code": "InvalidJsonBody", "message": "Unable to parse the body as JSON"})
        if not isinstance(body, dict) or not isinstance(body.get("query"), str) or not body["query"].strip():
            return bad_argument(_validation("The query is missing"))
        for name in body.get("workspaces") or []:
            if str(name).lower() not in (
                self.workspace.guid,
                self.workspace.name,
                self.workspace.resource_id,
            ):
                inner = {"code": "FailedToResolveResource", "message": f"Failed to resolve resource '{name}'"}
                return bad_argument(inner)
        if body.get("timespan") is not None:
            timespans.append(str(body["timespan"]))
        return body["query"], timespans

    def _query(self, request: HttpRequest, query: str, timespans: list[str]) -> HttpResponse:
        self._plan.count_purpose(purpose_of(query))
        key = (request.path, query, *timespans, request.headers.get("prefer", ""))
        stale = self._plan.take("azure:stale_cache", request) is not None
        allowed = _cache_age(request.headers.get("cache-control", ""), self.knobs.cache_s)
        cached = self._cache.get(key, float("inf") if stale else allowed) if stale or allowed else None
        if cached is not None:
            return cached
        if self._plan.take("azure:gateway_timeout", request) is not None:
            return gateway_timeout()
        start, stop = 0, MAX_TICKS
        now = unix_seconds_to_ticks(self._tokens.clock())
        try:
            self._change_tables(request)
            for text in timespans:
                first, last = parse_timespan(text, now, end_inclusive=self.knobs.timespan_end_inclusive)
                start, stop = max(start, first), min(stop, last)
            answer = run_query(query, self.tables, start=start, stop=stop, scan_limit=self.knobs.scan_limit)
            response = self._render(request, query, answer)
        except KqlError as error:
            return query_error(error)
        except ScanTooLarge:
            return gateway_timeout()
        except ValueError as error:
            return bad_argument(_validation(str(error)))
        self._cache.put(key, response)
        return response

    def _change_tables(self, request: HttpRequest) -> None:
        """Faults that change what the tables hold from now on."""
        late = self._plan.take("azure:late_rows", request)
        if late is not None:
            self._made_table(late).state.late_every = late.get("every", 50)
        added = self._plan.take("azure:column_added", request)
        if added is not None:
            self._made_table(added).state.added_column = added.get("name", "AddedColumn")

    def _made_table(self, params: Mapping[str, Any]) -> DayTable:
        table = self.tables[params.get("table", "AppRequests")]
        if isinstance(table, PreparedTable):
            raise ValueError(f"the rows of {table.name} are prepared: none come late, no column is added")
        return table

    def _render(self, request: HttpRequest, query: str, answer: Answer) -> HttpResponse:
        headers = dict(JSON_HEADERS)
        prefer = preferences(request)
        if prefer:
            headers["Preference-Applied"] = ", ".join(prefer)
        if int.from_bytes(hashlib.sha256(query.encode()).digest()[:1]) % 4 == 0:
            headers["retry-after"] = "0"
        if answer.numbered is not None and not self._plan.has_rules:  # faults strike single rows
            response, rows = numbered_answer(request, query, answer, answer.numbered, self.knobs)
            self._plan.count_rows(rows)
        else:
            response = HttpResponse(body=self._body(request, query, answer), compress=self.knobs.compress)
        response.headers = headers
        return response

    def _body(self, request: HttpRequest, query: str, answer: Answer) -> bytes:
        rows: list[bytes] = []
        size = 0
        for batch in answer.rows():
            encoded = [row.encode("utf-8", "surrogatepass") for row in batch]
            rows += encoded
            size += sum(map(len, encoded))
            # A little more than fits is enough to know; reads of a whole table stop here.
            if len(rows) > self.knobs.max_rows or size > self.knobs.max_bytes:
                break
        if len(rows) > 1 and self._plan.take("azure:swap_row", request) is not None:
            rows[len(rows) // 2] = _under_a_new_id(rows[len(rows) // 2 - 1], answer)
        if not answer.ordered and self.knobs.shuffle:
            rows = shuffled(rows, query)
        if rows and self._plan.take("azure:drop_row", request) is not None:
            del rows[len(rows) // 2]
        rows, error = self._truncate(request, rows)
        self._plan.count_rows(len(rows))
        return b"%s%s]}]%s}" % (
            answer_head(answer),
            b",".join(rows),
            extra_members(request, len(rows), error),
        )

    def _truncate(self, request: HttpRequest, rows: list[bytes]) -> tuple[list[bytes], dict[str, Any] | None]:
        """The rows that fit, and the `error` that says so when not all do, or when a fault asks for one."""
        knobs = self.knobs
        limits = Limits(knobs.max_rows, knobs.max_bytes)
        forced = self._plan.take("azure:partial_error", request)
        if forced is not None:
            kept = rows[: forced.get("keep", len(rows) // 2)] if forced.get("rows", True) else []
            return kept, partial_error(forced.get("variant", 1), limits)
        variant = 0
        if len(rows) > knobs.max_rows:
            rows, variant = rows[: knobs.max_rows], knobs.partial_rows
        if sum(map(len, rows)) > knobs.max_bytes:
            rows = rows[: bisect_right(list(accumulate(map(len, rows))), knobs.max_bytes)]
            variant = knobs.partial_bytes
        if variant:
            return rows, partial_error(variant, limits)
        if self._plan.take("azure:warning", request) is not None:
            return rows, partial_error(6, limits, severity="Warning")
        return rows, None


def _under_a_new_id(row: bytes, answer: Answer) -> bytes:
    """A copy of the row; whatever column holds its id, it holds another one there."""
    cells = json.loads(row)
    for column, cell in zip(answer.columns, cells, strict=True):
        if column.name.lower().endswith("item") or column.name == "_ItemId":
            row = row.replace(cell.encode(), (cell[:-4] + "twin").encode())
            break
    return row


def _validation(message: str) -> dict[str, Any]:
    return {"code": "QueryValidationError", "message": message}


def _cache_age(control: str, usual_s: int) -> int:
    """How old a cached answer the request takes; 0 for none."""
    directives = [directive.strip().lower() for directive in control.split(",")]
    if "no-cache" in directives or "no-store" in directives:
        return 0
    for directive in directives:
        name, _, value = directive.partition("=")
        if name == "max-age" and value.isdigit():
            return min(int(value), usual_s)
    return usual_s
