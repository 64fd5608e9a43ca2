"""``python -m tests.chaos.s3_server``: ministack, corrected in one point.

It takes a body that breaks off for a whole one, so that a client killed in mid-upload leaves half an object. S3 stores
nothing then (IncompleteBody, https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app

_read_body = app._read_request_body


async def _whole_body(receive: Callable[[], Awaitable[Any]], method: str, headers: dict[str, str]) -> bytes:
    async def attentive() -> Any:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client is gone before its body was whole")
        return message

    body: bytes = await _read_body(attentive, method, headers)
    return body


if __name__ == "__main__":
    app._read_request_body = _whole_body
    app.main()
