"""Which windows upkeep visits: a small world of slices, rows that come late, and passes that find what is due."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.audit.small_world import (
    DAY,
    HOUR,
    PRESENT,
    START,
    World,
    hours,
    make_spec,
    published,
    spec_of,
)

from logferry.audit.finality import first_not_final
from logferry.audit.survey import survey
from logferry.records.ledger import Ledger, Published
from logferry.window import Window, format_instant, parse_instant


@pytest.fixture
def world() -> World:
    """A day of six-hour windows, the first published half an hour after its end, the others too."""
    world = World(make_spec())
    for first in (0, 6, 12, 18):
        window = hours(first, first + 6)
        for slice_ in window.slices(HOUR):
            world.rows[slice_.start] = 10
        world.publish(window, window.end + HOUR // 2)
    return world


def test_an_export_that_has_never_run_is_left_alone() -> None:
    world = World(make_spec())
    assert world.windows(START + 30 * DAY) == []
    assert world.asked == []


def test_a_complete_and_unmoved_archive_needs_no_visit_inside_the_horizon(world: World) -> None:
    assert world.windows(START + 24 * HOUR + HOUR // 2) == []


def test_windows_that_were_missed_are_run_oldest_first_once_they_have_settled(world: World) -> None:
    now = START + 42 * HOUR  # 18:00 of the second day; the window that ends now has not settled
    missed = [visit.window for visit in world.visits(now) if visit.seq == 0]
    assert missed == [hours(24, 30), hours(30, 36)]
    assert hours(36, 42) in world.windows(now + HOUR // 2)


def test_a_window_from_before_the_first_publication_is_not_missed() -> None:
    world = World(make_spec())
    world.publish(hours(24, 30), START + 30 * HOUR + HOUR // 2)
    assert all(window.start >= START + 24 * HOUR for window in world.windows(START + 40 * HOUR))


def test_a_window_with_a_hole_is_missed_and_only_its_moved_slices_are_fetched(world: World) -> None:
    del world.ledger.slices[hours(20, 21)]
    (visit,) = world.visits(START + 25 * HOUR - 1)
    assert visit.window == hours(18, 24)
    assert visit.conf == {
        "from": "2026-03-01T18:00:00Z",
        "to": "2026-03-02T00:00:00Z",
        "only_moved": True,
    }
    assert visit.reason == "missed: 1 of 6 slices not published"


def test_a_missed_window_with_slices_that_moved_is_one_visit_with_both_reasons(world: World) -> None:
    del world.ledger.slices[hours(20, 21)]
    world.rows[hours(18, 19).start] = 11
    (visit,) = world.visits(START + 24 * HOUR + HOUR // 2)
    assert visit.window == hours(18, 24)
    assert visit.reason.startswith("missed: 1 of 6 slices not published; moved: 1 slice, the first at ")


def test_a_window_of_which_nothing_is_published_is_run_as_a_whole(world: World) -> None:
    visit, *_ = world.visits(START + 30 * HOUR + HOUR // 2)
    assert visit.conf == {"from": "2026-03-02T00:00:00Z", "to": "2026-03-02T06:00:00Z"}
    assert visit.run_id == "upkeep__20260302T000000Z-20260302T060000Z__0"


def test_a_slice_that_moved_brings_its_whole_window_after_one_count(world: World) -> None:
    world.rows[hours(13, 14).start] = 12
    (visit,) = world.visits(START + 24 * HOUR + HOUR // 2)
    assert visit.window == hours(12, 18)
    assert visit.conf["only_moved"] is True
    assert visit.reason == (
        "moved: 1 slice, the first at 2026-03-01T13:00:00Z (10 published, 12 at the source)"
    )
    assert world.asked == [hours(0, 24)]


def test_a_hole_in_the_archive_makes_two_ranges_of_one_count_each(world: World) -> None:
    del world.ledger.slices[hours(9, 10)]
    world.visits(START + 24 * HOUR + HOUR // 2)
    assert world.asked == [hours(0, 9), hours(10, 24)]


def test_the_run_of_a_moved_window_has_another_id_after_each_publication(world: World) -> None:
    now = START + 24 * HOUR + HOUR // 2
    world.rows[START] = 11
    (first,) = world.visits(now)
    world.publish(first.window, now)
    assert world.visits(now) == []
    world.rows[START] = 12
    (second,) = world.visits(now)
    assert first.window == second.window
    assert first.run_id != second.run_id


def test_each_window_is_visited_once_after_its_horizon(world: World) -> None:
    now = START + 30 * HOUR
    (visit,) = world.visits(now)
    assert visit.window == hours(0, 6)
    assert visit.reason == "closing: its horizon of 1d has ended"
    world.publish(visit.window, now)
    assert world.windows(now) == []


def test_a_slice_whose_horizon_has_not_ended_is_not_closed(world: World) -> None:
    assert world.windows(START + 25 * HOUR - 1) == []


def test_a_source_that_cannot_count_is_asked_once_and_only_missed_windows_are_run(world: World) -> None:
    world.countable = False
    world.ledger = Ledger()
    world.publish(hours(0, 6), START + 6 * HOUR + HOUR // 2)
    world.publish(hours(12, 18), START + 18 * HOUR + HOUR // 2)
    assert world.windows(START + 24 * HOUR) == [hours(6, 12)]
    assert len(world.asked) == 1
    assert hours(0, 6) not in world.windows(START + 40 * HOUR)


def keep(world: World, slice_: Window, now: int | None, source_now: int) -> None:
    """A run was not allowed to replace the slice; its source was counted at ``now``, or could not be."""
    entry = world.ledger.slices[slice_].entry
    world.seq += 2
    world.ledger.slices[slice_] = published(
        slice_,
        world.seq,
        PRESENT,
        status="proven",
        rows=entry.rows,
        source_rows=entry.rows,
        counted_at=entry.counted_at,
        source_now=source_now,
        source_now_at=None if now is None else format_instant(now),
    )


def test_a_slice_that_shrank_is_recorded_once_and_closed_once(world: World) -> None:
    now = START + 24 * HOUR + HOUR // 2
    world.rows[START] = 4
    assert len(world.visits(now)) == 1
    keep(world, hours(0, 1), now, 4)
    assert world.windows(now) == []
    after = START + 30 * HOUR
    assert [visit.reason for visit in world.visits(after)] == ["closing: its horizon of 1d has ended"]
    world.publish(hours(1, 6), after)
    assert first_not_final(world.spec, world.ledger, damage={}, due=after).window == hours(0, 1)
    keep(world, hours(0, 1), after, 4)
    assert first_not_final(world.spec, world.ledger, damage={}, due=after).window == hours(6, 7)
    world.rows[START] = 3  # nobody looks any more
    assert hours(0, 6) not in world.windows(after + 100 * DAY)


def test_a_passing_dip_is_proven_again_when_the_rows_are_back(world: World) -> None:
    now = START + 24 * HOUR + HOUR // 2
    keep(world, hours(0, 1), now - HOUR, 4)
    (visit,) = world.visits(now)
    assert visit.window == hours(0, 6)
    assert visit.reason.startswith("moved: 1 slice, the first at 2026-03-01T00:00:00Z (10 published, 10 at")
    world.publish(visit.window, now)
    assert world.windows(now) == []


def test_a_slice_kept_without_a_count_is_visited_again_only_once_it_can_be_counted(world: World) -> None:
    after = START + 30 * HOUR
    for slice_ in hours(0, 6).slices(HOUR):
        keep(world, slice_, None, 10)
    world.countable = False
    assert world.windows(after) == []
    world.countable = True
    (visit,) = world.visits(after)
    assert visit.reason.startswith("uncounted: 6 slices")
    world.publish(visit.window, after)
    assert world.windows(after) == []


@pytest.fixture
def uncounted(world: World) -> World:
    """The source let nobody count while the first window was exported."""
    world.countable = False
    world.publish(hours(0, 6), START + 6 * HOUR + HOUR // 2)
    world.countable = True
    return world


@pytest.mark.parametrize("hour", [24, 25, 31, 24 * 20])
def test_an_unproven_window_is_run_once_its_source_can_be_counted(hour: int, uncounted: World) -> None:
    now = START + hour * HOUR + HOUR // 4
    visit = next(visit for visit in uncounted.visits(now) if visit.window == hours(0, 6))
    assert (
        visit.reason
        == "uncounted: 6 slices, the first at 2026-03-01T00:00:00Z; the source can be counted now"
    )
    assert visit.conf["only_moved"] is True  # unproven slices are fetched all the same
    uncounted.publish(visit.window, now)
    assert all(one.window != visit.window for one in uncounted.visits(now) if hour > 30 or now < START + DAY)


def test_an_unproven_window_is_not_visited_where_the_source_still_refuses(uncounted: World) -> None:
    uncounted.countable = False
    for hour in (24, 31, 48, 24 * 20):
        assert hours(0, 6) not in uncounted.windows(START + hour * HOUR)


def test_unproven_rows_never_give_way_after_the_horizon_to_the_fewer_that_a_source_still_holds(
    uncounted: World,
) -> None:
    assert hours(0, 6) in uncounted.windows(START + 40 * HOUR)
    del uncounted.rows[hours(3, 4).start]
    assert hours(0, 6) not in uncounted.windows(START + 40 * HOUR)


def test_what_could_not_be_counted_is_given_up_after_a_month(uncounted: World) -> None:
    assert hours(0, 6) not in uncounted.windows(START + 33 * DAY)
    uncounted.asked.clear()
    uncounted.visits(START + 33 * DAY)
    assert uncounted.asked == []


@pytest.mark.parametrize(("rows", "due"), [(12, False), (13, True), (10, True)])
def test_a_short_slice_is_visited_when_the_source_says_something_new(
    rows: int, due: bool, world: World
) -> None:
    slice_ = hours(0, 1)
    counted_at = format_instant(START + 7 * HOUR)
    world.ledger.slices[slice_] = published(
        slice_, 50, PRESENT, status="short", rows=10, source_rows=12, counted_at=counted_at
    )
    world.rows[START] = rows
    assert (world.windows(START + 24 * HOUR) == [hours(0, 6)]) is due


def test_slices_of_another_definition_are_neither_counted_nor_exported_again(world: World) -> None:
    for slice_ in hours(6, 12).slices(HOUR):
        before = world.ledger.slices[slice_]
        world.ledger.slices[slice_] = Published(slice_, before.entry, "sha256:old", before.seq, before.proof)
    world.rows[hours(7, 8).start] = 99
    assert world.windows(START + 24 * HOUR) == []
    assert world.asked == [hours(0, 6), hours(12, 24)]
    assert hours(6, 12) not in world.windows(START + 20 * DAY)


def test_beside_slices_of_another_definition_only_the_rest_of_a_missed_window_is_run(world: World) -> None:
    for hour in (18, 19):
        before = world.ledger.slices[hours(hour, hour + 1)]
        world.ledger.slices[before.window] = Published(
            before.window, before.entry, "sha256:old", before.seq, before.proof
        )
    del world.ledger.slices[hours(22, 23)]
    assert world.windows(START + 24 * HOUR + HOUR // 2) == [hours(20, 24)]


def test_a_slice_of_another_grid_is_published(world: World) -> None:
    for slice_ in hours(18, 24).slices(HOUR):
        del world.ledger.slices[slice_]
    for slice_ in hours(18, 24).slices(2 * HOUR):
        world.ledger.slices[slice_] = published(
            slice_, 8, "sha256:old", status="proven", rows=1, source_rows=1, counted_at=None
        )
    assert world.windows(START + 24 * HOUR + HOUR // 2) == []


def test_what_slices_of_a_finer_grid_leave_of_a_missed_window_is_run_in_whole_slices(world: World) -> None:
    for slice_ in hours(18, 24).slices(HOUR):
        del world.ledger.slices[slice_]
    for slice_ in Window(START + 19 * HOUR + HOUR // 4, START + 20 * HOUR).slices(HOUR // 4):
        world.ledger.slices[slice_] = published(
            slice_, 8, "sha256:old", status="proven", rows=1, source_rows=1, counted_at=None
        )
    assert world.windows(START + 24 * HOUR + HOUR // 2) == [hours(18, 19), hours(20, 24)]


def test_windows_to_close_hold_up_no_window_that_was_missed(world: World) -> None:
    world.rows[hours(12, 13).start] = 11
    visits = world.visits(START + 31 * HOUR)
    assert [visit.window for visit in visits] == [hours(24, 30), hours(12, 18), hours(0, 6)]
    assert [visit.reason.partition(":")[0] for visit in visits] == ["missed", "moved", "closing"]


def test_rows_that_the_source_has_let_go_of_are_not_counted(world: World) -> None:
    world.spec = make_spec(source={"retention": "10h"})
    world.rows.clear()
    world.visits(START + 24 * HOUR)
    assert world.asked == [hours(14, 24)]


def test_of_a_window_published_in_part_by_hand_only_that_part_is_visited() -> None:
    world = World(make_spec(schedule="@daily"))
    world.publish(hours(3, 6), START + 30 * HOUR)  # the day before its first run: nobody asked for the rest
    world.rows[hours(4, 5).start] = 7
    del world.ledger.slices[hours(5, 6)]
    assert world.windows(START + 27 * HOUR) == [hours(3, 5)]


def test_a_missed_window_that_the_source_holds_no_more_is_told_and_not_run(world: World) -> None:
    world.spec = make_spec(source={"retention": "2d"})
    found = survey(world.spec, world.ledger, world.count, START + 80 * HOUR, fingerprint=PRESENT)
    assert found.lost == [hours(24, 30)]
    assert all(visit.window.end > START + 32 * HOUR for visit in found.visits)


def test_a_definition_that_cannot_be_told_leaves_what_is_published_alone(world: World) -> None:
    world.rows[START] = 99
    found = survey(world.spec, world.ledger, world.count, START + 31 * HOUR, fingerprint=None)
    assert [visit.window for visit in found.visits] == [hours(24, 30)]
    assert world.asked == []


@st.composite
def layouts(draw: st.DrawFn) -> tuple[World, int]:
    """An archive of up to two days with any slices published at any time, rows that moved since, and a time."""
    schedule, slice_, length = draw(
        st.sampled_from([("@daily", "1h", 24), ("0 */6 * * *", "2h", 6), ("@hourly", "30m", 1)])
    )
    settle, horizon = draw(st.sampled_from(["0m", "30m", "3h"])), draw(st.sampled_from(["0m", "5h", "24h"]))
    spec = spec_of(schedule, slice_, settle, horizon)
    world = World(spec)
    now = START + draw(st.integers(1, 72 * 2)) * HOUR // 2
    grid = spec.slice
    for window in Window(START, START + 2 * DAY).slices(length * HOUR):
        if window.end + spec.settle > now or draw(st.integers(0, 3)) == 0:
            continue
        for one in window.slices(grid):
            world.rows[one.start] = draw(st.integers(0, 3))
        first, last = sorted(draw(st.tuples(*[st.integers(0, window.ticks // grid)] * 2)))
        whole = draw(st.booleans())
        part = (
            window
            if whole or first == last
            else Window(window.start + first * grid, window.start + last * grid)
        )
        waited = draw(st.integers(0, 60)) * HOUR
        world.publish(part, min(now, window.end + spec.settle + waited))
        for one in part.slices(grid):
            world.rows[one.start] += draw(st.sampled_from([0, 0, 0, 1]))
    return world, now


@given(layouts())
def test_every_visit_is_due_and_has_a_reason(layout: tuple[World, int]) -> None:
    world, now = layout
    spec, slices = world.spec, world.ledger.slices
    visits = world.visits(now)
    kinds = ["missed", "moved", "closing"]
    order = [(kinds.index(visit.reason.partition(":")[0]), visit.window) for visit in visits]
    assert order == sorted(order)
    assert len({visit.run_id for visit in visits}) == len(visits)
    for before, after in pairwise(sorted(visit.window for visit in visits)):
        assert before.end <= after.start
    for visit in visits:
        assert visit.window.on_grid(spec.slice)
        assert visit.window.end + spec.settle <= now
        assert visit.window.start >= spec.start
        assert len(spec.schedule_windows(visit.window)) == 1
        assert any(
            slice_ not in slices
            or slices[slice_].entry.rows != world.rows[slice_.start]
            or parse_instant(slices[slice_].entry.counted_at or "") < slice_.end + spec.horizon <= now
            for slice_ in visit.window.slices(spec.slice)
        )


@given(layouts())
def test_a_pass_finds_everything_and_after_its_runs_nothing_is_due(layout: tuple[World, int]) -> None:
    world, now = layout
    for visit in world.visits(now):
        world.publish(visit.window, now)
    assert world.visits(now) == []
    for slice_, one in world.ledger.slices.items():
        if now < slice_.end + world.spec.horizon:
            assert one.entry.rows == world.rows[slice_.start]
        window = world.spec.schedule_windows(Window(slice_.start // DAY * DAY, slice_.end))[-1]
        if now >= max(window.end, (slice_.start // DAY + 1) * DAY) + world.spec.horizon:
            assert parse_instant(one.entry.counted_at or "") >= slice_.end + world.spec.horizon


@given(layouts())
def test_the_source_is_asked_once_for_each_contiguous_range(layout: tuple[World, int]) -> None:
    world, now = layout
    world.visits(now)
    open_slices = sorted(slice_ for slice_ in world.ledger.slices if now < slice_.end + world.spec.horizon)
    starts = sum(
        index == 0 or open_slices[index - 1].end != slice_.start for index, slice_ in enumerate(open_slices)
    )
    assert len(world.asked) == starts
    assert sum(window.ticks for window in world.asked) == len(open_slices) * world.spec.slice


@given(layouts(), st.integers(1, 30))
def test_a_window_that_does_not_move_is_visited_exactly_once_after_its_horizon(
    layout: tuple[World, int], step: int
) -> None:
    world, now = layout
    for visit in world.visits(now):
        world.publish(visit.window, now)
    due = {
        slice_
        for slice_, one in world.ledger.slices.items()
        if parse_instant(one.entry.counted_at or "") < slice_.end + world.spec.horizon
    }
    visited: Counter[Window] = Counter()
    for moment in range(now + step * HOUR, START + 6 * DAY + step * HOUR, step * HOUR):
        for visit in world.visits(moment):
            visited.update(visit.window.slices(world.spec.slice))
            world.publish(visit.window, moment)
    assert {slice_: visited[slice_] for slice_ in due} == dict.fromkeys(due, 1)


def test_a_day_of_hours_is_closed_once_and_not_every_hour() -> None:
    world = World(make_spec(schedule="@daily"))
    world.publish(hours(0, 24), START + 24 * HOUR + HOUR // 2)
    assert [world.windows(START + hour * HOUR) for hour in range(25, 48)] == [[]] * 23
    assert world.windows(START + 48 * HOUR) == [hours(0, 24)]
