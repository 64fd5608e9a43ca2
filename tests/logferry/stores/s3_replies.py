"""Connections to an S3 of the tests, and answers that it would not give by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from logferry.connection import Connection

SECRET = "wJalrXUtnFEMI-secret"


def connection(url: str, **extra: Any) -> Connection:
    return Connection(
        "lake", "aws", login="AKIDEXAMPLE", password=SECRET, extra={"endpoint_url": url, **extra}
    )


Reply = Callable[[], AWSResponse]


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._content

    def read(self, amount: int | None = None) -> bytes:
        content, self._content = self._content, b""
        return content


def reply(status: int, body: bytes = b"", **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: AWSResponse("http://x", status, HTTPHeaders.from_dict(names), _Body(body))


def refusal(status: int, code: str) -> Reply:
    xml = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told you so</Message></Error>"
    return reply(status, xml.encode(), content_type="application/xml")
