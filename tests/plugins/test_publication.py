"""What a failed run says of a short window."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from logferry.records.manifest import FileEntry, Manifest, RunEntry, SliceEntry, Span, Status
from logferry_airflow.publication import fail_if_short

pytestmark = pytest.mark.airflow


def entry(hour: int, status: Status, rows: int, source_rows: int | None, **notes: int) -> SliceEntry:
    return SliceEntry(
        start=f"2026-11-20T{hour:02}:00:00Z",
        end=f"2026-11-20T{hour + 1:02}:00:00Z",
        status=status,
        rows=rows,
        source_rows=source_rows,
        counted_at="2026-11-21T00:00:00Z",
        file=FileEntry(key="k", rows=rows, bytes=1, sha256="", row_hash="", min_time=None, max_time=None),
        notes=notes,
    )


def manifest(*slices: SliceEntry) -> Manifest:
    at = "2026-11-21T01:00:00Z"
    known: list[Any] = [one.source_rows for one in slices]
    return Manifest(
        export="shop",
        seq=2,
        previous=None,
        fingerprint="sha256:f",
        source={},
        window=Span(start="2026-11-20T00:00:00Z", end="2026-11-21T00:00:00Z"),
        status="short" if any(one.status == "short" for one in slices) else "proven",
        rows=sum(one.rows for one in slices),
        source_rows=None if None in known else sum(known),
        columns=[],
        slices=list(slices),
        requests={},
        run=RunEntry(id="r", attempt=1, started_at=at, finished_at=at, engine="logferry"),
    )


def sentence(*slices: SliceEntry) -> str:
    with pytest.raises(AirflowFailException) as caught:
        fail_if_short(manifest(*slices))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_proven_window_passes() -> None:
    fail_if_short(manifest(entry(0, "proven", 5, 5)))


def test_a_short_window_is_told_with_its_numbers_its_cause_and_the_way_on() -> None:
    told = sentence(entry(0, "proven", 5, 5), entry(1, "short", 1200, 1234))
    assert told == (
        "the window 2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z of shop is short: 1,205 rows are written, the source "
        "counts 1,239; slices 2026-11-20T01:00:00Z (1,200 of 1,234); likely the source counts rows that its searches "
        "leave out, or rows are still coming in (`settle`); it is published and marked `short`; clear all tasks of "
        "this run to export the window again (archive_upkeep does so when the source's count moves, and after the "
        "horizon)"
    )


def test_more_rows_than_are_counted_have_another_cause() -> None:
    assert "likely the source gives rows that it does not count" in sentence(entry(1, "short", 12, 10))


def test_rows_that_come_under_other_ids_each_time_are_named() -> None:
    told = sentence(entry(3, "short", 10, 10, twins_differ=2))
    assert "likely in 1 slice from 2026-11-20T03:00:00Z on rows of one instant came with other ids" in told


def test_equal_numbers_are_not_told_as_a_difference_of_numbers() -> None:
    told = sentence(entry(3, "short", 10, 10, twins_differ=2), entry(4, "short", 7, 7, bins_differ=1))
    assert "2026-11-20T03:00:00Z (10 as counted, other ids in 2 instants)" in told
    assert "2026-11-20T04:00:00Z (7 as counted, other times in 1 bin)" in told
    assert (
        "in 1 slice from 2026-11-20T04:00:00Z on rows lie at other times than the source counts them" in told
    )


def test_many_short_slices_are_counted_and_five_are_named() -> None:
    told = sentence(*(entry(hour, "short", 1, 2) for hour in range(8)))
    assert told.count("(1 of 2)") == 5
    assert " and 3 more" in told


def test_a_count_that_is_missing_is_no_number() -> None:
    assert "the source counts an unknown number" in sentence(
        entry(0, "unproven", 5, None), entry(1, "short", 1, 2)
    )
