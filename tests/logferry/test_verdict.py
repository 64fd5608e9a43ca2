"""What a finished slice is called, and by which counts."""

from __future__ import annotations

from tests.logferry.harbour import WINDOW, Harbour, spec_of, statuses

from logferry.errors import CountUnavailable
from logferry.exportable import settled_at
from logferry.window import parse_instant


def test_a_source_that_may_not_be_counted_is_unproven_and_complete(harbour: Harbour) -> None:
    def forbidden(counts: dict[int, int]) -> dict[int, int]:
        raise CountUnavailable("no")

    harbour.source.count_hook = forbidden
    manifest = harbour.carry()
    assert (manifest.status, manifest.rows, manifest.source_rows) == ("unproven", 10, None)
    assert {entry.counted_at for entry in manifest.slices} == {None}


def test_slices_older_than_the_retention_are_unproven(harbour: Harbour) -> None:
    harbour.spec = spec_of(source={"retention": "2d"})
    harbour.clock.tick = parse_instant("2026-11-22T02:00:00Z")
    assert statuses(harbour.carry()) == ["unproven", "unproven", "proven", "proven"]


def test_counts_that_differ_say_nothing_of_a_slice_older_than_the_retention(harbour: Harbour) -> None:
    harbour.spec = spec_of(source={"retention": "2d"})
    harbour.clock.tick = parse_instant("2026-11-22T02:00:00Z")
    harbour.source.page_hook = lambda span, rows: rows[1:]
    assert statuses(harbour.carry()) == ["unproven", "unproven", "proven", "short"]


def test_a_count_that_began_before_the_slice_had_settled_proves_nothing(harbour: Harbour) -> None:
    (chunk,) = harbour.ferry().plan(WINDOW).chunks()
    harbour.clock.tick = settled_at(harbour.spec, WINDOW) - 1

    def slow(counts: dict[int, int]) -> dict[int, int]:
        harbour.clock.sleep(600)
        return counts

    harbour.source.count_hook = slow
    result = harbour.ferry().export(chunk)
    assert [entry.status for entry in result.slices] == ["proven", "proven", "proven", "unproven"]


def test_a_count_taken_before_the_slice_has_settled_proves_nothing(harbour: Harbour) -> None:
    (chunk,) = harbour.ferry().plan(WINDOW).chunks()
    harbour.clock.tick = WINDOW.end  # a worker whose clock is behind
    result = harbour.ferry().export(chunk)
    assert [entry.status for entry in result.slices] == ["proven", "proven", "proven", "unproven"]
