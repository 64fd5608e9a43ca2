"""A log API in memory, with cursors or with capped answers, that can be made to fail and to lie."""

from __future__ import annotations

import json
import random
import threading
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from logferry.errors import CountUnavailable, CursorLost, FailedAnswer, TooMuch, Unavailable
from logferry.sources.base import (
    ID_COLUMN,
    TICK_COLUMN,
    Page,
    Request,
    Response,
    Share,
    SizedCount,
    SourceColumn,
    SourceSchema,
)
from logferry.window import TICK_PER_MS, Window

SCHEMA = SourceSchema(
    (SourceColumn("id", "string", "id", "string"), SourceColumn("text", "string", "text", "string")),
    has_id=True,
)


@dataclass(frozen=True, order=True)
class Event:
    tick: int
    id: str
    text: str = ""
    bytes: int = 10


@dataclass
class MemorySource:
    """``faults`` happen to the pages in turn, ``always`` to every page after them; ``count_faults`` to the counts.

    ``most_rows`` and ``most_bytes`` make an answer too much. ``closed_start`` and ``closed_end``: whether the
    service takes its bounds as inclusive; as the contract says it is asked a tick wider on both sides. Several
    threads may ask at once; ``on_page`` is called by the one that asks, before it is answered, and finds in ``asked``
    what for (the last of ``searched`` may be another thread's).
    """

    events: list[Event]
    answer_rows: int | None = None
    page_rows: int = 10
    most_bytes: int | None = None
    faults: list[str] = field(default_factory=list)
    always: str = "none"
    count_faults: list[str] = field(default_factory=list)
    closed_start: bool = True
    closed_end: bool = True
    kind: str = "datadog"
    tick: int = TICK_PER_MS
    most_bins: int = 100
    most_shares: int = 1
    most_in_flight: int = 1
    reckoned: float | None = None
    search_bucket: str = "search"
    query: str = "*"
    on_page: Callable[[], None] = lambda: None
    searched: list[Window] = field(default_factory=list)
    counted: list[tuple[Window, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.events = sorted(self.events)
        self.faults, self.count_faults = list(self.faults), list(self.count_faults)
        self.ordered = self.unique_ids = self.answer_rows is None
        self.copies = 0
        self._answering = threading.Lock()
        self._asked = threading.local()

    @property
    def asked(self) -> Window:
        """What the thread that asks this asked for last."""
        span: Window = self._asked.span
        return span

    def identity(self) -> dict[str, Any]:
        return {"kind": self.kind, "query": self.query}

    def schema(self, window: Window) -> Generator[Request, Response, SourceSchema]:
        yield from ()
        return SCHEMA

    def truth(self, window: Window) -> list[str]:
        return [event.id for event in self.between(window.start, window.end)]

    def between(self, start: int, end: int) -> list[Event]:
        low = bisect_left(self.events, start, key=lambda event: event.tick)
        return self.events[low : bisect_left(self.events, end, key=lambda event: event.tick)]

    def count(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        yield from ()
        self.counted.append((window, bin_ticks))
        found: dict[int, int] = {}
        for event in self.between(window.start, window.end):
            start = event.tick // bin_ticks * bin_ticks
            found[start] = found.get(start, 0) + 1
        fault = self.count_faults.pop(0) if self.count_faults else "none"
        if fault == "unavailable":
            raise CountUnavailable("this key may not count")
        if fault == "busy":
            raise Unavailable("no counts for a while", wait_s=1.0)
        if fault == "truncated":
            return dict(sorted(found.items())[: len(found) // 2])
        if fault == "coarse":
            whole = {window.start: sum(found.values())}
            return whole if found else {}
        return found

    def sized_count(
        self, window: Window, bin_ticks: int, schema: SourceSchema
    ) -> Generator[Request, Response, SizedCount]:
        """Reckons ``reckoned`` of the true bytes; None: no sizes can be had here."""
        rows = yield from self.count(window, bin_ticks)
        if self.answer_rows is None or self.reckoned is None:
            return SizedCount(rows)
        sizes: dict[int, int] = {}
        for event in self.between(window.start, window.end):
            start = event.tick // bin_ticks * bin_ticks
            sizes[start] = sizes.get(start, 0) + event.bytes
        return SizedCount(rows, {start: int(size * self.reckoned) for start, size in sizes.items()})

    def page(
        self,
        span: Window,
        cursor: str | None,
        schema: SourceSchema,
        *,
        limit: int | None = None,
        share: Share | None = None,
    ) -> Generator[Request, Response, Page]:
        yield from ()
        self.searched.append(span)
        self._asked.span = span
        assert len(self.searched) < 20_000, "the fetch does not end"
        self.on_page()
        with self._answering:
            return self._page(span, cursor, limit, share)

    def _page(self, span: Window, cursor: str | None, limit: int | None, share: Share | None) -> Page:
        fault = self.faults.pop(0) if self.faults else self.always
        if self.answer_rows is not None:
            return self._answer(span, share, fault)
        low = bisect_left if self.closed_start else bisect_right
        high = bisect_right if self.closed_end else bisect_left
        start = low(self.events, span.start - self.tick, key=lambda event: event.tick)
        end = high(self.events, span.end + self.tick, key=lambda event: event.tick)
        at = start if cursor is None else json.loads(cursor)["at"]
        if fault == "lost" and cursor is not None:
            raise CursorLost("the cursor expired")
        if fault == "failed":
            raise FailedAnswer("the answer was partial")
        if fault == "broken":
            raise RuntimeError("nobody thought of this")
        after = min(at + (limit or self.page_rows), end)
        rows = self._faulty(self.events[at:after], fault, at)
        next_cursor = json.dumps({"at": after, "call": len(self.searched)})
        if fault == "repeat" and cursor is not None:
            next_cursor = cursor
        if fault == "empty":
            rows, next_cursor = [], json.dumps({"at": at, "call": len(self.searched)})
        return _page(rows, next_cursor if after < end or fault == "empty" else None)

    def _answer(self, span: Window, share: Share | None, fault: str) -> Page:
        found = self.between(span.start, span.end)
        if share is not None:
            found = [event for event in found if zlib.crc32(event.id.encode()) % share.of == share.index]
        size = sum(event.bytes for event in found)
        if len(found) > (self.answer_rows or 0) or (self.most_bytes is not None and size > self.most_bytes):
            raise TooMuch("more than an answer holds")
        rows = self._faulty(random.Random(len(self.searched)).sample(found, len(found)), fault, 0)
        return _page(rows, None, size)

    def _faulty(self, rows: list[Event], fault: str, at: int) -> list[Event]:
        dice = random.Random(len(self.searched))
        if fault == "shuffled":
            return dice.sample(rows, len(rows))
        if fault == "unordered" and len(rows) > 1:
            return [*rows[1:], rows[0]]
        if fault == "duplicate" and self.unique_ids and at:
            return [self.events[at - 1], *rows]
        if fault == "earlier" and self.unique_ids and at > 1:
            return [*rows, self.events[at - 2]]
        if fault == "drop" and rows:
            return [row for row in rows if row is not rows[len(rows) // 2]]
        if fault == "double" and len(rows) > 1:
            lost, doubled = dice.sample(rows, 2)
            self.copies += 1
            copy = replace(doubled, id=f"{doubled.id}+{self.copies}")
            return sorted([copy, *(row for row in rows if row is not lost)])
        return rows


def _page(rows: Sequence[Event], cursor: str | None, size: int | None = None) -> Page:
    ids = pa.array([row.id for row in rows], pa.string())
    table = pa.Table.from_arrays(
        [
            ids,
            pa.array([row.text for row in rows], pa.string()),
            pa.array([row.tick for row in rows], pa.int64()),
            ids,
        ],
        names=["id", "text", TICK_COLUMN, ID_COLUMN],
    )
    return Page(table, cursor, sum(row.bytes for row in rows) if size is None else size)


class DirectClient:
    """Runs exchanges that send nothing, without retries."""

    def __init__(self) -> None:
        self.stats = {"search": 0, "count": 0}
        self.budget = self

    def run(self, make_exchange: Callable[[], Generator[Request, Response, Any]]) -> Any:
        try:
            next(make_exchange())
        except StopIteration as stop:
            return stop.value
        raise AssertionError("a source in memory sends nothing")

    def requests_per_second(self, bucket: str) -> float | None:
        return None

    def forecast(self, bucket: str) -> None:
        return None

    def close(self) -> None: ...
