"""How many cells make the next piece: few pieces of equal work, or many that cost no more pages."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.fetching.portions import equal_portion, short_chains, thrifty_portion


def cut(rows: list[int], least: int, most: int, page: int) -> list[list[int]]:
    pieces = []
    while rows:
        cells = thrifty_portion(rows, least, most, page)
        pieces.append(rows[:cells])
        rows = rows[cells:]
    return pieces


@given(
    st.lists(st.integers(0, 3_000), min_size=1, max_size=200),
    st.integers(1, 9_000),
    st.integers(100, 9_000),
    st.integers(1, 200),
)
def test_every_cell_is_in_one_piece_and_no_piece_holds_too_many_that_could_be_cut(
    rows: list[int], least: int, most: int, page: int
) -> None:
    pieces = cut(rows, least, most, page)
    assert [count for piece in pieces for count in piece] == rows
    assert all(piece for piece in pieces)
    assert all(sum(piece) <= most or len(piece) == 1 for piece in pieces)


@given(st.lists(st.integers(20, 300), min_size=50, max_size=500))
def test_pieces_of_dense_bins_waste_few_pages(rows: list[int]) -> None:
    pieces = cut(rows, 10_000, 50_000, 1_000)
    pages = sum(-(-sum(piece) // 1_000) for piece in pieces)
    assert pages <= 1.02 * -(-sum(rows) // 1_000) + 1


def test_a_piece_is_no_larger_than_it_must_be_to_be_thrifty() -> None:
    assert thrifty_portion([1_990] * 100, 10_000, 50_000, 1_000) == 6
    assert thrifty_portion([100] * 1_000, 10_000, 50_000, 1_000) == 109
    assert thrifty_portion([10] * 10_000, 10_000, 50_000, 1_000) == 1_099


def test_where_no_cut_is_thrifty_the_best_one_is_taken() -> None:
    assert thrifty_portion([10_400] * 10, 10_000, 50_000, 1_000) == 2


def test_the_rest_is_one_piece() -> None:
    assert thrifty_portion([100, 100], 10_000, 50_000, 1_000) == 2
    assert equal_portion([100, 100], 50_000) == 2


def pages_of(rows: list[int], chains: list[int], page: int) -> list[int]:
    """Pages of each chain, with two rows of neighbouring ticks."""
    edges = [0]
    for cells in chains:
        edges.append(edges[-1] + cells)
    return [-(-(sum(rows[one:two]) + 2) // page) for one, two in pairwise(edges)]


cells = st.lists(st.integers(0, 3_000), min_size=1, max_size=40)


@given(cells, st.integers(10, 2_000))
def test_chains_take_every_cell_once_and_cost_hardly_more_pages_than_one_chain(
    rows: list[int], page: int
) -> None:
    chains = short_chains(rows, page)
    assert sum(chains) == len(rows)
    assert min(chains) > 0
    one = math.ceil(sum(rows) / page)
    assert len(chains) == 1 or sum(pages_of(rows, chains, page)) <= one + int(0.015 * one)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=8))
def test_no_other_cut_at_the_same_price_is_shorter(rows: list[int]) -> None:
    found = pages_of(rows, short_chains(rows, 100), 100)
    most = math.ceil(sum(rows) / 100)
    for count in range(len(rows)):
        for inner in combinations(range(1, len(rows)), count):
            edges = [0, *inner, len(rows)]
            other = pages_of(rows, [two - one for one, two in pairwise(edges)], 100)
            if sum(other) <= most + int(0.015 * most):
                assert sum(pages**2 for pages in found) <= sum(pages**2 for pages in other)


@pytest.mark.parametrize(
    ("rows", "chains"),
    [
        ([347] * 6, [2, 2, 2]),
        ([1_389] * 6, [2, 2, 2]),
        ([6_944] * 6, [1] * 6),
        ([999, 998, 998], [2, 1]),
        ([0, 0, 0], [3]),
        ([500] * 20, [20]),
        ([40_000], [1]),
    ],
)
def test_chains_are_cut_where_a_page_is_full(rows: list[int], chains: list[int]) -> None:
    found = short_chains(rows, 1_000)
    assert sorted(found) == sorted(chains)
