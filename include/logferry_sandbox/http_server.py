"""A small threaded HTTP/1.1 server whose application is one function from request to response.

Beside ordinary answers it can misbehave on demand: answer late, cut a body short, reset the connection.
"""

import gzip
import logging
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_GZIP_FROM_BYTES = 1024
_MOST_HEAD_BYTES = 65_536
_ONE_SEND_BYTES = 65_536
"""Up to here a body is copied behind its head: one packet instead of two."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

Buffer = bytes | bytearray | memoryview


class Made:
    """A piece of an answer of ``size`` bytes that is made part by part while it is sent, and never held whole."""

    def __init__(self, size: int, parts: Callable[[], Iterable[Buffer]]) -> None:
        self._size = size
        self._parts = parts

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Buffer]:
        return iter(self._parts())


Piece = Buffer | Made


def _parts_of(pieces: Iterable[Piece]) -> Iterator[Buffer]:
    for piece in pieces:
        if isinstance(piece, Made):
            yield from piece
        else:
            yield piece


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as the application sees it; ``path`` has no query string and stays percent-encoded."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]  # lower-case keys
    body: bytes


@dataclass(slots=True)
class HttpResponse:
    """One answer. ``Content-Length`` is added by the server, and gzip where the client accepts it.

    ``delay_s``: wait before answering. ``cut_after``: announce the whole body, send this many of its bytes
    (never compressed), then wait ``stall_s`` and close. ``reset``: close with RST, instead of answering or, with
    ``cut_after``, there. ``pieces`` follow ``body`` and are sent without copying them; ``pieces_bytes`` is told where
    they are made only while they are sent.
    ``compress``: false for answers that go out as they are. ``wire``: these bytes are sent instead of an answer, as
    they are made, and the connection is closed.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = 0.0
    cut_after: int | None = None
    stall_s: float = 0.0
    reset: bool = False
    pieces: Iterable[Piece] = ()
    pieces_bytes: int | None = None
    compress: bool = True
    wire: Iterable[bytes] | None = None

    @property
    def size(self) -> int:
        """Bytes of the whole answer."""
        following = sum(map(len, self.pieces)) if self.pieces_bytes is None else self.pieces_bytes
        return len(self.body) + following

    def whole(self) -> bytes:
        """The whole answer as one text."""
        return b"".join((self.body, *_parts_of(self.pieces))) if self.size > len(self.body) else self.body


App = Callable[[HttpRequest], HttpResponse]


class SandboxServer:
    """Serves ``app`` on 127.0.0.1 from its own thread; a context manager. ``port=0`` takes a free port.

    ``base_url`` is known from construction on (the socket is bound there). ``stop`` ends open keep-alive
    connections and pending delays too, and may be called twice.
    """

    def __init__(self, app: App, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(app, port, tls)
        self.port: int = self._server.server_address[1]
        self.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to serve; returns at once, the socket already accepts."""
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name=f"sandbox:{self.port}",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop serving, close every connection and the listening socket."""
        self._server.stopping.set()
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server.close_connections()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, app: App, port: int, tls: ssl.SSLContext | None) -> None:
        self.app = app
        self.stopping = threading.Event()
        self._tls = tls
        self._connections: set[socket.socket] = set()
        self._connections_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer would look up the host's full name here, which can take seconds without DNS.
        socket_address = self.server_address
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(socket_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = self.socket.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            # The handshake belongs to the connection's thread: a client that stalls there stalls nobody else.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._connections_lock:
            self._connections.add(connection)
        return connection, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        if isinstance(request, ssl.SSLSocket):
            request.do_handshake()
        super().finish_request(request, client_address)

    def close_request(self, request: Any) -> None:
        with self._connections_lock:
            self._connections.discard(request)
        super().close_request(request)

    def close_connections(self) -> None:
        with self._connections_lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # the peer was faster
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that hang up, and refused TLS handshakes, are everyday events for this server.
        log.debug("connection from %s ended early", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    raw_requestline: bytes  # set by the base class
    server: _Server

    def parse_request(self) -> bool:
        """Read the head: the base class has the e-mail parser do it, which takes longer than all else here."""
        self.close_connection, self.command = True, ""
        try:
            self.command, self.path, self.request_version = self.raw_requestline.decode("latin-1").split()
        except ValueError:
            self._send(HttpResponse(400), "")
            return False
        self._fields: dict[str, str] = {}
        size = 0
        while (line := self.rfile.readline(_MOST_HEAD_BYTES)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            self._fields[name.lower()] = value.strip()
            size += len(line)
            if size > _MOST_HEAD_BYTES:
                self._send(HttpResponse(431), "")
                return False
        connection = self._fields.get("connection", "").lower()
        self.close_connection = self.request_version != self.protocol_version or connection == "close"
        if self._fields.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def answer(self) -> None:
        if "chunked" in self._fields.get("transfer-encoding", "").lower():
            self.close_connection = True
            self._send(HttpResponse(411, {"Content-Type": "text/plain"}, b"send a Content-Length"), "")
            return
        request = self._read_request()
        try:
            response = self.server.app(request)
        except Exception:
            log.exception("the sandbox failed on %s %s", request.method, request.path)
            response = HttpResponse(
                500, {"Content-Type": "text/plain"}, b"the sandbox itself failed; see its log"
            )
        if response.delay_s and self.server.stopping.wait(response.delay_s):
            self.close_connection = True
            return
        if response.wire is not None:
            self._pour(response.wire)
        elif not response.reset or response.cut_after is not None:
            self._send(response, request.headers.get("accept-encoding", ""))
        if response.stall_s:
            self.server.stopping.wait(response.stall_s)
        if response.reset:
            self._reset()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer

    def _read_request(self) -> HttpRequest:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self._fields.get("content-length") or 0))
        return HttpRequest(
            method=self.command,
            path=url.path,
            query=parse_qs(url.query, keep_blank_values=True),
            headers=self._fields,
            body=body,
        )

    def _send(self, response: HttpResponse, accept_encoding: str) -> None:
        headers, body, pieces = dict(response.headers), response.body, response.pieces
        size = response.size
        if (
            response.compress
            and size > _GZIP_FROM_BYTES
            and "gzip" in accept_encoding
            and response.cut_after is None
            and "Content-Encoding" not in headers
        ):
            body, pieces = gzip.compress(response.whole(), compresslevel=1, mtime=0), ()
            size = len(body)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(size)
        if response.cut_after is not None:
            body, pieces = response.whole()[: response.cut_after], ()
            self.close_connection = True
        phrase = self.responses.get(response.status, ("",))[0]
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{self.protocol_version} {response.status} {phrase}\r\n{fields}\r\n".encode("latin-1")
        if self.command == "HEAD":
            self.wfile.write(head)
            return
        if len(body) <= _ONE_SEND_BYTES:
            self.wfile.write(head + body)
        else:
            self.wfile.write(head)
            self.wfile.write(body)
        for part in _parts_of(pieces):
            self.wfile.write(part)

    def _pour(self, wire: Iterable[bytes]) -> None:
        self.close_connection = True
        for piece in wire:
            if self.server.stopping.is_set():
                return
            self.wfile.write(piece)

    def _reset(self) -> None:
        """Close at once with linger 0, which makes the kernel send RST; a normal close sends FIN first."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: Any) -> None:
        """No access lines: /_sandbox/stats counts instead."""
