"""The one place that sends: sessions, retries, pacing, credentials.

Two bounded layers inside a call, and a third outside (the task's own retries):

- a request is sent again after a network fault, 408, 429 or 5xx, with jitter and the server's own wait;
- an operation is asked again when its answer is not whole (``FailedAnswer``).

A server that asks for more than ``LONGEST_WAIT_S`` is not waited for here: ``Unavailable`` carries its wish up.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Generator
from typing import TypeVar

import requests
import tenacity
import urllib3

from logferry.budget import LONGEST_WAIT_S, Budget, retry_after_s
from logferry.clock import Clock, SystemClock
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
from logferry.sources.base import Request, Response

log = logging.getLogger(__name__)

T = TypeVar("T")

CONNECT_TIMEOUT_S = 20.0
MOST_BODY_BYTES = 512 * 1024 * 1024
"""A decoded answer beyond this is given up: no API here sends as much, a hostile server might."""
_SEND_ATTEMPTS = 6
_ANSWER_ATTEMPTS = 3
_PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 507, 509, 520, 521, 522, 523, 524})


class Client:
    """Sends the requests of one credential. Not safe for use by several threads at once.

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
        session: requests.Session | None = None,
    ) -> None:
        self.auth = auth
        self._verify: str | bool = ca_bundle or True
        self._clock = clock or SystemClock()
        self.budget = budget or Budget(auth.key, clock=self._clock)
        self._session = session or requests.Session()
        # Without an auth of its own a session puts what ~/.netrc says in place of the Authorization header.
        self._session.auth = _as_it_is
        self.stats = {"search": 0, "count": 0, "schema": 0, "retried": 0, "throttled": 0}

    def run(self, make_exchange: Callable[[], Generator[Request, Response, T]]) -> T:
        """The result of an operation; ``make_exchange`` starts it anew for every attempt."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(FailedAnswer),
            stop=tenacity.stop_after_attempt(_ANSWER_ATTEMPTS),
            wait=_wait,
            sleep=self._clock.sleep,
            before_sleep=self._note_retry,
            reraise=True,
        )
        return retrying(lambda: self._drive(make_exchange()))

    def close(self) -> None:
        self._session.close()

    def _drive(self, exchange: Generator[Request, Response, T]) -> T:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(self._send_until_answered(request))
        except StopIteration as stop:
            result: T = stop.value
            return result
        except LogferryError as error:
            # An answer may echo the key it refuses, and errors quote answers.
            error.args = tuple(self._without_secrets(str(text)) for text in error.args)
            raise

    def _send_until_answered(self, request: Request) -> Response:
        if request.after_s:
            self._clock.sleep(request.after_s)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_passing),
            stop=tenacity.stop_after_attempt(_SEND_ATTEMPTS),
            wait=_wait,
            sleep=self._clock.sleep,
            before_sleep=self._note_retry,
            reraise=True,
        )
        return retrying(lambda: self._send_authenticated(request))

    def _send_authenticated(self, request: Request) -> Response:
        response = self._send(request)
        if response.status in (401, 403) and self.auth.refresh():
            # An expired token is answered with either status; a second refusal is the source's to explain.
            response = self._send(request)
        if response.status in _PASSING_STATUSES and response.status not in request.narrow_on:
            raise Unavailable(
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

    def _send(self, request: Request) -> Response:
        self.budget.acquire(request.bucket)
        self.stats[request.purpose] += 1
        headers = {"Accept-Encoding": "gzip", **request.headers, **self.auth.headers()}
        try:
            # verify goes with each call: CA variables of the environment beat a session's own setting.
            with self._session.request(
                request.method,
                request.url,
                data=request.body,
                headers=headers,
                timeout=(CONNECT_TIMEOUT_S, request.timeout_s),
                verify=self._verify,
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = _read_whole_body(answer, request)
                lowered = {name.lower(): value for name, value in answer.headers.items()}
                status = answer.status_code
        except (requests.exceptions.InvalidHeader, UnicodeEncodeError) as error:
            if isinstance(error.__context__, urllib3.exceptions.InvalidHeader):
                raise FailedAnswer(f"{_where(request)} answered with a header that cannot be read") from None
            # The cause would repeat the header, and with it the secret.
            raise CredentialsError(
                f"{_where(request)}: a key or token of the connection holds characters that no header can "
                "carry; enter it again"
            ) from None
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise Unavailable(
                    f"{_where(request)} broke off its TLS connection: {_cause(error)}"
                ) from error
            raise SourceError(
                f"{_where(request)} offered a certificate that is not trusted ({type(error).__name__}); "
                "set the connection's ca_bundle to the CA file"
            ) from error
        except requests.exceptions.ReadTimeout as error:
            raise FailedAnswer(f"{_where(request)} did not answer in time: {_cause(error)}") from error
        except requests.exceptions.RequestException as error:
            raise _not_reached(request, error) from error
        except (ConnectionError, TimeoutError) as error:
            raise Unavailable(f"{_where(request)} broke off: {_cause(error)}") from error
        except OSError as error:
            # All that is left is what requests says of a CA bundle it cannot read.
            raise DefinitionError(
                f"{_where(request)}: the CA bundle {self._verify} cannot be used ({error.strerror or error}); "
                "check the connection's ca_bundle"
            ) from error
        self.budget.learn(request.bucket, status, lowered)
        if status == 429:
            self.stats["throttled"] += 1
        return Response(status, lowered, body)

    def _without_secrets(self, text: str) -> str:
        for secret in self.auth.secrets():
            if secret:
                text = text.replace(secret, "***")
        return text

    def _note_retry(self, state: tenacity.RetryCallState) -> None:
        self.stats["retried"] += 1
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        said = self._without_secrets(str(error))
        log.warning("attempt %d failed (%s); again in %.1f s", state.attempt_number, said, pause)


def _not_reached(request: Request, error: Exception) -> Unavailable:
    cause = _innermost(error)
    if isinstance(cause, socket.gaierror):
        return Unavailable(
            f"{_where(request)} could not be sent: the host's name cannot be resolved "
            f"({cause.strerror or cause}); check the connection's site or host, and DNS on this machine"
        )
    return Unavailable(f"{_where(request)} could not be reached or broke off: {_cause(error)}")


def _as_it_is(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    return prepared


def _read_whole_body(answer: requests.Response, request: Request) -> bytes:
    """A body that breaks off or stalls may be too large for the way: FailedAnswer, so that less is asked for."""
    try:
        return _read_body(answer, request)
    except requests.exceptions.RequestException as error:
        raise FailedAnswer(f"{_where(request)} did not send its answer whole: {_cause(error)}") from error


def _read_body(answer: requests.Response, request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    for chunk in answer.iter_content(1 << 20):
        size += len(chunk)
        if size > MOST_BODY_BYTES:
            raise TooMuch(f"{_where(request)} sent more than {MOST_BODY_BYTES:,} bytes in one answer")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _is_passing(error: BaseException) -> bool:
    return (
        isinstance(error, Unavailable)
        and not isinstance(error, FailedAnswer)
        and (error.wait_s is None or error.wait_s <= LONGEST_WAIT_S)
    )


_exponential = tenacity.wait_random_exponential(multiplier=1, max=30)


def _wait(state: tenacity.RetryCallState) -> float:
    """The server's wait when it named one, never less; else exponential with full jitter."""
    error = state.outcome.exception() if state.outcome else None
    wished = error.wait_s if isinstance(error, Unavailable) else None
    jittered: float = _exponential(state)
    return min(max(wished, min(jittered, 1.0)), LONGEST_WAIT_S) if wished is not None else jittered


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


def excerpt(body: bytes) -> str:
    """At most 200 characters of an answer for an error message, on one line."""
    text = " ".join(body[:800].decode("utf-8", "replace").split())
    return text[:200] if text else "(empty body)"
