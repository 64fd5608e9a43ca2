"""The Datadog Logs API of the sandbox org as one application: routing, keys, allowances, error envelope.

Beside the API it answers ``/_sandbox/settings`` (GET, PATCH), ``/_sandbox/truth`` (GET) and
``/_sandbox/release_late`` (POST), which no fault and no allowance touches.
"""

import itertools
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from logferry_sandbox.datadog_aggregate import AggregateEndpoint
from logferry_sandbox.datadog_errors import DatadogRefusalError
from logferry_sandbox.datadog_query import parse_query
from logferry_sandbox.datadog_search import SEARCH_FAULTS, SearchEndpoint, body_of_get
from logferry_sandbox.datadog_settings import Credential, DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore
from logferry_sandbox.datadog_time import parse_instant
from logferry_sandbox.faults import FaultPlan, json_response, with_faults
from logferry_sandbox.http_server import App, HttpRequest, HttpResponse, Piece
from logferry_sandbox.rate_limit import Clock, RateLimiter, system_clock

SEARCH_BUCKET = "logs_public_search_api"
AGGREGATE_BUCKET = "logs_public_analytics_aggregate"
_JSON = {"Content-Type": "application/json"}
_SEARCH = ("POST", "/api/v2/logs/events/search")
_LIST = ("GET", "/api/v2/logs/events")
_AGGREGATE = ("POST", "/api/v2/logs/analytics/aggregate")


class DatadogApi:
    """Answers requests; ``app`` has the fault plan wrapped around it. Settings may change at any time."""

    def __init__(
        self,
        store: DatadogStore,
        *,
        settings: DatadogSettings | None = None,
        plan: FaultPlan | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self.settings = settings or DatadogSettings()
        self.plan = plan or FaultPlan(api_kinds=SEARCH_FAULTS)
        self.app: App = with_faults(self._answer, self.plan)
        self._store = store
        self._clock = clock
        self._limiter = RateLimiter(clock)
        self._search = SearchEndpoint(store, self.plan)
        self._aggregate = AggregateEndpoint(store, self.plan)
        self._requests = itertools.count(1)
        self._settings_lock = threading.Lock()

    def _answer(self, request: HttpRequest) -> HttpResponse:
        if request.path.startswith("/_sandbox/"):
            return self._control(request)
        settings = self.settings
        headers = dict(_JSON)
        try:
            pieces = self._serve(request, settings, headers)
            response = HttpResponse(200, headers, pieces=pieces, compress=settings.compress)
        except DatadogRefusalError as refusal:
            response = HttpResponse(refusal.status, headers, _envelope(refusal.message))
        response.delay_s = settings.latency_s
        if 0 < settings.most_body_bytes < response.size:
            response.cut_after = settings.most_body_bytes
        return response

    def _serve(self, request: HttpRequest, settings: DatadogSettings, headers: dict[str, str]) -> list[Piece]:
        route = (request.method, request.path)
        if route == ("GET", "/api/v1/validate"):
            if request.headers.get("dd-api-key") != settings.api_key:
                raise DatadogRefusalError(403, "Forbidden")
            return [b'{"valid":true}']
        if route not in {_SEARCH, _LIST, _AGGREGATE}:
            raise DatadogRefusalError(404, "Not found")
        credential = _authenticate(request, settings)
        self._spend(route == _AGGREGATE, settings, headers)
        if not credential.logs_read_data:
            raise DatadogRefusalError(403, "Forbidden")
        raw = body_of_get(request.query) if route == _LIST else _json_object(request)
        request_id = f"pddv1{next(self._requests):08x}"
        restriction = parse_query(credential.restriction)
        asked = (raw, request, settings, restriction, self._clock(), request_id)
        return [self._aggregate.answer(*asked)] if route == _AGGREGATE else self._search.answer(*asked)

    def _spend(self, is_aggregate: bool, settings: DatadogSettings, headers: dict[str, str]) -> None:
        """Spend one request of the org's bucket; its headers go on the answer, whatever that will be."""
        if is_aggregate:
            bucket = (AGGREGATE_BUCKET, settings.aggregate_limit, settings.aggregate_period_s)
        else:
            bucket = (SEARCH_BUCKET, settings.search_limit, settings.search_period_s)
        allowance = self._limiter.take(*bucket)
        headers.update(allowance.headers())
        if not allowance.admitted:
            raise DatadogRefusalError(429, "Too many requests")

    def _control(self, request: HttpRequest) -> HttpResponse:
        try:
            match (request.method, request.path):
                case ("GET", "/_sandbox/settings"):
                    return json_response(asdict(self.settings))
                case ("PATCH", "/_sandbox/settings"):
                    return json_response(asdict(self._change(json.loads(request.body))))
                case ("POST", "/_sandbox/release_late"):
                    self._change({"late_every": 0})
                    return json_response({"released": True})
                case ("GET", "/_sandbox/truth"):
                    return json_response(self._truth(request))
        except (ValueError, TypeError, AttributeError) as error:
            return json_response({"error": str(error)}, 400)
        return json_response({"error": f"no control {request.method} {request.path}"}, 404)

    def _change(self, changes: Mapping[str, Any]) -> DatadogSettings:
        with self._settings_lock:
            self.settings = self.settings.updated(changes)
            return self.settings

    def _truth(self, request: HttpRequest) -> dict[str, Any]:
        """Rows and checksum of the ids of [from, to) in the index tier, late rows included."""
        asked = {name: values[-1] for name, values in request.query.items()}
        missing = {"from", "to"} - set(asked)
        if missing:
            raise ValueError(f"truth needs {' and '.join(sorted(missing))}")
        now_ms = self._clock()
        from_ms, to_ms = parse_instant(asked["from"], now_ms), parse_instant(asked["to"], now_ms)
        rows, digest = self._store.digest(from_ms, to_ms, asked.get("query", "*"))
        return {"rows": rows, "ids_sha256": digest}


def _authenticate(request: HttpRequest, settings: DatadogSettings) -> Credential:
    """Who asks: by bearer token, by token in place of the application key, or by both keys."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    app_key = request.headers.get("dd-application-key", "")
    for credential in settings.credentials:
        if token and scheme.lower() == "bearer" and token == credential.bearer:
            return credential
        if app_key and app_key == credential.bearer:  # an access token makes the API key irrelevant
            return credential
        if app_key == credential.app_key and request.headers.get("dd-api-key") == settings.api_key:
            return credential
    raise DatadogRefusalError(401, "Unauthorized")


def _json_object(request: HttpRequest) -> dict[str, Any]:
    if not request.body:
        return {}
    try:
        raw = json.loads(request.body)
    except ValueError:
        raise DatadogRefusalError(400, "input_validation_error(Request body is not valid JSON)") from None
    if not isinstance(raw, dict):
        raise DatadogRefusalError(400, "input_validation_error(Request body must be a JSON object)")
    return raw


def _envelope(message: str) -> bytes:
    return json.dumps({"errors": [message]}).encode()
