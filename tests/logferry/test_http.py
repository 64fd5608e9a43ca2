"""Sending: what is tried again, what is given up, what is never told. Real sockets, no real waiting."""

from __future__ import annotations

import contextlib
import gzip
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from logferry import body as body_module
from logferry import wire
from logferry.budget import Budget
from logferry.clock import Stopped, stoppable
from logferry.errors import (
    CredentialsError,
    DefinitionError,
    FailedAnswer,
    LogferryError,
    SourceError,
    TooMuch,
    Unavailable,
)
from logferry.http import Client
from logferry.sources.base import Request, Response
from logferry_sandbox.http_server import HttpRequest, HttpResponse, SandboxServer

SECRET = "secret-key-0123456789"


class Keys:
    """Credentials that can be renewed ``renewals`` times; the header shows how often they were."""

    key = "digest"

    def __init__(self, renewals: int = 0, secret: str = SECRET) -> None:
        self.left, self.renewed, self.secret = renewals, 0, secret

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.secret}-{self.renewed}"}

    def refresh(self) -> bool:
        if self.left == 0:
            return False
        self.left -= 1
        self.renewed += 1
        return True

    def secrets(self) -> tuple[str, ...]:
        return (self.secret,)


class Script:
    """An application that gives its answers in turn, then 200 ``ok`` for ever; it keeps the requests."""

    def __init__(self, *answers: HttpResponse) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []

    def __call__(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        return self.answers.pop(0) if self.answers else HttpResponse(body=b"ok")


Serve = Callable[..., tuple[Script, str]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[SandboxServer] = []

    def start(*answers: HttpResponse, tls: ssl.SSLContext | None = None) -> tuple[Script, str]:
        script = Script(*answers)
        server = SandboxServer(script, tls=tls)
        server.start()
        servers.append(server)
        return script, server.base_url

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def make(clock: Any, tmp_path: Path) -> Iterator[Callable[..., Client]]:
    clients: list[Client] = []

    def client(auth: Keys | None = None, *, ca_bundle: str | None = None) -> Client:
        auth = auth or Keys()
        budget = Budget(auth.key, clock=clock, folder=tmp_path / "budget")
        clients.append(Client(auth, ca_bundle=ca_bundle, budget=budget, clock=clock))
        return clients[-1]

    yield client
    for one in clients:
        one.close()


def ask(url: str, **options: Any) -> Callable[[], Generator[Request, Response, Response]]:
    def exchange() -> Generator[Request, Response, Response]:
        return (yield Request("POST", url, "search", "search", body=b"{}", **options))

    return exchange


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520])
def test_a_passing_fault_is_asked_again(
    serve: Serve, make: Callable[..., Client], clock: Any, status: int
) -> None:
    script, url = serve(HttpResponse(status), HttpResponse(status))
    client = make()
    assert client.run(ask(url)).body == b"ok"
    assert len(script.requests) == 3
    assert client.stats["search"] == 3
    assert client.stats["retried"] == 2
    assert client.stats["throttled"] == (2 if status == 429 else 0)
    assert len(clock.slept) >= 2


def test_a_fault_that_stays_is_given_up_with_the_answers_text(
    serve: Serve, make: Callable[..., Client]
) -> None:
    script, url = serve(*[HttpResponse(503, body=b"down\nfor\tnow " + b"x" * 900)] * 9)
    with pytest.raises(Unavailable, match="answered 503: down for now") as caught:
        make().run(ask(url))
    assert len(script.requests) == 6
    assert len(str(caught.value)) < 350


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 200, 204, 304 - 104])
def test_any_other_status_is_the_sources_to_read(
    serve: Serve, make: Callable[..., Client], status: int
) -> None:
    script, url = serve(HttpResponse(status, body=b"" if status == 204 else b"body"))
    assert make().run(ask(url)).status == status
    assert len(script.requests) == 1


def test_a_status_that_the_source_reads_as_too_much_is_not_asked_again(
    serve: Serve, make: Callable[..., Client]
) -> None:
    script, url = serve(HttpResponse(504))
    assert make().run(ask(url, narrow_on=frozenset({504}))).status == 504
    assert len(script.requests) == 1


def test_retry_after_is_waited_for_in_full(serve: Serve, make: Callable[..., Client], clock: Any) -> None:
    _, url = serve(HttpResponse(503, {"Retry-After": "50"}))
    make().run(ask(url))
    assert 50 <= max(clock.slept) <= 120


def test_a_wait_that_is_too_long_is_handed_up(serve: Serve, make: Callable[..., Client], clock: Any) -> None:
    script, url = serve(HttpResponse(429, {"Retry-After": "3600"}))
    with pytest.raises(Unavailable) as caught:
        make().run(ask(url))
    assert caught.value.wait_s == 3600
    assert len(script.requests) == 1
    assert sum(clock.slept) < 5


def test_a_429_is_not_asked_again_before_its_reset(
    serve: Serve, make: Callable[..., Client], clock: Any
) -> None:
    headers = {
        "X-RateLimit-Limit": "3",
        "X-RateLimit-Period": "60",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": "37",
    }
    _, url = serve(HttpResponse(429, headers))
    start = clock.now()
    make().run(ask(url))
    assert clock.now() - start >= 37 * 10_000_000


@pytest.mark.parametrize("status", [401, 403])
def test_credentials_are_renewed_exactly_once_for_a_request(
    serve: Serve, make: Callable[..., Client], status: int
) -> None:
    script, url = serve(HttpResponse(status))
    keys = Keys(renewals=5)
    assert make(keys).run(ask(url)).status == 200
    assert keys.renewed == 1
    assert [request.headers["authorization"][-1] for request in script.requests] == ["0", "1"]


def test_credentials_that_stay_refused_are_the_sources_to_explain(
    serve: Serve, make: Callable[..., Client]
) -> None:
    script, url = serve(*[HttpResponse(401)] * 5)
    keys = Keys(renewals=5)
    assert make(keys).run(ask(url)).status == 401
    assert (keys.renewed, len(script.requests)) == (1, 2)


class Turnstile:
    """An application that answers nobody before ``lanes`` requests have come; 401 to the first credentials."""

    def __init__(self, lanes: int) -> None:
        self.all_here = threading.Barrier(lanes)
        self.asked: list[str] = []

    def __call__(self, request: HttpRequest) -> HttpResponse:
        credentials = request.headers["authorization"]
        self.asked.append(credentials)
        if not credentials.endswith("-0"):
            return HttpResponse(body=b"ok")
        self.all_here.wait(30)
        return HttpResponse(401)


def in_lanes(lanes: int, work: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(lanes) as pool:
        return [done.result(60) for done in [pool.submit(work) for _ in range(lanes)]]


def test_lanes_that_are_refused_at_once_renew_the_credentials_once(make: Callable[..., Client]) -> None:
    keys, turnstile = Keys(renewals=99), Turnstile(16)
    client = make(keys)
    with SandboxServer(turnstile) as server:
        answers = in_lanes(16, lambda: client.run(ask(server.base_url)))
    assert [answer.body for answer in answers] == [b"ok"] * 16
    assert keys.renewed == 1
    assert sorted(text[-2:] for text in turnstile.asked) == ["-0"] * 16 + ["-1"] * 16


def test_a_refusal_after_another_lanes_renewal_is_renewed_again(
    serve: Serve, make: Callable[..., Client]
) -> None:
    """The credentials of the second request are those of the first renewal: these were refused too."""
    _, url = serve(HttpResponse(401), HttpResponse(200), HttpResponse(401))
    keys = Keys(renewals=99)
    client = make(keys)
    client.run(ask(url))
    assert client.run(ask(url)).status == 200
    assert keys.renewed == 2


def test_the_requests_of_every_thread_are_counted(serve: Serve, make: Callable[..., Client]) -> None:
    _, url = serve()
    client = make()
    in_lanes(8, lambda: [client.run(ask(url)) for _ in range(25)])
    assert client.stats["search"] == 200


def test_nothing_is_sent_for_a_thread_that_was_told_to_stop(
    serve: Serve, make: Callable[..., Client]
) -> None:
    script, url = serve()
    stop = threading.Event()
    stop.set()
    with stoppable(stop), pytest.raises(Stopped):
        make().run(ask(url))
    assert script.requests == []


@pytest.mark.parametrize(
    ("answer", "options"),
    [
        (HttpResponse(503), {}),
        (HttpResponse(429, {"Retry-After": "30"}), {}),
        (None, {"after_s": 5.0}),
    ],
    ids=["before another attempt", "in a server's own pause", "before a poll"],
)
def test_a_thread_that_is_told_to_stop_in_a_pause_sends_nothing_after_it(
    serve: Serve,
    make: Callable[..., Client],
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
    answer: HttpResponse | None,
    options: dict[str, Any],
) -> None:
    stop = threading.Event()
    monkeypatch.setattr(clock, "sleep", lambda seconds: stop.set())
    script, url = serve(*([answer] if answer else []))
    with stoppable(stop), pytest.raises(Stopped):
        make().run(ask(url, **options))
    assert len(script.requests) == (1 if answer else 0)


def test_a_thread_that_waits_for_an_answer_is_stopped_there(make: Callable[..., Client]) -> None:
    stop = threading.Event()

    def never(request: HttpRequest) -> HttpResponse:
        stop.set()
        return HttpResponse(delay_s=3_600)

    with SandboxServer(never) as server, stoppable(stop), pytest.raises(Stopped):
        make().run(ask(server.base_url))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_keys_stay_here(
    serve: Serve, make: Callable[..., Client], status: int
) -> None:
    other, elsewhere = serve()
    _, url = serve(HttpResponse(status, {"Location": elsewhere}))
    with pytest.raises(DefinitionError, match="redirect"):
        make().run(ask(url))
    assert other.requests == []


@pytest.mark.parametrize(
    "broken",
    [
        HttpResponse(body=b"x" * 5_000, cut_after=100),
        HttpResponse(body=b"x" * 5_000, cut_after=0),
        HttpResponse(reset=True),
        HttpResponse(body=b"x" * 5_000, cut_after=100, reset=True),
        HttpResponse(headers={"Content-Encoding": "gzip"}, body=b"no gzip at all"),
        HttpResponse(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"x" * 5_000)[:-9]),
        HttpResponse(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"x" * 5_000) + b"garbage"),
        HttpResponse(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"") * 2_000),
        HttpResponse(wire=[b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nxxxx"]),
        HttpResponse(wire=[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nxxxxx"]),
        HttpResponse(wire=[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxxxxx\r\n"]),
    ],
)
def test_a_broken_answer_is_asked_again_and_never_taken_for_a_whole_one(
    serve: Serve, make: Callable[..., Client], broken: HttpResponse
) -> None:
    script, url = serve(broken)
    assert make().run(ask(url)).body == b"ok"
    assert len(script.requests) == 2


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that stalls is soon given up, while its head may be as late as the machine makes it."""

    def opened(self: wire.Connections, request: Request, headers: Any, guard: wire.Guard) -> Any:
        answer = opens(self, request, headers, guard)
        guard.idle_s = 0.05
        return answer

    opens = wire.Connections.open
    monkeypatch.setattr(wire.Connections, "open", opened)
    monkeypatch.setattr(wire, "_LOOK_UP_S", 0.05)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "broken",
    [
        HttpResponse(body=b"x" * 500, cut_after=100),
        HttpResponse(body=b"x" * 500, cut_after=100, reset=True),
        HttpResponse(body=b"x" * 500, cut_after=100, stall_s=3_600),
        HttpResponse(body=b"x" * 500, cut_after=0, stall_s=3_600),
    ],
    ids=["cut", "reset", "stalled", "stalled before the first byte"],
)
def test_an_answer_that_stays_broken_asks_for_less(
    serve: Serve, make: Callable[..., Client], broken: HttpResponse
) -> None:
    script, url = serve(*[broken for _ in range(9)])
    with pytest.raises(FailedAnswer, match="did not send its answer whole"):
        make().run(ask(url))
    assert len(script.requests) == 3


def test_a_server_that_says_nothing_in_time_asks_for_less(serve: Serve, make: Callable[..., Client]) -> None:
    _, url = serve(*[HttpResponse(delay_s=3_600) for _ in range(9)])
    client = make()
    with pytest.raises(FailedAnswer, match="did not answer in time"):
        client.run(ask(url, timeout_s=0.05))
    assert client.stats["search"] == 3


def test_a_retry_that_is_logged_does_not_repeat_the_key(
    serve: Serve, make: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    _, url = serve(HttpResponse(status=500, body=f"bad key {SECRET}".encode()))
    make().run(ask(url))
    assert "attempt 1 failed" in caplog.text
    assert SECRET not in caplog.text


def test_a_whole_answer_that_repeats_the_key_is_not_quoted_with_it(
    serve: Serve, make: Callable[..., Client], caplog: pytest.LogCaptureFixture
) -> None:
    _, url = serve()

    def exchange() -> Generator[Request, Response, None]:
        yield Request("POST", url, "search", "search")
        raise FailedAnswer(f"the answer says {SECRET}")

    with pytest.raises(FailedAnswer) as caught:
        make().run(exchange)
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text
    assert "***" in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "said"), [("e", "the keeper"), ("eep", "the keeper"), ("keep", "the ***er")]
)
def test_a_key_of_a_few_letters_does_not_garble_what_is_said(
    make: Callable[..., Client], secret: str, said: str
) -> None:
    def exchange() -> Generator[Request, Response, None]:
        yield from ()
        raise SourceError("the keeper")

    with pytest.raises(SourceError) as caught:
        make(Keys(secret=secret)).run(exchange)
    assert str(caught.value) == said


def test_a_server_that_is_not_there_is_given_up_after_bounded_attempts(
    make: Callable[..., Client], clock: Any
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = make()
        with pytest.raises(Unavailable, match=r"could not be reached.*refused") as caught:
            client.run(ask(f"http://127.0.0.1:{taken.getsockname()[1]}/x?secret=1"))
    assert "check the connection's site or host, the proxy" in str(caught.value)
    assert "this machine's network" in str(caught.value)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
    assert (client.stats["search"], client.stats["retried"]) == (6, 5)


def test_a_host_without_an_address_is_given_up_with_what_to_check(
    make: Callable[..., Client], clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    client = make()
    with pytest.raises(
        Unavailable, match=r"api\.nowhere\.test/x could not.*cannot be resolved.*host"
    ) as caught:
        client.run(ask("https://api.nowhere.test/x"))
    assert type(caught.value) is Unavailable
    assert caught.value.exit_code == 5
    assert (client.stats["search"], client.stats["retried"]) == (6, 5)


def test_a_failed_answer_starts_the_whole_exchange_again(serve: Serve, make: Callable[..., Client]) -> None:
    script, url = serve()
    starts: list[int] = []

    def exchange() -> Generator[Request, Response, str]:
        starts.append(1)
        yield Request("POST", f"{url}/first", "count", "search")
        yield Request("POST", f"{url}/second", "count", "search")
        if len(starts) < 3:
            raise FailedAnswer("partial")
        return "whole"

    client = make()
    assert client.run(exchange) == "whole"
    assert [request.path for request in script.requests] == ["/first", "/second"] * 3
    assert (client.stats["count"], client.stats["retried"]) == (6, 2)


def test_an_exchange_that_failed_holds_nothing_while_its_error_is_kept(
    serve: Serve, make: Callable[..., Client]
) -> None:
    _, url = serve(*[HttpResponse(503)] * 6)
    held: list[str] = []

    def exchange() -> Generator[Request, Response, Response]:
        held.append("a place")
        try:
            return (yield Request("POST", url, "search", "search", body=b"{}"))
        finally:
            held.clear()

    with pytest.raises(Unavailable) as raised:
        make().run(exchange)
    assert (raised.value.__traceback__ is not None, held) == (True, [])


def test_an_answer_that_stays_partial_is_raised_after_three_attempts(make: Callable[..., Client]) -> None:
    starts: list[int] = []

    def exchange() -> Generator[Request, Response, None]:
        starts.append(1)
        yield from ()
        raise FailedAnswer("partial")

    with pytest.raises(FailedAnswer):
        make().run(exchange)
    assert len(starts) == 3


def test_a_body_that_decodes_to_more_than_its_request_allows_is_too_much(
    serve: Serve, make: Callable[..., Client]
) -> None:
    script, url = serve(
        HttpResponse(headers={"Content-Encoding": "gzip"}, body=gzip.compress(b"0" * (8 << 20)))
    )
    with pytest.raises(TooMuch, match="more than 3,145,728 bytes"):
        make().run(ask(url, most_bytes=3 << 20))
    assert len(script.requests) == 1


def test_a_source_that_knows_how_to_ask_for_less_is_told_of_too_much(
    serve: Serve, make: Callable[..., Client]
) -> None:
    _, url = serve(HttpResponse(body=b"x" * 9_000))

    def exchange() -> Generator[Request, Response, bytes]:
        try:
            yield Request("POST", url, "count", "search", most_bytes=8_000)
        except TooMuch:
            return (yield Request("POST", f"{url}/half", "count", "search", most_bytes=8_000)).body
        return b"all"

    assert make().run(exchange) == b"ok"


@pytest.mark.parametrize("compressed", [False, True])
def test_a_body_of_exactly_the_bytes_allowed_is_taken(
    serve: Serve, make: Callable[..., Client], compressed: bool
) -> None:
    body = b"0123456789abcdef" * (3 << 16)
    headers = {"Content-Encoding": "gzip" if compressed else "identity"}
    _, url = serve(HttpResponse(headers=headers, body=gzip.compress(body) if compressed else body))
    assert make().run(ask(url, most_bytes=len(body))).body == body


@pytest.mark.parametrize("recycled", [False, True])
def test_a_large_body_is_recycled_where_its_request_says_so(
    serve: Serve, make: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, recycled: bool
) -> None:
    monkeypatch.setattr(body_module, "_LARGE_BYTES", 1_000)
    monkeypatch.setattr(body_module, "_READ_BYTES", 100)
    _, url = serve(HttpResponse(body=b"x" * 1_000))
    body = make().run(ask(url, recycled=recycled)).body
    assert body == b"x" * 1_000
    assert isinstance(body, bytearray) == recycled


def test_compressed_answers_arrive_decoded(serve: Serve, make: Callable[..., Client]) -> None:
    script, url = serve(HttpResponse(body=b"0" * 100_000))
    assert make().run(ask(url)).body == b"0" * 100_000
    assert "gzip" in script.requests[0].headers["accept-encoding"]


def test_the_way_to_a_url_is_looked_up_once(
    serve: Serve, make: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[Any] = []
    prepared = wire._prepared
    monkeypatch.setattr(wire, "_prepared", lambda *given: (looked_up.append(given), prepared(*given))[1])
    one, one_url = serve()
    other, other_url = serve()
    client = make()
    for _ in range(3):
        for url in (one_url + "/a?x=1", one_url + "/a?x=2", other_url + "/a?x=1"):
            client.run(ask(url))
    assert [request.query for request in one.requests] == [{"x": ["1"]}, {"x": ["2"]}] * 3
    assert [request.query for request in other.requests] == [{"x": ["1"]}] * 3
    assert len(looked_up) == 3


def test_a_requests_head_and_body_are_sent_together(
    serve: Serve, make: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    sendall = socket.socket.sendall

    def watched(channel: socket.socket, data: bytes) -> None:
        sent.append(bytes(data))
        sendall(channel, data)

    monkeypatch.setattr(socket.socket, "sendall", watched)
    script, url = serve()
    client = make()

    def exchange() -> Generator[Request, Response, Response]:
        yield Request("POST", url, "search", "search", body=b"first")
        yield Request("GET", url, "search", "search")
        yield Request("POST", url, "search", "search", body=b"")
        return (yield Request("POST", url, "search", "search", body=b"last"))

    client.run(exchange)
    assert [(one.method, one.body) for one in script.requests] == [
        ("POST", b"first"),
        ("GET", b""),
        ("POST", b""),
        ("POST", b"last"),
    ]
    ours = [data for data in sent if not data.startswith(b"HTTP/1.1") and data != b"ok"]
    assert [data.rpartition(b"\r\n\r\n")[2] for data in ours] == [b"first", b"", b"", b"last"]


def test_credentials_that_become_unsendable_are_refused_then(
    serve: Serve, make: Callable[..., Client]
) -> None:
    _, url = serve()
    keys = Keys()
    client = make(keys)
    client.run(ask(url))
    keys.secret = f"{SECRET}\n"
    with pytest.raises(CredentialsError, match="enter it again"):
        client.run(ask(url))


def test_urls_that_are_new_every_time_are_not_all_remembered(
    serve: Serve, make: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "_ROUTES", 3)
    script, url = serve()
    client = make()
    for number in range(8):
        client.run(ask(f"{url}/job/{number}"))
        assert len(client._connections._routes) <= 3
    client.run(ask(f"{url}/job/0"))
    assert [request.path for request in script.requests] == [f"/job/{at}" for at in (*range(8), 0)]


def test_header_names_are_handed_on_in_lower_case(serve: Serve, make: Callable[..., Client]) -> None:
    _, url = serve(HttpResponse(headers={"X-Odd-CASE": "Value"}))
    assert make().run(ask(url)).headers["x-odd-case"] == "Value"


def test_a_request_to_be_sent_later_waits_first(
    serve: Serve, make: Callable[..., Client], clock: Any
) -> None:
    _, url = serve()
    make().run(ask(url, after_s=5.0))
    assert clock.slept == [5.0]


def test_a_netrc_entry_never_replaces_the_credentials(
    serve: Serve, make: Callable[..., Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    script, url = serve()
    make().run(ask(url))
    assert script.requests[0].headers["authorization"] == f"Bearer {SECRET}-0"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_of(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_the_connections_ca_bundle_beats_the_environments(
    serve: Serve,
    make: Callable[..., Client],
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours, other = tmp_path / "ours.pem", tmp_path / "other.pem"
    authority.cert_pem.write_to_path(ours)
    trustme.CA().cert_pem.write_to_path(other)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(other))
    _, url = serve(tls=tls_of(authority))
    assert make(ca_bundle=str(ours)).run(ask(url)).body == b"ok"


def test_a_certificate_nobody_vouches_for_is_refused_without_retries(
    serve: Serve, make: Callable[..., Client], authority: trustme.CA, clock: Any
) -> None:
    script, url = serve(tls=tls_of(authority))
    with pytest.raises(SourceError, match="not trusted") as caught:
        make().run(ask(url))
    assert not isinstance(caught.value, Unavailable)
    assert (script.requests, clock.slept) == ([], [])


def test_a_tls_connection_that_breaks_is_a_passing_fault(
    serve: Serve,
    make: Callable[..., Client],
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plain HTTP where TLS is spoken: the handshake fails, which says nothing of the certificate."""
    monkeypatch.setattr(wire, "CONNECT_TIMEOUT_S", 0.5)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    _, url = serve()
    with pytest.raises(Unavailable) as caught:
        make(ca_bundle=str(tmp_path / "ca.pem")).run(ask(url.replace("http:", "https:")))
    assert "ca_bundle" not in str(caught.value)


def test_a_tls_connection_that_ends_without_farewell_is_no_whole_answer(
    serve: Serve, make: Callable[..., Client], authority: trustme.CA, tmp_path: Path
) -> None:
    """A body of no known length ends with its connection: anybody on the way could cut it there."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    script, url = serve(HttpResponse(wire=[b"HTTP/1.1 200 OK\r\n\r\nhalf"]), tls=tls_of(authority))
    assert make(ca_bundle=str(tmp_path / "ca.pem")).run(ask(url)).body == b"ok"
    assert len(script.requests) == 2


def test_several_gzip_streams_in_one_body_are_one_text(serve: Serve, make: Callable[..., Client]) -> None:
    body = b"".join(gzip.compress(b"%d," % number) for number in range(500))
    _, url = serve(HttpResponse(headers={"Content-Encoding": "gzip"}, body=body))
    assert make().run(ask(url)).body == b"".join(b"%d," % number for number in range(500))


def chain_of(error: BaseException | None) -> str:
    """Everything a log would print of an error and its causes."""
    texts = []
    while error is not None:
        texts.append(f"{error!s} {error!r}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(texts)


@pytest.mark.parametrize(
    "answer",
    [
        HttpResponse(500, body=b"oops"),
        HttpResponse(302, {"Location": "http://127.0.0.1:9/"}),
        HttpResponse(reset=True),
        HttpResponse(body=b"x" * 100, cut_after=1),
    ],
)
def test_no_failure_tells_the_secret_or_the_query_string(
    serve: Serve,
    make: Callable[..., Client],
    caplog: pytest.LogCaptureFixture,
    answer: HttpResponse,
) -> None:
    caplog.set_level(logging.DEBUG)
    _, url = serve(*[answer] * 9)
    with pytest.raises(LogferryError) as caught:
        make().run(ask(f"{url}/path?token={SECRET}"))
    assert SECRET not in str(caught.value)
    assert "/path" in str(caught.value)
    assert SECRET not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("logferry")
    )


@pytest.mark.parametrize("secret", [f"{SECRET}\n", f"{SECRET}\r\nX-Other: 1", f"\n{SECRET}", f"{SECRET}ключ"])
def test_a_key_that_no_header_can_carry_is_refused_without_telling_it(
    serve: Serve, make: Callable[..., Client], secret: str
) -> None:
    script, url = serve()
    with pytest.raises(CredentialsError, match="no header can carry") as caught:
        make(Keys(secret=secret)).run(ask(url))
    assert SECRET not in chain_of(caught.value)
    assert script.requests == []


def test_a_server_that_repeats_the_key_is_not_quoted(serve: Serve, make: Callable[..., Client]) -> None:
    _, url = serve(*[HttpResponse(500, body=f"bad token {SECRET}-0".encode())] * 9)
    with pytest.raises(Unavailable) as caught:
        make().run(ask(url))
    assert SECRET not in chain_of(caught.value)


def test_twenty_answers_of_429_do_not_end_a_request(serve: Serve, make: Callable[..., Client]) -> None:
    script, url = serve(
        *[HttpResponse(429, {"Retry-After": "5"} if number % 2 else {}) for number in range(20)]
    )
    client = make()
    assert client.run(ask(url)).body == b"ok"
    assert len(script.requests) == 21
    assert client.stats["throttled"] == 20


def test_answers_of_429_without_end_are_given_up_after_an_hour(
    serve: Serve, make: Callable[..., Client], clock: Any
) -> None:
    script, url = serve(*[HttpResponse(429, {"Retry-After": "100"}) for _ in range(99)])
    start = clock.now()
    with pytest.raises(Unavailable, match="answered 429"):
        make().run(ask(url))
    assert 3_600 * 10_000_000 <= clock.now() - start < 2 * 3_600 * 10_000_000
    assert len(script.requests) < 40


class TunnelServer:
    """A proxy that answers CONNECT, and then is the server itself; TLS begins when ``begin`` allows it."""

    def __init__(self, tls: ssl.SSLContext, begin: Callable[[], object]) -> None:
        self._tls, self._begin = tls, begin
        self.tunnels = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._tunnel, args=(self._socket.accept()[0],), daemon=True).start()

    def _tunnel(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError), raw:
            _read_head(raw)
            self.tunnels += 1
            raw.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            self._begin()
            with self._tls.wrap_socket(raw, server_side=True) as secure:
                _read_head(secure)
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                while secure.recv(4096):
                    pass  # The body may come after its head, and is not to meet a closed connection.

    def close(self) -> None:
        self._socket.close()


def _read_head(sock: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(4096)
        if not piece:
            raise OSError
        head += piece


@pytest.fixture
def tunnel(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Callable[[], object]], TunnelServer]]:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    servers: list[TunnelServer] = []

    def start(begin: Callable[[], object]) -> TunnelServer:
        servers.append(TunnelServer(tls_of(authority), begin))
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{servers[-1].port}")
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_the_short_time_out_of_a_proxys_answer_is_not_that_of_the_tls_after_it(
    tunnel: Callable[[Callable[[], object]], TunnelServer],
    make: Callable[..., Client],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shaking = threading.Event()
    waits: list[float | None] = []
    shake = ssl.SSLSocket.do_handshake

    def noted(self: ssl.SSLSocket, block: bool = False) -> None:
        if not self.server_side:
            waits.append(self.gettimeout())
            shaking.set()
        shake(self, block)

    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", noted)
    server = tunnel(lambda: shaking.wait(20))
    assert make(ca_bundle=str(tmp_path / "ca.pem")).run(ask("https://127.0.0.1:9/x")).body == b"ok"
    assert server.tunnels == 1
    assert waits == [wire.CONNECT_TIMEOUT_S]


@pytest.mark.parametrize("through_proxy", [False, True])
def test_a_tls_handshake_that_stalls_was_no_answer(
    tunnel: Callable[[Callable[[], object]], TunnelServer],
    make: Callable[..., Client],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    through_proxy: bool,
) -> None:
    monkeypatch.setattr(wire, "CONNECT_TIMEOUT_S", 0.05)
    over = threading.Event()
    server = tunnel(over.wait)
    if not through_proxy:
        monkeypatch.setenv("no_proxy", "127.0.0.1")
    client = make(ca_bundle=str(tmp_path / "ca.pem"))
    try:
        with pytest.raises(Unavailable, match="could not be reached") as caught:
            client.run(ask(f"https://127.0.0.1:{server.port}/x"))
    finally:
        over.set()
    assert not isinstance(caught.value, FailedAnswer)
    assert client.stats["search"] == 6


def test_a_proxy_that_does_not_answer_is_waited_for_as_long_as_for_connecting(
    make: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "CONNECT_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        client = make()
        with pytest.raises(Unavailable, match="could not be reached") as caught:
            client.run(ask("https://127.0.0.1:9/x", timeout_s=5))
    assert not isinstance(caught.value, FailedAnswer)
    assert client.stats["search"] == 6
