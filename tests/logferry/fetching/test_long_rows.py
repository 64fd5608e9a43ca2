"""Rows of a megabyte: asked for by few, read where they came to, and what they took is given back."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import pytest

from logferry.errors import TooMuch
from logferry.fetching import fetch as fetching
from logferry.fetching import pages
from logferry.fetching.fetch import Account, Fetcher
from logferry.fetching.gate import Gate, guarded
from logferry.fetching.pace import Pace
from logferry.fetching.page_limit import PAGE_BYTES
from logferry.fetching.readers import Readers
from logferry.http import Client
from logferry.sources import reading
from logferry.sources.base import MIB, Page, Request, Response, Share
from logferry.window import TICK_PER_MS, TICK_PER_SECOND, Window, parse_instant

from ..memory_source import SCHEMA, DirectClient, Event, MemorySource

START = parse_instant("2026-11-20T03:00:00Z")
HOUR = Window(START, START + 3_600 * TICK_PER_SECOND)
BOUND = 32 * MIB


@dataclass
class HeavySource(MemorySource):
    """Pages of more than BOUND do not come through. ``came``: the limit and the bytes of those that did."""

    page_rows: int = 1000
    refused: int = 0
    came: list[tuple[int | None, int]] = field(default_factory=list)

    def _page(self, span: Window, cursor: str | None, limit: int | None, share: Share | None) -> Page:
        page = super()._page(span, cursor, limit, share)
        if page.body_bytes > BOUND:
            self.refused += 1
            raise TooMuch("sent more than that in one answer")
        self.came.append((limit, page.body_bytes))
        return page


def rows_of(bytes_each: int, count: int, *, to: Window = HOUR) -> list[Event]:
    step = to.ticks // count // TICK_PER_MS * TICK_PER_MS
    return [Event(to.start + at * step, f"{at:06}", bytes=bytes_each) for at in range(count)]


def fetcher_of(source: MemorySource, gate: Gate | None = None) -> Fetcher:
    return Fetcher(
        cast(Client, DirectClient()), source, SCHEMA, gate=gate, on_page=lambda rows, body_bytes: None
    )


def fetched(fetcher: Fetcher, span: Window, planned: int | None) -> list[str]:
    ids: list[str] = []
    for final in fetcher.fetch(span, planned=planned, account=Account()):
        if final.table is not None:
            ids += final.table["id"].to_pylist()
    return ids


@pytest.fixture(autouse=True)
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often memory was to be given back at once: these settings are the whole process's."""
    asked: list[str] = []
    monkeypatch.setattr(fetching, "give_back_large_pieces", lambda: asked.append("asked"))
    monkeypatch.setattr(fetching, "keep_blocks", lambda: asked.append("large answers"))
    return asked


@pytest.mark.parametrize("planned", [500, None])
def test_rows_of_a_megabyte_come_in_moderate_pages_and_hardly_any_twice(planned: int | None) -> None:
    source = HeavySource(rows_of(MIB, 500))
    assert fetched(fetcher_of(source), HOUR, planned) == source.truth(HOUR)
    assert source.refused <= 3
    sizes = [size for _, size in source.came]
    assert all(size <= PAGE_BYTES for size in sizes[2:])
    assert sum(sizes) < 500 * MIB * 1.05
    assert len(sizes) < 500 / 6


def test_what_one_slice_taught_the_next_knows() -> None:
    hours = HOUR.pieces(4, TICK_PER_SECOND)
    source = HeavySource(rows_of(MIB, 400))
    fetcher = fetcher_of(source)
    for hour in hours[:1]:
        fetched(fetcher, hour, None)
    refused, before = source.refused, len(source.came)
    for hour in hours[1:]:
        assert fetched(fetcher, hour, None) == source.truth(hour)
    assert source.refused == refused
    assert all(size <= PAGE_BYTES for _, size in source.came[before:])


def test_ordinary_rows_are_asked_for_by_full_pages_only(given_back: list[str]) -> None:
    source = HeavySource(rows_of(1_500, 10_500))
    assert fetched(fetcher_of(source), HOUR, 10_500) == source.truth(HOUR)
    assert [limit for limit, _ in source.came] == [None] * 11
    assert given_back == []


def test_rows_that_become_long_within_a_chain_are_asked_for_by_fewer_from_there_on() -> None:
    halves = HOUR.pieces(2, TICK_PER_SECOND)
    events = rows_of(1_000, 3_000, to=halves[0])
    events += [
        Event(one.tick + halves[0].ticks, f"{at:06}-long", bytes=25_000) for at, one in enumerate(events)
    ]
    source = HeavySource(events)
    assert fetched(fetcher_of(source), HOUR, len(events)) == source.truth(HOUR)
    limits = [limit or 1000 for limit, _ in source.came]
    assert limits[0] == 1000
    assert all(two <= one for one, two in pairwise(limits))
    assert all(size <= PAGE_BYTES for _, size in source.came[6:])


def test_long_rows_are_read_where_they_came_to_and_their_memory_is_given_back(
    given_back: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def noting(exchange: Any, gate: Gate, pace: Pace, start: int, *, here: bool = False) -> Any:
        asked.append(here)
        return guarded(exchange, gate, pace, start, here=here)

    monkeypatch.setattr(pages, "guarded", noting)
    source = HeavySource(rows_of(MIB, 60))
    fetched(fetcher_of(source), HOUR, 60)
    assert asked == [False] * (source.refused + 1) + [True] * (len(asked) - source.refused - 1)
    assert asked[-1]
    assert len(given_back) == len(source.came)
    ordinary = HeavySource(rows_of(1_000, 3_000))
    asked.clear()
    fetched(fetcher_of(ordinary), HOUR, 3_000)
    assert not any(asked)


class Reader:
    """Stands where a reader stands, and must not be asked."""

    lost = False
    cpu_s = 0.0

    def is_ready(self) -> bool:
        return True


class Crew:
    def __init__(self) -> None:
        self.started = 0

    def another(self) -> Reader:
        self.started += 1
        return Reader()


def answered(gate: Gate, *, here: bool) -> bool:
    """Whether a large answer was given to somebody else to read."""

    def exchange() -> Generator[Request, Response, bool]:
        yield cast(Request, None)
        return getattr(reading._thread, "reader", None) is not None

    run = guarded(exchange(), gate, Pace(), 0, here=here)
    next(run)
    try:
        run.send(Response(200, {}, bytes(20 * MIB)))
    except StopIteration as end:
        return bool(end.value)
    raise AssertionError("one request was to be sent")


def test_what_is_to_be_read_here_is_not_given_to_a_reader() -> None:
    gate = Gate(cast(Readers, Crew()))
    gate.expect(100 * MIB)
    with gate.turn(0):
        pass
    assert gate.places == 2
    assert not answered(gate, here=True)
    assert answered(gate, here=False)


@pytest.mark.parametrize(("here", "started"), [(True, 0), (False, 1)])
def test_answers_to_be_read_here_are_no_reason_to_start_a_reader(here: bool, started: int) -> None:
    crew = Crew()
    gate = Gate(cast(Readers, crew))

    def enter() -> None:
        with gate.turn(1, size=20 * MIB, here=here):
            pass

    with gate.turn(0):
        thread = threading.Thread(target=enter)
        thread.start()
        while not gate._waiting and thread.is_alive():
            thread.join(0.001)
    thread.join(30)
    assert crew.started == started


@pytest.mark.parametrize(
    ("row_bytes", "started", "expected"), [(MIB, 0, "asked"), (1_000, 1, "large answers")]
)
def test_a_reader_is_started_at_once_for_much_that_is_not_long(
    row_bytes: int, started: int, expected: str, given_back: list[str]
) -> None:
    crew = Crew()
    fetcher = fetcher_of(MemorySource([], answer_rows=500_000), Gate(cast(Readers, crew)))
    fetcher.expect(100 * MIB // row_bytes, 100 * MIB, largest=10 * MIB)
    assert crew.started == started
    assert given_back == [expected]


@pytest.mark.parametrize(("answer_rows", "largest"), [(500_000, 7 * MIB), (None, 100 * MIB)])
def test_what_is_free_is_kept_for_answers_that_are_not_large(
    answer_rows: int | None, largest: int, given_back: list[str]
) -> None:
    gate = Gate(cast(Readers, Crew()))
    fetcher_of(MemorySource([], answer_rows=answer_rows), gate).expect(100_000, 100 * MIB, largest=largest)
    assert given_back == []
