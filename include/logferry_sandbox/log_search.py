"""A stand-in for the retired Log Search API of Azure Resource Manager: submit a search, poll it by id.

Shapes: the 2016 REST guide `log-analytics-log-search-api.md` and azure-mgmt-loganalytics 0.1.0. Without
start and end a search covers the last seven days.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from logferry_sandbox.azure_workspace import Workspace
from logferry_sandbox.entra import ARM_AUDIENCES, Application, TokenRegistry
from logferry_sandbox.faults import FaultPlan, json_response
from logferry_sandbox.http_server import HttpRequest, HttpResponse
from logferry_sandbox.log_search_data import Row, format_ms, matching
from logferry_sandbox.log_search_query import LegacyQueryError, Matches, compile_query

LOG_SEARCH_FAULTS = frozenset({"log_search:gone", "log_search:error"})
API_VERSIONS = ("2015-03-20", "2015-11-01-preview")
DEFAULT_TOP = 10
LARGEST_TOP = 5000
KEPT_S = 360
"""Seconds after which a search is dropped and its poll answers 410."""
_WEEK_MS = 7 * 86_400_000
_PATH = re.compile(
    r"/subscriptions/([^/]+)/resourcegroups/([^/]+)/providers/microsoft\.operationalinsights/workspaces/([^/]+)"
    r"/search(?:/([^/]+))?/?",
    re.IGNORECASE,
)


@dataclass(slots=True)
class LogSearchKnobs:
    """Choices of the sandbox. `pending_polls`: how many answers to a search, the first included, say Pending.

    `retired`: every submit answers 410, as the service does since 2019.
    """

    pending_polls: int = 1
    end_inclusive: bool = True
    retired: bool = False
    busy_days: frozenset[date] = frozenset()


@dataclass(slots=True)
class _Search:
    id: str
    query: str
    matches: Matches
    top: int
    start: int
    stop: int
    submitted_at: float
    pending: int


class LogSearch:
    """The search endpoint of one workspace."""

    def __init__(
        self,
        workspace: Workspace,
        tokens: TokenRegistry,
        applications: Mapping[str, Application],
        plan: FaultPlan,
        *,
        seed: int,
        knobs: LogSearchKnobs | None = None,
        clock: Callable[[], float],
    ) -> None:
        self.workspace = workspace
        self.knobs = knobs or LogSearchKnobs()
        self._tokens = tokens
        self._applications = applications
        self._plan = plan
        self._seed = seed
        self._clock = clock
        self._searches: dict[str, _Search] = {}
        self._lock = threading.Lock()

    def app(self, request: HttpRequest) -> HttpResponse:
        """Answer one request."""
        if request.path == "/_sandbox/knobs" and request.method == "POST":
            return self._set_knobs(request)
        refused = self._check_token(request)
        if refused is not None:
            return refused
        match = _PATH.fullmatch(unquote(request.path))
        if match is None:
            return _arm_error(404, "InvalidResourcePath", f"No resource answers at '{request.path}'.")
        refused = self._check_scope(request, match)
        if refused is not None:
            return refused
        if match[4] is None:
            return self._submit(request)
        return self._poll(request, match[4])

    def _check_token(self, request: HttpRequest) -> HttpResponse | None:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            return _arm_error(
                401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
            )
        token = self._tokens.find(text.strip())
        if token is None:
            return _arm_error(401, "InvalidAuthenticationToken", "The access token is invalid.")
        if self._tokens.expired(token):
            return _arm_error(
                401, "ExpiredAuthenticationToken", "The access token expiry time is in the past."
            )
        if token.audience not in ARM_AUDIENCES:
            return _arm_error(
                401,
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for wrong audience or resource '{token.audience}'."
                " It should"
                " exactly match with one of the allowed audiences 'https://management.core.windows.net/',"
                " 'https://management.azure.com/'.",
            )
        application = self._applications.get(token.client_id)
        if application is not None and not application.may_read:
            return _arm_error(
                403,
                "AuthorizationFailed",
                f"The client '{token.client_id}' does not have authorization to perform action"
                " 'Microsoft.OperationalInsights/workspaces/search/action' over scope"
                f" '{self.workspace.resource_id}'.",
            )
        return None

    def _check_scope(self, request: HttpRequest, match: re.Match[str]) -> HttpResponse | None:
        version = request.query.get("api-version", [""])[0]
        if version not in API_VERSIONS:
            code = "InvalidApiVersionParameter" if version else "MissingApiVersionParameter"
            return _arm_error(
                400,
                code,
                f"The api-version '{version}' is invalid. The supported versions are"
                f" '{','.join(API_VERSIONS)}'.",
            )
        subscription, group, name = (part.lower() for part in match.group(1, 2, 3))
        if subscription != self.workspace.subscription.lower():
            return _arm_error(
                404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found."
            )
        if group != self.workspace.resource_group.lower():
            return _arm_error(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
        if name != self.workspace.name.lower():
            return _arm_error(
                404,
                "ResourceNotFound",
                f"The Resource 'Microsoft.OperationalInsights/workspaces/{name}' under resource group"
                f" '{group}' was"
                " not found.",
            )
        return None

    def _submit(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return _arm_error(405, "MethodNotAllowed", "A search is submitted with POST.")
        if self.knobs.retired:
            return HttpResponse(410)
        try:
            search = self._read(json.loads(request.body))
        except LegacyQueryError as error:
            return _json({"error": {"type": "InvalidQuery", "message": str(error)}}, 400)
        except (ValueError, TypeError) as error:
            return _json({"error": {"type": "InvalidRequest", "message": str(error)}}, 400)
        if self._plan.take("log_search:error", request) is not None:
            failure = {"type": "ServiceError", "message": "The search could not be completed."}
            return _json({"id": search.id, "__metadata": {"resultType": "error"}, "error": failure})
        if search.pending:
            with self._lock:
                self._searches[search.id.rpartition("/")[2]] = search
        # A search that is done at once is not kept: polling it answers 410.
        return self._report(search)

    def _read(self, body: Any) -> _Search:
        if not isinstance(body, dict) or not isinstance(body.get("query"), str):
            raise TypeError("the body must be a JSON object with a query")
        top = body.get("top", DEFAULT_TOP)
        if not isinstance(top, int) or top < 1:
            raise TypeError("top must be a positive integer")
        now = int(self._tokens.clock() * 1000)
        stop = _milliseconds(body["end"], up=not self.knobs.end_inclusive) if body.get("end") else now
        start = _milliseconds(body["start"], up=True) if body.get("start") else stop - _WEEK_MS
        name = f"{uuid.uuid4()}|{uuid.uuid4()}"
        return _Search(
            id=f"{self.workspace.resource_id.lstrip('/')}/search/{name}",
            query=body["query"],
            matches=compile_query(body["query"]),
            top=min(top, LARGEST_TOP),
            start=start,
            stop=stop + 1 if self.knobs.end_inclusive and body.get("end") else stop,
            submitted_at=self._clock(),
            pending=self.knobs.pending_polls,
        )

    def _poll(self, request: HttpRequest, name: str) -> HttpResponse:
        if request.method not in ("GET", "POST"):
            return _arm_error(405, "MethodNotAllowed", "A search is polled with GET or POST.")
        with self._lock:
            search = self._searches.get(name)
            if search is None or self._clock() - search.submitted_at > KEPT_S:
                self._searches.pop(name, None)
                return HttpResponse(410)
            if self._plan.take("log_search:gone", request) is not None:
                del self._searches[name]
                return HttpResponse(410)
            search.pending = max(0, search.pending - 1)
        return self._report(search)

    def _report(self, search: _Search) -> HttpResponse:
        rows: list[Row] = []
        total = 0
        if not search.pending:
            found = matching(self._seed, self.knobs.busy_days, search.start, search.stop, search.matches)
            for row in found:
                total += 1
                if total <= search.top:
                    rows.append(row)
            self._plan.count_rows(len(rows))
        status = "Pending" if search.pending else "Successful"
        metadata = {
            "resultType": "raw",
            "total": total,
            "top": search.top,
            "RequestId": search.id.rpartition("/")[2].partition("|")[0],
            "CoreSummaries": [{"Status": status, "NumberOfDocuments": total}],
            "Status": status,
            "StartTime": format_ms(search.start),
            "LastUpdated": format_ms(int(self._tokens.clock() * 1000)),
            "sort": [{"name": "TimeGenerated", "order": "desc"}],
            "requestTime": 45,
        }
        return _json({"id": search.id, "__metadata": metadata, "value": rows})

    def _set_knobs(self, request: HttpRequest) -> HttpResponse:
        try:
            values = json.loads(request.body)
            if "busy_days" in values:
                values["busy_days"] = frozenset(map(date.fromisoformat, values["busy_days"]))
            for name, value in values.items():
                if not isinstance(value, type(getattr(self.knobs, name))):
                    raise TypeError(f"knob {name!r} cannot be {value!r}")
        except (ValueError, TypeError, AttributeError) as error:
            return json_response({"error": str(error)}, 400)
        for name, value in values.items():
            setattr(self.knobs, name, value)
        return json_response({"set": sorted(values)})


def _milliseconds(text: Any, *, up: bool) -> int:
    """Milliseconds of an ISO-8601 time, naive means UTC; raises ValueError.

    Rows lie on whole milliseconds: a finer bound rounds up where it is a first or an exclusive last, down
    otherwise.
    """
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no time")
    at = datetime.fromisoformat(text)
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    whole, rest = divmod(at - datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1))
    return whole + 1 if rest and up else whole


def _json(body: Mapping[str, Any], status: int = 200) -> HttpResponse:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return HttpResponse(status, headers, json.dumps(body, ensure_ascii=False).encode())


def _arm_error(status: int, code: str, message: str) -> HttpResponse:
    return _json({"error": {"code": code, "message": message}}, status)
