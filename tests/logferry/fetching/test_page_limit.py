"""The rows asked of a page follow what rows make of an answer."""

from __future__ import annotations

import pytest

from logferry.fetching.page_limit import PAGE_BYTES, PageLimit, PageRows, fewer

MIB = 1024 * 1024


def told(*pages: tuple[int, int], full: int = 1000) -> PageRows:
    rows = PageRows(full)
    for count, size in pages:
        rows.came(count, size)
    return rows


@pytest.mark.parametrize("row_bytes", [200, 1_000, 2_000, 8_000])
def test_ordinary_rows_are_asked_for_by_full_pages(row_bytes: int) -> None:
    assert told(*[(1000, 1000 * row_bytes)] * 5).limit is None


@pytest.mark.parametrize(("row_bytes", "limit"), [(10_000, 500), (100_000, 62), (MIB, 7), (32 * MIB, 1)])
def test_of_long_rows_so_many_are_asked_for_as_make_a_moderate_answer(row_bytes: int, limit: int) -> None:
    rows = told((20, 20 * row_bytes))
    assert rows.limit == limit
    assert limit == 1 or limit * row_bytes <= PAGE_BYTES


def test_one_long_row_among_many_changes_nothing() -> None:
    assert told((1000, 1_000_000), (1, MIB), (1000, 1_000_000)).limit is None


def test_when_rows_are_short_again_full_pages_are_asked_for_again() -> None:
    rows = told((10, 10 * MIB))
    for _ in range(20):
        asked = rows.limit or 1000
        rows.came(asked, asked * 1_000)
    assert rows.limit is None


def test_rows_near_the_edge_do_not_let_the_limit_swing() -> None:
    rows = told((1000, 9 * MIB))
    limits = set()
    for size in (7 * MIB, 9 * MIB, 7 * MIB, 9 * MIB):
        rows.came(500, size // 2)
        limits.add(rows.limit)
    assert limits == {500}


def test_an_empty_page_says_nothing_of_rows() -> None:
    assert told((0, 100 * MIB)).limit is None


def test_rows_are_long_from_many_kilobytes_on() -> None:
    assert not PageRows(1000).long
    assert not told((1000, 2_000_000)).long
    assert told((10, 10 * MIB)).long


@pytest.mark.parametrize(
    ("one", "other", "lower"), [(None, None, None), (None, 7, 7), (7, None, 7), (3, 7, 3)]
)
def test_no_limit_is_the_highest(one: int | None, other: int | None, lower: int | None) -> None:
    assert fewer(one, other) == lower


def test_what_fails_with_fewer_rows_left_than_asked_for_is_halved_by_what_was_left() -> None:
    limit = PageLimit(1000)
    assert limit.halve(None, left=80, times=2)
    assert limit.limit == 20


def test_a_count_that_was_too_low_still_leaves_rows_to_ask_for() -> None:
    limit = PageLimit(1000)
    assert limit.halve(None, left=1)
    assert limit.limit == 1
    assert not limit.halve(1, left=1)
    limit = PageLimit(1000)
    assert limit.halve(None, left=0)
    assert limit.limit == 500
