import contextlib
import gzip
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
import requests

from logferry_sandbox.http_server import HttpRequest, HttpResponse, SandboxServer

pytestmark = pytest.mark.integration

WAIT_FOR_EVER_S = 3600.0


def echo(request: HttpRequest) -> HttpResponse:
    text = f"{request.method} {request.path} {request.query} {request.headers['x-mark']}".encode()
    return HttpResponse(201, {"X-From": "app"}, text + request.body)


def test_a_request_reaches_the_app_whole_and_its_answer_comes_back() -> None:
    with SandboxServer(echo) as server:
        answer = requests.put(
            server.base_url + "/a%20b?k=1&k=2&e=", data=b"body", headers={"X-Mark": "here"}, timeout=10
        )
    assert answer.status_code == 201
    assert answer.headers["X-From"] == "app"
    assert answer.text == "PUT /a%20b {'k': ['1', '2'], 'e': ['']} herebody"


def test_one_connection_carries_many_requests() -> None:
    with SandboxServer(lambda _: HttpResponse(body=b"x")) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        used = set()
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"x"
            used.add(connection.sock)
        connection.close()
    assert len(used) == 1
    assert None not in used


def test_long_answers_are_compressed_only_for_clients_that_ask() -> None:
    body = b"log line " * 1000
    with SandboxServer(lambda _: HttpResponse(body=body)) as server:
        asked = requests.get(server.base_url, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=10)
        raw = asked.raw.read(decode_content=False)
        plain = requests.get(server.base_url, headers={"Accept-Encoding": "identity"}, timeout=10)
    assert asked.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(raw) == body
    assert "Content-Encoding" not in plain.headers
    assert plain.content == body


def test_pieces_follow_the_body_and_are_made_while_they_are_sent() -> None:
    made: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            made.append(number)
            yield b"%d" % number * 100_000

    def app(request: HttpRequest) -> HttpResponse:
        return HttpResponse(body=b"<", pieces=pieces(), pieces_bytes=300_000, compress=False)

    with SandboxServer(app) as server:
        head = requests.head(server.base_url, timeout=10)
        assert (head.headers["Content-Length"], made) == ("300001", [])
        answer = requests.get(server.base_url, timeout=10)
    assert "Content-Encoding" not in answer.headers
    assert answer.content == b"<" + b"0" * 100_000 + b"1" * 100_000 + b"2" * 100_000


def test_an_answer_in_pieces_is_compressed_and_cut_as_a_whole() -> None:
    pieces = (b"log line " * 1000, memoryview(b"the end"))
    whole = b"".join(pieces)
    with SandboxServer(lambda _: HttpResponse(body=b"[", pieces=pieces)) as server:
        answer = requests.get(server.base_url, headers={"Accept-Encoding": "gzip"}, timeout=10)
    assert (answer.headers["Content-Encoding"], answer.content) == ("gzip", b"[" + whole)
    cut = SandboxServer(lambda _: HttpResponse(body=b"[", pieces=pieces, cut_after=9003))
    with cut, socket.create_connection(("127.0.0.1", cut.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b"".join(iter(lambda: raw.recv(65_536), b""))
    assert received.endswith(b"\r\n\r\n[" + whole[:9002])


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"GET /\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
        (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 201 "),
        (b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n", b"HTTP/1.1 201 "),
    ],
)
def test_a_request_that_is_refused_or_the_last_ends_the_connection(head: bytes, answer: bytes) -> None:
    server = SandboxServer(lambda _: HttpResponse(201))
    with server, socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(head)
        assert raw.recv(65_536).startswith(answer)
        with contextlib.suppress(
            ConnectionResetError
        ):  # what the server left unread turns its end into a reset
            assert raw.recv(1) == b""


def test_a_client_that_expects_to_be_told_is_told_to_continue() -> None:
    server = SandboxServer(lambda request: HttpResponse(body=request.body))
    with server, socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert raw.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(b"body")
        assert raw.recv(1024).endswith(b"\r\n\r\nbody")


def test_sixty_four_connections_wait_at_the_same_time() -> None:
    everybody = threading.Barrier(64)

    def app(request: HttpRequest) -> HttpResponse:
        everybody.wait(60)
        return HttpResponse(204)

    with SandboxServer(app) as server, contextlib.ExitStack() as open_sockets:
        address = ("127.0.0.1", server.port)
        sockets = [open_sockets.enter_context(socket.create_connection(address)) for _ in range(64)]
        for one in sockets:
            one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert all(one.recv(1024).startswith(b"HTTP/1.1 204") for one in sockets)


def test_a_cut_answer_announces_more_than_it_sends() -> None:
    server = SandboxServer(lambda _: HttpResponse(body=b"0123456789", cut_after=4))
    with server, socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b"".join(iter(lambda: raw.recv(4096), b""))
    assert b"Content-Length: 10" in received
    assert received.endswith(b"\r\n\r\n0123")


def test_a_reset_is_a_reset_and_not_an_orderly_end() -> None:
    server = SandboxServer(lambda _: HttpResponse(reset=True))
    with server, socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            raw.recv(4096)


def test_a_reset_can_come_in_the_middle_of_a_body() -> None:
    server = SandboxServer(lambda _: HttpResponse(body=b"0123456789", cut_after=4, reset=True))
    with server, pytest.raises(requests.exceptions.RequestException, match="reset"):
        requests.get(server.base_url, timeout=10)


def test_a_body_that_stalls_is_left_unfinished_until_the_client_gives_up() -> None:
    stalled = HttpResponse(body=b"0123456789", cut_after=4, stall_s=WAIT_FOR_EVER_S)
    server = SandboxServer(lambda _: stalled)
    with server, socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while not received.endswith(b"\r\n\r\n0123"):
            more = raw.recv(4096)
            assert more, "it ended"
            received += more
        assert b"Content-Length: 10" in received
        raw.settimeout(0.05)
        with pytest.raises(TimeoutError):
            raw.recv(1)


def test_stopping_ends_a_slow_answer_and_an_idle_connection() -> None:
    slow_request_arrived = threading.Event()

    def app(request: HttpRequest) -> HttpResponse:
        if request.path == "/quick":
            return HttpResponse(204)
        slow_request_arrived.set()
        return HttpResponse(delay_s=WAIT_FOR_EVER_S)

    server = SandboxServer(app)
    server.start()
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address) as slow, socket.create_connection(address) as idle:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow_request_arrived.wait(30)
        idle.sendall(b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 204")
        server.stop()
        server.stop()
        assert slow.recv(4096) == b""
        assert idle.recv(4096) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_a_failing_app_is_a_500_and_the_server_lives_on() -> None:
    def fails(request: HttpRequest) -> HttpResponse:
        raise RuntimeError(request.path)

    with SandboxServer(fails) as server:
        assert [requests.get(server.base_url, timeout=10).status_code for _ in range(2)] == [500, 500]


def test_a_body_without_a_length_is_refused() -> None:
    with SandboxServer(echo) as server:
        answer = requests.post(server.base_url, data=iter([b"chunk"]), timeout=10)
    assert answer.status_code == 411
