"""How the app answers: JSON and files with an ETag, errors as one sentence, headers on everything."""

from __future__ import annotations

import gzip
import html
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request, Response

from logferry_airflow.page.static_files import StaticFile

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "Cookie, Authorization, Accept-Encoding",
}
"""On every answer, those of errors too."""

_WORTH_ZIPPING = 1_000
_SENTENCES = {
    HTTPStatus.UNAUTHORIZED: "you are not logged in to Airflow, or your login has expired; log in and try again",
    HTTPStatus.FORBIDDEN: "you may not do this; ask for the permission in Airflow",
    HTTPStatus.NOT_FOUND: "there is nothing at this address",
    HTTPStatus.METHOD_NOT_ALLOWED: "this page only answers GET; what it starts, it asks of Airflow's REST API",
}

_OF_STATUS: Mapping[int, dict[str, str]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"},
    HTTPStatus.METHOD_NOT_ALLOWED: {"Allow": "GET, HEAD"},
}
"""Headers that a status demands (RFC 9110, 15.5)."""


class Refusal(Exception):
    """An answer that is no page: its status and one sentence for the reader."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def encoded(value: Any) -> bytes:
    r"""JSON. Half a surrogate pair, which UTF-8 has no bytes for, is written out (``\udcff``): names of files and
    texts of definitions may hold one."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_written_out(value))


def _written_out(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_written_out(key): _written_out(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_written_out(one) for one in value]
    return value


def json_answer(request: Request, tag: str, make: Callable[[], Any]) -> Response:
    """What ``make`` returns, as JSON; 304 without making it when the reader has the content that ``tag`` stands for.

    ``tag``: two contents that differ never have the same.
    """
    zipped = takes_gzip(request)
    if has(request, quoted(tag, zipped)):
        return _unchanged(quoted(tag, zipped))
    body = encoded(make())
    if zipped and len(body) >= _WORTH_ZIPPING:
        return _content(gzip.compress(body, 5, mtime=0), "application/json", tag, zipped=True)
    # A body too small to be worth it has the tag that its reader will send: of an answer that may be compressed.
    return Response(body, media_type="application/json", headers={"ETag": quoted(tag, zipped)})


def file_answer(request: Request, file: StaticFile) -> Response:
    """A file, or 304 for a reader who has it."""
    zipped = takes_gzip(request) and file.zipped is not None
    if has(request, quoted(file.tag, zipped)):
        return _unchanged(quoted(file.tag, zipped))
    content = file.zipped if zipped and file.zipped is not None else file.content
    return _content(content, file.media_type, file.tag, zipped=zipped)


def error_answer(status: int, sentence: str | None = None) -> Response:
    """``{"error": "<one sentence>"}``. None: what the status means here."""
    said = sentence or _SENTENCES.get(HTTPStatus(status), "Airflow could not answer this; try again")
    # The engine says several things wrong with one definition in as many lines.
    body = encoded({"error": "; ".join(said.split("\n"))})
    return Response(body, status_code=status, media_type="application/json", headers=_OF_STATUS.get(status))


def log_in_page(login_url: str) -> Response:
    """The page for somebody who is not logged in."""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Log in to Airflow</title></head><body>'
        "<h1>The archive</h1><p>This page is for users of Airflow. "
        f'<a href="{html.escape(login_url)}">Log in to Airflow</a>, then open it again.</p></body></html>'
    )
    return Response(text, status_code=HTTPStatus.UNAUTHORIZED, media_type="text/html")


Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Envelope:
    """Around the app: the headers on every answer, HEAD as GET without its body, and one sentence for an error that
    nobody foresaw.

    Such an error is logged here and goes no further: the reader learns nothing of it, and Airflow is left in peace.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False
        bodiless = scope["method"] == "HEAD"
        if bodiless:
            scope = {**scope, "method": "GET"}

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                given = {name.lower() for name, _ in message.setdefault("headers", [])}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (name.lower().encode(), value.encode())
                        for name, value in HEADERS.items()
                        if name.lower().encode() not in given
                    ),
                ]
            elif bodiless and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("the coverage page could not answer %r", scope.get("path"))
            if begun:
                raise
            sentence = "the page could not make this answer; the log of Airflow's API server says why"
            failed = error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, sentence)
            await failed(scope, receive, send_with_headers)


def _content(body: bytes, media_type: str, tag: str, *, zipped: bool) -> Response:
    headers = {"ETag": quoted(tag, zipped), "Content-Type": media_type}
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers)


def _unchanged(quoted: str) -> Response:
    return Response(status_code=HTTPStatus.NOT_MODIFIED, headers={"ETag": quoted})


def quoted(tag: str, zipped: bool) -> str:
    """A strong ETag stands for bytes, so the compressed content has its own (RFC 9110, 8.8.3)."""
    return f'"{tag}-gzip"' if zipped else f'"{tag}"'


def has(request: Request, quoted: str) -> bool:
    """A proxy that compresses may have made the tag weak; that reader has the content all the same."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or quoted in re.findall(r'"[^"]*"', given)


def takes_gzip(request: Request) -> bool:
    for offer in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, weight = offer.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
