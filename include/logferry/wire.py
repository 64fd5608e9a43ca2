"""Connections that no answer can outlast or overfill, whatever the server does.

Below the HTTP library, every read of a socket is counted and timed: the head of an answer is bounded in bytes, and
the whole of it in bytes and in seconds. So a limit holds wherever the library happens to be reading: in a flood of
interim answers, in headers that drip, in the sizes of chunks, in trailers without end.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.adapters
import urllib3
from requests.utils import get_environ_proxies

from logferry.clock import check_stop
from logferry.sources.base import MIB, Request

CONNECT_TIMEOUT_S = 20.0
MOST_HEAD_BYTES = 256 * 1024
"""Of status lines and headers, interim answers included; their number is limited to 100 by ``http.client``."""
_LOOK_UP_S = 0.5
"""How often a thread that waits for bytes looks whether its work was called off."""
_BUFFER_BYTES = 64 * 1024
_CONNECTIONS = 32
"""Kept open to one host: more than any source has in flight."""
_NO_RETRIES = urllib3.Retry(False, redirect=False)
_ROUTES = 100
"""URLs of which is remembered how to send to them; those of jobs that are polled are new ones every time."""


class OutOfTime(Exception):
    """The answer was not whole after the seconds it was given."""


class HeadTooLong(Exception):
    """More came before the body than any head of an answer is long."""


class BodyTooLong(Exception):
    """More bytes came for a body than it may have, however they are encoded."""


@dataclass(slots=True)
class Guard:
    """What one exchange may take; ``began`` is in seconds of the machine's monotonic clock."""

    idle_s: float
    answer_s: float
    most_bytes: int
    began: float = field(default_factory=time.monotonic)
    wire_bytes: int = 0
    in_head: bool = True
    sent: bool = False
    """Whether the request is on its way, so that its answer is what comes; not while a proxy or TLS is spoken to."""

    @classmethod
    def of(cls, request: Request) -> Guard:
        # Chunks may cost more than they carry, but not many times more.
        return cls(request.timeout_s, request.answer_s, 2 * request.most_bytes + MIB)

    def check_time(self) -> None:
        if time.monotonic() - self.began > self.answer_s:
            raise OutOfTime(f"it was not whole after {self.answer_s:g} s")

    def came(self, count: int) -> None:
        """Take note of bytes of the socket. The first of the body may be among those that end the head."""
        self.wire_bytes += count
        if self.in_head and self.wire_bytes > MOST_HEAD_BYTES + _BUFFER_BYTES:
            raise HeadTooLong(f"its headers are longer than {MOST_HEAD_BYTES:,} bytes")
        if self.wire_bytes > self.most_bytes:
            raise BodyTooLong


_guard: ContextVar[Guard] = ContextVar("guard")


class GuardedAdapter(requests.adapters.HTTPAdapter):
    """Connections whose answers are read under the guard of the thread that opened them (``guarding``)."""

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> urllib3.HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(*args, **options)
        pool.ConnectionCls = _guarded(pool.ConnectionCls)
        return pool


def guarding(guard: Guard) -> None:
    """From now on this thread's answers are read under this guard, each to its end."""
    _guard.set(guard)


class Connections(GuardedAdapter):
    """Sends requests of any thread; the connections are shared and kept.

    Nothing is read from ``~/.netrc``, no cookie is kept and no redirect followed, not even read: a redirect's body
    may be as endless as any. ``ca_bundle`` beats REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE of the environment, whose
    proxies are used.
    """

    def __init__(self, ca_bundle: str | None) -> None:
        super().__init__(pool_maxsize=_CONNECTIONS)
        from_environment = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        self.verify: str | bool = ca_bundle or from_environment or True
        self._lock = threading.Lock()
        self._hosts: dict[tuple[str, str], tuple[urllib3.HTTPConnectionPool, dict[str, str]]] = {}
        self._routes: dict[str, tuple[urllib3.HTTPConnectionPool, str]] = {}

    def open(
        self, request: Request, headers: Mapping[str, str], guard: Guard
    ) -> urllib3.response.BaseHTTPResponse:
        """The head of the answer; its body is read from it, raw, in the same thread and with the same guard.

        Raises the errors of urllib3 (of requests for a URL that is none), OutOfTime, HeadTooLong, BodyTooLong and
        clock.Stopped.
        """
        pool, target = self._route(request.url)
        guarding(guard)
        answer = pool.urlopen(
            request.method,
            target,
            body=request.body,
            headers=dict(headers),
            retries=_NO_RETRIES,
            redirect=False,
            assert_same_host=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=request.timeout_s),
            preload_content=False,
            decode_content=False,
        )
        guard.in_head = False
        return answer

    def _route(self, url: str) -> tuple[urllib3.HTTPConnectionPool, str]:
        """The pool for the URL's host, and what is asked of that host or of a proxy.

        Kept, for it takes long, and most requests go to the same few URLs.
        """
        with self._lock:
            found = self._routes.get(url)
            if found is None:
                if len(self._routes) >= _ROUTES:
                    self._routes.clear()
                prepared = _prepared(url)
                pool, proxies = self._host(prepared)
                found = self._routes[url] = (pool, self.request_url(prepared, proxies))
        return found

    def _host(self, prepared: requests.PreparedRequest) -> tuple[urllib3.HTTPConnectionPool, dict[str, str]]:
        """The pool for the URL's host, and the environment's proxies: looked up once, for it takes long."""
        url = str(prepared.url)
        scheme, host, *_ = urlsplit(url)
        found = self._hosts.get((scheme, host))
        if found is None:
            proxies: dict[str, str] = get_environ_proxies(url)
            pool = self.get_connection_with_tls_context(prepared, self.verify, proxies=proxies)
            self.cert_verify(pool, url, self.verify, None)
            found = self._hosts[scheme, host] = (pool, proxies)
        return found


@cache
def _guarded(connection: type[Any]) -> type[Any]:
    """The class of connection, plain, TLS or through a proxy, with guarded answers and requests sent in one."""
    if issubclass(connection.response_class, _GuardedResponse):
        return connection

    def tunnel(self: Any) -> None:
        guard = _guard.get()
        # To connect through a proxy may take as long as to connect, not as long as an answer.
        idle_s, guard.idle_s = guard.idle_s, min(guard.idle_s, CONNECT_TIMEOUT_S)
        try:
            connection._tunnel(self)
        finally:
            guard.idle_s, guard.sent = idle_s, False
        # The proxy's answer came through a guarded reader, whose short time-out is none for what follows: TLS.
        self.sock.settimeout(self.timeout)

    def request(self: Any, method: str, url: str, body: bytes | None = None, **options: Any) -> None:
        self._head = b"" if body else None
        try:
            connection.request(self, method, url, body, **options)
        finally:
            self._head = None

    def send(self: Any, data: bytes) -> None:
        if self._head == b"":
            # The library sends head and body one after the other: twice the calls, packets and records of TLS.
            self._head = data
            return
        head, self._head = self._head, None
        connection.send(self, head + data if head else data)

    own = {"_tunnel": tunnel, "request": request, "send": send, "_head": None}
    return type(f"Guarded{connection.__name__}", (connection,), {"response_class": _GuardedResponse, **own})


def _prepared(url: str) -> requests.PreparedRequest:
    prepared = requests.PreparedRequest()
    prepared.prepare_url(url, None)
    return prepared


class _GuardedResponse(http.client.HTTPResponse):
    """An answer whose bytes come through a guarded reader."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        guard = _guard.get()
        guard.sent = True
        self.fp = io.BufferedReader(_Reader(sock, self.fp.detach(), guard), _BUFFER_BYTES)


class _Reader(io.RawIOBase):
    """A socket's bytes. ``kept`` keeps the socket open after its connection let go of it."""

    def __init__(self, sock: socket.socket, kept: io.RawIOBase, guard: Guard) -> None:
        self._sock = sock
        self._kept = kept
        self._guard = guard
        self._sock.settimeout(min(_LOOK_UP_S, guard.idle_s, guard.answer_s))
        if isinstance(sock, ssl.SSLSocket):
            # An end without TLS's own farewell may be anyone's cut, and a body without a length ends there.
            sock.suppress_ragged_eofs = False  # type: ignore[attr-defined]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        since = time.monotonic()
        while True:
            check_stop()
            self._guard.check_time()
            try:
                count = self._sock.recv_into(buffer)
            except TimeoutError:
                if time.monotonic() - since >= self._guard.idle_s:
                    raise
            else:
                self._guard.came(count)
                # More than the reader above keeps for itself it asks for only where so much was promised.
                if 0 < count < len(buffer) > _BUFFER_BYTES:
                    count += self._more(memoryview(buffer)[count:], since)
                return count

    def _more(self, room: memoryview, since: float) -> int:
        """What comes next, until it is time to look at the clock: TLS brings 16 KiB at a time, and whatever is done
        around those is done some seventy times for an answer."""
        count = 0
        while count < len(room) and time.monotonic() - since < _LOOK_UP_S:
            check_stop()
            try:
                came = self._sock.recv_into(room[count:])
            except TimeoutError:
                break
            if came == 0:
                break
            self._guard.came(came)
            count += came
        return count

    def close(self) -> None:
        if not self.closed:
            self._kept.close()
            super().close()
