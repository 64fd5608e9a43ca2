"""Odd events of Datadog: each member looked at by itself, and what has no column kept as JSON.

Unknown members, texts that are numbers, tags that are no list of texts, halves of surrogate pairs, bytes that are no
UTF-8, times as numbers. What comes out is an event like any other, and what goes to ``extra`` beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import msgspec

from logferry.convert.datadog_events import NULL, PlainEvent, PlainInner
from logferry.convert.repair import MarkedDocument, readable_text
from logferry.convert.text import read_text, valid_text
from logferry.errors import FailedAnswer
from logferry.window import TICK_PER_MS, parse_instant

_TEXTS = ("status", "service", "host", "message")
_MOST_VALUES = 1_000_000
"""Values in one odd event, by its commas; Datadog takes events of 1 MB
(https://docs.datadoghq.com/logs/log_collection/). Each takes some hundred bytes while its event is looked at."""


class _Unmarked:
    """What stands for a MarkedDocument where nothing was marked."""

    def restore(self, token: bytes) -> bytes:
        return token


_UNMARKED = _Unmarked()
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(slots=True)
class MendedEvent:
    """An odd event made plain, but for a time that was a number: ``tick`` holds it.

    ``extra``: a JSON object of what the plain event cannot hold, None when there is nothing. ``invalid`` counts texts
    that were none.
    """

    event: PlainEvent
    tick: int
    extra: str | None
    invalid: int


@dataclass(slots=True)
class _Leftovers:
    outer: dict[str, bytes] = field(default_factory=dict)
    inner: dict[str, bytes] = field(default_factory=dict)
    invalid: int = 0


def mend(event: msgspec.Raw, marked: MarkedDocument | None) -> MendedEvent:
    """Raises FailedAnswer when the event is no object, has no readable time, or holds more than a million values."""
    if len(event) > _MOST_VALUES and bytes(event).count(b",") > _MOST_VALUES:
        raise FailedAnswer(f"an event of {len(event):,} bytes holds more than {_MOST_VALUES:,} values")
    text, undecodable = readable_text(bytes(event))
    document = text.encode() if undecodable else bytes(event)
    try:
        return _mend(document, marked or _UNMARKED, undecodable)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FailedAnswer(f"a page of the log search is not a list of events: {error}") from error


def _mend(document: bytes, marked: MarkedDocument | _Unmarked, undecodable: int) -> MendedEvent:
    left = _Leftovers(invalid=undecodable)
    inner: dict[str, msgspec.Raw] = {}
    identity: str | None = None
    for name, raw in _decode_members(document).items():
        token = marked.restore(bytes(raw))
        if name == "attributes" and token.startswith(b"{"):
            inner = _decode_members(raw)
        elif name == "id" and token.startswith(b'"'):
            identity = _text(token, name, left.outer, left)
        elif not (name == "type" and token == b'"log"') and not (name == "id" and token == b"null"):
            left.outer[name] = token
    plain = PlainInner("")  # of a time that comes as a number no text is made
    tokens = {name: marked.restore(bytes(raw)) for name, raw in inner.items()}
    for name, token in tokens.items():
        if name == "timestamp" or (token == b"null" and name in (*_TEXTS, "tags", "attributes")):
            continue
        if name in _TEXTS and token.startswith(b'"'):
            setattr(plain, name, _text(token, name, left.inner, left))
        elif name == "attributes":
            plain.attributes = msgspec.Raw(token)
        elif name == "tags":
            plain.tags = _tags(token, left)
        else:
            left.inner[name] = token
    time = tokens.get("timestamp", b"")
    tick = _tick(time, identity)
    if not time.isdigit():
        plain.timestamp = read_text(time)[0]
    if left.inner:
        left.outer["attributes"] = _object(left.inner, marked)
    extra = _object(left.outer, marked).decode() if left.outer else None
    return MendedEvent(PlainEvent(plain, identity), tick, extra, left.invalid)


def _text(token: bytes, name: str, extra: dict[str, bytes], left: _Leftovers) -> str:
    text, replaced = read_text(token)
    if replaced:
        extra[name] = token
        left.invalid += 1
    return text


def _tags(token: bytes, left: _Leftovers) -> msgspec.Raw:
    """The tags as JSON, NULL when they are no list of strings; what the column cannot hold is left over."""
    try:
        loaded: Any = json.loads(token)
    except (ValueError, RecursionError):  # a number of thousands of digits; lists in lists
        loaded = None
    if not isinstance(loaded, list) or not all(isinstance(tag, str) for tag in loaded):
        left.inner["tags"] = token
        return NULL
    tags = [valid_text(tag) for tag in loaded]
    if tags != loaded:
        left.inner["tags"] = token
        left.invalid += 1
    return msgspec.Raw(msgspec.json.encode(tags))


def _tick(token: bytes, identity: str | None) -> int:
    try:
        if token.isdigit():
            return _within_int64(int(token) * TICK_PER_MS)
        return parse_instant(read_text(token)[0])
    except (ValueError, OverflowError):
        raise FailedAnswer(
            f"the event {identity or '(without id)'} has no readable timestamp "
            f"({token[:40].decode('utf-8', 'replace') or 'missing'})"
        ) from None


def _within_int64(tick: int) -> int:
    if tick >= 2**63:
        raise OverflowError
    return tick


def _object(members: dict[str, bytes], marked: MarkedDocument | _Unmarked) -> bytes:
    """A JSON object of members that are JSON already; their names as they were received."""
    named = (marked.restore(json.dumps(name).encode()) + b":" + token for name, token in members.items())
    return b"{" + b",".join(named) + b"}"
