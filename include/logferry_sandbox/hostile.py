"""Servers that mean harm, or are badly broken: what goes over the wire instead of an answer, byte by byte.

Each kind is a stream without end or as large as asked for, made while it is sent.
"""

import time
import zlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

_MIB = 1024 * 1024
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_GZIP = 16 + zlib.MAX_WBITS

KINDS = frozenset(
    {
        "endless_body",
        "gzip_bomb",
        "strange_encoding",
        "drip_body",
        "drip_head",
        "many_headers",
        "long_headers",
        "interim_flood",
        "endless_trailer",
        "negative_chunk",
        "cut_chunks",
        "short_length",
        "redirect_loop",
        "garbage",
        "deep_json",
        "digits",
    }
)


def hostile(kind: str, params: Mapping[str, Any], path: str) -> Iterator[bytes]:
    """The bytes of an answer of one of KINDS to a request for ``path``. ``params``:

    - ``bytes`` (10 GB; for bombs 1 GB, decoded): how much; ``framing``: ``length``, ``chunked`` or ``close``
    - ``encoding``: the Content-Encoding claimed; for a bomb ``gzip`` or ``gzip, gzip``
    - ``interval_s`` (1.0): between the bytes of a drip
    - ``start``, ``item``, ``close``, ``end``, ``depth`` (100,000): of nested JSON; ``digits`` (a million)
    - ``headers`` (10,000), ``status`` (200)
    """
    size = int(params.get("bytes", 10 * 1000**3))
    framing = params.get("framing", "length")
    match kind:
        case "endless_body":
            yield _status(params) + _framing(framing, size, params.get("encoding"))
            yield from _framed(framing, _zeros(size))
        case "gzip_bomb":
            bomb = _bomb(int(params.get("bytes", 1000**3)), twice="," in params.get("encoding", ""))
            yield _status(params) + _framing(framing, len(bomb), params.get("encoding", "gzip"))
            yield from _framed(framing, iter((bomb,)))
        case "strange_encoding":
            yield _OK + _framing("length", 4, params.get("encoding", "br")) + b"1234"
        case "drip_body":
            yield _OK + _framing(framing, size, None)
            yield from _framed(framing, _drip(params))
        case "drip_head":
            yield _OK + b"X-Drip: "
            yield from _drip(params)
        case "many_headers":
            yield _OK
            for number in range(int(params.get("headers", 10_000))):
                yield b"X-Header-%d: value\r\n" % number
            yield b"Content-Length: 2\r\n\r\n{}"
        case "long_headers":
            yield _OK
            for number in range(90):
                yield b"X-Header-%d: " % number + b"v" * 60_000 + b"\r\n"
            yield b"Content-Length: 2\r\n\r\n{}"
        case "interim_flood":
            while True:
                yield b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000
        case "endless_trailer":
            yield _OK + _framing("chunked", 0, None) + b"2\r\n{}\r\n0\r\n"
            while True:
                yield b"X-Trailer: value\r\n" * 1_000
        case "negative_chunk":
            yield _OK + _framing("chunked", 0, None) + b"-1\r\n"
            yield from _zeros(size)
        case "cut_chunks":
            yield _OK + _framing("chunked", 0, None) + b'400\r\n{"data":['
        case "short_length":
            yield _OK + b"Content-Length: 4\r\n\r\n" + b'{"data":[],"meta":{"status":"done"}}'
        case "redirect_loop":
            yield b"HTTP/1.1 302 Found\r\nLocation: " + path.encode() + b"\r\n"
            yield _framing("close", 0, None)
            yield from _zeros(size)
        case "garbage":
            yield b"\x00\x01\xff SSH-2.0 is not what was asked for " * 1_000
        case "deep_json":
            depth = int(params.get("depth", 100_000))
            item, close = params.get("item", "["), params.get("close", "]")
            text = f"{params.get('start', '')}{item * depth}{close * depth}{params.get('end', '')}".encode()
            yield _status(params) + _framing("length", len(text), None) + text
        case "digits":
            sevens = "7" * int(params.get("digits", 1_000_000))
            text = f"{params.get('start', '')}{sevens}{params.get('end', '')}".encode()
            yield _status(params) + _framing("length", len(text), None) + text
        case _:
            raise ValueError(f"unknown hostile kind {kind!r}; known: {', '.join(sorted(KINDS))}")


def _status(params: Mapping[str, Any]) -> bytes:
    return b"HTTP/1.1 %d Status\r\nContent-Type: application/json\r\n" % int(params.get("status", 200))


def _framing(framing: str, size: int, encoding: str | None) -> bytes:
    head = b"" if encoding is None else b"Content-Encoding: " + encoding.encode() + b"\r\n"
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n" % size
    return head + (b"Transfer-Encoding: chunked\r\n\r\n" if framing == "chunked" else b"\r\n")


def _framed(framing: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunked" else piece
    if framing == "chunked":
        yield b"0\r\n\r\n"


def _zeros(size: int) -> Iterator[bytes]:
    piece = b"0" * _MIB
    while size > 0:
        yield piece[:size]
        size -= len(piece)


def _drip(params: Mapping[str, Any]) -> Iterator[bytes]:
    while True:
        yield b"x"
        time.sleep(float(params.get("interval_s", 1.0)))


@cache
def _bomb(size: int, *, twice: bool) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    bomb = b"".join([packer.compress(piece) for piece in _zeros(size)]) + packer.flush()
    if twice:
        packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
        bomb = packer.compress(bomb) + packer.flush()
    return bomb
