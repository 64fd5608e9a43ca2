"""Pages without end: how long they are believed."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from logferry.errors import SourceError
from logferry.fetching.endless import Endless
from logferry.window import Window

SPAN = Window(1_000, 2_000)


def given_up(planned: int | None, pages: Iterable[tuple[int, int | None, int]]) -> tuple[int, str]:
    """At which of the pages (from 1) the source was given up, and in which words."""
    watched = Endless(SPAN, planned)
    for number, page in enumerate(pages, start=1):
        try:
            watched.page(*page)
        except SourceError as error:
            return number, str(error)
    pytest.fail("every page was believed")


def test_rows_far_beyond_the_count_are_not_believed() -> None:
    page, words = given_up(50_000, ((1_000, 1_000 * page, SPAN.start) for page in range(1, 999)))
    assert page == 301
    assert "more than 300,000 rows, where it counted 50,000, for" in words
    assert "check what answers" in words


def test_a_count_of_half_the_truth_is_no_reason_to_give_up() -> None:
    watched = Endless(SPAN, planned=5_000_000)
    for page in range(1, 10_001):
        watched.page(1_000, page * 1_000, SPAN.start)


def test_rows_beyond_the_span_come_to_an_end() -> None:
    page, words = given_up(10, ((1_000, 10, SPAN.start) for _ in range(9_999)))
    assert page == 2_001
    assert "more than 2,000,000 rows that were not asked for or came before" in words


def test_small_pages_that_bring_nothing_new_come_to_an_end() -> None:
    page, words = given_up(10, ((1, 1, SPAN.start) for _ in range(99_999)))
    assert page == 10_002
    assert "10,000 pages in a row without a new row" in words


def test_a_span_that_nobody_counted_is_believed_while_its_time_goes_on() -> None:
    going_on = [(1_000_000, None, SPAN.start + page) for page in range(1, 900)]
    page, words = given_up(None, going_on + [(1_000_000, None, SPAN.start + 899)] * 9)
    assert page == len(going_on) + 3
    assert "without the time going on" in words


def test_even_a_span_that_nobody_counted_has_an_end() -> None:
    page, words = given_up(None, ((1_000_000, None, SPAN.start + page) for page in range(1, 9_999)))
    assert page == 1_001
    assert "more than 1,000,000,000 rows" in words
