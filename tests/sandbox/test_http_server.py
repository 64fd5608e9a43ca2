import gzip
import http.client
import socket
import threading

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
    with server, pytest.raises(requests.exceptions.ConnectionError, match="Read timed out"):
        requests.get(server.base_url, timeout=(10, 0.05))


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
