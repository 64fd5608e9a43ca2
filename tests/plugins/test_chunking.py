"""A window is cut into as few tasks as it is worth."""

from __future__ import annotations

from typing import Any

import pytest

from logferry.plan import Plan, SlicePlan
from logferry.records.manifest import Span
from logferry.sources.base import SourceSchema
from logferry.window import TICK_PER_HOUR, Window, parse_instant
from logferry_airflow.chunking import MOST_TASKS, MOST_TASKS_UNCOUNTED, ROWS_PER_TASK, tasks_of

pytestmark = pytest.mark.airflow

DAY = Window(parse_instant("2026-03-02T00:00:00Z"), parse_instant("2026-03-03T00:00:00Z"))


def plan(rows_per_hour: int | None, *, bytes_per_row: int = 600) -> Plan:
    slices = []
    for window in DAY.slices(TICK_PER_HOUR):
        span = Span.of(window)
        slices.append(SlicePlan(start=span.start, end=span.end, rows=rows_per_hour))
    rows = None if rows_per_hour is None else 24 * rows_per_hour
    values: dict[str, Any] = {
        "export": "web",
        "window": Span.of(DAY),
        "started_at": "2026-03-03T01:00:00Z",
        "counted_at": "2026-03-03T01:00:00Z",
        "rows": rows,
        "requests": 1,
        "bytes": None if rows is None else rows * bytes_per_row,
        "eta_s": None,
        "slices": slices,
        "schema": SourceSchema(columns=[], has_id=True),
        "spent": {},
        "fingerprint": "sha256:1",
    }
    return Plan(**values)


@pytest.mark.parametrize(
    ("rows_per_hour", "tasks"),
    [
        (0, 1),
        (80, 1),
        (8_000, 1),
        (ROWS_PER_TASK // 24, 1),
        (ROWS_PER_TASK // 8, 3),
        (100 * ROWS_PER_TASK, MOST_TASKS),
        (None, MOST_TASKS_UNCOUNTED),
    ],
)
def test_a_task_is_worth_its_start(rows_per_hour: int | None, tasks: int) -> None:
    chunks = tasks_of(plan(rows_per_hour))
    assert len(chunks) == tasks
    assert sum(len(chunk.slices) for chunk in chunks) == 24


def test_large_rows_are_shared_out_before_they_fill_a_workers_disk() -> None:
    assert len(tasks_of(plan(1_000, bytes_per_row=1_000_000))) == 6
