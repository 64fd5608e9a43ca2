"""The crew of a window: every chunk is exported once, whoever does it, and nothing stays behind where one fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.crew import export_plan
from logferry.errors import StoreError, Unavailable
from logferry.ferry import Ferry
from logferry.mate import Mate, MateLost
from logferry.plan import Chunk, Plan, SlicePlan
from logferry.progress import Progress, Silent
from logferry.publishing.results import ChunkResult
from logferry.records.manifest import Span
from logferry.sources.base import SourceSchema
from logferry.window import TICK_PER_HOUR, Window, parse_instant

START = parse_instant("2026-11-20T00:00:00Z")
SCHEMA = SourceSchema(columns=(), has_id=True)


def span(hour: int, hours: int = 1) -> Span:
    return Span.of(Window(START + hour * TICK_PER_HOUR, START + (hour + hours) * TICK_PER_HOUR))


def planned(*rows: int | None, eta_s: float | None = None) -> Plan:
    """A slice of an hour for each."""
    spans = [span(hour) for hour in range(len(rows))]
    slices = [SlicePlan(start=one.start, end=one.end, rows=n) for one, n in zip(spans, rows, strict=True)]
    known = None if None in rows else sum(n or 0 for n in rows)
    return Plan(
        export="web",
        window=span(0, len(rows)),
        started_at=spans[0].start,
        counted_at=spans[0].start,
        rows=known,
        requests=1,
        bytes=None,
        eta_s=eta_s,
        slices=slices,
        schema=SCHEMA,
        spent={},
        fingerprint="f",
    )


def result(chunk: Chunk, by: str) -> ChunkResult:
    """``fingerprint`` says who made it, ``started_at`` of what."""
    return ChunkResult(started_at=chunk.label, slices=[], schema=SCHEMA, requests={}, fingerprint=by)


class Here:
    """Stands for the ferry of this process."""

    def __init__(self, most_in_flight: int = 16) -> None:
        self.progress: Progress = Silent()
        self.most_in_flight = most_in_flight
        self.exported: list[tuple[str, int]] = []
        self.discarded: list[str] = []
        self.during: Callable[[Chunk], None] = lambda chunk: None

    def export(self, chunk: Chunk, *, before_slice: Callable[[], None], among: int) -> ChunkResult:
        self.during(chunk)
        before_slice()
        self.exported.append((chunk.label, among))
        return result(chunk, "here")

    def discard(self, results: list[ChunkResult]) -> None:
        self.discarded += [one.started_at for one in results]


class There:
    """Stands for the mate."""

    def __init__(self) -> None:
        self.can_work = True
        self.closed = threading.Event()
        self.exported: list[tuple[str, int]] = []
        self.during: Callable[[Chunk], None] = lambda chunk: None

    def export(self, chunk: Chunk, progress: Progress, *, among: int) -> ChunkResult:
        self.during(chunk)
        self.exported.append((chunk.label, among))
        return result(chunk, "there")

    def close(self) -> None:
        self.closed.set()


def export(here: Here, plan: Plan, there: There | None) -> list[ChunkResult]:
    return export_plan(cast(Ferry, here), plan, cast(Mate | None, there))


def labels(plan: Plan, chunks: int) -> list[str]:
    size = len(plan.slices) // chunks
    return [
        f"{part[0].start}/{part[-1].end}"
        for part in (plan.slices[at : at + size] for at in range(0, len(plan.slices), size))
    ]


def both_at_work(here: Here, there: There) -> None:
    """Neither ends its first chunk before the other has begun one."""
    begun = threading.Barrier(2, timeout=60)
    first = {"here": True, "there": True}

    def meet(who: str) -> Callable[[Chunk], None]:
        def during(chunk: Chunk) -> None:
            if first[who]:
                first[who] = False
                begun.wait()

        return during

    here.during, there.during = meet("here"), meet("there")


def test_both_take_half_and_know_that_they_are_two() -> None:
    here, there = Here(), There()
    both_at_work(here, there)
    plan = planned(*[10_000] * 24)
    results = export(here, plan, there)
    assert [one.started_at for one in results] == labels(plan, 2)
    assert {one.fingerprint for one in results} == {"here", "there"}
    assert [among for _, among in here.exported + there.exported] == [2, 2]
    assert not here.discarded
    assert not there.closed.is_set()


def test_chunks_of_a_large_window_are_as_many_for_each() -> None:
    here, there = Here(), There()
    results = export(here, planned(*[200_000] * 12), there)
    assert len(results) == 4


@pytest.mark.parametrize(
    ("rows", "changes", "chunks"),
    [
        ([600, 600], {}, 1),  # over before the mate has opened its source
        ([30_000], {}, 1),
        ([1_000, 1_000, 30_000, 1_000], {}, 1),  # whoever has the hour is quicker with the whole machine
        ([10_000, 20_000, 30_000], {}, 2),
        ([None, None], {}, 2),  # nobody knows what it will take
        ([30_000, 30_000], {"eta_s": 10.0}, 1),  # the source lets come 6,000 a second
        ([30_000, 30_000], {"eta_s": 0.0}, 2),
        ([30_000, 30_000], {"most_in_flight": 3}, 1),
        ([30_000, 30_000], {"most_in_flight": 4}, 2),
        ([30_000, 30_000], {"can_work": False}, 1),
        ([900_000, 900_000], {"can_work": False}, 2),
    ],
)
def test_a_mate_works_only_where_that_saves_time(
    rows: list[int | None], changes: dict[str, Any], chunks: int
) -> None:
    here, there = Here(changes.get("most_in_flight", 16)), There()
    there.can_work = changes.get("can_work", True)
    results = export(here, planned(*rows, eta_s=changes.get("eta_s")), there)
    assert len(results) == chunks
    among = [among for _, among in here.exported + there.exported]
    helped = chunks == 2 and None not in rows and there.can_work
    assert among == [2 if helped else 1] * chunks


@given(rows=st.lists(st.integers(0, 3_000_000), min_size=1, max_size=30), with_mate=st.booleans())
def test_every_slice_is_exported_once_and_in_order(rows: list[int], with_mate: bool) -> None:
    here, there = Here(), There()
    plan = planned(*rows)
    results = export(here, plan, there if with_mate else None)
    ends = [one.started_at.split("/") for one in results]
    assert ends[0][0] == plan.slices[0].start
    assert ends[-1][1] == plan.slices[-1].end
    assert all(before[1] == after[0] for before, after in pairwise(ends))
    assert sorted(label for label, _ in here.exported + there.exported) == [one.started_at for one in results]


def test_what_a_lost_mate_was_at_is_exported_here(caplog: pytest.LogCaptureFixture) -> None:
    here, there = Here(), There()

    def lost(chunk: Chunk) -> None:
        raise MateLost("exit status -9")

    both_at_work(here, there)
    meet = there.during

    def meet_and_be_lost(chunk: Chunk) -> None:
        meet(chunk)
        lost(chunk)

    there.during = meet_and_be_lost
    plan = planned(*[30_000] * 4)
    results = export(here, plan, there)
    assert [(one.started_at, one.fingerprint) for one in results] == [
        (label, "here") for label in labels(plan, 2)
    ]
    assert "has ended (exit status -9); what it was at is fetched here" in caplog.text
    assert [among for _, among in here.exported] == [2, 1]
    assert not here.discarded


def test_an_error_of_the_mate_breaks_off_what_is_done_here() -> None:
    here, there = Here(), There()
    failed = threading.Event()

    def fail(chunk: Chunk) -> None:
        meet(chunk)
        raise Unavailable("later", wait_s=2.5)

    def until_it_failed(chunk: Chunk) -> None:
        meet_here(chunk)
        # The thread that waits for the mate is over when it has noted the error.
        for one in threading.enumerate():
            if one.name == "mate":
                one.join()
        failed.set()

    both_at_work(here, there)
    meet, meet_here = there.during, here.during
    there.during, here.during = fail, until_it_failed
    with pytest.raises(Unavailable, match="later") as caught:
        export(here, planned(*[30_000] * 4), there)
    assert caught.value.wait_s == 2.5
    assert failed.is_set()
    assert here.exported == []
    assert not there.closed.is_set()


def test_an_error_here_breaks_the_mate_off_and_what_it_had_finished_is_discarded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, there = Here(), There()
    second = threading.Event()
    plan = planned(*[800_000] * 4)
    done: list[str] = []

    def work(chunk: Chunk) -> None:
        if done:
            second.set()
            assert there.closed.wait(60)
            raise MateLost("exit status 0")
        done.append(chunk.label)

    def fail(chunk: Chunk) -> None:
        assert second.wait(60)
        raise StoreError("the disk is full")

    here.during, there.during = fail, work
    with pytest.raises(StoreError, match="the disk is full"):
        export(here, plan, there)
    assert here.discarded == done != []
    assert caplog.text == ""


def test_an_error_without_a_mate_discards_what_was_done_before() -> None:
    here = Here()
    plan = planned(*[800_000] * 2)

    def fail_later(chunk: Chunk) -> None:
        if here.exported:
            raise StoreError("the disk is full")

    here.during = fail_later
    with pytest.raises(StoreError):
        export(here, plan, None)
    assert here.discarded == [label for label, _ in here.exported] == labels(plan, 2)[:1]
