"""JSON documents that carry text which is no text."""

from __future__ import annotations

import re

_ESCAPED_SURROGATES = re.compile(rb"(?<!\\)((?:\\\\)*)((?:\\u[dD][89a-fA-F][0-9a-fA-F]{2})+)")
_PAIR_OR_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_HALF_LENGTH = len(rb"\ud800")


def repair_surrogates(document: bytes) -> tuple[bytes, int]:
    """The document with each escaped half of a surrogate pair as ``\\ufffd``, and how many there were.

    Such halves are legal JSON (RFC 8259, 8.2) but msgspec refuses the whole document for one. The length
    stays the same, so places in the result are places in the original.
    """
    halves = 0

    def one(match: re.Match[bytes]) -> bytes:
        nonlocal halves
        if len(match[0]) > _HALF_LENGTH:
            return match[0]
        halves += 1
        return rb"\ufffd"

    def run(match: re.Match[bytes]) -> bytes:
        return match[1] + _PAIR_OR_HALF.sub(one, match[2])

    return _ESCAPED_SURROGATES.sub(run, document), halves


def readable_text(data: bytes) -> tuple[str, int]:
    """The UTF-8 text, bytes that are none as U+FFFD; and 1 when there were any, else 0."""
    try:
        return data.decode(), 0
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace"), 1


class MarkedDocument:
    """A document whose escaped surrogate halves are replaced by readable marks, so that it can be decoded and
    any token of it turned back into the exact bytes received."""

    def __init__(self, document: bytes) -> None:
        mark = b"surrogate-half-"
        while mark in document:
            mark = b"-" + mark
        self._mark = mark
        self._restore = re.compile(re.escape(mark) + rb"([0-9a-fA-F]{4})")

        def one(match: re.Match[bytes]) -> bytes:
            return match[0] if len(match[0]) > _HALF_LENGTH else mark + match[0][2:]

        def run(match: re.Match[bytes]) -> bytes:
            return match[1] + _PAIR_OR_HALF.sub(one, match[2])

        # Nearly every document has no such escape at all, and the expression is slow on a long one.
        suspect = b"\\ud" in document or b"\\uD" in document
        self.document = _ESCAPED_SURROGATES.sub(run, document) if suspect else document

    def touched(self, token: bytes) -> bool:
        """Whether the token carries a mark."""
        return self._mark in token

    def restore(self, token: bytes) -> bytes:
        """The token as it was received."""
        return self._restore.sub(rb"\\u\1", token)
