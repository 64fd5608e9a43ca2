"""What each audit looks over, and that all of an archive has its turn."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logferry.audit.small_world import HOUR, PRESENT, START, hours, published

from logferry.audit.sampling import (
    AUDIT_BYTES,
    AUDIT_RECORDS,
    AUDIT_SLICES,
    AUDIT_WHOLE,
    audit_from,
    audit_sample,
)
from logferry.records.ledger import Published


def archive(sizes: list[int]) -> list[Published]:
    return [
        published(
            hours(hour, hour + 1), 2, PRESENT, status="proven", rows=size, source_rows=size, counted_at=None
        )
        for hour, size in enumerate(sizes)
    ]


@settings(max_examples=40)
@given(st.integers(1, 1000), st.integers(0, 10**6))
def test_audits_go_round_and_soon_come_to_every_slice(count: int, first_turn: int) -> None:
    slices = archive([1] * count)
    seen: set[int] = set()
    turns = -(-3 * (count + AUDIT_SLICES) // AUDIT_SLICES)
    for turn in range(first_turn, first_turn + turns):
        sample = audit_sample(slices, turn)
        assert sample is not None
        inside = range((sample.start - START) // HOUR, (sample.end - START) // HOUR)
        assert 0 < len(inside) <= AUDIT_SLICES
        seen.update(inside)
    assert seen == set(range(count))


def test_an_audit_reads_no_more_bytes_than_it_should_but_at_least_one_slice() -> None:
    slices = archive([AUDIT_BYTES // 3] * 40 + [AUDIT_BYTES * 2] * 40)
    lengths = {sample.ticks // HOUR for turn in range(500) if (sample := audit_sample(slices, turn))}
    assert lengths == {1, 2, 3}


def test_there_is_nothing_to_audit_in_an_empty_archive() -> None:
    assert audit_sample([], 5) is None


def test_an_audit_begins_at_the_oldest_witness_that_is_not_too_far_back() -> None:
    turn = next(turn for turn in range(2) if audit_from("shop", 500, [], turn) is not None)
    assert audit_from("shop", 500, [490, 480, 300, 501], turn) == 480
    assert audit_from("shop", 500, [], turn) == 500 - AUDIT_RECORDS + 1
    assert audit_from("shop", 0, [7], turn) == 1


@given(st.integers(0, 10**6), st.text(max_size=20))
def test_the_whole_journal_is_read_once_in_so_many_audits_and_at_every_hour_of_the_day(
    first: int, name: str
) -> None:
    turns = range(first, first + 24 * AUDIT_WHOLE)
    whole = [turn for turn in turns if audit_from(name, 500, [500], turn) is None]
    assert len(whole) == 24
    assert {turn % 24 for turn in whole} == set(range(24))
