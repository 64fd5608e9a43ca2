"""What would mend a range: whole windows that have settled, every gap that can be filled, and the exact bodies."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.logferry.memory_store import MemoryStore
from tests.logferry.view.made_year import YEAR_START, make_year, year_spec
from tests.logferry.view.states import state_of

from logferry.schedule import Schedule
from logferry.spec import ExportSpec
from logferry.view.archive_state import ArchiveState
from logferry.view.fill import fill
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    Window,
    format_instant,
    parse_instant,
)

SCHEDULES = ["@daily", "@hourly", "0 */6 * * *", "30 3 * * *"]


def filled_windows(answer: dict[str, Any], spec: ExportSpec) -> list[Window]:
    """The windows that Airflow would run: of a backfill every window of the schedule up to the last one's start."""
    schedule = Schedule(spec.schedule)
    found = []
    for action in answer["actions"]:
        body = action["body"]
        if action["kind"] == "run":
            conf = body["conf"]
            found.append(Window(parse_instant(conf["from"]), parse_instant(conf["to"])))
            continue
        start, last = parse_instant(body["from_date"]), parse_instant(body["to_date"])
        run = [Window(at, schedule.next_after(at)) for at in schedule.boundaries(Window(start, last + 1))]
        assert len(run) == action["windows"]
        assert (format_instant(run[0].start), format_instant(run[-1].end)) == (action["from"], action["to"])
        found += run
    return found


def made(
    schedule: str = "@daily", *, slices: int = 240, retention: str | None = None, **gaps: Any
) -> ArchiveState:
    store = MemoryStore()
    slice_ = "30m" if schedule == "30 3 * * *" else "1h"
    spec = year_spec(schedule=schedule, retention=retention, slice_=slice_)
    make_year(store, spec, slices=slices, per_window=6, recorded=1, **gaps)
    return state_of(store, spec)


@given(
    schedule=st.sampled_from(SCHEDULES),
    slices=st.integers(0, 80),
    missing=st.sets(st.integers(0, 90), max_size=8),
    short=st.sets(st.integers(0, 90), max_size=4),
    now=st.integers(-60, 100 * 60),
    asked=st.tuples(st.integers(0, 90), st.integers(1, 60)),
)
def test_a_fill_covers_every_settled_gap_in_whole_windows_and_nothing_that_has_not_settled(
    schedule: str, slices: int, missing: set[int], short: set[int], now: int, asked: tuple[int, int]
) -> None:
    state = made(schedule, slices=slices, missing=missing, short=short)
    spec, index = state.spec, state.index
    at = spec.start + now * TICK_PER_MINUTE
    window = Window(spec.start + asked[0] * spec.slice, spec.start + sum(asked) * spec.slice)
    answer = fill(state, window, now=at)
    filled = filled_windows(answer, spec)
    assert all(one.end <= at - spec.settle for one in filled)

    times = Schedule(spec.schedule)
    edges = {spec.start, *times.boundaries(Window(spec.start, spec.start + 20 * TICK_PER_DAY))}
    for one in filled:
        # Only of a window that has not settled as a whole a part is run, by itself.
        unsettled = times.next_after(one.end - 1) > at - spec.settle
        assert (one.start in edges and one.end in edges) or unsettled

    due = index.due_before(spec, at)
    gaps = [
        index.window(number)
        for number in range(*index.numbers(window))
        if index.letter(number, due) in "DMSI" and index.window(number).end <= at - spec.settle
    ]
    for gap in gaps:
        assert any(one.covers(gap) for one in filled)
    assert answer["gaps"] == sum(
        index.letter(number, due) in "DMSI" for number in range(*index.numbers(window))
    )
    assert sum(action["kind"] == "backfill" for action in answer["actions"]) <= 1
    assert [action["kind"] for action in answer["actions"]][1:].count("backfill") == 0
    assert answer["windows"] == sum(action["windows"] for action in answer["actions"])


def test_the_longest_stretch_is_a_backfill_and_the_others_are_runs() -> None:
    state = made(missing=[*range(24), *range(72, 120)], slices=240)
    answer = fill(
        state, Window(YEAR_START, YEAR_START + 10 * TICK_PER_DAY), now=YEAR_START + 30 * TICK_PER_DAY
    )
    assert [action["body"] for action in answer["actions"]] == [
        {
            "dag_id": "export_web",
            "from_date": "2025-11-23T00:00:00Z",
            "to_date": "2025-11-24T00:00:00Z",
            "run_backwards": False,
            "dag_run_conf": {},
            "max_active_runs": 4,
            "reprocess_behavior": "completed",
        },
        {
            "logical_date": None,
            "conf": {"from": "2025-11-20T00:00:00Z", "to": "2025-11-21T00:00:00Z"},
            "note": "Fills 2025-11-20T00:00:00Z to 2025-11-21T00:00:00Z, asked for on the coverage page.",
        },
    ]
    assert [shlex.split(command)[:3] for command in answer["commands"]] == [
        ["airflow", "backfill", "create"],
        ["airflow", "dags", "trigger"],
    ]
    assert json.loads(shlex.split(answer["commands"][1])[-1]) == answer["actions"][1]["body"]["conf"]


def test_rows_are_guessed_by_the_same_hour_of_the_same_weekday() -> None:
    # The second Wednesday at five is missing; the others of that hour hold 10, 30 and 20 rows.
    wednesdays = {5: 10, 7 * 24 + 5: 999, 14 * 24 + 5: 30, 21 * 24 + 5: 20}
    state = made(
        "@hourly", slices=24 * 24, missing=[7 * 24 + 5], rows=lambda number: wednesdays.get(number, 5_000)
    )
    start = YEAR_START + (7 * 24 + 5) * TICK_PER_HOUR
    answer = fill(state, Window(start, start + TICK_PER_HOUR), now=YEAR_START + 30 * TICK_PER_DAY)
    assert (answer["windows"], answer["rows_expected"], answer["requests"]) == (1, 20, 1)
    assert "the same hour of the same weekday (1 slice)" in answer["basis"]
    assert answer["eta_s"] is None


def test_without_neighbours_the_same_hour_of_other_days_tells_and_else_the_weeks_around() -> None:
    state = made("@hourly", slices=48, missing=[30], rows=lambda number: 100 + number)
    start = YEAR_START + 30 * TICK_PER_HOUR
    now = YEAR_START + 30 * TICK_PER_DAY
    assert fill(state, Window(start, start + TICK_PER_HOUR), now=now)["rows_expected"] == 106

    state = made("@hourly", slices=12, missing=[3], rows=lambda number: 100 + number)
    start = YEAR_START + 3 * TICK_PER_HOUR
    assert fill(state, Window(start, start + TICK_PER_HOUR), now=now)["rows_expected"] == 106


def test_an_empty_archive_gives_no_guess_and_still_the_windows() -> None:
    state = made(slices=0)
    answer = fill(state, Window(YEAR_START, YEAR_START + TICK_PER_DAY), now=YEAR_START + 3 * TICK_PER_DAY)
    assert (answer["gaps"], answer["windows"]) == (24, 1)
    assert (answer["rows_expected"], answer["requests"], answer["eta_s"]) == (None, None, None)
    assert "holds nothing" in answer["basis"]


def test_a_range_without_gaps_is_exported_again() -> None:
    state = made()
    window = Window(YEAR_START + 30 * TICK_PER_HOUR, YEAR_START + 31 * TICK_PER_HOUR)
    answer = fill(state, window, now=YEAR_START + 30 * TICK_PER_DAY)
    assert (answer["gaps"], answer["windows"]) == (0, 1)
    assert answer["actions"][0]["from"] == "2025-11-21T00:00:00Z"
    assert "what the archive says of the slice itself (24 slices)" in answer["basis"]


def test_what_the_source_no_longer_holds_is_left_out_and_said() -> None:
    state = made(missing=range(96), retention="15d")
    now = YEAR_START + 17 * TICK_PER_DAY
    answer = fill(state, Window(YEAR_START, YEAR_START + 5 * TICK_PER_DAY), now=now)
    assert [(action["from"], action["to"]) for action in answer["actions"]] == [
        ("2025-11-22T00:00:00Z", "2025-11-24T00:00:00Z")
    ]
    assert answer["warnings"] == [
        "48 slices before 2025-11-22T00:00:00Z cannot be filled: the source keeps rows for 15d."
    ]


def test_what_has_not_settled_is_left_out_and_said() -> None:
    state = made("@hourly", slices=0)
    now = YEAR_START + 5 * TICK_PER_HOUR + 10 * TICK_PER_MINUTE
    answer = fill(state, Window(YEAR_START, YEAR_START + 6 * TICK_PER_HOUR), now=now)
    assert answer["actions"][-1]["to"] == "2025-11-20T04:00:00Z"

    soon = fill(state, Window(YEAR_START + 5 * TICK_PER_HOUR, YEAR_START + 6 * TICK_PER_HOUR), now=now)
    assert (soon["actions"], soon["requests"]) == ([], 0)
    (warning,) = soon["warnings"]
    assert warning.startswith("What lies after 2025-11-20T05:00:00Z is left out: it has not settled")


@pytest.mark.parametrize("schedule", ["@hourly", "@daily"])
def test_airflow_takes_the_bodies(schedule: str) -> None:
    backfills = pytest.importorskip("airflow.api_fastapi.core_api.datamodels.backfills")
    dag_runs = pytest.importorskip("airflow.api_fastapi.core_api.datamodels.dag_run")
    state = made(schedule, missing=[3, 50, 51, 52, 110])
    answer = fill(
        state, Window(YEAR_START, YEAR_START + 5 * TICK_PER_DAY), now=YEAR_START + 30 * TICK_PER_DAY
    )
    assert {action["kind"] for action in answer["actions"]} == {"backfill", "run"}
    for action in answer["actions"]:
        model = backfills.BackfillPostBody if action["kind"] == "backfill" else dag_runs.TriggerDAGRunPostBody
        model.model_validate_json(json.dumps(action["body"]))


def test_of_a_window_that_the_source_holds_in_part_only_the_rest_is_run() -> None:
    state = made(missing=range(96), retention="15d")
    now = YEAR_START + 16 * TICK_PER_DAY + 5 * TICK_PER_HOUR
    answer = fill(state, Window(YEAR_START, YEAR_START + 5 * TICK_PER_DAY), now=now)
    assert [(one["kind"], one["from"], one["to"], one["windows"]) for one in answer["actions"]] == [
        ("backfill", "2025-11-22T00:00:00Z", "2025-11-24T00:00:00Z", 2),
        ("run", "2025-11-21T05:00:00Z", "2025-11-22T00:00:00Z", 1),
    ]
    assert answer["actions"][1]["body"]["conf"] == {
        "from": "2025-11-21T05:00:00Z",
        "to": "2025-11-22T00:00:00Z",
    }
    assert "(43 slices)" in answer["basis"]
    assert "(24 slices)" in answer["basis"]
    assert answer["warnings"] == [
        "29 slices before 2025-11-21T05:00:00Z cannot be filled: the source keeps rows for 15d."
    ]


@given(
    schedule=st.sampled_from(SCHEDULES),
    missing=st.sets(st.integers(0, 239), max_size=12),
    now=st.integers(5 * 24 * 60, 16 * 24 * 60),
)
def test_nothing_is_run_that_the_source_does_not_hold(schedule: str, missing: set[int], now: int) -> None:
    state = made(schedule, missing=missing, retention="5d")
    spec = state.spec
    at = spec.start + now * TICK_PER_MINUTE
    held_from = at - 5 * TICK_PER_DAY
    answer = fill(state, Window(spec.start, spec.start + 240 * spec.slice), now=at)
    filled = filled_windows(answer, spec)
    assert all(one.start >= held_from for one in filled)
    due = state.index.due_before(spec, at)
    for number in range(*state.index.numbers(Window(spec.start, spec.start + 240 * spec.slice))):
        slice_ = state.index.window(number)
        if state.index.letter(number, due) == "M" and slice_.start >= held_from:
            assert any(one.covers(slice_) for one in filled)


@pytest.mark.parametrize("gaps", [{}, {"missing": range(0, 3_000, 2)}])
def test_of_very_many_windows_the_oldest_thousand_come_first(gaps: dict[str, Any]) -> None:
    store = MemoryStore()
    spec = year_spec(schedule="* * * * *", slice_="1m")
    make_year(store, spec, slices=3_000, per_window=60, recorded=1, **gaps)
    state = state_of(store, spec)
    now = spec.start + 365 * TICK_PER_DAY
    first = spec.start if gaps else spec.start + 3_000 * TICK_PER_MINUTE
    answer = fill(state, Window(spec.start, now), now=now)
    filled = sorted(filled_windows(answer, spec))
    assert filled[0].start == first
    if gaps:
        # Single minutes: so many stretches are not listed.
        assert (answer["windows"], len(answer["actions"])) == (500, 500)
        return
    assert answer["gaps"] > 500_000
    assert (answer["windows"], len(answer["actions"]), answer["rows_expected"] is None) == (1_000, 1, False)
    end = format_instant(filled[-1].end)
    assert answer["warnings"] == [
        f"This is about the 1,000 oldest windows, up to {end}: fill these first, then come back."
    ]


def test_windows_that_reach_beyond_what_was_asked_for_are_named() -> None:
    state = made("@daily", slices=240, missing=set(range(48, 72)))
    start = state.spec.start + 2 * TICK_PER_DAY
    now = state.spec.start + 11 * TICK_PER_DAY
    asked = Window(start + 3 * TICK_PER_HOUR, start + 5 * TICK_PER_HOUR)
    answer = fill(state, asked, now=now)
    assert answer["windows"] == 1
    (said,) = answer["warnings"]
    assert said == (
        "A window of the schedule is always run whole, so more than the selection is exported: "
        f"{format_instant(start)} to {format_instant(start + TICK_PER_DAY)}. Files whose rows did not change are not "
        "written anew."
    )
    assert fill(state, Window(start, start + TICK_PER_DAY), now=now)["warnings"] == []
