"""The body of an answer, whole and bounded, whatever its server says of it."""

from __future__ import annotations

import io
import zlib

from urllib3.response import BaseHTTPResponse

_READ_BYTES = 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_MOST_MEMBERS = 1_000
"""Gzip streams one after the other in one body; some proxies end one at each of their own pieces."""


class TooLong(Exception):
    """The body has more bytes, decoded, than it may."""


class NotWhole(Exception):
    """The body's encoding is cut or broken."""


class StrangeEncoding(Exception):
    """The body is encoded in a way that was not asked for."""


def read_body(answer: BaseHTTPResponse, most_bytes: int, *, cut: bool = False) -> bytes:
    """The decoded bytes, at most ``most_bytes`` of them; ``cut``: no more than that are looked at, else TooLong.

    Only what was asked for is decoded: gzip, once. Never is more held than the limit, and what has arrived of the
    body. Raises TooLong, NotWhole, StrangeEncoding, the errors of urllib3, and ValueError for senseless chunks.
    """
    encoding = answer.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise StrangeEncoding(encoding[:40])
    length = _announced(answer)
    if length is not None and length > most_bytes and not cut:
        raise TooLong
    gunzip = _Gunzip() if "gzip" in encoding else None
    # One read and one piece of memory where that is known to suffice; of what is encoded only a little at a time.
    step = _READ_BYTES if length is None or gunzip else max(1, min(length, most_bytes))
    body = io.BytesIO()
    size = 0
    while data := answer.read(step, decode_content=False):
        piece = data if gunzip is None else gunzip.decode(data, most_bytes - size + 1)
        size += len(piece)
        if size > most_bytes:
            if not cut:
                raise TooLong
            body.write(piece)
            return body.getvalue()[:most_bytes]
        if size == len(piece) and length is not None and answer.length_remaining == 0:
            whole = piece
            break
        body.write(piece)
    else:
        # Not copied: what BytesIO gives is what it holds.
        whole = body.getvalue()
    if gunzip is not None:
        gunzip.check_end()
    return whole


class _Gunzip:
    """Decodes piece by piece, and never more than asked for: a bomb stays as small as it came."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._members = 1
        self._begun = False

    def decode(self, data: bytes, most: int) -> bytes:
        """What ``data`` decodes to; of more than ``most`` bytes the first ``most``, and the rest is lost."""
        pieces = []
        while data and most > 0:
            if self._stream.eof:
                self._members += 1
                if self._members > _MOST_MEMBERS:
                    raise NotWhole(f"its gzip consists of more than {_MOST_MEMBERS:,} streams")
                self._stream = zlib.decompressobj(_GZIP)
            self._begun = True
            try:
                piece = self._stream.decompress(data, most)
            except zlib.error as error:
                raise NotWhole(f"its gzip is broken: {error}") from error
            pieces.append(piece)
            most -= len(piece)
            data = self._stream.unused_data
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def check_end(self) -> None:
        """Raise NotWhole unless the last stream came to its end; a body of no bytes has none."""
        if self._begun and not self._stream.eof:
            raise NotWhole("its gzip is cut")


def _announced(answer: BaseHTTPResponse) -> int | None:
    """The length of the body as it is sent, None where the answer does not tell it."""
    return getattr(answer, "length_remaining", None)
