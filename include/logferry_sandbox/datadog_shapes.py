"""The kinds of events the sandbox org writes, as JSON templates: everyday ones and every awkward one.

Events of one shape differ only in id, timestamp, message and ``attributes.attributes``; service, status, host
and tags belong to the shape.
"""

import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

INDEXES = ("main", "retail", "audit")
FLEX_ONLY_INDEX = "audit"

_SERVICES = {
    "web-store": "nginx",
    "checkout": "java",
    "payments": "java",
    "search": "python",
    "auth": "go",
    "inventory": "ruby",
}
_RETAIL = frozenset({"checkout", "payments"})
_ENVIRONMENTS = ("prod", "prod", "prod", "staging", "dev")
_REGIONS = ("eu-west-1", "us-east-1", "ap-southeast-2")
_PATHS = ("/", "/cart", "/api/v1/items/{{n}}?q=caf%C3%A9&page=2", "/search?q=lamp%20shade", "/login")
_WORDS = (
    # Quoted numbers of the builders' JSON become bare ones. {{n}} always has ten digits.
    ('"{{int}}"', "{{n}}"),
    ('"{{float}}"', "{{n}}.0"),
    ('"{{big}}"', "9007199{{n}}"),  # 17 digits, far beyond 2**53
    ('"{{huge}}"', "1e400"),
    ("{{lone_surrogate}}", "\\ud83d"),
)
_SLOT = re.compile(rb"\{\{(id|ts|n|hex)\}\}")
_SLOT_ORDER = {b"id": 0, b"ts": 1, b"n": 2, b"hex": 3}


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of event. ``template`` has a ``%b`` for each of ``slots``: 0 id, 1 time, 2 decimal, 3 hex."""

    template: bytes
    slots: "itemgetter[Any]"
    weight: int
    index: str

    def render(self, event_id: bytes, timestamp: bytes, decimal: bytes, hexadecimal: bytes) -> bytes:
        """The event as JSON; ``decimal`` has ten digits, ``hexadecimal`` eight."""
        rendered: bytes = self.template % self.slots((event_id, timestamp, decimal, hexadecimal))
        return rendered


@lru_cache(maxsize=4)
def everyday_shapes(seed: int) -> tuple[Shape, ...]:
    """The shapes a day is drawn from; the awkward ones are rare (about one event in twelve)."""
    rng = random.Random(f"shapes:{seed}")
    shapes = [_access_log(rng) for _ in range(90)]
    shapes += [_application_log(rng) for _ in range(60)]
    shapes += [_shape(attributes, weight=36, extra=extra) for attributes, extra in _awkward(rng)]
    return tuple(shapes)


@lru_cache(maxsize=4)
def flex_only_shapes(seed: int) -> tuple[Shape, ...]:
    """Shapes of an index whose events live in the flex tier alone."""
    rng = random.Random(f"flex:{seed}")
    attributes = [
        {
            "service": "audit-trail",
            "status": "info",
            "host": f"audit-{number}",
            "timestamp": "{{ts}}",
            "tags": ["source:audit", "env:prod", f"actor_kind:{rng.choice(['user', 'robot'])}"],
            "message": "user-{{n}} changed a monitor",
            "attributes": {"usr": {"id": "u-{{hex}}"}, "evt": {"name": "monitor.modified"}},
        }
        for number in range(4)
    ]
    return tuple(_shape(one, weight=1, index=FLEX_ONLY_INDEX) for one in attributes)


@lru_cache(maxsize=1)
def once_a_day_shapes() -> tuple[Shape, ...]:
    """A message of 200 KB, and one with an escaped lone surrogate, which no UTF-8 text can hold."""
    long_line = "chunk {{hex}} of a heap dump é \t"
    return (
        _shape(
            {
                "service": "search",
                "status": "warn",
                "host": "i-search-0",
                "timestamp": "{{ts}}",
                "tags": ["source:python", "env:prod"],
                "message": long_line * (200 * 1024 // 30),
            }
        ),
        _shape(
            {
                "service": "auth",
                "status": "error",
                "host": "i-auth-0",
                "timestamp": "{{ts}}",
                "tags": ["source:go", "env:prod"],
                "message": "cut in half: {{lone_surrogate}} {{hex}}",
                "attributes": {"device": {"label": "phone {{lone_surrogate}}"}},
            }
        ),
    )


def _shape(
    attributes: Mapping[str, Any],
    *,
    weight: int = 1,
    index: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Shape:
    event = {"id": "{{id}}", "type": "log", "attributes": attributes, **(extra or {})}
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    for word, value in _WORDS:
        text = text.replace(word, value)
    raw = text.encode()
    slots = itemgetter(*(_SLOT_ORDER[name] for name in _SLOT.findall(raw)))
    template = _SLOT.sub(b"%b", raw.replace(b"%", b"%%"))
    if index is None:
        index = "retail" if attributes.get("service") in _RETAIL else "main"
    return Shape(template, slots, weight, index)


def _base(rng: random.Random, status: str) -> dict[str, Any]:
    service = rng.choice(list(_SERVICES))
    return {
        "service": service,
        "status": status,
        "host": f"i-{service}-{rng.randrange(12)}",
        "timestamp": "{{ts}}",
        "tags": [
            f"source:{_SERVICES[service]}",
            f"env:{rng.choice(_ENVIRONMENTS)}",
            f"region:{rng.choice(_REGIONS)}",
            f"version:2.{rng.randrange(9)}.{rng.randrange(20)}",
            "datadog.pipelines:false",
        ],
    }


def _access_log(rng: random.Random) -> Shape:
    code = rng.choice([200, 200, 200, 200, 201, 204, 301, 404, 404, 429, 500, 503])
    status = "error" if code >= 500 else "warn" if code >= 400 else "info"
    path = rng.choice(_PATHS)
    method = rng.choice(["GET", "GET", "POST"])
    attributes = _base(rng, status)
    attributes["message"] = f'10.0.{rng.randrange(256)}.7 - - "{method} {path} HTTP/1.1" {code} {{{{n}}}}'
    attributes["attributes"] = {
        "duration": "{{float}}",
        "http": {
            "url_details": {"path": path.partition("?")[0]},
            "status_code": code,
            "method": method,
            "version": "1.1",
            "useragent": "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
        },
        "network": {"client": {"ip": f"169.254.{rng.randrange(256)}.1"}, "bytes_written": "{{int}}"},
        "trace_id": "{{hex}}{{hex}}",
    }
    return _shape(attributes, weight=60)


def _application_log(rng: random.Random) -> Shape:
    level, text = rng.choice(
        [
            ("info", "order {{n}} accepted for customer c-{{hex}}"),
            ("info", "cache warmed in {{n}} ns"),
            ("debug", "lock lease {{hex}} renewed"),
            ("warn", "retrying call to inventory, attempt 2, token {{hex}}"),
            ("error", "payment gateway timed out after 3000 ms, order {{n}}"),
        ]
    )
    attributes = _base(rng, level)
    attributes["message"] = text
    attributes["attributes"] = {
        "logger": {"name": "com.acme.Worker", "thread_name": f"pool-1-thread-{rng.randrange(16)}"},
        "order": {"id": "{{int}}", "lines": [{"sku": "A-{{hex}}", "qty": 2}], "gift": False, "coupon": None},
        "trace_id": "{{hex}}{{hex}}",
    }
    return _shape(attributes, weight=60)


def _awkward(rng: random.Random) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Pairs of attributes and unknown top-level members."""
    for message in (
        "émoji 🧨👩‍👩‍👧 in e\u0301 combining form, {{hex}}",
        "שלום عالم \u202eright to left\u202c {{hex}}",
        "line\u2028separator and paragraph\u2029separator and nbsp\u00a0{{hex}}",
        (
            'java.lang.IllegalStateException: "quoted" {{hex}}\n'
            "\tat com.acme.Cart.total(Cart.java:42)\n\t... 7 more\n"
        ),
        "windows\r\nline\r\nends\r\n{{hex}}",
        "controls \u0000 \u0007 \u001b[31mred\u001b[0m \u007f {{hex}}",
        "",
    ):
        yield (
            {**_base(rng, "info"), "message": message, "attributes": {"k": "{{hex}}", "ключ": "значение"}},
            None,
        )
    for free_form in (
        {"order_id": "{{big}}", "u64": 18446744073709551615, "amount": 2700000.0, "tiny": 1e-7},
        {"over": "{{huge}}", "minus_zero": -0.0, "int": -9223372036854775808},
        {"http": {"status_code": 200}, "user": {"id": "{{int}}"}, "retry": True},
        {"http": {"status_code": "200"}, "user": "u-{{hex}}", "retry": "yes"},
        {"http.status_code": 503, "user": None, "retry": [1, "two", {"three": 3}]},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": ["{{int}}", []]}}}}}}}, "": "empty key", "k.": 1},
        {},
    ):
        yield {**_base(rng, "notice"), "message": "free form {{hex}}", "attributes": free_form}, None
    for missing in ("host", "service", "message", "attributes", "tags", "status"):
        whole = {**_base(rng, "info"), "message": "without {{hex}}", "attributes": {"n": "{{int}}"}}
        yield {name: value for name, value in whole.items() if name != missing}, None
    twice = _base(rng, "ok")
    yield (
        {**twice, "tags": [*twice["tags"], twice["tags"][0], twice["tags"][1]], "message": "tags twice"},
        None,
    )
    yield {**_base(rng, "ok"), "tags": [], "message": "no tags at all {{hex}}"}, None
    bare = {**_base(rng, "ok"), "message": "with members nobody documented {{hex}}"}
    yield {**bare, "ingest_hint": {"shard": "{{int}}"}}, {"relationships": {"trace": {"id": "{{hex}}"}}}
