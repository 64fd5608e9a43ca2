"""The block of distinct events a prepared history repeats: what a busy organisation's web services write.

Tags repeat from event to event as real ones do, attributes are nested and flip between types, messages hold escapes
and text beyond ASCII.
"""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass
from typing import Any

from logferry_sandbox.datadog_shapes import everyday_shapes, once_a_day_shapes
from logferry_sandbox.prepared_rows import padding

LEAST_EVENT_BYTES = 1000
_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":")
).encode  # json.dumps would make one a call
_AWKWARD_FROM = 150
"""The everyday shapes before this one are plain access and application logs."""
_ID_TAIL_BYTES = 43
_ID_MARK, _TIME_MARK = "@id@", "@time@"
_HOSTS = 60
_WORDS = (
    *("request", "order", "customer", "payment", "accepted", "retry", "timeout", "upstream", "cache", "miss"),
    *("lookup", "session", "token", "refreshed", "batch", "shipped", "label", "größe", "naïve", "東京"),
    *("поиск", "cart", "checkout", "worker", "queue", "drained", "partition", "rebalanced"),
)
_PATHS = (
    "/",
    "/cart",
    "/api/v1/items",
    "/api/v1/items?q=caf%C3%A9&page=2",
    "/search?q=lamp%20shade",
    "/login",
)
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "okhttp/4.12.0",
)


@dataclass(frozen=True, slots=True)
class PreparedEvent:
    """An event's JSON around what is filled in: the end of its id, the text up to its time, the text after it."""

    id_tail: bytes
    before: bytes
    after: bytes


def prepared_events(count: int, *, event_bytes: int, odd_every: int, seed: int) -> list[PreparedEvent]:
    """``count`` events of ``event_bytes`` on average, every ``odd_every``-th of an awkward shape (0: none).

    ``id_tail`` ascends with the place in the list. Raises ValueError below LEAST_EVENT_BYTES.
    """
    if event_bytes < LEAST_EVENT_BYTES:
        raise ValueError(f"a prepared event takes at least {LEAST_EVENT_BYTES:,} bytes, not {event_bytes:,}")
    if odd_every < 0:
        raise ValueError(f"odd_every is 0 or more, not {odd_every}")
    choose = random.Random(f"prepared:{seed}")
    hosts = [_host(choose, number) for number in range(_HOSTS)]
    odd = [*everyday_shapes(seed)[_AWKWARD_FROM:], once_a_day_shapes()[1]]
    made = []
    for place in range(count):
        if odd_every and place % odd_every == odd_every // 2:
            shape = odd[place // odd_every % len(odd)]
            number, word = b"%010d" % choose.randrange(10**9, 10**10), b"%08x" % choose.getrandbits(32)
            text = shape.render(_ID_MARK.encode(), _TIME_MARK.encode(), number, word)
        else:
            text = _event(choose, choose.choice(hosts), event_bytes)
        made.append(_cut(text, place, choose))
    return made


def _cut(text: bytes, place: int, choose: random.Random) -> PreparedEvent:
    head, _, rest = text.partition(_ID_MARK.encode())
    between, _, after = rest.partition(_TIME_MARK.encode())
    assert head == b'{"id":"', head
    random_part = base64.urlsafe_b64encode(choose.randbytes(30))[: _ID_TAIL_BYTES - 5]
    return PreparedEvent(b"%05d" % place + random_part, between, after)


def _host(choose: random.Random, number: int) -> dict[str, Any]:
    """Service, host and tags, which all events of one pod share."""
    service = choose.choice(["web-store", "checkout", "payments", "search", "auth", "inventory"])
    environment = choose.choice(["prod", "prod", "prod", "staging"])
    region = choose.choice(["eu-west-1", "us-east-1"])
    pod = f"{service}-{choose.getrandbits(36):09x}-{choose.getrandbits(20):05x}"
    tags = [
        f"env:{environment}",
        f"service:{service}",
        f"version:2.{choose.randrange(9)}.{choose.randrange(20)}",
        f"region:{region}",
        f"availability-zone:{region}{choose.choice('abc')}",
        f"kube_cluster_name:{environment}-{region}",
        f"kube_namespace:{service}",
        f"kube_deployment:{service}",
        f"pod_name:{pod}",
        f"team:{choose.choice(['shop', 'money', 'platform'])}",
        "source:container",
        "datadog.pipelines:false",
        f"image_tag:{choose.getrandbits(28):07x}",
        f"instance-type:{choose.choice(['m6i.xlarge', 'c7g.large'])}",
        f"canary:{choose.choice(['true', 'false'])}",
    ]
    return {
        "service": service,
        "host": f"i-{choose.getrandbits(68):017x}",
        "tags": tags[: choose.randint(10, 15)],
    }


def _event(choose: random.Random, host: dict[str, Any], event_bytes: int) -> bytes:
    """One event, padded by words of its message to within a fifth of ``event_bytes``."""
    code = choose.choice([200, 200, 200, 200, 201, 204, 301, 404, 404, 429, 500, 503])
    flip = choose.random() < 0.1
    attributes: dict[str, Any] = {
        "http": {
            "status_code": str(code) if flip else code,
            "method": choose.choice(["GET", "GET", "POST"]),
            "url_details": {"path": choose.choice(_PATHS)},
            "useragent": choose.choice(_AGENTS),
        },
        "duration": choose.randrange(10**5, 10**9) if flip else choose.randrange(10**5, 10**9) / 10**3,
        "network": {
            "client": {"ip": f"198.51.100.{choose.randrange(256)}"},
            "bytes_written": choose.randrange(10**6),
        },
        "usr": {"id": None if flip else f"u-{choose.getrandbits(32):08x}"},
        "dd": {"trace_id": f"{choose.getrandbits(128):032x}", "span_id": str(choose.getrandbits(63))},
    }
    message = f'{code} "{attributes["http"]["url_details"]["path"]}"\t{choose.getrandbits(48):012x}'
    body = {
        "service": host["service"],
        "tags": host["tags"],
        "timestamp": _TIME_MARK,
        "host": host["host"],
        "attributes": attributes,
        "message": message,
        "status": "error" if code >= 500 else "warn" if code >= 400 else "info",
    }
    marks = len(_ID_MARK) + len(_TIME_MARK)
    missing = int(event_bytes * choose.uniform(0.8, 1.2)) - len(_json(body)) - 55 - 24 + marks - 40
    body["message"] = f"{message} {padding(choose, _WORDS, missing)}"
    return _json({"id": _ID_MARK, "type": "log", "attributes": body})


def _json(value: Any) -> bytes:
    return _encode(value).encode()
