"""The orders a search can ask for: a page of rows after a position, by time or by a facet."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from logferry_sandbox.datadog_cursor import Cursor
from logferry_sandbox.datadog_filter import Filter
from logferry_sandbox.datadog_query import as_number, facet_values
from logferry_sandbox.datadog_store import DatadogStore, Segment, View, parse_event
from logferry_sandbox.http_server import Piece

_BEFORE_EVERY_ID = ""
_AFTER_EVERY_ID = "\x7f"


@dataclass(slots=True)
class Rows:
    """One page: the events' JSON, their number, the cursor after the last of them, and whether none follows.

    A text of ``bodies`` is one event, or a run of events with commas between.
    """

    bodies: list[Piece]
    size: int
    last: Cursor | None
    exhausted: bool


class TimeOrder:
    """By (timestamp, id), ascending or descending."""

    def __init__(self, store: DatadogStore, found: Filter, *, descending: bool, apart: bool) -> None:
        """``apart``: every text of a page is one event."""
        self._store = store
        self._found = found
        self._descending = descending
        self._apart = apart

    def start(self) -> Cursor:
        """The position before every row."""
        if self._descending:
            return Cursor(_AFTER_EVERY_ID, str(self._found.to_ms))
        return Cursor(_BEFORE_EVERY_ID, str(self._found.from_ms))

    def page(self, after: Cursor | None, limit: int) -> Rows:
        """Up to ``limit`` rows after ``after``. Raises ValueError for a cursor of another order."""
        bodies: list[Piece] = []
        size, last = 0, None
        for segment in self._after(after):
            if size == limit:
                return Rows(bodies, size, last, exhausted=False)
            view, found = segment.view, segment.end - segment.start
            take = min(found, limit - size)
            size += take
            if self._descending:
                first = segment.end - take
                bodies.extend(reversed(view.bodies(first, segment.end)))
                last = _position(view, first)
            else:
                end = segment.start + take
                if self._apart:
                    bodies.extend(view.bodies(segment.start, end))
                else:
                    bodies.append(view.joined(segment.start, end))
                last = _position(view, end - 1)
            if take < found:
                return Rows(bodies, size, last, exhausted=False)
        return Rows(bodies, size, last, exhausted=True)

    def row_at(self, position: Cursor) -> bytes | None:
        """The event a cursor stands right after."""
        at_ms = _time_of(position)
        for segment in self._store.segments(self._found.selection, at_ms, at_ms + 1):
            row = segment.view.locate(at_ms, position.after.encode())
            if row < segment.end and segment.view.id(row).decode() == position.after:
                return segment.view.bodies(row, row + 1)[0]
        return None

    def _after(self, after: Cursor | None) -> Iterator[Segment]:
        found, descending = self._found, self._descending
        from_ms, to_ms = found.from_ms, found.to_ms
        if after is None:
            yield from self._store.segments(found.selection, from_ms, to_ms, descending=descending)
            return
        at_ms, after_id = _time_of(after), after.after.encode()
        if descending:
            to_ms = min(to_ms, at_ms + 1)
        else:
            from_ms = max(from_ms, at_ms)
        if from_ms >= to_ms:
            return
        for segment in self._store.segments(found.selection, from_ms, to_ms, descending=descending):
            start, end = segment.start, segment.end
            if segment.view.times[start] <= at_ms <= segment.view.times[end - 1]:
                row = segment.view.locate(at_ms, after_id)
                if descending:
                    end = min(end, row)
                else:
                    is_row_itself = row < end and segment.view.id(row) == after_id
                    start = max(start, row + is_row_itself)
            if start < end:
                yield Segment(segment.view, start, end)


class FacetOrder:
    """By the first value of a facet, then id; numbers first, then texts, events without the facet last."""

    def __init__(self, store: DatadogStore, found: Filter, facet: str, *, descending: bool) -> None:
        self._descending = descending
        rows: list[tuple[_FacetKey, bytes]] = []
        for segment in store.segments(found.selection, found.from_ms, found.to_ms):
            for position in range(segment.start, segment.end):
                body = segment.view.bodies(position, position + 1)[0]
                values = facet_values(parse_event(body)["attributes"], facet)
                rows.append((_facet_key(values[0] if values else None, segment.view.id(position)), body))
        rows.sort(key=lambda row: row[0])
        with_facet = [row for row in rows if row[0][0] < _MISSING]
        without = rows[len(with_facet) :]
        self._rows = [*reversed(with_facet), *reversed(without)] if descending else rows

    def start(self) -> Cursor:
        """The position before every row: after no event at all."""
        return Cursor(_BEFORE_EVERY_ID, "")

    def page(self, after: Cursor | None, limit: int) -> Rows:
        """Up to ``limit`` rows after ``after``."""
        first = 0 if after is None or not after.after else self._index_after(after)
        taken = self._rows[first : first + limit]
        last = None
        if taken:
            (rank, number, text, event_id), _ = taken[-1]
            value = None if rank == _MISSING else str(number) if rank == _NUMBER else text
            last = Cursor(event_id.decode(), value)
        bodies: list[Piece] = [body for _, body in taken]
        return Rows(bodies, len(bodies), last, first + limit >= len(self._rows))

    def row_at(self, position: Cursor) -> bytes | None:
        """The event a cursor stands right after."""
        before = self._index_after(position) - 1
        return self._rows[before][1] if before >= 0 else None

    def _index_after(self, after: Cursor) -> int:
        wanted = _facet_key(after.value, after.after.encode())
        if not self._descending:
            return bisect_right(self._rows, wanted, key=lambda row: row[0])
        # Descending turns the rows with the facet and those without around separately.
        split = next((n for n, (key, _) in enumerate(self._rows) if key[0] == _MISSING), len(self._rows))
        part = self._rows[split:] if wanted[0] == _MISSING else self._rows[:split]
        ascending = part[::-1]
        index = len(part) - bisect_left(ascending, wanted, key=lambda row: row[0])
        return index + (split if wanted[0] == _MISSING else 0)


_NUMBER, _TEXT, _MISSING = range(3)
_FacetKey = tuple[int, Decimal, str, bytes]


def _facet_key(value: object, event_id: bytes) -> _FacetKey:
    if value is None:
        return (_MISSING, Decimal(0), "", event_id)
    number = as_number(value)
    if number is not None:
        return (_NUMBER, number, "", event_id)
    return (_TEXT, Decimal(0), str(value), event_id)


def _position(view: View, row: int) -> Cursor:
    return Cursor(view.id(row).decode(), str(view.times[row]))


def _time_of(cursor: Cursor) -> int:
    if cursor.value is None or not cursor.value.isdecimal():
        raise ValueError("a cursor of another order")
    return int(cursor.value)
