"""Faults a sandbox injects: which requests, how often, what goes wrong; and the counters that show it.

``with_faults`` wraps an application: it serves ``/_sandbox/faults`` and ``/_sandbox/stats`` and applies the
generic kinds. Kinds that need to know an API's answer are named ``<api>:<kind>``; the API asks for them with
``FaultPlan.take``.
"""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from logferry_sandbox.hostile import hostile
from logferry_sandbox.http_server import App, HttpRequest, HttpResponse

GENERIC_KINDS = frozenset(
    {"http_error", "cut_body", "slow", "slow_body", "reset", "empty_200", "non_json", "headers", "hostile"}
)

_RULE_KEYS = frozenset({"match", "fault", "params", "times", "after", "probability", "seed"})
_MATCH_KEYS = frozenset({"path_contains", "body_contains"})


class FaultRuleError(ValueError):
    """A fault rule that cannot be read; the message names the key."""


@dataclass(slots=True)
class FaultRule:
    """One fault for the requests it matches.

    Of the matching requests the first ``after`` pass, then each fires with ``probability`` (drawn from
    ``seed``), at most ``times`` in all (None: no end).
    """

    fault: str
    params: Mapping[str, Any] = field(default_factory=dict)
    path_contains: str = ""
    body_contains: str = ""
    times: int | None = None
    after: int = 0
    probability: float = 1.0
    seed: int = 0
    _seen: int = field(default=0, init=False, repr=False)
    _fired: int = field(default=0, init=False, repr=False)
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @classmethod
    def from_json(cls, raw: Any) -> "FaultRule":
        """Read ``{"match": {"path_contains", "body_contains"}, "fault", "params", "times", "after", …}``."""
        if not isinstance(raw, Mapping):
            raise FaultRuleError(f"a fault rule is a JSON object, not {raw!r}")
        match = raw.get("match", {})
        if not isinstance(match, Mapping) or not isinstance(raw.get("fault"), str):
            raise FaultRuleError("a fault rule needs fault (a string) and, optionally, match (an object)")
        unknown = (set(raw) - _RULE_KEYS) | (set(match) - _MATCH_KEYS)
        if unknown:
            raise FaultRuleError(f"unknown key in a fault rule: {', '.join(sorted(unknown))}")
        return cls(**{key: value for key, value in raw.items() if key != "match"}, **match)

    def fires(self, request: HttpRequest) -> bool:
        """Count ``request`` if it matches, and say whether the fault happens to it."""
        if self.path_contains not in request.path or self.body_contains.encode() not in request.body:
            return False
        self._seen += 1
        if self._seen <= self.after or (self.times is not None and self._fired >= self.times):
            return False
        if self.probability < 1.0 and self._random.random() >= self.probability:
            return False
        self._fired += 1
        return True


class FaultPlan:
    """The faults in force, and the counters of what was served. Thread-safe.

    ``api_kinds``: the kinds an API asks for with ``take``; any other kind outside GENERIC_KINDS is refused.
    """

    def __init__(
        self, rules: Sequence[FaultRule | Mapping[str, Any]] = (), *, api_kinds: Collection[str] = ()
    ) -> None:
        self._kinds = GENERIC_KINDS | frozenset(api_kinds)
        self._lock = threading.Lock()
        self._rules: list[FaultRule] = []
        self._requests: Counter[tuple[str, int]] = Counter()
        self._purposes: Counter[str] = Counter()
        self._rows_served = 0
        self._body_bytes = 0
        self._faults: Counter[str] = Counter()
        self.replace(rules)

    def replace(self, rules: Sequence[FaultRule | Mapping[str, Any]]) -> None:
        """Put ``rules`` in force instead of the present ones; raises FaultRuleError and keeps the old."""
        read = [rule if isinstance(rule, FaultRule) else FaultRule.from_json(rule) for rule in rules]
        for rule in read:
            if rule.fault not in self._kinds:
                raise FaultRuleError(f"unknown fault {rule.fault!r}; known: {', '.join(sorted(self._kinds))}")
        with self._lock:
            self._rules = read

    def take(self, kind: str, request: HttpRequest) -> Mapping[str, Any] | None:
        """The params of the first rule of ``kind`` that fires for ``request`` (may be empty), else None."""
        rule = self._take(frozenset({kind}), request)
        return None if rule is None else rule.params

    def take_generic(self, request: HttpRequest) -> FaultRule | None:
        """The first generic fault that fires for ``request``."""
        return self._take(GENERIC_KINDS, request)

    @property
    def has_rules(self) -> bool:
        """Whether any fault is in force."""
        return bool(self._rules)

    def count_answer(self, endpoint: str, status: int, size: int) -> None:
        """Count one answered request, and the bytes of its body before any compression."""
        with self._lock:
            self._requests[endpoint, status] += 1
            self._body_bytes += size

    def count_rows(self, rows: int) -> None:
        """Count rows put into an answer."""
        with self._lock:
            self._rows_served += rows

    def count_purpose(self, purpose: str) -> None:
        """Count what a request asks for, where its path does not tell: ``search``, ``count`` or ``schema``."""
        with self._lock:
            self._purposes[purpose] += 1

    def stats(self) -> dict[str, Any]:
        """What was served since the start; ``cpu_s`` is that of this process, all its servers together.

        ``{"requests": {endpoint: {status: n}}, "purposes": {purpose: n}, "throttled", "rows_served", "body_bytes",
        "cpu_s", "faults": {kind: n}}``
        """
        with self._lock:
            requests: dict[str, dict[str, int]] = {}
            for (endpoint, status), count in sorted(self._requests.items()):
                requests.setdefault(endpoint, {})[str(status)] = count
            return {
                "requests": requests,
                "purposes": dict(self._purposes),
                "throttled": sum(n for (_, status), n in self._requests.items() if status == 429),
                "rows_served": self._rows_served,
                "body_bytes": self._body_bytes,
                "cpu_s": time.process_time(),
                "faults": dict(self._faults),
            }

    def _take(self, kinds: frozenset[str], request: HttpRequest) -> FaultRule | None:
        with self._lock:
            for rule in self._rules:
                if rule.fault in kinds and rule.fires(request):
                    self._faults[rule.fault] += 1
                    return rule
        return None


def with_faults(app: App, plan: FaultPlan, *, endpoint_of: Callable[[HttpRequest], str] | None = None) -> App:
    """Wrap ``app`` with the generic faults, the counters and their two control endpoints.

    ``endpoint_of`` names a request in the stats (default: its path). Faults never hit ``/_sandbox/…``.
    """

    def answer(request: HttpRequest) -> HttpResponse:
        if request.path == "/_sandbox/faults":
            return _control_faults(plan, request)
        if request.path == "/_sandbox/stats":
            return json_response(plan.stats())
        if request.path.startswith("/_sandbox/"):
            return app(request)
        rule = plan.take_generic(request)
        response = app(request) if rule is None else _faulty(_in_one_body(app), rule, request)
        endpoint = endpoint_of(request) if endpoint_of else request.path
        plan.count_answer(
            f"{request.method} {endpoint}", 0 if response.reset else response.status, response.size
        )
        return response

    return answer


def _in_one_body(app: App) -> App:
    """``app`` with all of its answer in ``body``, where a fault can cut it."""

    def answer(request: HttpRequest) -> HttpResponse:
        response = app(request)
        return replace(response, body=response.whole(), pieces=(), pieces_bytes=None)

    return answer


def json_response(value: Any, status: int = 200) -> HttpResponse:
    """A JSON answer of the control endpoints."""
    return HttpResponse(status, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _faulty(app: App, rule: FaultRule, request: HttpRequest) -> HttpResponse:
    params = rule.params
    match rule.fault:
        case "http_error":
            body = params.get("body", {"errors": ["Service Unavailable"]})
            headers = {"Content-Type": "application/json", **params.get("headers", {})}
            raw = body if isinstance(body, str) else json.dumps(body)
            return HttpResponse(params.get("status", 503), headers, raw.encode())
        case "cut_body":
            # whole_length=false: the length header agrees with the cut body, only the content shows the loss.
            response = app(request)
            keep = int(len(response.body) * params.get("fraction", 0.5))
            if params.get("whole_length", True):
                response.cut_after = keep
            else:
                response.body = response.body[:keep]
            return response
        case "slow":
            response = app(request)
            response.delay_s += params.get("delay_s", 1.0)
            return response
        case "slow_body":
            # A part of the body comes at once, then nothing for a while, and never the rest.
            response = app(request)
            response.cut_after = int(len(response.body) * params.get("fraction", 0.5))
            response.stall_s = params.get("stall_s", 60.0)
            return response
        case "reset":
            if "fraction" not in params:
                return HttpResponse(reset=True)
            response = app(request)
            response.cut_after = int(len(response.body) * params["fraction"])
            response.reset = True
            return response
        case "headers":
            response = app(request)
            response.headers = {**response.headers, **params.get("headers", {})}
            return response
        case "hostile":
            return HttpResponse(wire=hostile(params.get("kind", "endless_body"), params, request.path))
        case "empty_200":
            return HttpResponse(200, {"Content-Type": "application/json"})
        case _:
            html = params.get("body", "<html><body><h1>502 Bad Gateway</h1></body></html>")
            return HttpResponse(params.get("status", 200), {"Content-Type": "text/html"}, html.encode())


def _control_faults(plan: FaultPlan, request: HttpRequest) -> HttpResponse:
    if request.method == "DELETE":
        plan.replace([])
        return json_response({"rules": 0})
    if request.method != "POST":
        return json_response({"error": "POST a JSON list of rules, or DELETE"}, 405)
    try:
        rules = json.loads(request.body)
        if not isinstance(rules, list):
            raise FaultRuleError("POST a JSON list of fault rules")
        plan.replace(rules)
    except ValueError as error:
        return json_response({"error": str(error)}, 400)
    return json_response({"rules": len(rules)})
