"""What is final: no row can come any more, and nothing is known against those that are there."""

from __future__ import annotations

import pytest
from tests.logferry.audit.covering import covered, found_in
from tests.logferry.made_archive import MadeArchive, hours

from logferry.window import TICK_PER_DAY


@pytest.mark.parametrize(
    ("counted", "final"),
    [(TICK_PER_DAY - 1, None), (TICK_PER_DAY, 1), (3 * TICK_PER_DAY, 1)],
)
def test_a_slice_is_final_by_a_count_at_its_end_plus_the_horizon_or_later(
    archive: MadeArchive, counted: int, final: int | None
) -> None:
    archive.publish(hours(0), files=False, counted_at=hours(0).end + counted)
    assert covered(archive.ledger, hours(0, 2)).final_up_to == (None if final is None else hours(final).start)


def test_final_ends_at_the_first_slice_that_is_not(archive: MadeArchive) -> None:
    archive.publish(hours(0, 5), files=False)
    assert covered(archive.ledger, hours(0)).final_up_to == hours(5).start
    archive.publish(hours(3), files=False, status="short")
    assert covered(archive.ledger, hours(4)).final_up_to == hours(3).start
    archive.begin(hours(2))
    assert covered(archive.ledger, hours(4)).final_up_to == hours(2).start
    damage = {hours(1): [found_in(hours(1))]}
    assert covered(archive.ledger, hours(4), damage=damage).final_up_to == hours(1).start


def test_a_proof_that_a_later_record_without_a_count_kept_still_makes_final(archive: MadeArchive) -> None:
    archive.publish(hours(0), files=False)
    archive.publish(hours(0), files=False, status="unproven")
    assert covered(archive.ledger, hours(0)).final_up_to == hours(0).end
    archive.publish(hours(0), files=False, status="unproven", rows=9)
    assert covered(archive.ledger, hours(0)).final_up_to is None
