"""Pages of the Datadog Logs Search API to record batches.

Two decoders for one meaning. The plain one is compiled for the shape that nearly every event has and refuses
anything else; a page it refuses goes through the careful one, which looks at each member by itself and keeps
what has no column in ``extra``. Event shape: https://docs.datadoghq.com/api/latest/logs/#search-logs-post.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from logferry.convert.promote import ARROW_TYPES, promote
from logferry.convert.repair import MarkedDocument, readable_text
from logferry.convert.text import read_text, valid_text
from logferry.errors import FailedAnswer
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.spec import ColumnSpec
from logferry.window import TICK_PER_MICROSECOND, TICK_PER_MS, from_datetime, parse_instant

_TIME = pa.timestamp("us", tz="UTC")
_TAGS = pa.list_(pa.string())

FIXED_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("id", pa.string()),
    ("timestamp", _TIME),
    ("status", pa.string()),
    ("service", pa.string()),
    ("host", pa.string()),
    ("message", pa.string()),
    ("tags", _TAGS),
    ("attributes", pa.string()),
    ("extra", pa.string()),
)
"""The columns of every Datadog export, in order; promoted columns follow."""


_ABSENT = msgspec.Raw(b"")


class _Inner(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    timestamp: str
    status: str | None = None
    service: str | None = None
    host: str | None = None
    message: str | None = None
    tags: list[str] | None = None
    attributes: msgspec.Raw = _ABSENT


class _Event(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    attributes: _Inner
    id: str | None = None
    type: Literal["log"] = "log"


_decode_plain = msgspec.json.Decoder(list[_Event]).decode
_decode_one_plain = msgspec.json.Decoder(_Event).decode
_decode_events = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Columns:
    """The columns of a page while it is read."""

    def __init__(self) -> None:
        self.ids: list[str | None] = []
        self.ticks: list[int] = []
        self.texts: dict[str, list[str | None]] = {n: [] for n in ("status", "service", "host", "message")}
        self.tags: list[list[str] | None] = []
        self.attributes: list[bytes | None] = []
        self.extra: list[str | None] = []
        self.invalid_text = 0


def output_schema(columns: Mapping[str, ColumnSpec]) -> pa.Schema:
    """Arrow schema of the files: the fixed columns, then the promoted ones."""
    promoted = [(name, ARROW_TYPES[column.type]) for name, column in columns.items()]
    return pa.schema([pa.field(name, kind) for name, kind in (*FIXED_FIELDS, *promoted)])


def read_events(data: bytes, columns: Mapping[str, ColumnSpec]) -> tuple[pa.RecordBatch, dict[str, int]]:
    """The batch of one page (``data``: the raw JSON array) with TICK_COLUMN and ID_COLUMN, and notes.

    Raises FailedAnswer when an event has no readable time: a row that belongs to no slice must not vanish.
    """
    try:
        events = _decode_plain(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_carefully(data, columns)
    inner = [event.attributes for event in events]
    documents = [_document(item.attributes) for item in inner]
    try:
        times = pa.array([item.timestamp for item in inner], pa.string()).cast(_TIME)
        texts = pa.array(documents, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        # A time in another form, or bytes in a document that are no UTF-8.
        return _read_carefully(data, columns)
    arrays = [
        pa.array([event.id for event in events], pa.string()),
        times,
        pa.array([item.status for item in inner], pa.string()),
        pa.array([item.service for item in inner], pa.string()),
        pa.array([item.host for item in inner], pa.string()),
        pa.array([item.message for item in inner], pa.string()),
        pa.array([item.tags for item in inner], _TAGS),
        texts,
        pa.nulls(len(events), pa.string()),
    ]
    ticks = pc.multiply(times.cast(pa.int64()), TICK_PER_MICROSECOND)
    return _batch(arrays, ticks, documents, columns, {})


def _read_carefully(data: bytes, columns: Mapping[str, ColumnSpec]) -> tuple[pa.RecordBatch, dict[str, int]]:
    text, undecodable = readable_text(data)
    marked = MarkedDocument(text.encode())
    page = _Columns()
    page.invalid_text = undecodable
    try:
        for event in _decode_events(marked.document):
            if not _read_plain(event, page, marked):
                _read_event(_decode_members(event), page, marked)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FailedAnswer(f"a page of the log search is not a list of events: {error}") from error
    arrays = [
        pa.array(page.ids, pa.string()),
        pa.array([tick // TICK_PER_MICROSECOND for tick in page.ticks], _TIME),
        *(pa.array(page.texts[name], pa.string()) for name in ("status", "service", "host", "message")),
        pa.array(page.tags, _TAGS),
        pa.array(page.attributes, pa.binary()).cast(pa.string()),
        pa.array(page.extra, pa.string()),
    ]
    notes = {"invalid_text": page.invalid_text} if page.invalid_text else {}
    return _batch(arrays, pa.array(page.ticks, pa.int64()), page.attributes, columns, notes)


def _batch(
    arrays: list[pa.Array],
    ticks: pa.Array,
    documents: Sequence[bytes | None],
    columns: Mapping[str, ColumnSpec],
    notes: dict[str, int],
) -> tuple[pa.RecordBatch, dict[str, int]]:
    schema = output_schema(columns).append(pa.field(TICK_COLUMN, pa.int64()))
    schema = schema.append(pa.field(ID_COLUMN, pa.string()))
    promoted: list[pa.Array] = []
    if columns:
        promoted, misfits = promote(documents, columns)
        notes = {**notes, **misfits}
    batch = pa.RecordBatch.from_arrays([*arrays, *promoted, ticks, arrays[0]], schema=schema)
    return batch, notes


def _read_plain(raw: msgspec.Raw, page: _Columns, marked: MarkedDocument) -> bool:
    """Add an event of the usual shape; False, and nothing added, for any other. One odd event among a thousand
    must not make the other 999 slow."""
    if marked.touched(bytes(raw)):
        return False
    try:
        event = _decode_one_plain(raw)
        tick = _plain_tick(event.attributes.timestamp)
    except (msgspec.DecodeError, ValueError, OverflowError):
        return False
    inner = event.attributes
    page.ids.append(event.id)
    page.ticks.append(tick)
    page.texts["status"].append(inner.status)
    page.texts["service"].append(inner.service)
    page.texts["host"].append(inner.host)
    page.texts["message"].append(inner.message)
    page.tags.append(inner.tags)
    page.attributes.append(_document(inner.attributes))
    page.extra.append(None)
    return True


def _read_event(event: dict[str, msgspec.Raw], page: _Columns, marked: MarkedDocument) -> None:
    extra: dict[str, bytes] = {}
    inner_extra: dict[str, bytes] = {}
    inner: dict[str, msgspec.Raw] = {}
    identity: str | None = None
    for name, raw in event.items():
        token = marked.restore(bytes(raw))
        if name == "attributes" and token.startswith(b"{"):
            inner = _decode_members(raw)
        elif name == "id" and token.startswith(b'"'):
            identity = _text(token, name, extra, page)
        elif not (name == "type" and token == b'"log"') and not (name == "id" and token == b"null"):
            extra[name] = token
    texts: dict[str, str | None] = dict.fromkeys(page.texts)
    tags: list[str] | None = None
    document: bytes | None = None
    tokens = {name: marked.restore(bytes(raw)) for name, raw in inner.items()}
    for name, token in tokens.items():
        if name == "timestamp" or (token == b"null" and (name in texts or name in ("tags", "attributes"))):
            continue
        if name in texts and token.startswith(b'"'):
            texts[name] = _text(token, name, inner_extra, page)
        elif name == "attributes":
            document = token
        elif name == "tags":
            tags = _tags(token, inner_extra, page)
        else:
            inner_extra[name] = token
    page.ids.append(identity)
    page.ticks.append(_tick(tokens.get("timestamp", b""), identity))
    for name, value in texts.items():
        page.texts[name].append(value)
    page.tags.append(tags)
    page.attributes.append(document)
    if inner_extra:
        extra["attributes"] = _object(inner_extra, marked)
    page.extra.append(_object(extra, marked).decode() if extra else None)


def _text(token: bytes, name: str, extra: dict[str, bytes], page: _Columns) -> str:
    text, replaced = read_text(token)
    if replaced:
        extra[name] = token
        page.invalid_text += 1
    return text


def _tags(token: bytes, extra: dict[str, bytes], page: _Columns) -> list[str] | None:
    """The tags, or None when they are no list of strings; what the column cannot hold goes to ``extra``."""
    try:
        loaded: Any = json.loads(token)
    except ValueError:  # a number of thousands of digits
        loaded = None
    if not isinstance(loaded, list) or not all(isinstance(tag, str) for tag in loaded):
        extra["tags"] = token
        return None
    tags = [valid_text(tag) for tag in loaded]
    if tags != loaded:
        extra["tags"] = token
        page.invalid_text += 1
    return tags


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


def _plain_tick(text: str) -> int:
    """The form that the API sends, ``2022-04-11T16:29:47.000Z``, fast; any other by the exact parser."""
    if len(text) == 24 and text[19] == "." and text[23] == "Z":
        return from_datetime(datetime.fromisoformat(text))
    return parse_instant(text)


def _within_int64(tick: int) -> int:
    if tick >= 2**63:
        raise OverflowError
    return tick


def _object(members: dict[str, bytes], marked: MarkedDocument) -> bytes:
    """A JSON object of members that are JSON already; their names as they were received."""
    named = (marked.restore(json.dumps(name).encode()) + b":" + token for name, token in members.items())
    return b"{" + b",".join(named) + b"}"


def _document(raw: msgspec.Raw) -> bytes | None:
    document = bytes(raw)
    return None if document in (b"", b"null") else document
