"""A Datadog history of any size in which no event is made when it is asked for: the answers of a benchmark.

Event number n is a closed form: its time, its id and its JSON follow from n alone, so nothing but one block of
events is ever held, and what an export should hold is known exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from logferry_sandbox.datadog_prepared_shapes import prepared_events
from logferry_sandbox.datadog_query import Query
from logferry_sandbox.datadog_shapes import FLEX_ONLY_INDEX, INDEXES
from logferry_sandbox.datadog_store import HOUR_MS, Chunk, matching_rows
from logferry_sandbox.http_server import Made
from logferry_sandbox.prepared_rows import Computed, Spread, Template, rows_of_block

_MS_PER_SECOND = 1_000
_HEAD = b'{"id":"'
_ID_HEAD = b"AwAAAZ"
_BLOCK_DIGITS = 6
_RUN = 50_000
_MOST_HELD_BYTES = 16_000_000
"""A larger run of events is made while it is sent: a page of 1 MB messages would take a gigabyte."""
_T = TypeVar("_T")


class PreparedEvents:
    """A Source (see ``datadog_store``) of ``rows`` events over ``seconds`` from ``start_s``, all in index ``main``.

    They are about ``event_bytes`` of JSON each, one in ``odd_every`` is of an awkward shape (0: none). Ids are unique
    and ascend with the row number, as do the times. Safe for many threads.
    """

    indexes: tuple[str, ...] = INDEXES
    flex_only = frozenset({FLEX_ONLY_INDEX})

    def __init__(
        self,
        rows: int,
        *,
        start_s: int,
        seconds: int,
        event_bytes: int = 1100,
        odd_every: int = 1000,
        seed: int = 0,
        block_rows: int | None = None,
    ) -> None:
        self._spread = Spread(
            rows,
            start_s,
            seconds,
            per_second=_MS_PER_SECOND,
            seed=seed,
            block_rows=block_rows or rows_of_block(event_bytes),
        )
        made = prepared_events(
            self._spread.block_rows, event_bytes=event_bytes, odd_every=odd_every, seed=seed
        )
        self._id_tails = [event.id_tail for event in made]
        self._template = Template(
            [
                (b"", event.id_tail + event.before, b"", b"%03dZ" % ms + event.after + b",")
                for event, ms in zip(made, self._spread.fractions(), strict=True)
            ],
            block_gaps=[0],
            second_gaps=[2],
            block_width=len(_HEAD) + len(_ID_HEAD) + _BLOCK_DIGITS,
        )

    @property
    def rows(self) -> int:
        return self._spread.rows

    @property
    def block_rows(self) -> int:
        """After so many events the same ones follow, but for their ids and times."""
        return self._spread.block_rows

    def row(self, number: int) -> tuple[str, int]:
        """Id and time (ms since 1970) of an event."""
        return self.ids(number, number + 1)[0].decode(), self._spread.time_of(number)

    def rows_between(self, from_ms: int, to_ms: int) -> range:
        """The numbers of the events of ``[from_ms, to_ms)``."""
        return range(self.rows_before(from_ms), self.rows_before(to_ms))

    def rows_before(self, at_ms: int) -> int:
        """How many events are earlier than ``at_ms``."""
        return self._spread.rows_before(at_ms)

    def ids_sha256(self, rows: range) -> str:
        """As ``datadog_store.ids_sha256`` of the ids of ``rows``, without holding them."""
        digest, separator = hashlib.sha256(), b""
        for start in range(rows.start, rows.stop, _RUN):
            digest.update(separator + b"\n".join(self.ids(start, min(start + _RUN, rows.stop))))
            separator = b"\n"
        return digest.hexdigest()

    def hours(self, from_ms: int, to_ms: int) -> range:
        """See Source."""
        first = max(from_ms, self._spread.time_of(0)) // HOUR_MS
        last = min(to_ms - 1, self._spread.time_of(self.rows - 1)) // HOUR_MS
        return range(first, max(first, last + 1))

    def chunk(self, hour: int) -> Chunk:
        """See Source."""
        return _PreparedChunk(self, self.rows_between(hour * HOUR_MS, (hour + 1) * HOUR_MS))

    def joined(self, start: int, stop: int) -> memoryview | Made:
        """The JSON of rows ``[start, stop)`` with commas between."""
        size = self._template.bytes_before(stop) - self._template.bytes_before(start) - 1
        if size > _MOST_HELD_BYTES:
            return Made(size, lambda: self._one_by_one(start, stop))
        runs = list(self._filled(start, stop))
        return memoryview(runs[0] if len(runs) == 1 else b"".join(runs))[:-1]

    def bodies(self, start: int, stop: int) -> list[bytes]:
        """The JSON of rows ``[start, stop)`` one by one."""
        spread, fill = self._spread, self._template.fill_each
        return [
            body
            for block, first, end in spread.runs(start, stop)
            for body in fill(first, end, _block_text(block), spread.seconds(block, first, end))
        ]

    def times(self, start: int, stop: int) -> list[int]:
        """The times of rows ``[start, stop)``, ms since 1970."""
        return [self._spread.time_of(row) for row in range(start, stop)]

    def ids(self, start: int, stop: int) -> list[bytes]:
        """The ids of rows ``[start, stop)``."""
        ids: list[bytes] = []
        for block, first, end in self._spread.runs(start, stop):
            head = _ID_HEAD + b"%0*d" % (_BLOCK_DIGITS, block)
            ids += [head + tail for tail in self._id_tails[first:end]]
        return ids

    def _one_by_one(self, start: int, stop: int) -> Iterator[bytes]:
        separator = b""
        for row in range(start, stop):
            yield separator + self.bodies(row, row + 1)[0]
            separator = b","

    def _filled(self, start: int, stop: int) -> Iterator[bytes]:
        spread, fill = self._spread, self._template.fill
        for block, first, end in spread.runs(start, stop):
            yield fill(first, end, _block_text(block), spread.seconds(block, first, end))


class _PreparedChunk:
    """The events of one hour: nothing but their row numbers."""

    def __init__(self, events: PreparedEvents, rows: range) -> None:
        self._events = events
        self._first = rows.start
        self._size = len(rows)
        self.times: Sequence[int] = self._computed(events.times)

    def rows_before(self, at_ms: int) -> int:
        return min(max(self._events.rows_before(at_ms) - self._first, 0), self._size)

    def ids(self) -> Sequence[bytes]:
        return self._computed(self._events.ids)

    def bodies(self) -> Sequence[bytes]:
        return self._computed(self._events.bodies)

    def joined(self, start: int, stop: int) -> memoryview | Made:
        return self._events.joined(self._first + start, self._first + stop)

    def index_of(self, row: int) -> str:
        return INDEXES[0]

    def has_index_other_than(self, indexes: frozenset[str]) -> bool:
        return INDEXES[0] not in indexes

    def matching(self, query: Query) -> Iterable[int] | None:
        return matching_rows(query, self.bodies())

    def _computed(self, run: Callable[[int, int], list[_T]]) -> Computed[_T]:
        first = self._first
        return Computed(self._size, lambda start, stop: run(first + start, first + stop))


def _block_text(block: int) -> bytes:
    return _HEAD + _ID_HEAD + b"%0*d" % (_BLOCK_DIGITS, block)
