"""JSON documents that carry text which is no text."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import count

_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_HALF_LENGTH = len(rb"\ud800")
_BACKSLASH = ord("\\")
_MARKS = re.compile(rb"surrogate-half-[0-9]{1,9}-")


def repair_surrogates(document: bytes) -> tuple[bytes, int]:
    """The document with each escaped half of a surrogate pair as ``\\ufffd``, and how many there were.

    Such halves are legal JSON (RFC 8259, 8.2) but msgspec refuses the whole document for one. The length
    stays the same, so places in the result are places in the original.
    """
    halves = _halves(document)
    return _replaced(document, halves, lambda escape: rb"\ufffd"), len(halves)


def _halves(document: bytes) -> list[int]:
    """Where escaped halves of surrogate pairs stand alone, ascending. Linear in the document's length."""
    found: list[int] = []
    high: int | None = None
    for match in _ESCAPE.finditer(document):
        at = match.start()
        if _is_escaped(document, at):
            continue
        is_low = document[at + 3 : at + 4] in (b"c", b"d", b"e", b"f", b"C", b"D", b"E", b"F")
        if is_low and high is not None and high + _HALF_LENGTH == at:
            high = None
            continue
        if high is not None:
            found.append(high)
        high = None if is_low else at
        if is_low:
            found.append(at)
    return found if high is None else [*found, high]


def _is_escaped(document: bytes, at: int) -> bool:
    """Whether the backslash at this place is the second of an escaped backslash."""
    before = at
    while before and document[before - 1] == _BACKSLASH:
        before -= 1
    return (at - before) % 2 == 1


def _replaced(document: bytes, places: list[int], replacement: Callable[[bytes], bytes]) -> bytes:
    if not places:
        return document
    parts: list[bytes] = []
    end = 0
    for at in places:
        parts += [document[end:at], replacement(document[at : at + _HALF_LENGTH])]
        end = at + _HALF_LENGTH
    return b"".join([*parts, document[end:]])


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
        taken = set(_MARKS.findall(document))
        self._mark = mark = next(
            one for number in count() if (one := b"surrogate-half-%d-" % number) not in taken
        )
        self._restore = re.compile(re.escape(mark) + rb"([0-9a-fA-F]{4})")

        self.document = _replaced(document, _halves(document), lambda escape: mark + escape[2:])

    def touched(self, token: bytes) -> bool:
        """Whether the token carries a mark."""
        return self._mark in token

    def restore(self, token: bytes) -> bytes:
        """The token as it was received."""
        return self._restore.sub(rb"\\u\1", token)
