"""Servers that mean harm or are badly broken: each ends in one sentence at a documented limit."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.integration.azure_port import AzurePort
from tests.integration.datadog_port import DatadogPort, ManualClock

from logferry.budget import Budget
from logferry.errors import FailedAnswer, LogferryError, SourceError, TooMuch, Unavailable
from logferry.fetching import endless
from logferry.http import Client
from logferry.sources.base import MIB, Request, Response
from logferry_sandbox.hostile import hostile
from logferry_sandbox.http_server import HttpRequest, HttpResponse, SandboxServer

pytestmark = pytest.mark.integration

MOST = MIB
"""The body that the requests of these tests allow."""
IN_PIPES = 16 * MIB
"""What a server can send of an answer that nobody reads any more."""


class Keys:
    key = "digest"

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": "Bearer token"}

    def refresh(self) -> bool:
        return False

    def secrets(self) -> tuple[str, ...]:
        return ("token",)


class Hostile:
    """Answers every request in the same hostile way, and counts the bytes it got rid of."""

    def __init__(self, kind: str, params: Mapping[str, Any]) -> None:
        self.kind, self.params = kind, params
        self.sent = self.answers = 0
        self._lock = threading.Lock()

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(wire=self._counted(request))

    def _counted(self, request: HttpRequest) -> Iterator[bytes]:
        with self._lock:
            self.answers += 1
        for piece in hostile(self.kind, self.params, request.path):
            with self._lock:
                self.sent += len(piece)
            yield piece


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    clock = ManualClock()
    made = Client(Keys(), clock=clock, budget=Budget("digest", clock=clock, folder=tmp_path / "budget"))
    yield made
    made.close()


def ask(url: str, **options: Any) -> Callable[[], Generator[Request, Response, Response]]:
    def exchange() -> Generator[Request, Response, Response]:
        return (yield Request("POST", url, "search", "search", body=b"{}", **{"most_bytes": MOST, **options}))

    return exchange


TOO_MUCH = (TooMuch, "sent more than 1,048,576 bytes in one answer")
STRANGE_HEAD = (SourceError, "a head that no API sends.*check what answers")
CASES: dict[str, tuple[str, dict[str, Any], type[LogferryError], str]] = {
    "10 GB announced": ("endless_body", {}, *TOO_MUCH),
    "10 GB in chunks": ("endless_body", {"framing": "chunked"}, *TOO_MUCH),
    "10 GB of no known length": ("endless_body", {"framing": "close"}, *TOO_MUCH),
    "a gzip bomb": ("gzip_bomb", {"bytes": 50 * MIB}, *TOO_MUCH),
    "a gzip bomb in chunks": ("gzip_bomb", {"bytes": 50 * MIB, "framing": "chunked"}, *TOO_MUCH),
    "a bomb within a bomb": (
        "gzip_bomb",
        {"bytes": 50 * MIB, "encoding": "gzip, gzip"},
        SourceError,
        "in the encoding 'gzip, gzip', which was not asked for",
    ),
    "brotli": ("strange_encoding", {"encoding": "br"}, SourceError, "'br', which was not asked for"),
    "deflate": ("strange_encoding", {"encoding": "deflate"}, SourceError, "'deflate', which was not asked"),
    "zstd": ("strange_encoding", {"encoding": "zstd"}, SourceError, "'zstd', which was not asked for"),
    "chunks of negative length": ("negative_chunk", {}, *TOO_MUCH),
    "trailers without end": ("endless_trailer", {}, *TOO_MUCH),
    "10,000 headers": ("many_headers", {}, *STRANGE_HEAD),
    "5 MB of headers": ("long_headers", {}, *STRANGE_HEAD),
    "interim answers without end": ("interim_flood", {}, *STRANGE_HEAD),
    "chunks cut short": ("cut_chunks", {}, FailedAnswer, "did not send its answer whole"),
    "no HTTP at all": ("garbage", {}, Unavailable, "could not be reached or broke off"),
    "a redirect to itself, 10 GB long": ("redirect_loop", {}, LogferryError, "a redirect; check"),
    "a refusal 10 GB long": ("endless_body", {"status": 503}, Unavailable, "answered 503: 000"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_answer_is_one_error_at_its_limit(client: Client, name: str) -> None:
    kind, params, error, words = CASES[name]
    app = Hostile(kind, params)
    with SandboxServer(app) as server, pytest.raises(error, match=words) as caught:
        client.run(ask(server.base_url))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert app.sent <= app.answers * (2 * MOST + MIB + IN_PIPES)
    assert app.answers <= 6


@pytest.mark.parametrize("kind", ["drip_body", "drip_head"])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_an_answer_that_drips_for_ever_is_given_up_after_its_seconds(
    client: Client, kind: str, framing: str
) -> None:
    app = Hostile(kind, {"interval_s": 0.001, "framing": framing, "bytes": 500_000})
    with SandboxServer(app) as server, pytest.raises(FailedAnswer, match=r"not whole after 0\.1 s"):
        client.run(ask(server.base_url, answer_s=0.1))
    assert client.stats["search"] == 3


def test_an_answer_longer_than_announced_is_not_taken_for_a_whole_one(client: Client) -> None:
    with SandboxServer(Hostile("short_length", {})) as server:
        assert client.run(ask(server.base_url)).body == b'{"da'


def test_a_page_of_thousands_of_headers_is_refused_at_once(client: Client) -> None:
    app = Hostile("many_headers", {})
    with SandboxServer(app) as server, pytest.raises(SourceError):
        client.run(ask(server.base_url))
    assert app.answers == 1


MEASURED = """
import resource, sys
from pathlib import Path
import urllib3
from logferry.budget import Budget
from logferry.errors import LogferryError
from logferry.http import Client
from logferry.sources.base import Request

class Keys:
    key = "digest"
    def headers(self): return {"Authorization": "Bearer token"}
    def refresh(self): return False
    def secrets(self): return ()

def clock():
    class Clock:
        tick = 17_000_000_000_000_000
        def now(self): return self.tick
        def sleep(self, seconds): self.tick += int(seconds * 10_000_000)
    return Clock()

_, folder, headroom, control, *urls = sys.argv
made = clock()
client = Client(Keys(), clock=made, budget=Budget("digest", clock=made, folder=Path(folder)))
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + int(headroom)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
for url in urls:
    def exchange():
        return (yield Request("POST", url, "search", "search", body=b"{}", most_bytes=32 << 20))
    try:
        client.run(exchange)
        print("answered")
    except LogferryError as error:
        print(f"{type(error).__name__}: {error}")
try:
    urllib3.PoolManager().request("GET", control)
    print("read it all")
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the process's size from /proc")
def test_no_answer_takes_more_memory_than_twice_its_limit(tmp_path: Path) -> None:
    """In a process that has 160 MB to spare; that it cannot read 400 MB at once shows that the measure works."""
    cases = {
        "/length": ("endless_body", {}),
        "/chunked": ("endless_body", {"framing": "chunked"}),
        "/close": ("endless_body", {"framing": "close"}),
        "/bomb": ("gzip_bomb", {"bytes": 250 * MIB}),
        "/bomb-in-chunks": ("gzip_bomb", {"bytes": 250 * MIB, "framing": "chunked"}),
        "/negative": ("negative_chunk", {}),
        "/trailer": ("endless_trailer", {}),
        "/control": ("endless_body", {"bytes": 400 * MIB}),
    }

    def app(request: HttpRequest) -> HttpResponse:
        kind, params = cases[request.path]
        return HttpResponse(wire=hostile(kind, params, request.path))

    with SandboxServer(app) as server:
        urls = [server.base_url + path for path in cases if path != "/control"]
        folder = str(tmp_path / "budget")
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, folder, str(160 * MIB), f"{server.base_url}/control", *urls],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    *said, control = done.stdout.splitlines()
    assert [text.split(":")[0] for text in said] == ["TooMuch"] * len(urls), done.stdout
    assert control == "MemoryError"


SEARCH, COUNT = {"path_contains": "search"}, {"path_contains": "aggregate"}
DEEP = {"start": '{"data":', "end": "}"}
DATADOG: dict[str, tuple[dict[str, Any], str]] = {
    "a page of 10 GB": ({"match": SEARCH, "params": {}}, "sent more than 33,554,432 bytes"),
    "a count of 10 GB": ({"match": COUNT, "params": {}}, "sent more than 4,194,304 bytes"),
    "a page nested 100,000 deep": ({"match": SEARCH, "params": {"kind": "deep_json", **DEEP}}, "900 levels"),
    "an event nested 100,000 deep": (
        {
            "match": SEARCH,
            "params": {
                "kind": "deep_json",
                "item": '{"a":',
                "close": "}",
                "start": '{"data":[{"id":"a","attributes":{"timestamp":"2026-11-20T09:00:00Z","attributes":',
                "end": "}}]}",
            },
        },
        "900 levels|not whole JSON",
    ),
    "a meta nested 100,000 deep": (
        {"match": SEARCH, "params": {"kind": "deep_json", "start": '{"data":[],"meta":{"x":', "end": "}}"}},
        "900 levels",
    ),
    "a count nested 100,000 deep": (
        {
            "match": COUNT,
            "params": {
                "kind": "deep_json",
                "start": '{"data":{"buckets":[{"computes":{"c0":',
                "end": "}}]}}",
            },
        },
        "900 levels",
    ),
    "a count of a million digits": (
        {
            "match": COUNT,
            "params": {
                "kind": "digits",
                "start": '{"data":{"buckets":[{"computes":{"c0":[{"time":"2026-11-20T09:00:00Z","value":',
                "end": "}]}}]}}",
            },
        },
        "no number of rows|not readable",
    ),
    "an error nested 100,000 deep": (
        {
            "match": SEARCH,
            "params": {"kind": "deep_json", "status": 400, "start": '{"errors":[', "end": "]}"},
        },
        "refused the query",
    ),
}


@pytest.mark.parametrize("name", DATADOG)
def test_a_hostile_datadog_is_one_error(port: DatadogPort, name: str) -> None:
    rule, words = DATADOG[name]
    port.faults({"fault": "hostile", **rule})
    with pytest.raises(LogferryError, match=words) as caught:
        port.carry()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


IN_TABLE = '{"tables":[{"name":"PrimaryResult","columns":[],"rows":'
AZURE: dict[str, tuple[dict[str, Any], str]] = {
    "an answer of 10 GB": ({"match": {"body_contains": "project "}, "params": {}}, "268,435,456 bytes"),
    "tables nested 100,000 deep": (
        {"params": {"kind": "deep_json", "start": IN_TABLE, "end": "}]}"}},
        "900 levels|not an answer",
    ),
    "an error nested 100,000 deep": (
        {"params": {"kind": "deep_json", "status": 400, "start": '{"error":{"code":"x","message":', "end": "}}"}},
        "refused the query",
    ),
    "an error within an answer nested 100,000 deep": (
        {"params": {"kind": "deep_json", "start": '{"tables":[],"error":', "end": "}"}},
        "900 levels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AZURE)
def test_a_hostile_log_analytics_is_one_error(azure_port: AzurePort, name: str) -> None:
    rule, words = AZURE[name]
    azure_port.faults({"fault": "hostile", **rule})
    with pytest.raises(LogferryError, match=words) as caught:
        azure_port.carry()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


TOKENS: dict[str, tuple[dict[str, Any], str]] = {
    "a token answer of 10 GB": ({}, "more than 1,048,576 bytes"),
    "a token answer nested 100,000 deep": ({"kind": "deep_json"}, "not a token"),
    "a refusal nested 100,000 deep": (
        {"kind": "deep_json", "status": 400},
        "no token at present|no authority",
    ),
    "a token answer with 10,000 headers": ({"kind": "many_headers"}, "no token at present"),
    "a token answer that is a list": ({"kind": "deep_json", "depth": 1}, "no token at present|no authority"),
    "a token answer of a million digits": ({"kind": "digits"}, "no token at present|no authority"),
    "interim answers without end": ({"kind": "interim_flood"}, "headers are longer than 262,144 bytes"),
    "a redirect of 10 GB": ({"kind": "redirect_loop"}, "more than 1,048,576 bytes|HTTP 302"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_a_hostile_token_endpoint_is_one_error(azure_port: AzurePort, name: str) -> None:
    params, words = TOKENS[name]
    azure_port.sandbox.entra_plan.replace([{"fault": "hostile", "params": params}])
    with pytest.raises(LogferryError, match=words) as caught:
        azure_port.carry()
    assert "\n" not in str(caught.value)


def test_tokens_that_are_refused_for_ever_are_one_error(azure_port: AzurePort) -> None:
    body = json.dumps({"error": {"code": "InvalidTokenError", "message": "no"}})
    azure_port.faults({"fault": "http_error", "params": {"status": 401, "body": body}})
    with pytest.raises(LogferryError, match="refused access"):
        azure_port.carry()


HOUR = "2026-11-20T09:00:00"


class EndlessDatadog:
    """Counts ten rows, and pages without end: every page has a fresh cursor and what ``rows`` makes of its number."""

    def __init__(self, rows: Callable[[int], list[tuple[str, str]]]) -> None:
        self.rows = rows
        self.pages = self.counts = 0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path.endswith("aggregate"):
            self.counts += 1
            point = {"time": f"{HOUR}Z", "value": self.counted()}
            body: dict[str, Any] = {
                "data": {"buckets": [{"computes": {"c0": [point], "c1": point["value"]}}]}
            }
        else:
            self.pages += 1
            events = [
                {"id": identity, "type": "log", "attributes": {"timestamp": time}}
                for identity, time in self.rows(self.pages)
            ]
            body = {"data": events, "meta": {"status": "done", "page": {"after": f"cursor-{self.pages}"}}}
        return HttpResponse(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def counted(self) -> int:
        return 10


def new_rows(page: int) -> list[tuple[str, str]]:
    return [(f"{page}-{row}", f"{HOUR}.{page % 1000:03d}Z") for row in range(1_000)]


def rows_of_one_tick(page: int) -> list[tuple[str, str]]:
    return [(f"{page}-{row}", f"{HOUR}.000Z") for row in range(1_000)]


def rows_beyond(page: int) -> list[tuple[str, str]]:
    return [(f"{page}-{row}", "2026-11-21T09:00:00.000Z") for row in range(1_000)]


def the_same_rows(page: int) -> list[tuple[str, str]]:
    """Nine rows, in another order on every page, so that no two pages look the same."""
    first, last = page % 10, page // 10 % 10
    return [(f"{(first + row * (last or 1)) % 9}", f"{HOUR}.000Z") for row in range(page % 7 + 2)][:9]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (new_rows, "more than 20,020 rows, where it counted 10"),
        (rows_of_one_tick, "more than 20,020 rows, where it counted 10"),
        (rows_beyond, "more than 30,000 rows that were not asked for"),
        (the_same_rows, "without a new row|the same page twice|lost 3 times"),
    ],
)
def test_pages_without_end_are_one_error(
    port: DatadogPort,
    monkeypatch: pytest.MonkeyPatch,
    rows: Callable[[int], list[tuple[str, str]]],
    words: str,
) -> None:
    monkeypatch.setattr(endless, "SLACK_ROWS", 20_000)
    monkeypatch.setattr(endless, "MOST_NEEDLESS_ROWS", 30_000)
    monkeypatch.setattr(endless, "MOST_IDLE_PAGES", 30)
    with SandboxServer(EndlessDatadog(rows)) as server:
        port.host = server.base_url
        with pytest.raises(SourceError, match=words) as caught:
            port.carry()
    assert "\n" not in str(caught.value)


def test_a_cursor_of_megabytes_is_one_error(port: DatadogPort) -> None:
    body = {"data": [], "meta": {"status": "done", "page": {"after": "x" * 100_000}}}
    port.faults(
        {
            "fault": "http_error",
            "match": SEARCH,
            "params": {"status": 200, "body": json.dumps(body)},
        }
    )
    with pytest.raises(SourceError, match="cursor is 100,000 characters long"):
        port.carry()


def test_empty_pages_without_end_are_no_rows_and_no_proof(port: DatadogPort) -> None:
    app = EndlessDatadog(lambda page: [])
    with SandboxServer(app) as server:
        port.host = server.base_url
        assert port.carry().status == "short"
    assert app.pages < 100


def test_counts_that_change_on_every_ask_prove_nothing(port: DatadogPort) -> None:
    app = EndlessDatadog(lambda page: [])
    app.counted = lambda: app.counts  # type: ignore[method-assign]
    with SandboxServer(app) as server:
        port.host = server.base_url
        assert port.carry().status == "short"
    assert app.counts < 50
