"""Slices of another grid cover what they hold whole."""

from __future__ import annotations

from tests.logferry.audit.covering import covered
from tests.logferry.made_archive import START, MadeArchive, hours

from logferry.window import TICK_PER_HOUR, Window


def test_slices_of_another_grid_cover_what_they_hold_whole(archive: MadeArchive) -> None:
    archive.slice = 2 * TICK_PER_HOUR
    archive.publish(hours(0, 2), files=False)
    coverage = covered(archive.ledger, hours(0, 3))
    assert [(one.state, one.other_definition) for one in coverage.slices] == [
        ("proven", True), ("proven", True), ("missing", False),
    ]  # fmt: skip
    assert coverage.rows == 3


def test_a_slice_only_partly_held_by_another_grid_is_missing(archive: MadeArchive) -> None:
    archive.slice = TICK_PER_HOUR // 2
    archive.publish(Window(START, START + TICK_PER_HOUR // 2), files=False)
    assert covered(archive.ledger, hours(0)).slices[0].state == "missing"
    archive.publish(Window(START + TICK_PER_HOUR // 2, START + TICK_PER_HOUR), files=False, status="short")
    assert covered(archive.ledger, hours(0)).slices[0].state == "short"
