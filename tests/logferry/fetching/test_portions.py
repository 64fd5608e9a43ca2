"""How many cells make the next piece: few pieces of equal work, or many that cost no more pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from logferry.fetching.portions import equal_portion, thrifty_portion


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
