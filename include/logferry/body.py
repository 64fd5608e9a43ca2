"""The body of an answer, whole and bounded, whatever its server says of it."""

from __future__ import annotations

import io
import sys
import threading
import zlib

from urllib3.response import BaseHTTPResponse

_READ_BYTES = 1024 * 1024
_LARGE_BYTES = 8 * 1024 * 1024
"""What is smaller the C library gives out again by itself (``fetching.memory_pool.keep_blocks``)."""
_MOST_KEPT_BYTES = 96 * 1024 * 1024
"""Half as much again as the largest answers that are usual."""
_GZIP = 16 + zlib.MAX_WBITS
_MOST_MEMBERS = 1_000
"""Gzip streams one after the other in one body; some proxies end one at each of their own pieces."""


class TooLong(Exception):
    """The body has more bytes, decoded, than it may."""


class NotWhole(Exception):
    """The body's encoding is cut or broken."""


class StrangeEncoding(Exception):
    """The body is encoded in a way that was not asked for."""


def read_body(
    answer: BaseHTTPResponse, most_bytes: int, *, cut: bool = False, recycled: bool = False
) -> bytes | bytearray:
    """The decoded bytes, at most ``most_bytes`` of them; ``cut``: no more than that are looked at, else TooLong.
    ``recycled``: in the memory of the one before that this thread has read so, if nobody has that any more.

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
    in_pieces = length is None or gunzip or (recycled and length >= _LARGE_BYTES)
    step = _READ_BYTES if length is None or in_pieces else max(1, min(length, most_bytes))
    body = _Recycled() if recycled else io.BytesIO()
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
            whole: bytes | bytearray = piece
            break
        body.write(piece)
    else:
        # Not copied: what it gives is what it holds.
        whole = body.getvalue()
    if gunzip is not None:
        gunzip.check_end()
    return whole


def forget_body() -> None:
    """This thread reads no more bodies for now: what it keeps for the next recycled one is given back."""
    _kept.forget()


class _Kept(threading.local):
    """The memory of this thread's last recycled body."""

    def __init__(self) -> None:
        self._memory = bytearray()

    def take(self) -> bytearray:
        """It, with what is left in it; other memory while somebody has that."""
        # It is known here, and to the function that counts who else knows it.
        if sys.getrefcount(self._memory) > 2:
            self.forget()
        return self._memory

    def forget(self) -> None:
        self._memory = bytearray()


_kept = _Kept()


class _Recycled:
    """A body that is written over the one before. The system hands out memory in pages, and each is a fault and has to
    be cleared: for a body of 64 MB that takes as long as to receive it."""

    def __init__(self) -> None:
        self._memory = _kept.take()
        self._given_up = False
        self._size = 0

    def write(self, piece: bytes) -> None:
        end = self._size + len(piece)
        if end <= len(self._memory):
            memoryview(self._memory)[self._size : end] = piece
        else:
            self._memory[self._size :] = piece
        self._size = end
        if end > _MOST_KEPT_BYTES and not self._given_up:
            # Here, since a body that fails has no end.
            self._given_up = True
            _kept.forget()

    def getvalue(self) -> bytearray:
        """The body. Once."""
        del self._memory[self._size :]
        return self._memory


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
