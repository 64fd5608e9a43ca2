"""Convoys: the chains of a piece are one again where they are written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from weakref import ref

import pyarrow as pa
import pytest

from logferry.errors import Unavailable
from logferry.fetching.answer_size import StretchSize
from logferry.fetching.convoys import convoys
from logferry.fetching.fetch import Account, Final, Restart
from logferry.fetching.job import Fetched, Job
from logferry.fetching.line import Line
from logferry.fetching.pieces import Piece
from logferry.window import Window

SLICE = Window(0, 100)


def fetched(
    start: int, end: int, piece: Piece | None, *, to_end: bool = False, fails: bool = False
) -> Fetched:
    job = Job(SLICE, Window(start, end), cast(StretchSize, None), planned=end - start, piece=piece)
    account = Account()

    def finals() -> Iterator[Final]:
        yield Final(None, (start + end) // 2)
        if fails:
            raise Unavailable("come back later")
        account.to_end = to_end
        yield Final(None, end)

    return Fetched(job, account, finals())


def borders(one: Fetched) -> list[int]:
    return [final.before for final in one.finals]


def test_chains_of_a_piece_are_handed_on_as_one_job_with_all_its_rows() -> None:
    piece = Piece(Window(0, 30), 30)
    jobs = [fetched(0, 10, piece), fetched(10, 20, piece), fetched(20, 30, piece), fetched(30, 40, None)]
    found: list[Any] = []
    for one in convoys(iter(jobs)):
        assert one.job.piece is None
        found.append((one.job.span, one.job.planned, borders(one)))
    assert found == [(Window(0, 30), 30, [5, 10, 15, 20, 25, 30]), (Window(30, 40), 10, [35, 40])]


def test_a_convoy_has_no_rows_that_were_taken_of_it() -> None:
    known: list[ref[pa.Table]] = []

    def table() -> pa.Table:
        rows = pa.table({"message": ["x"]})
        known.append(ref(rows))
        return rows

    piece = Piece(Window(0, 20), 20)
    jobs = [
        replace(one, finals=(Final(table(), before) for before in (one.job.span.start + 5, one.job.span.end)))
        for one in (fetched(0, 10, piece), fetched(10, 20, piece))
    ]
    finals = next(convoys(iter(jobs))).finals
    for number in range(4):
        assert next(finals).table is not None
        assert [one() is None for one in known] == [True] * (number + 1)


def test_a_piece_of_one_chain_is_handed_on_as_it_is() -> None:
    alone = fetched(0, 10, Piece(Window(0, 10), 10))
    assert list(convoys(iter([alone]))) == [alone]


@pytest.mark.parametrize(
    ("ends", "said"), [([True, True], True), ([True, False], False), ([False, True], False)]
)
def test_the_source_said_the_end_where_it_said_so_of_every_chain(ends: list[bool], said: bool) -> None:
    piece = Piece(Window(0, 20), 20)
    jobs = [fetched(0, 10, piece, to_end=ends[0]), fetched(10, 20, piece, to_end=ends[1])]
    (account,) = [one.account for one in convoys(iter(jobs)) if borders(one)]
    assert account.to_end is said


def test_what_is_left_of_a_convoy_is_passed_over() -> None:
    piece = Piece(Window(0, 30), 30)
    jobs = [
        fetched(0, 10, piece),
        fetched(10, 20, piece, fails=True),
        fetched(20, 30, piece),
        fetched(30, 40, None),
    ]
    spans = []
    for one in convoys(iter(jobs)):
        spans.append(one.job.span)
        if len(spans) == 1:
            with pytest.raises(Unavailable):
                borders(one)
    assert spans == [Window(0, 30), Window(30, 40)]


def test_jobs_that_end_within_a_piece_are_no_whole_piece() -> None:
    piece = Piece(Window(0, 30), 30)
    with pytest.raises(AssertionError, match="ended within a piece"):
        borders(next(convoys(iter([fetched(0, 10, piece)]))))


def test_a_chain_that_stopped_at_its_number_is_told_of_before_its_last_rows() -> None:
    piece = Piece(Window(0, 20), 20)
    jobs = [fetched(0, 10, piece), fetched(10, 20, piece, to_end=True)]
    one = next(convoys(iter(jobs)))
    told = [(final.before, set(one.account.stopped_at)) for final in one.finals]
    assert told == [(5, set()), (10, {10}), (15, {10}), (20, {10})]


def test_a_chain_that_failed_while_it_was_passed_over_fails_with_its_own_error(tmp_path: Path) -> None:
    piece = Piece(Window(0, 30), 30)
    line = Line(tmp_path)
    with line.lock:
        places = [line.begin(fetched(start, start + 10, piece).job) for start in (0, 10, 20)]
    line.put(places[0], Final(None, 5))
    line.finish(places[0], Restart())
    line.finish(places[1], Unavailable("come back later", wait_s=300.0))
    found = convoys(Fetched(place.job, place.account, line.finals(place)) for place in line.places())
    with pytest.raises(Restart):
        borders(next(found))
    with pytest.raises(Unavailable, match="come back later") as caught:
        next(found)
    assert caught.value.wait_s == 300.0
