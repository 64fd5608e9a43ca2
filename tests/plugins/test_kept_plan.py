"""The plan and the borders of a window's chunks outlive a wait, a late row and a dead worker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from logferry.plan import Plan, SlicePlan
from logferry.records.manifest import Span
from logferry.sources.base import SourceSchema
from logferry.window import TICK_PER_HOUR, Window, parse_instant
from logferry_airflow.chunking import tasks_of
from logferry_airflow.kept_plan import KEY, KeptPlan
from logferry_airflow.task_progress import WindowProgress

pytestmark = pytest.mark.airflow

DAY = Window(parse_instant("2026-03-02T00:00:00Z"), parse_instant("2026-03-03T00:00:00Z"))
NEXT = Window(parse_instant("2026-03-03T00:00:00Z"), parse_instant("2026-03-04T00:00:00Z"))


class States(dict[str, Any]):
    """A task state store."""

    def set(self, key: str, value: Any) -> None:
        assert json.loads(json.dumps(value)) == value
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


class Down(States):
    """One whose API server does not answer."""

    def get(self, key: str, default: Any = None) -> Any:
        raise ConnectionError("no API server")

    def set(self, key: str, value: Any) -> None:
        raise ConnectionError("no API server")

    def delete(self, key: str) -> None:
        raise ConnectionError("no API server")


def plan(late_in_hour: int | None = None, *, fingerprint: str = "sha256:1") -> Plan:
    slices = []
    for hour, window in enumerate(DAY.slices(TICK_PER_HOUR)):
        span = Span.of(window)
        slices.append(SlicePlan(start=span.start, end=span.end, rows=170_000 + (hour == late_in_hour)))
    rows = sum(one.rows or 0 for one in slices)
    return Plan(
        export="web",
        window=Span.of(DAY),
        started_at="2026-03-03T01:00:00Z",
        counted_at="2026-03-03T01:00:00Z",
        rows=rows,
        requests=1,
        bytes=rows * 600,
        eta_s=None,
        slices=slices,
        schema=SourceSchema(columns=(), has_id=True),
        spent={"count": 3},
        fingerprint=fingerprint,
    )


def kept(
    states: States, window: Window = DAY, *, fingerprint: str = "sha256:1", moved: bool = False
) -> KeptPlan:
    return KeptPlan(states, window, fingerprint, only_moved=moved)


def test_one_late_row_moves_no_border_between_the_chunks_of_a_window() -> None:
    before, after = plan(), plan(late_in_hour=0)
    sizes = {len(chunk.slices) for chunk in tasks_of(before)}
    states = States()
    first = kept(states).cut(before, tasks_of(before))
    moved = tasks_of(plan(late_in_hour=20))
    again = kept(states).cut(after, [*moved[:1], *tasks_of(after)[1:]])
    assert sizes
    assert [chunk.label for chunk in again] == [chunk.label for chunk in first]
    assert [one for chunk in again for one in chunk.slices] == after.slices
    assert [chunk.requests for chunk in again] == [{"count": 3}] + [{}] * (len(again) - 1)


def test_borders_are_kept_even_where_the_plan_would_now_be_cut_elsewhere() -> None:
    states, found = States(), plan()
    first = kept(states).cut(found, found.chunks(4, 1))
    again = kept(states).cut(found, found.chunks(7, 1))
    assert [chunk.label for chunk in again] == [chunk.label for chunk in first]


def test_after_a_wait_the_same_plan_goes_on() -> None:
    states, found = States(), plan()
    kept(states).cut(found, tasks_of(found))
    assert kept(states).plan() == found


@pytest.mark.parametrize("other", [{"window": NEXT}, {"fingerprint": "sha256:2"}])
def test_another_window_or_definition_begins_anew_and_old_progress_is_cleared(other: dict[str, Any]) -> None:
    states, found = States(), plan()
    chunks = kept(states).cut(found, tasks_of(found))
    progress = WindowProgress(states).of(chunks[0].label)
    progress.save({"parts": []})
    progress.flush()
    assert len(states) == 2
    assert kept(states, **other).plan() is None
    assert set(states) == {KEY}


def test_a_plan_that_skips_the_unmoved_is_not_one_that_fetches_all() -> None:
    states, found = States(), plan()
    kept(states).cut(found, tasks_of(found))
    assert kept(states, moved=True).plan() is None
    assert kept(states).plan() == found


@pytest.mark.parametrize(
    "broken", ["text", {}, {"plan": {}, "sizes": [], "only_moved": False}, {"zlib": "!"}]
)
def test_what_cannot_be_read_is_planned_anew(broken: object, caplog: pytest.LogCaptureFixture) -> None:
    assert kept(States({KEY: broken})).plan() is None
    assert "anew" in caplog.text


def test_a_store_that_is_down_costs_no_more_than_a_new_plan() -> None:
    found = plan()
    held = kept(Down())
    assert held.plan() is None
    assert held.cut(found, tasks_of(found)) == tasks_of(found)
    held.clear()


def test_a_published_window_leaves_nothing() -> None:
    states, found = States(), plan()
    held = kept(states)
    held.cut(found, tasks_of(found))
    held.clear()
    assert states == {}
