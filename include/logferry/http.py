"""The one place that sends: connections, retries, pacing, credentials, limits.

Two bounded layers inside a call, and a third outside (the task's own retries):

- a request is sent again after a network fault, 408 or 5xx, with jitter and the server's own wait, 6 times; after 429
  as often as it takes, at the budget's pace, for an hour;
- an operation is asked again when its answer is not whole (``FailedAnswer``).

A server that asks for more than ``LONGEST_WAIT_S`` is not waited for here: ``Unavailable`` carries its wish up.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import random
import re
import socket
import threading
from collections.abc import Callable, Generator, Mapping
from typing import TypeVar

import requests
import urllib3

from logferry.body import NotWhole, StrangeEncoding, TooLong, read_body
from logferry.budget import LONGEST_WAIT_S, Budget, retry_after_s
from logferry.clock import Clock, SystemClock, check_stop
from logferry.credentials.authenticator import Authenticator
from logferry.errors import (
    CredentialsError,
    DefinitionError,
    FailedAnswer,
    LogferryError,
    SourceError,
    TooMuch,
    Unavailable,
)
from logferry.sources.base import MIB, Request, Response
from logferry.window import TICK_PER_SECOND
from logferry.wire import BodyTooLong, Connections, Guard, HeadTooLong, OutOfTime
from logferry.wording import excerpt

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_ERROR_BYTES = MIB
"""Of an answer that is no 2xx only its beginning is read: it is a text for people."""
_SEND_ATTEMPTS = 6
_ANSWER_ATTEMPTS = 3
_LONGEST_REFUSED_S = 3600
"""How long one request is sent again for nothing but 429: others may spend the whole allowance for a while."""
_LONGEST_BACKOFF_S = 30.0
_LEAST_SECRET = 4
"""Characters from which a key or token is taken out of texts."""
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})
_HEADER_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff][\x20-\x7e\x80-\xff\t]*)?")


class Client:
    """Sends the requests of one credential, for any number of threads at once.

    ``stats`` counts the requests sent: ``search``, ``count``, ``schema``, and of all of them ``retried`` and
    ``throttled`` (answered 429).
    """

    def __init__(
        self,
        auth: Authenticator,
        *,
        ca_bundle: str | None = None,
        budget: Budget | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.auth = auth
        self._clock = clock or SystemClock()
        self.budget = budget or Budget(auth.key, clock=self._clock)
        self._connections = Connections(ca_bundle)
        self.stats = {"search": 0, "count": 0, "schema": 0, "retried": 0, "throttled": 0}
        self._counting = threading.Lock()
        self._renewing = threading.Lock()
        self._renewals = 0

    def run(self, make_exchange: Callable[[], Generator[Request, Response, T]]) -> T:
        """The result of an operation; ``make_exchange`` starts it anew for every attempt.

        Raises ``clock.Stopped`` in a thread that was told to stop (``clock.stoppable``): before a request, in every
        pause, and within half a second in the middle of an answer.
        """
        return self._again(lambda: self._drive(make_exchange()), _ANSWER_ATTEMPTS, _is_not_whole)

    def close(self) -> None:
        """Closes every connection that no request is using."""
        self._connections.close()

    def _drive(self, exchange: Generator[Request, Response, T]) -> T:
        try:
            # What it holds while a request is under way is not held for as long as somebody keeps the error.
            with contextlib.closing(exchange):
                request = next(exchange)
                while True:
                    try:
                        response = self._send_until_answered(request)
                    except TooMuch as error:
                        # The source may know how to ask for less.
                        request = exchange.throw(error)
                    else:
                        request = exchange.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except LogferryError as error:
            # An answer may echo the key it refuses, and errors quote answers.
            error.args = tuple(self._without_secrets(str(text)) for text in error.args)
            raise

    def _send_until_answered(self, request: Request) -> Response:
        if request.after_s:
            self._sleep(request.after_s)
        return self._again(lambda: self._send_authenticated(request), _SEND_ATTEMPTS, _is_passing)

    def _send_authenticated(self, request: Request) -> Response:
        renewals = self._renewals
        response = self._send(request)
        if response.status in (401, 403) and self._renew(renewals):
            # An expired token is answered with either status; a second refusal is the source's to explain.
            response = self._send(request)
        if response.status in _PASSING_STATUSES and response.status not in request.narrow_on:
            kind = _Throttled if response.status == 429 else Unavailable
            raise kind(
                f"{_where(request)} answered {response.status}: {excerpt(response.body)}",
                wait_s=retry_after_s(response.headers, self._clock)
                if response.status in (429, 503)
                else None,
            )
        if 300 <= response.status < 400:
            raise DefinitionError(
                f"{_where(request)} answered {response.status}, a redirect; check the connection's site or host"
            )
        return response

    def _renew(self, known: int) -> bool:
        """Whether there are other credentials than those of the renewal ``known``, which were refused.

        Of several threads that are refused at once one renews them; the others send again with what it got.
        """
        with self._renewing:
            if self._renewals != known:
                return True
            renewed = self.auth.refresh()
            self._renewals += renewed
            return renewed

    def _send(self, request: Request) -> Response:
        check_stop()
        # Not the other way round: a permission of this period is not to be used in a later one.
        with self.budget.in_flight(request.bucket):
            self.budget.acquire(request.bucket)
            check_stop()
            headers = {"Accept-Encoding": "gzip", **request.headers, **self._credentials(request)}
            self._count(request.purpose)
            response = self._exchange(request, headers)
        self.budget.learn(request.bucket, response.status, response.headers)
        if response.status == 429:
            self._count("throttled")
        return response

    def _credentials(self, request: Request) -> Mapping[str, str]:
        headers = self.auth.headers()
        if not all(_HEADER_VALUE.fullmatch(value) for value in headers.values()):
            raise CredentialsError(
                f"{_where(request)}: a key or token of the connection holds characters that no header can "
                "carry; enter it again"
            )
        return headers

    def _exchange(self, request: Request, headers: Mapping[str, str]) -> Response:
        guard = Guard.of(request)
        try:
            answer = self._connections.open(request, headers, guard)
        except (OutOfTime, HeadTooLong, BodyTooLong) as error:
            raise _beyond(request, error) from error
        except urllib3.exceptions.HTTPError as error:
            raise _not_answered(request, error, sent=guard.sent) from error
        except requests.exceptions.RequestException as error:
            raise _not_reached(request, error) from error
        except (ConnectionError, TimeoutError) as error:
            raise Unavailable(f"{_where(request)} broke off: {_cause(error)}") from error
        except OSError as error:
            # All that is left is what is said of a CA bundle that cannot be read.
            raise DefinitionError(
                f"{_where(request)}: the CA bundle {self._connections.verify} cannot be used "
                f"({error.strerror or error}); check the connection's ca_bundle"
            ) from error
        with contextlib.closing(answer):
            body = _read_whole_body(answer, request)
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        answer.release_conn()
        return Response(answer.status, lowered, body)

    def _again(self, attempt: Callable[[], T], most: int, passing: Callable[[Unavailable], bool]) -> T:
        """What ``attempt`` returns, at the latest of ``most`` times that it fails in a ``passing`` way.

        Answers of 429 are no such times: the budget paces what follows them, for _LONGEST_REFUSED_S at most.
        """
        tried = 0
        refused_since: int | None = None
        while True:
            try:
                return attempt()
            except _Throttled as error:
                now = self._clock.now()
                refused_since = now if refused_since is None else refused_since
                if now - refused_since >= _LONGEST_REFUSED_S * TICK_PER_SECOND or not passing(error):
                    raise
                pause = _pause(error, 1)
                self._count("retried")
                self.budget.count_wait(pause)
                log.info("refused (%s); again in %.1f s or later", self._without_secrets(str(error)), pause)
            except Unavailable as error:
                refused_since = None
                tried += 1
                if tried == most or not passing(error):
                    raise
                pause = _pause(error, tried)
                self._count("retried")
                said = self._without_secrets(str(error))
                log.warning("attempt %d failed (%s); again in %.1f s", tried, said, pause)
            self._sleep(pause)

    def _sleep(self, seconds: float) -> None:
        check_stop()
        self._clock.sleep(seconds)
        check_stop()

    def _count(self, name: str) -> None:
        with self._counting:
            self.stats[name] += 1

    def _without_secrets(self, text: str) -> str:
        for secret in self.auth.secrets():
            # One of a letter or two is in nearly every word: taking it out would tell it, by the places where it is
            # missing, and nobody could read the rest. No API gives keys that short.
            if len(secret) >= _LEAST_SECRET:
                text = text.replace(secret, "***")
        return text


class _Throttled(Unavailable):
    """Answered 429."""


def _not_answered(request: Request, error: urllib3.exceptions.HTTPError, *, sent: bool) -> SourceError:
    """The error for a request that no answer's head came to; ``sent``: what was waited for was that head."""
    cause = _innermost(error)
    if isinstance(error, urllib3.exceptions.InvalidHeader):
        return FailedAnswer(f"{_where(request)} answered with a header that cannot be read")
    if sent and isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return FailedAnswer(f"{_where(request)} did not answer in time: {_cause(error)}")
    if type(cause) is http.client.HTTPException or isinstance(cause, http.client.LineTooLong):
        return SourceError(
            f"{_where(request)} answered with a head that no API sends: {cause}; {_CHECK_HOST}"
        )
    if isinstance(error, urllib3.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            return Unavailable(f"{_where(request)} broke off its TLS connection: {_cause(error)}")
        return SourceError(
            f"{_where(request)} offered a certificate that is not trusted ({type(error).__name__}); "
            "set the connection's ca_bundle to the CA file"
        )
    return _not_reached(request, error)


_UNREACHED = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.ProxyError,
)
"""Nobody was spoken to: no server's fault makes these, so that there is something to check here."""
_CHECK_HOST = "check what answers at the connection's site or host"


def _not_reached(request: Request, error: Exception) -> Unavailable:
    cause = _innermost(error)
    if isinstance(cause, socket.gaierror):
        return Unavailable(
            f"{_where(request)} could not be sent: the host's name cannot be resolved "
            f"({cause.strerror or cause}); check the connection's site or host, and DNS on this machine"
        )
    if isinstance(error, _UNREACHED):
        return Unavailable(
            f"{_where(request)} could not be reached ({_cause(error)}); check the connection's site or host, the proxy "
            "if the environment names one (HTTPS_PROXY, HTTP_PROXY), and this machine's network"
        )
    return Unavailable(f"{_where(request)} could not be reached or broke off: {_cause(error)}")


def _read_whole_body(answer: urllib3.response.BaseHTTPResponse, request: Request) -> bytes | bytearray:
    """A body that breaks off or stalls may be too large for the way: FailedAnswer, so that less is asked for."""
    good = 200 <= answer.status < 300
    try:
        if not good:
            return read_body(answer, MOST_ERROR_BYTES, cut=True)
        return read_body(answer, request.most_bytes, recycled=request.recycled)
    except StrangeEncoding as error:
        if not good:
            return b""
        raise SourceError(
            f"{_where(request)} answered in the encoding {str(error)!r}, which was not asked for; {_CHECK_HOST}"
        ) from error
    except (TooLong, OutOfTime, HeadTooLong, BodyTooLong) as error:
        raise _beyond(request, error) from error
    except (urllib3.exceptions.HTTPError, NotWhole, ValueError) as error:
        raise FailedAnswer(f"{_where(request)} did not send its answer whole: {_cause(error)}") from error


def _beyond(request: Request, error: Exception) -> SourceError:
    """The error for an answer that went beyond what it may take."""
    if isinstance(error, OutOfTime):
        return FailedAnswer(f"{_where(request)} did not send its answer in time: {error}")
    if isinstance(error, HeadTooLong):
        return SourceError(
            f"{_where(request)} answered with a head that no API sends: {error}; {_CHECK_HOST}"
        )
    return TooMuch(f"{_where(request)} sent more than {request.most_bytes:,} bytes in one answer")


def _is_not_whole(error: Unavailable) -> bool:
    return isinstance(error, FailedAnswer)


def _is_passing(error: Unavailable) -> bool:
    return not isinstance(error, FailedAnswer) and (error.wait_s is None or error.wait_s <= LONGEST_WAIT_S)


def _pause(error: Unavailable, tried: int) -> float:
    """The server's wait when it named one, never less; else exponential with full jitter."""
    jittered = random.uniform(0.0, min(2.0 ** (tried - 1), _LONGEST_BACKOFF_S))
    return jittered if error.wait_s is None else min(max(error.wait_s, min(jittered, 1.0)), LONGEST_WAIT_S)


def _where(request: Request) -> str:
    return f"{request.method} {request.url.split('?', 1)[0]}"


def _cause(error: BaseException) -> str:
    """The innermost reason, without the URL (which requests repeats in full)."""
    innermost = _innermost(error)
    return f"{type(innermost).__name__}: {innermost}"[:200]


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return error
