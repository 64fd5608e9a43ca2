"""Pieces: they tile what they cut, are of equal work, and fit where the rows are known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.fetching.answer_size import ANSWER_BYTES, AnswerSize
from logferry.fetching.page_limit import PageLimit
from logferry.fetching.pieces import Cutter, Piece, cells_of, coarsened, finest_bin, merged
from logferry.sources.base import BINS, LogSource
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    TICK_PER_MS,
    TICK_PER_SECOND,
    Window,
    parse_instant,
)

START = parse_instant("2026-11-20T03:00:00Z")
SLICE = Window(START, START + TICK_PER_HOUR)


def source_of(*, answer_rows: int | None = 100, most_bins: int = 100, tick: int = 1) -> LogSource:
    return cast(LogSource, SimpleNamespace(answer_rows=answer_rows, most_bins=most_bins, tick=tick))


def no_count(window: Window, bin_ticks: int) -> None:
    return None


class Counted:
    """Counts rows that lie at given ticks, and remembers what was asked."""

    def __init__(self, ticks: list[int]) -> None:
        self.ticks = ticks
        self.asked: list[Window] = []

    def __call__(self, window: Window, bin_ticks: int) -> Mapping[int, int]:
        self.asked.append(window)
        found: dict[int, int] = {}
        for tick in self.ticks:
            if tick in window:
                start = tick // bin_ticks * bin_ticks
                found[start] = found.get(start, 0) + 1
        return found

    def rows(self, window: Window) -> int:
        return sum(tick in window for tick in self.ticks)


def cut_whole(cutter: Cutter, stretch: Window, most: int) -> list[Piece]:
    pieces = []
    start = stretch.start
    while start < stretch.end:
        pieces.append(cutter.next(start, most))
        start = pieces[-1].window.end
    return pieces


bins = st.lists(st.integers(0, 300), min_size=1, max_size=60).filter(
    lambda found: TICK_PER_HOUR % len(found) == 0
)


@given(
    bins, st.integers(1, 500), st.integers(0, TICK_PER_HOUR - 2), st.integers(1, TICK_PER_HOUR), st.booleans()
)
def test_pieces_tile_any_stretch_of_a_slice(
    rows: list[int], most: int, start: int, length: int, capped: bool
) -> None:
    stretch = Window(START + start, min(START + start + length, SLICE.end))
    source = source_of(answer_rows=most if capped else None)
    cutter = Cutter(stretch, cells_of(SLICE, sum(rows), rows), source=source, recount=no_count)
    pieces = cut_whole(cutter, stretch, most)
    assert pieces[0].window.start == stretch.start
    assert pieces[-1].window.end == stretch.end
    assert all(one.window.end == two.window.start for one, two in pairwise(pieces))


@given(bins, st.integers(1, 500))
def test_pieces_at_the_edges_of_bins_are_few_and_hold_what_they_say(rows: list[int], most: int) -> None:
    cutter = Cutter(
        SLICE, cells_of(SLICE, sum(rows), rows), source=source_of(answer_rows=None), recount=no_count
    )
    pieces = cut_whole(cutter, SLICE, most)
    step = TICK_PER_HOUR // len(rows)
    for piece in pieces:
        inside = rows[(piece.window.start - START) // step : (piece.window.end - START) // step]
        assert piece.rows == sum(inside)
        assert piece.rows <= most or sum(count > 0 for count in inside) == 1 or len(inside) == 1
    # Two neighbours that fit together would have been one piece.
    assert len(pieces) <= 2 * -(-sum(rows) // most) + 1


def test_pieces_are_of_equal_work() -> None:
    cutter = Cutter(
        SLICE, cells_of(SLICE, 600, [10] * 60), source=source_of(answer_rows=None), recount=no_count
    )
    assert [piece.rows for piece in cut_whole(cutter, SLICE, 290)] == [200, 200, 200]


def test_a_cell_too_dense_for_an_answer_is_counted_again_by_finer_bins() -> None:
    counted = Counted([START + TICK_PER_MINUTE * 7 + at * TICK_PER_SECOND // 4 for at in range(240)])
    cutter = Cutter(SLICE, cells_of(SLICE, 240, None), source=source_of(), recount=counted)
    pieces = cut_whole(cutter, SLICE, 100)
    assert [piece.rows for piece in pieces] == [counted.rows(piece.window) for piece in pieces]
    assert len(pieces) == 3
    assert len(counted.asked) <= 2


def test_a_stretch_that_begins_within_a_bin_is_counted_by_the_whole_bin() -> None:
    ticks = [START + at * TICK_PER_SECOND for at in range(240)]
    counted = Counted(ticks)
    stretch = Window(START + 1, SLICE.end)
    cutter = Cutter(stretch, cells_of(SLICE, 240, None), source=source_of(), recount=counted)
    pieces = cut_whole(cutter, stretch, 100)
    assert all(counted.rows(piece.window) <= 100 for piece in pieces)
    assert len(pieces) <= 4
    assert SLICE in counted.asked


def test_a_cell_that_cannot_be_counted_finer_is_taken_to_be_even() -> None:
    cutter = Cutter(SLICE, cells_of(SLICE, 400, None), source=source_of(), recount=no_count)
    pieces = cut_whole(cutter, SLICE, 100)
    assert [piece.window.ticks for piece in pieces] == [TICK_PER_HOUR // 4] * 4
    assert [piece.rows for piece in pieces] == [None] * 4


@given(
    st.lists(st.integers(0, TICK_PER_HOUR - 1), max_size=80),
    st.integers(0, TICK_PER_HOUR - 2),
    st.integers(1, TICK_PER_HOUR),
    st.booleans(),
)
def test_halves_are_the_span_in_two_and_always_smaller(
    offsets: list[int], start: int, length: int, can_count: bool
) -> None:
    counted = Counted([START + at for at in offsets])
    cutter = Cutter(
        SLICE,
        cells_of(SLICE, len(offsets), None),
        source=source_of(),
        recount=counted if can_count else no_count,
    )
    span = Window(START + start, min(START + start + length, SLICE.end))
    halves = cutter.halves(span)
    if span.ticks == 1:
        assert halves == [span]
    else:
        assert 2 <= len(halves) <= 3
        assert (halves[0].start, halves[-1].end) == (span.start, span.end)
        assert all(one.end == two.start for one, two in pairwise(halves))


def test_halves_follow_the_rows_not_the_clock() -> None:
    counted = Counted([SLICE.end - TICK_PER_MINUTE + at * TICK_PER_SECOND // 2 for at in range(100)])
    cutter = Cutter(SLICE, cells_of(SLICE, 100, None), source=source_of(), recount=counted)
    first, second = cutter.halves(SLICE)
    assert 25 <= counted.rows(first) <= 75
    assert counted.rows(first) + counted.rows(second) == 100


@given(
    st.sampled_from([1, 2, 3, 24, 96, 366]),
    st.sampled_from([TICK_PER_MINUTE, 7 * TICK_PER_MINUTE, TICK_PER_HOUR, TICK_PER_DAY]),
    st.integers(0, 5_000),
)
def test_the_finest_bin_divides_the_slice_and_fits_one_request(
    slices: int, grid: int, most_bins: int
) -> None:
    window = Window(0, slices * grid)
    bin_ticks = finest_bin(source_of(most_bins=most_bins), window, grid)
    assert grid % bin_ticks == 0
    assert bin_ticks == grid or window.ticks // bin_ticks <= most_bins
    finer = [other for other in BINS if other < bin_ticks and grid % other == 0 and most_bins > 1]
    assert all(window.ticks // other > most_bins for other in finer)


@given(bins, st.integers(1, 2_000))
def test_coarser_bins_hold_the_same_rows(rows: list[int], most: int) -> None:
    coarse = coarsened(rows, most)
    assert sum(coarse) == sum(rows)
    assert len(rows) % len(coarse) == 0
    assert coarse == rows or max(coarse) * 10 <= most


@given(st.lists(st.integers(0, 99), min_size=1, max_size=120), st.integers(1, 130))
def test_merged_bins_are_equal_and_few_and_hold_all_rows(rows: list[int], most: int) -> None:
    bins = merged(rows, most)
    assert len(bins) <= most
    assert len(rows) % len(bins) == 0
    size = len(rows) // len(bins)
    assert bins == [sum(rows[at : at + size]) for at in range(0, len(rows), size)]
    assert not any(len(rows) % finer == 0 and len(bins) < finer <= most for finer in range(1, len(rows) + 1))


def test_bytes_per_row_are_learned_and_a_larger_answer_raises_the_limit() -> None:
    size = AnswerSize(source_of(answer_rows=500_000))
    assert size.rows_of(None) == 57_600
    size.came(10_000, 1_000_000)
    assert size.rows_of(None) == 490_000
    size.came(10_000, 80_000_000)
    assert size.row_bytes == pytest.approx(4_050)
    assert size.rows_of(None) == int(80_000_000 * 0.9 / 4_050)


def test_a_range_that_was_too_much_lowers_the_limit_to_between_what_came_and_what_did_not() -> None:
    size = AnswerSize(source_of(answer_rows=500_000))
    size.came(1_000, 1_000_000)
    size.was_too_much(4_000, 4_000_000)
    assert 1_000 < size.rows_of(None) < 4_000
    for _ in range(8):
        rows = size.rows_of(None)
        if rows * 1_000 > 2_500_000:
            size.was_too_much(rows, rows * 1_000)
        else:
            size.came(rows, rows * 1_000)
    assert 2_000 < size.rows_of(None) <= 2_500


def test_too_many_rows_and_time_outs_say_nothing_of_bytes() -> None:
    size = AnswerSize(source_of(answer_rows=500_000))
    size.came(10_000, 10_000_000)
    size.was_too_much(600_000, 600_000_000)
    size.was_too_much(5_000, 5_000_000)
    assert size.rows_of(None) == int(ANSWER_BYTES * 0.9 / 1_000)


def test_reckoned_bytes_size_the_first_piece_and_are_corrected_by_what_came() -> None:
    size = AnswerSize(source_of(answer_rows=500_000))
    assert size.stretch(100).piece_rows == 490_000
    first = size.stretch(10_000)
    assert first.piece_rows == 5_760
    first.came(5_000, 75_000_000)
    assert size.stretch(20_000).row_bytes == pytest.approx(30_000)


def test_a_stretch_learns_most_from_its_own_answers_while_others_are_fetched_too() -> None:
    size = AnswerSize(source_of(answer_rows=500_000))
    first, second, unknown = size.stretch(1_000), size.stretch(2_000), size.stretch()
    guessed = not unknown.known
    first.came(1_000, 3_000_000)
    assert first.row_bytes == pytest.approx(2_000)
    assert second.row_bytes == pytest.approx(6_000)
    second.came(1_000, 4_000_000)
    assert first.row_bytes == pytest.approx(2_000)
    assert second.row_bytes == pytest.approx(5_000)
    assert guessed
    assert unknown.known
    assert unknown.piece_rows == size.rows_of(None)


def test_a_tick_of_too_many_rows_is_found_by_two_counts_within_its_second() -> None:
    hot = START + 7 * TICK_PER_SECOND + 1_234_567
    counted = Counted([hot] * 300 + [START + at * TICK_PER_MINUTE for at in range(60)])
    source = source_of(most_bins=4_000)
    cutter = Cutter(SLICE, cells_of(SLICE, 360, None), source=source, recount=counted)
    pieces = cut_whole(cutter, SLICE, 100)
    assert Piece(Window(hot, hot + 1), 300) in pieces
    assert len(pieces) == 3
    assert len(counted.asked) == 3


def test_bins_within_a_second_are_for_sources_that_tell_its_ticks_apart() -> None:
    counted = Counted([START + 7 * TICK_PER_SECOND] * 300)
    source = source_of(most_bins=4_000, tick=TICK_PER_MS)
    cutter = Cutter(SLICE, cells_of(SLICE, 300, None), source=source, recount=counted)
    cut_whole(cutter, SLICE, 100)
    assert len(counted.asked) == 1


def test_a_stretch_that_no_number_of_bins_divides_is_halved_without_a_count() -> None:
    stretch = Window(START, START + TICK_PER_DAY - 1)
    counted = Counted([START] * 300)
    cutter = Cutter(stretch, cells_of(stretch, 300, None), source=source_of(most_bins=4_000), recount=counted)
    first, second = cutter.halves(stretch)
    assert (first.start, first.end, second.end) == (stretch.start, second.start, stretch.end)
    assert counted.asked == []


def test_a_tick_that_holds_most_rows_is_cut_out() -> None:
    hot = START + 7 * TICK_PER_SECOND + 1_234_567
    counted = Counted([hot] * 300 + [START, SLICE.end - 1])
    cutter = Cutter(SLICE, cells_of(SLICE, 302, None), source=source_of(most_bins=4_000), recount=counted)
    assert cutter.halves(SLICE) == [Window(START, hot), Window(hot, hot + 1), Window(hot + 1, SLICE.end)]


def test_what_waits_is_cut_at_the_bins_by_the_rows_that_fit_by_then() -> None:
    cutter = Cutter(SLICE, cells_of(SLICE, 600, [10] * 60), source=source_of(), recount=no_count)
    rest = Window(START + 30 * TICK_PER_MINUTE, SLICE.end)
    assert cutter.fitting(rest, 300) == rest
    assert cutter.fitting(rest, 290) == Window(rest.start, rest.start + 15 * TICK_PER_MINUTE)
    assert cutter.rows(rest) == 300


def test_a_source_with_cursors_has_pieces_of_fifty_thousand_rows_whatever_their_size() -> None:
    size = AnswerSize(source_of(answer_rows=None))
    size.came(1_000, 50_000_000)
    size.was_too_much(1_000, 60_000_000)
    assert size.rows_of(None) == 50_000


def test_pages_that_keep_failing_grow_back_ever_more_slowly() -> None:
    limit = PageLimit(1_000)
    grown = []
    for _ in range(6):
        assert limit.halve(limit.limit)
        came = 0
        while limit.limit is not None:
            limit.came(limit.limit)
            came += 1
        grown.append(came)
    assert grown == [1, 2, 4, 8, 16, 32]
    while limit.halve(limit.limit):
        pass
    assert limit.limit == 1


def test_pages_that_came_full_for_as_long_as_patience_lasted_are_trusted_again() -> None:
    limit = PageLimit(1_000)
    for _ in range(3):
        assert limit.halve(limit.limit)
        while limit.limit is not None:
            limit.came(limit.limit)
    for _ in range(4):
        limit.came(limit.limit)
    assert limit.halve(limit.limit)
    limit.came(limit.limit)
    assert limit.limit is None


def test_a_chain_that_learned_nothing_does_not_undo_what_another_learned() -> None:
    known = PageLimit(1_000)
    idle, busy = known.copy(), known.copy()
    before = known.copy()
    idle.came(None)
    busy.halve(None)
    known.learn(before, busy)
    known.learn(before, idle)
    assert known.limit == 500


def test_pages_that_chains_of_one_page_each_bring_add_up_to_a_larger_page() -> None:
    known = PageLimit(1_000)
    for _ in range(3):
        before, chain = known.copy(), known.copy()
        chain.halve(chain.limit)
        chain.came(chain.limit)
        known.learn(before, chain)
    assert known.limit is not None
    smallest, pages = known.limit, 0
    while known.limit == smallest:
        before, chain = known.copy(), known.copy()
        chain.came(chain.limit)
        known.learn(before, chain)
        pages += 1
        assert pages <= 64
    assert known.limit is None or known.limit > smallest


def test_a_piece_is_cut_into_chains_that_tile_it_only_where_all_its_rows_are_counted() -> None:
    source = cast(LogSource, SimpleNamespace(answer_rows=None, most_bins=100, tick=1, page_rows=10))
    whole = Cutter(SLICE, cells_of(SLICE, 36, [6] * 6), source=source, recount=no_count)
    piece = whole.next(SLICE.start, 1_000, least=100)
    chains = whole.chains(piece)
    assert [chain.rows for chain in chains] == [18, 18]
    assert [chain.window.start for chain in chains[1:]] == [chain.window.end for chain in chains[:-1]]
    assert (chains[0].window.start, chains[-1].window.end) == (SLICE.start, SLICE.end)
    within = Window(START + 1, SLICE.end)
    clipped = Cutter(within, cells_of(SLICE, 36, [6] * 6), source=source, recount=no_count)
    piece = clipped.next(within.start, 1_000, least=100)
    assert piece.rows is None
    assert clipped.chains(piece) == [piece]
