"""Fetching a slice: whatever the source puts in the way, the rows are exactly the slice's rows, or an error."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.errors import CursorLost, FailedAnswer, SourceError, TooMuch
from logferry.fetching.fetch import Account, Fetcher, Restart, fetch_slice
from logferry.http import Client
from logferry.sources.base import (
    ID_COLUMN,
    TICK_COLUMN,
    LogSource,
    Page,
    Request,
    Response,
    Share,
    SourceColumn,
    SourceSchema,
)
from logferry.window import TICK_PER_MS, Window, parse_instant

START = parse_instant("2026-11-20T03:00:00Z")
SLICE = Window(START, START + 40 * TICK_PER_MS)
SCHEMA = SourceSchema((SourceColumn("value", "string", "value", "string"),), has_id=True)


@dataclass(frozen=True, order=True)
class Event:
    tick: int
    id: str | None
    value: str = ""


@dataclass
class PagedSource:
    """A source with cursors. ``order`` is how it lists its events; ``faults`` happen to its pages in turn.

    Like the real one it is asked a tick wider than the span on both sides and answers what lies there.
    """

    events: list[Event]
    page_size: int = 3
    faults: list[str] = field(default_factory=list)
    most_rows: int | None = None
    ends_with_cursor: bool = False
    kind: str = "scripted"
    tick: int = TICK_PER_MS
    answer_rows: int | None = None
    page_rows: int = 3
    most_bins: int = 100
    most_shares: int = 1
    search_bucket: str = "search"
    ordered: bool = True
    unique_ids: bool = True
    body_fits: int | None = None
    """Rows of a page whose body comes through whole; larger pages fail."""
    asked: list[Window] = field(default_factory=list)
    limits: list[int | None] = field(default_factory=list)
    shares: list[Share | None] = field(default_factory=list)
    calls: int = 0

    def __post_init__(self) -> None:
        self.faults = list(self.faults)  # they are used up; the caller's list is hypothesis's own

    def listed(self) -> list[Event]:
        return sorted(self.events, key=lambda event: (event.tick // self.tick, event.id or "", event.value))

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
        self.calls += 1
        assert self.calls < 5_000, "the fetch does not end"
        self.asked.append(span)
        self.limits.append(limit)
        self.shares.append(share)
        low, high = (
            span.start // self.tick * self.tick - self.tick,
            -(-span.end // self.tick) * self.tick + self.tick,
        )
        found = [event for event in self.listed() if low <= event.tick <= high]
        if share is not None:
            found = [event for event in found if hash_of(event) % share.of == share.index]
        inside = [event for event in found if event.tick in span]
        if self.most_rows is not None and len(inside) > self.most_rows:
            raise TooMuch("more rows than an answer holds")
        at = json.loads(cursor)["at"] if cursor else 0
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "lost" and cursor is not None:
            raise CursorLost("the cursor expired")
        if fault == "failed":
            raise FailedAnswer("the answer was partial")
        size = 1 if fault == "short" else min(self.page_size, limit or self.page_size)
        rows = found[at : at + size]
        if self.body_fits is not None and len(rows) > self.body_fits:
            raise FailedAnswer("the body was cut")
        after = {"at": at + len(rows), "call": self.calls}
        if fault == "empty":
            rows, after = [], {"at": at, "call": self.calls}
        elif fault == "stay" and cursor is not None:
            return _page([], cursor)
        elif fault == "repeat" and cursor is not None:
            return _page(rows, cursor)
        elif fault == "duplicate" and at:
            rows = [found[at - 1], *rows]
        elif fault == "shuffled":
            rows = random.Random(self.calls).sample(rows, len(rows))
        more = after["at"] < len(found) or (self.ends_with_cursor and bool(rows))
        return _page(rows, json.dumps(after) if more else None)


def hash_of(event: Event) -> int:
    return zlib.crc32(repr((event.id, event.value)).encode())


class PermutedSource(PagedSource):
    """Lists its events in the order given, whatever their times."""

    def listed(self) -> list[Event]:
        return self.events


def _page(rows: Sequence[Event], cursor: str | None) -> Page:
    """In batches, as an answer of many megabytes comes."""
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([row.value for row in rows], pa.string()),
            pa.array([row.tick for row in rows], pa.int64()),
            pa.array([row.id for row in rows], pa.string()),
        ],
        names=["value", TICK_COLUMN, ID_COLUMN],
    )
    first = len(rows) // 3
    table = pa.Table.from_batches([batch.slice(0, first), batch.slice(first, 0), batch.slice(first)])
    return Page(table, cursor, body_bytes=10 * len(rows), notes={"pages": 1})


class DirectClient:
    """Drives exchanges that ask nothing; without retries, so that every failure reaches the fetch."""

    def run(self, make_exchange: Callable[[], Generator[Request, Response, Any]]) -> Any:
        exchange = make_exchange()
        try:
            next(exchange)
        except StopIteration as stop:
            return stop.value
        raise AssertionError("a scripted source sends nothing")


def fetch(
    source: PagedSource,
    *,
    planned: int | None = None,
    notes: dict[str, int] | None = None,
    slice_: Window = SLICE,
) -> list[Event]:
    """All rows of the slice in the order they came, held when the source's pages are not in order."""

    def once(held: bool) -> list[Event]:
        tables = fetch_slice(
            cast(Client, DirectClient()),
            cast(LogSource, source),
            slice_,
            SCHEMA,
            planned=planned,
            held=held,
            notes={} if notes is None else notes,
            on_page=lambda rows, body_bytes: None,
        )
        return [
            Event(row[TICK_COLUMN], row[ID_COLUMN], row["value"])
            for table in tables
            for row in table.to_pylist()
        ]

    try:
        return once(held=False)
    except Restart:
        return once(held=True)


def truth(events: Sequence[Event], slice_: Window = SLICE) -> list[Event]:
    inside = [event for event in events if event.tick in slice_]
    return sorted(inside, key=lambda event: (event.tick, event.id is None, event.id or "", event.value))


def events_at(*ms: int) -> list[Event]:
    return [Event(START + at * TICK_PER_MS, f"e{number:03d}") for number, at in enumerate(ms)]


# Times bunch up on few milliseconds (ties, ties over a page border, edges of the slice) and lie on both sides.
milliseconds = st.one_of(st.integers(-3, 43), st.sampled_from([0, 1, 20, 39, 40]))
layouts = st.lists(milliseconds, max_size=40).map(lambda times: events_at(*times))
fine_layouts = st.lists(st.tuples(milliseconds, st.integers(0, TICK_PER_MS - 1)), max_size=30).map(
    lambda times: [
        Event(START + ms * TICK_PER_MS + rest, f"{number * 7919 % 1000:03d}-{number}")
        for number, (ms, rest) in enumerate(times)
    ]
)
harmless = st.lists(st.sampled_from(["none", "short", "duplicate", "shuffled"]), max_size=20)


@given(layouts, st.integers(1, 9), harmless, st.booleans())
def test_every_layout_of_events_arrives_once_and_in_order(
    events: list[Event], page_size: int, faults: list[str], ends_with_cursor: bool
) -> None:
    source = PagedSource(events, page_size, faults, ends_with_cursor=ends_with_cursor)
    assert fetch(source) == truth(events)


@given(layouts, st.integers(1, 9), st.data())
def test_a_planned_count_stops_early_without_losing_a_row(
    events: list[Event], page_size: int, data: st.DataObject
) -> None:
    source = PagedSource(events, page_size, data.draw(harmless), ends_with_cursor=True)
    assert fetch(source, planned=len(truth(events))) == truth(events)


@given(fine_layouts, st.integers(1, 6), st.lists(st.sampled_from(["none", "none", "lost"]), max_size=6))
def test_times_finer_than_the_sources_clock_are_not_lost_at_a_restart(
    events: list[Event], page_size: int, faults: list[str]
) -> None:
    """Within one millisecond the source sorts by id, so a page can end on the later of two times."""
    try:
        rows = fetch(PagedSource(events, page_size, faults))
    except SourceError:
        assert faults.count("lost") >= 3
        return
    assert rows == truth(events)


@given(
    layouts,
    st.integers(1, 9),
    st.lists(
        st.sampled_from(["none", "lost", "failed", "repeat", "duplicate", "short", "empty"]), max_size=24
    ),
)
def test_whatever_goes_wrong_there_are_all_rows_or_an_error(
    events: list[Event], page_size: int, faults: list[str]
) -> None:
    if any(one == two == "empty" for one, two in pairwise(faults)):
        faults = [fault for fault in faults if fault != "empty"]  # two empty pages are an end, not a fault
    try:
        rows = fetch(PagedSource(events, page_size, faults, ends_with_cursor=True))
    except SourceError:
        return
    assert rows == truth(events)


@given(layouts, st.integers(1, 9), st.integers(0, 40), st.integers(1, 2))
def test_a_cursor_lost_once_or_twice_anywhere_does_no_harm(
    events: list[Event], page_size: int, first: int, losses: int
) -> None:
    faults = ["none"] * first + ["none", "lost"] * losses
    assert fetch(PagedSource(events, page_size, faults)) == truth(events)


@given(st.permutations(events_at(*range(0, 40, 2), 5, 5, 5, 20, 20, -1, 40)), st.integers(1, 9))
def test_pages_out_of_order_are_held_and_sorted(events: list[Event], page_size: int) -> None:
    assert fetch(PermutedSource(events, page_size)) == truth(events)


@given(layouts, st.integers(1, 12))
def test_too_much_is_halved_until_it_fits_or_refused(events: list[Event], most_rows: int) -> None:
    ticks = [event.tick for event in truth(events)]
    source = PagedSource(events, page_size=100, most_rows=most_rows)
    if any(ticks.count(tick) > most_rows for tick in set(ticks)):
        with pytest.raises(TooMuch, match="cannot be cut further"):
            fetch(source)
    else:
        assert fetch(source) == truth(events)


@given(layouts, st.integers(1, 12), st.integers(0, 60))
def test_a_source_without_cursors_and_order_gives_all_rows(
    events: list[Event], cap: int, planned: int
) -> None:
    """Repeated ids are rows of their own here: a query may multiply rows."""
    doubled = [Event(event.tick, "same", str(number)) for number, event in enumerate(events)]
    shuffled = random.Random(len(events)).sample(doubled, len(doubled))
    source = PermutedSource(
        shuffled, page_size=1_000, most_rows=cap, answer_rows=cap, ordered=False, unique_ids=False
    )
    ticks = [event.tick for event in truth(doubled)]
    if any(ticks.count(tick) > cap for tick in set(ticks)):
        with pytest.raises(TooMuch):
            fetch(source, planned=planned)
    else:
        assert fetch(source, planned=planned) == truth(doubled)


@given(
    st.lists(st.sampled_from([3, 3, 3, 4, 20, 39]), max_size=60).map(lambda times: events_at(*times)),
    st.integers(1, 12),
)
def test_a_tick_that_is_too_much_is_asked_for_in_shares(events: list[Event], cap: int) -> None:
    source = PermutedSource(
        events, page_size=1_000, most_rows=cap, answer_rows=cap, ordered=False, most_shares=256
    )
    assert fetch(source) == truth(events)
    assert all(
        share is None
        for share, span in zip(source.shares, source.asked, strict=True)
        if span.ticks > source.tick
    )


def test_rows_that_no_share_can_divide_are_an_error_that_says_so() -> None:
    events = [Event(START, "same", "same") for _ in range(10)]
    source = PermutedSource(
        events, page_size=1_000, most_rows=4, answer_rows=4, ordered=False, unique_ids=False, most_shares=8
    )
    with pytest.raises(TooMuch, match="cannot be cut further"):
        fetch(source)
    assert {share.of for share in source.shares if share} == {2, 4, 8}
    assert sum(share is not None for share in source.shares) <= 2 * 3


def test_only_a_share_that_is_too_much_is_divided_further() -> None:
    events = events_at(*[7] * 60)
    source = PermutedSource(
        events, page_size=1_000, most_rows=32, answer_rows=32, ordered=False, most_shares=256
    )
    assert fetch(source) == truth(events)
    asked = [share for share in source.shares if share]
    refused = sum(sum(hash_of(event) % share.of == share.index for event in events) > 32 for share in asked)
    assert len(asked) == 2 + 2 * refused


def test_a_dense_span_that_nobody_could_count_is_walked_in_answers_that_fit() -> None:
    slice_ = Window(START, START + 4_000 * TICK_PER_MS)
    events = [Event(START + at * TICK_PER_MS, f"e{at:04d}") for at in range(4_000)]
    source = PermutedSource(events, page_size=1_000, most_rows=100, answer_rows=100, ordered=False)
    assert fetch(source, slice_=slice_) == events
    assert source.calls <= 40 / 0.8 * 1.2


def test_an_answer_that_only_ever_comes_small_is_reached_in_a_few_requests() -> None:
    """A gateway that gives up on large answers says nothing of their size."""
    slice_ = Window(START, START + 4_000 * TICK_PER_MS)
    events = [Event(START + 1_234 * TICK_PER_MS, f"e{at:04d}") for at in range(200)]
    source = PermutedSource(
        events,
        page_size=1_000,
        page_rows=1_000,
        body_fits=30,
        answer_rows=1_000,
        ordered=False,
        most_shares=64,
    )
    assert fetch(source, slice_=slice_) == events
    assert source.calls <= 120


def test_an_api_that_fails_at_everything_is_given_up_after_some_twenty_requests() -> None:
    source = PermutedSource(
        events_at(7), faults=["failed"] * 99, answer_rows=500_000, tick=1, ordered=False, most_shares=1_024
    )
    with pytest.raises(FailedAnswer):
        fetch(source, slice_=Window(START, START + 864_000_000_000))
    assert source.calls <= 22


def test_reaching_the_planned_number_is_told_apart_from_the_sources_own_end() -> None:
    events = events_at(1, 2, 3, 4, 5)

    def to_end(planned: int | None) -> bool:
        account = Account()
        source = PagedSource(events, 2, ends_with_cursor=True)
        fetcher = Fetcher(
            cast(Client, DirectClient()), cast(LogSource, source), SCHEMA, on_page=lambda *_: None
        )
        list(fetcher.fetch(SLICE, planned=planned, account=account))
        return account.to_end

    assert [to_end(4), to_end(5), to_end(7), to_end(None)] == [False, False, True, True]


@given(layouts, st.integers(1, 9), harmless, st.booleans())
def test_rows_are_handed_on_up_to_ticks_that_are_final(
    events: list[Event], page_size: int, faults: list[str], ends_with_cursor: bool
) -> None:
    """A part may end at any of these ticks: what came until then is all there is before it."""
    source = PagedSource(events, page_size, faults, ends_with_cursor=ends_with_cursor)
    fetcher = Fetcher(cast(Client, DirectClient()), cast(LogSource, source), SCHEMA, on_page=lambda *_: None)
    got: list[str] = []
    before = SLICE.start
    try:
        for final in fetcher.fetch(SLICE, planned=None, account=Account()):
            if final.table is not None:
                assert all(before <= tick < final.before for tick in final.table[TICK_COLUMN].to_pylist())
                got += final.table[ID_COLUMN].to_pylist()
            before = final.before
            assert sorted(got) == sorted(str(event.id) for event in truth(events) if event.tick < before)
    except Restart:
        return
    assert before == SLICE.end


@given(layouts, st.integers(1, 9))
def test_an_answer_without_a_cursor_that_stays_partial_is_asked_again_in_halves(
    events: list[Event], failures: int
) -> None:
    source = PermutedSource(
        events, page_size=100, faults=["failed"] * failures, answer_rows=100, ordered=False
    )
    if failures <= 3:
        assert fetch(source) == truth(events)
        assert source.limits == [None] * source.calls
    else:
        with pytest.raises(FailedAnswer):
            fetch(source)
        assert source.calls <= 6


@given(layouts, st.integers(1, 40), st.integers(1, 40))
def test_bodies_that_come_cut_are_asked_for_with_fewer_rows(
    events: list[Event], page_size: int, body_fits: int
) -> None:
    source = PagedSource(events, page_size, body_fits=body_fits, page_rows=page_size)
    assert fetch(source) == truth(events)
    assert set(source.asked) <= {Window(at.start, SLICE.end) for at in source.asked}, "time was cut in vain"


def test_a_page_of_one_row_that_fails_is_asked_for_in_halves_and_then_given_up() -> None:
    source = PagedSource(events_at(*range(40)), page_size=8, page_rows=8, faults=["failed"] * 99)
    with pytest.raises(FailedAnswer):
        fetch(source)
    assert source.limits[:4] == [None, 4, 2, 1]
    assert source.calls <= 3 + 6


def test_pages_grow_back_after_one_that_failed_and_later_when_they_fail_again_soon() -> None:
    events = events_at(*range(40))
    source = PagedSource(events, 8, ["none", "failed", "none", "none", "failed"], page_rows=8)
    assert fetch(source) == truth(events)
    assert source.limits[:9] == [None, None, 4, 4, None, 4, 4, 4, None]


def test_one_row_that_fails_in_larger_pages_does_not_make_the_rest_dear() -> None:
    class Poisoned(PagedSource):
        def page(self, *args: Any, **kwargs: Any) -> Generator[Request, Response, Page]:
            page = yield from super().page(*args, **kwargs)
            if "e0777" in page.rows[ID_COLUMN].to_pylist() and page.rows.num_rows > 1:
                raise FailedAnswer("the body was cut")
            return page

    slice_ = Window(START, START + 2_000 * TICK_PER_MS)
    events = [Event(START + at * TICK_PER_MS, f"e{at:04d}") for at in range(2_000)]
    source = Poisoned(events, page_size=100, page_rows=100)
    assert fetch(source, slice_=slice_) == events
    assert source.calls <= 20 + 60
    assert source.limits[-5:] == [None] * 5


def test_a_limit_changes_with_a_new_chain_only() -> None:
    chains: list[list[int | None]] = []

    class Watched(PagedSource):
        def page(
            self, span: Window, cursor: str | None, schema: SourceSchema, **kwargs: Any
        ) -> Generator[Request, Response, Page]:
            if cursor is None:
                chains.append([])
            chains[-1].append(kwargs["limit"])
            return (yield from super().page(span, cursor, schema, **kwargs))

    events = events_at(*[at // 3 for at in range(120)])
    source = Watched(events, page_size=16, page_rows=16, faults=["failed"] * 4)
    assert fetch(source) == truth(events)
    assert all(len(set(chain)) == 1 for chain in chains)
    assert chains[-1][0] is None


def test_a_partial_answer_late_in_a_chain_repeats_no_row() -> None:
    events = events_at(*range(40))
    assert fetch(PagedSource(events, 4, ["none"] * 5 + ["failed", "none", "failed"])) == truth(events)


def test_a_page_that_ends_on_the_later_of_two_times_in_one_millisecond_is_no_border() -> None:
    events = [Event(START + 9_000, "a"), Event(START + 1_000, "b"), Event(START + TICK_PER_MS, "c")]
    assert fetch(PagedSource(events, 1, ["none", "lost"])) == truth(events)


def test_a_cursor_that_repeats_itself_is_an_error_not_an_endless_bill() -> None:
    source = PagedSource(events_at(*[7] * 30), 2, ["none", *["repeat"] * 200])
    with pytest.raises(SourceError, match="without a whole tick gained"):
        fetch(source)
    assert source.calls < 20


def test_three_restarts_without_a_whole_tick_gained_are_an_error() -> None:
    source = PagedSource(events_at(*[7] * 10), 2, ["none", "lost"] * 4)
    with pytest.raises(SourceError, match="lost 3 times"):
        fetch(source)


def test_restarts_that_gain_ground_may_go_on() -> None:
    events = events_at(*range(40))
    assert fetch(PagedSource(events, 3, ["none", "none", "lost"] * 10)) == truth(events)


def test_an_empty_page_with_a_cursor_is_followed_once_more() -> None:
    events = events_at(1, 2, 3, 4, 5, 6)
    assert fetch(PagedSource(events, 2, ["none", "empty", "none"])) == truth(events)


def test_an_empty_page_that_repeats_its_cursor_is_followed_once_more_and_then_an_end() -> None:
    events = events_at(1, 2, 3, 4)
    source = PagedSource(events, 2, ["none", "stay", "none", "stay", "stay"], ends_with_cursor=True)
    assert fetch(source) == truth(events)
    assert source.calls == 5


def test_pages_of_rows_outside_the_slice_are_no_end() -> None:
    events = events_at(*[-1] * 7, 3, *[40] * 7)
    assert fetch(PagedSource(events, 2)) == truth(events)


def test_more_ties_than_a_page_holds_all_arrive() -> None:
    events = events_at(*[7] * 25, 8)
    assert fetch(PagedSource(events, 4)) == truth(events)


def test_events_without_an_id_are_never_taken_for_repeats() -> None:
    events = [
        Event(START, None, "a"),
        Event(START, None, "a"),
        Event(START, "", "b"),
        Event(START, None, "b"),
    ]
    assert fetch(PagedSource(events, 3)) == truth(events)


def test_notes_and_pages_are_reported() -> None:
    notes: dict[str, int] = {}
    fetch(PagedSource(events_at(1, 2, 3, 4), 2), notes=notes)
    assert notes == {"pages": 2}
