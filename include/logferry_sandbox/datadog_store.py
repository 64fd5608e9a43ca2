"""Events as the sandbox serves them: JSON bytes in hourly chunks, ordered by (millisecond, id).

A page is a join of stored bytes: nothing is parsed or serialised per request, except to evaluate a query
once per chunk.
"""

from __future__ import annotations

import hashlib
import json
import threading
import zlib
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from logferry_sandbox.datadog_query import Query, parse_query
from logferry_sandbox.datadog_shapes import FLEX_ONLY_INDEX, INDEXES
from logferry_sandbox.datadog_time import parse_instant
from logferry_sandbox.http_server import Piece

HOUR_MS = 3_600_000
_CACHED_ROWS = 8_000_000
_DECODE = json.JSONDecoder(parse_float=Decimal).decode  # json.loads would build a decoder per event


class Chunk(Protocol):
    """The events of one UTC hour. Ids and bodies may be made when first asked for."""

    @property
    def times(self) -> Sequence[int]:
        """The times in ascending order, ms since 1970."""

    def rows_before(self, at_ms: int) -> int:
        """How many of its events are earlier than ``at_ms``."""

    def ids(self) -> Sequence[bytes]:
        """The ids in the order of ``times``."""

    def bodies(self) -> Sequence[bytes]:
        """The events as JSON, in the order of ``times``."""

    def joined(self, start: int, end: int) -> Piece:
        """The JSON of the events in ``[start, end)``, commas between them."""

    def index_of(self, row: int) -> str:
        """The name of the index the event is in."""

    def matching(self, query: Query) -> Iterable[int] | None:
        """The rows that match, in order; None for all."""

    def has_index_other_than(self, indexes: frozenset[str]) -> bool:
        """Whether any event is in an index outside ``indexes``."""


class Source(Protocol):
    """Where chunks come from."""

    indexes: tuple[str, ...]
    flex_only: frozenset[str]

    def hours(self, from_ms: int, to_ms: int) -> range | Sequence[int]:
        """Ascending numbers (epoch hours) of the hours of [from_ms, to_ms) that may hold events."""

    def chunk(self, hour: int) -> Chunk:
        """The events of one hour."""


@runtime_checkable
class Numbered(Protocol):
    """A source that knows its events by their row numbers, without making any."""

    def rows_between(self, from_ms: int, to_ms: int) -> range:
        """The numbers of the events of ``[from_ms, to_ms)``."""

    def ids_sha256(self, rows: range) -> str:
        """``ids_sha256`` of the events of these numbers."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a request may see: its query, the key's restriction, its indexes and tier, and lateness."""

    query: Query
    restriction: Query
    indexes: frozenset[str] | None = None
    flex: bool = False
    late_every: int = 0

    def key(self) -> tuple[Any, ...]:
        """Equal for selections that choose the same events."""
        return (self.query.text, self.restriction.text, self.indexes, self.flex, self.late_every)


ALL = parse_query("*")


class View:
    """The selected events of one chunk, in order."""

    __slots__ = ("_rows", "chunk", "times")

    def __init__(self, chunk: Chunk, rows: array[int] | None) -> None:
        self.chunk = chunk
        self._rows = rows
        self.times: Sequence[int] = chunk.times
        if rows is not None:
            self.times = array("q", (chunk.times[row] for row in rows))

    def id(self, position: int) -> bytes:
        """The id of the event at ``position``."""
        return self.chunk.ids()[position if self._rows is None else self._rows[position]]

    def bodies(self, start: int, end: int) -> list[bytes]:
        """The JSON of the events in ``[start, end)``."""
        return self._taken(self.chunk.bodies(), start, end)

    def ids(self, start: int, end: int) -> list[bytes]:
        """The ids of the events in ``[start, end)``."""
        return self._taken(self.chunk.ids(), start, end)

    def _taken(self, of_all: Sequence[bytes], start: int, end: int) -> list[bytes]:
        if self._rows is None or start >= end:
            return list(of_all[start:end])
        rows = self._rows[start:end]
        run = of_all[rows[0] : rows[-1] + 1]  # taking one after the other costs more
        return [run[row - rows[0]] for row in rows]

    def joined(self, start: int, end: int) -> Piece:
        """The same as one text, commas between the events."""
        if self._rows is None:
            return self.chunk.joined(start, end)
        return b",".join(self.bodies(start, end))

    def rows_before(self, at_ms: int) -> int:
        """How many of the selected events are earlier than ``at_ms``."""
        return self.chunk.rows_before(at_ms) if self._rows is None else bisect_left(self.times, at_ms)

    def locate(self, at_ms: int, event_id: bytes) -> int:
        """The first position whose (time, id) is not below ``(at_ms, event_id)``."""
        low, high = self.rows_before(at_ms), self.rows_before(at_ms + 1)
        while low < high:
            middle = (low + high) // 2
            if self.id(middle) < event_id:
                low = middle + 1
            else:
                high = middle
        return low


@dataclass(frozen=True, slots=True)
class Segment:
    """Positions ``[start, end)`` of one view."""

    view: View
    start: int
    end: int


class DatadogStore:
    """All events of the sandbox org: those of ``source``, or the ``events`` given.

    An event is the API's own object (a mapping, or its exact JSON as bytes): ``attributes.timestamp`` is
    required, an ``id`` is made when missing. ``flex_only`` events go to the flex tier alone.
    """

    def __init__(
        self,
        source: Source | None = None,
        *,
        events: Iterable[Mapping[str, Any] | bytes] = (),
        flex_only: Iterable[Mapping[str, Any] | bytes] = (),
    ) -> None:
        self._source: Source = source or FixedEvents(events, flex_only)
        self._views: OrderedDict[tuple[Any, ...], View] = OrderedDict()
        self._held_rows = 0
        self._lock = threading.Lock()

    @property
    def indexes(self) -> tuple[str, ...]:
        """The names of the org's indexes."""
        return self._source.indexes

    def digest(self, from_ms: int, to_ms: int, query: str = "*") -> tuple[int, str]:
        """Rows and ``ids_sha256`` of ``truth``; prepared events are too many to list them."""
        if isinstance(self._source, Numbered) and query == "*":
            rows = self._source.rows_between(from_ms, to_ms)
            return len(rows), self._source.ids_sha256(rows)
        ids = self.truth(from_ms, to_ms, query)
        return len(ids), ids_sha256(ids)

    def segments(
        self, selection: Selection, from_ms: int, to_ms: int, *, descending: bool = False
    ) -> Iterator[Segment]:
        """The selected events of [from_ms, to_ms), hour by hour; empty hours are left out."""
        hours = self._source.hours(from_ms, to_ms)
        for hour in reversed(hours) if descending else hours:
            view = self._view(selection, hour)
            start, end = view.rows_before(from_ms), view.rows_before(to_ms)
            if start < end:
                yield Segment(view, start, end)

    def truth(self, from_ms: int, to_ms: int, query: str = "*", **visible: Any) -> list[str]:
        """The ids of [from_ms, to_ms) in order of (time, id), by a plain scan; ``visible``: of Selection."""
        selection = Selection(parse_query(query), ALL, **visible)
        return [
            event_id.decode()
            for segment in self.segments(selection, from_ms, to_ms)
            for event_id in segment.view.ids(segment.start, segment.end)
        ]

    def _view(self, selection: Selection, hour: int) -> View:
        key = (hour, *selection.key())
        # One request at a time makes views: two threads making the same hour would only slow each other down.
        with self._lock:
            chunk = self._source.chunk(hour)
            view = self._views.get(key)
            if view is None or view.chunk is not chunk:
                view = View(chunk, _selected_rows(chunk, selection, self._source))
                replaced = self._views.pop(key, None)
                self._views[key] = view
                self._held_rows += len(view.times) - (len(replaced.times) if replaced else 0)
                while self._held_rows > _CACHED_ROWS and len(self._views) > 1:
                    _, oldest = self._views.popitem(last=False)
                    self._held_rows -= len(oldest.times)
            self._views.move_to_end(key)
            return view


def ids_sha256(ids: Iterable[str]) -> str:
    """SHA-256 of the ids, one a line, in the order given."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def parse_event(body: bytes) -> dict[str, Any]:
    """An event as Python values, every fraction an exact decimal."""
    event: dict[str, Any] = _DECODE(body.decode())
    return event


def _selected_rows(chunk: Chunk, selection: Selection, source: Source) -> array[int] | None:
    rows: Iterable[int] | None = None
    allowed = frozenset(source.indexes) if selection.indexes is None else selection.indexes
    if not selection.flex:
        allowed -= source.flex_only
    if chunk.has_index_other_than(allowed):
        rows = [row for row in range(len(chunk.times)) if chunk.index_of(row) in allowed]
    for query in (selection.query, selection.restriction):
        matching = chunk.matching(query)
        if matching is not None:
            kept = set(matching)
            rows = [row for row in (range(len(chunk.times)) if rows is None else rows) if row in kept]
    if selection.late_every:
        ids = list(chunk.ids())
        every = range(len(ids)) if rows is None else rows
        rows = [row for row in every if not is_late(ids[row], selection.late_every)]
    return None if rows is None else array("I", rows)


def is_late(event_id: bytes, late_every: int) -> bool:
    """Whether the event is one of the late ones."""
    return zlib.crc32(event_id) % late_every == 0


class FixedEvents:
    """Chunks of a given set of events."""

    indexes: tuple[str, ...] = INDEXES
    flex_only = frozenset({FLEX_ONLY_INDEX})

    def __init__(
        self,
        events: Iterable[Mapping[str, Any] | bytes],
        flex_only: Iterable[Mapping[str, Any] | bytes],
    ) -> None:
        rows: dict[int, list[tuple[int, bytes, bytes, str]]] = {}
        for index, group in (("main", events), (FLEX_ONLY_INDEX, flex_only)):
            for number, event in enumerate(group):
                at_ms, event_id, body = _stored(event, f"{index}-{number:08d}")
                rows.setdefault(at_ms // HOUR_MS, []).append((at_ms, event_id, body, index))
        self._chunks = {hour: _FixedChunk(sorted(rows[hour])) for hour in sorted(rows)}

    def hours(self, from_ms: int, to_ms: int) -> Sequence[int]:
        """See Source."""
        return [hour for hour in self._chunks if from_ms < (hour + 1) * HOUR_MS and hour * HOUR_MS < to_ms]

    def chunk(self, hour: int) -> Chunk:
        """See Source."""
        return self._chunks[hour]


class _FixedChunk:
    def __init__(self, rows: list[tuple[int, bytes, bytes, str]]) -> None:
        self.times = array("q", (row[0] for row in rows))
        self._ids = [row[1] for row in rows]
        self._bodies = [row[2] for row in rows]
        self._indexes = [row[3] for row in rows]

    def rows_before(self, at_ms: int) -> int:
        return bisect_left(self.times, at_ms)

    def ids(self) -> Sequence[bytes]:
        return self._ids

    def bodies(self) -> Sequence[bytes]:
        return self._bodies

    def joined(self, start: int, end: int) -> bytes:
        return b",".join(self._bodies[start:end])

    def index_of(self, row: int) -> str:
        return self._indexes[row]

    def has_index_other_than(self, indexes: frozenset[str]) -> bool:
        return not indexes.issuperset(self._indexes)

    def matching(self, query: Query) -> Iterable[int] | None:
        return matching_rows(query, self._bodies)


def matching_rows(query: Query, bodies: Sequence[bytes]) -> Iterable[int] | None:
    """The rows whose JSON matches ``query``; None for all."""
    if query.everything:
        return None
    return [row for row, body in enumerate(bodies) if query.matches(parse_event(body)["attributes"])]


def _stored(event: Mapping[str, Any] | bytes, made_id: str) -> tuple[int, bytes, bytes]:
    parsed = parse_event(event) if isinstance(event, bytes) else event
    event_id = parsed.get("id", made_id)
    at_ms = parse_instant(parsed["attributes"]["timestamp"], 0)
    if isinstance(event, bytes):
        if "id" not in parsed:
            raise ValueError("an event given as bytes needs its own id")
        return at_ms, event_id.encode(), event
    body = json.dumps({"id": event_id, "type": "log", **event}, ensure_ascii=False, separators=(",", ":"))
    return at_ms, event_id.encode(), body.encode()
