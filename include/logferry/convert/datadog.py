"""Pages of the Datadog Logs Search API to record batches.

Whole columns at a time, and no Python value for what is kept as received: the free-form attributes of a page are
joined into one buffer, and of its tags each combination is decoded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from logferry.convert.datadog_events import Events, read_list
from logferry.convert.datadog_odd import MendedEvent, mend
from logferry.convert.promote import ARROW_TYPES, promote
from logferry.convert.tag_lists import TAGS, NoTags, TagLists
from logferry.errors import FailedAnswer
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.window import TICK_PER_MICROSECOND, from_datetime, parse_instant

if TYPE_CHECKING:
    from logferry.spec import ColumnSpec

_TIME = pa.timestamp("us", tz="UTC")

FIXED_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("id", pa.string()),
    ("timestamp", _TIME),
    ("status", pa.string()),
    ("service", pa.string()),
    ("host", pa.string()),
    ("message", pa.string()),
    ("tags", TAGS),
    ("attributes", pa.string()),
    ("extra", pa.string()),
)
"""The columns of every Datadog export, in order; promoted columns follow."""


_tag_lists = TagLists()
_NO_BYTES = msgspec.Raw(b"")


def output_schema(columns: Mapping[str, ColumnSpec]) -> pa.Schema:
    """Arrow schema of the files: the fixed columns, then the promoted ones."""
    promoted = [(name, ARROW_TYPES[column.type]) for name, column in columns.items()]
    return pa.schema([pa.field(name, kind) for name, kind in (*FIXED_FIELDS, *promoted)])


def read_events(data: bytes, columns: Mapping[str, ColumnSpec]) -> tuple[pa.RecordBatch, dict[str, int]]:
    """The batch of one page (``data``: the raw JSON array) with TICK_COLUMN and ID_COLUMN, and notes.

    Raises FailedAnswer when an event has no readable time: a row that belongs to no slice must not vanish.
    """
    try:
        events = read_list(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise FailedAnswer(f"a page of the log search is not a list of events: {error}") from error
    return to_batch(events, columns)


def to_batch(events: Events, columns: Mapping[str, ColumnSpec]) -> tuple[pa.RecordBatch, dict[str, int]]:
    """The same of events that have been split already."""
    page = _Page(events)
    tags, documents = page.tags(), page.documents()
    outer, inner = page.events, [event.attributes for event in page.events]
    times, ticks = page.times([item.timestamp for item in inner])
    ids = pa.array([event.id for event in outer], pa.string())
    arrays = [
        ids,
        times,
        pa.array([item.status for item in inner], pa.string()),
        pa.array([item.service for item in inner], pa.string()),
        pa.array([item.host for item in inner], pa.string()),
        pa.array([item.message for item in inner], pa.string()),
        tags,
        documents,
        page.extra(),
    ]
    notes = {"invalid_text": invalid} if (invalid := page.invalid_text()) else {}
    if columns:
        promoted, misfits = promote(page.raw_documents, columns)
        arrays += promoted
        notes |= misfits
    schema = output_schema(columns).append(pa.field(TICK_COLUMN, pa.int64()))
    schema = schema.append(pa.field(ID_COLUMN, pa.string()))
    return pa.RecordBatch.from_arrays([*arrays, ticks, ids], schema=schema), notes


class _Page:
    """The events of a page, its odd ones mended; a column that finds another odd one mends it too."""

    def __init__(self, events: Events) -> None:
        self.events = events.plain
        self._source = events
        self._mended: dict[int, MendedEvent] = {}
        self.raw_documents: list[msgspec.Raw | None] = []
        self._mend(events.odd)

    def tags(self) -> pa.Array:
        raws = list(map(bytes, [event.attributes.tags for event in self.events]))
        try:
            return _tag_lists.column(raws)
        except NoTags:
            refused = _tag_lists.refused(raws)
            self._mend([at for at, raw in enumerate(raws) if raw in refused])
            return self.tags()

    def documents(self) -> pa.Array:
        """The free-form attributes, byte for byte."""
        raws = [event.attributes.attributes for event in self.events]
        lengths = [len(raw) for raw in raws]
        valid = None
        self.raw_documents = [*raws]
        if 4 in lengths:
            known = [length != 4 or bytes(raw) != b"null" for raw, length in zip(raws, lengths, strict=True)]
            for at, is_known in enumerate(known):
                if not is_known:
                    raws[at], lengths[at], self.raw_documents[at] = _NO_BYTES, 0, None
            valid = pa.array(known, pa.bool_()).buffers()[1]
        edges = pa.array(accumulate(lengths, initial=0), pa.int32()).buffers()[1]
        buffers = [valid, edges, pa.py_buffer(b"".join(raws))]
        try:
            return pa.Array.from_buffers(pa.binary(), len(raws), buffers).cast(pa.string())
        except pa.ArrowInvalid:  # bytes that are no UTF-8
            self._mend([at for at, raw in enumerate(raws) if not _is_text(raw)])
            return self.documents()

    def times(self, texts: list[str]) -> tuple[pa.Array, pa.Array]:
        """``timestamp(us, UTC)``, floored, and exact ticks."""
        try:
            times = pa.array(texts, pa.string()).cast(_TIME)
            return times, pc.multiply(times.cast(pa.int64()), TICK_PER_MICROSECOND)
        except pa.ArrowInvalid:
            pass  # One of them is in another form.
        ticks = [
            self._mended[at].tick if at in self._mended else self._tick(text, at)
            for at, text in enumerate(texts)
        ]
        times = pa.array([tick // TICK_PER_MICROSECOND for tick in ticks], _TIME)
        return times, pa.array(ticks, pa.int64())

    def _tick(self, text: str, at: int) -> int:
        """The form that the API sends, ``2022-04-11T16:29:47.000Z``, fast; any other by the exact parser."""
        try:
            if len(text) == 24 and text[19] == "." and text[23] == "Z":
                return from_datetime(datetime.fromisoformat(text))
            return parse_instant(text)
        except (ValueError, OverflowError):
            self._mend([at])  # Tells what is wrong, or that the time comes in a still other form.
            return self._mended[at].tick

    def extra(self) -> pa.Array:
        if not any(mended.extra for mended in self._mended.values()):
            return pa.nulls(len(self.events), pa.string())
        texts: list[str | None] = [None] * len(self.events)
        for at, mended in self._mended.items():
            texts[at] = mended.extra
        return pa.array(texts, pa.string())

    def invalid_text(self) -> int:
        return sum(mended.invalid for mended in self._mended.values())

    def _mend(self, places: Sequence[int]) -> None:
        if not places:
            return
        raws = self._source.split()
        for at in places:
            self._mended[at] = mended = mend(raws[at], self._source.marked)
            self.events[at] = mended.event


def _is_text(raw: msgspec.Raw) -> bool:
    try:
        bytes(raw).decode()
    except UnicodeDecodeError:
        return False
    return True
