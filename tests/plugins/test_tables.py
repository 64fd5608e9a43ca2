"""Tables of a task's log that somebody on call can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from logferry.plan import Plan, SlicePlan
from logferry.records.manifest import FileEntry, Manifest, RunEntry, SliceEntry, Span
from logferry.sources.base import SourceSchema
from logferry.spec import ExportSpec
from logferry.window import TICK_PER_HOUR, format_instant, parse_instant
from logferry_airflow.tables import MOST_LINES, definition_table, plan_table, publication_table

pytestmark = pytest.mark.airflow

START = parse_instant("2026-03-01T00:00:00Z")
AT = "2026-04-01T00:00:00Z"


def hour(number: int) -> dict[str, str]:
    return {
        "start": format_instant(START + number * TICK_PER_HOUR),
        "end": format_instant(START + (number + 1) * TICK_PER_HOUR),
    }


def plan(hours: int, **replaced: Any) -> Plan:
    slices = [SlicePlan(**hour(number), rows=10) for number in range(hours)]
    told = {
        "export": "shop",
        "window": Span(start=slices[0].start, end=slices[-1].end),
        "started_at": AT,
        "counted_at": AT,
        "rows": 10 * hours,
        "requests": hours,
        "bytes": 2_000_000,
        "eta_s": 7_380.0,
        "forecast": None,
        "slices": slices,
        "schema": SourceSchema((), has_id=True),
        "spent": {},
        "fingerprint": "f",
    }
    return Plan(**{**told, **replaced})


def manifest(hours: int, short: int) -> Manifest:
    file = FileEntry(key="k", rows=10, bytes=100, sha256="", row_hash="", min_time=None, max_time=None)
    slices = [
        SliceEntry(
            **hour(number),
            status="short" if number == short else "proven",
            rows=10,
            source_rows=11 if number == short else 10,
            counted_at=AT,
            file=file,
        )
        for number in range(hours)
    ]
    return Manifest(
        export="shop",
        seq=3,
        previous=None,
        fingerprint="f",
        source={},
        window=Span(start=slices[0].start, end=slices[-1].end),
        status="short",
        rows=10 * hours,
        source_rows=10 * hours + 1,
        columns=[],
        slices=slices,
        requests={},
        run=RunEntry(id="r", attempt=1, started_at=AT, finished_at=AT, engine="logferry"),
    )


def test_a_plan_is_a_line_for_each_slice_and_the_totals() -> None:
    lines = plan_table(plan(3), []).splitlines()
    assert lines == [
        "plan of shop for [2026-03-01T00:00:00Z, 2026-03-01T03:00:00Z)",
        "slice                 rows at the source",
        "2026-03-01T00:00:00Z                  10",
        "2026-03-01T01:00:00Z                  10",
        "2026-03-01T02:00:00Z                  10",
        "3 slices in 0 chunks: 30 rows, 3 search requests, about 2.0 MB, about 2 h 3 min at the learned request rate",
    ]


def test_a_plan_of_a_year_is_a_line_for_each_day() -> None:
    table = plan_table(plan(365 * 24), [])
    assert "2026-03-01 (24 slices)                 240" in table
    assert len(table.splitlines()) == 365 + 3
    assert "8,760 slices in" in table


def test_a_day_with_a_slice_that_cannot_be_counted_has_no_number() -> None:
    slices = [SlicePlan(**hour(number), rows=None if number == 30 else 1) for number in range(MOST_LINES + 1)]
    days = plan_table(plan(1, slices=slices, rows=None), []).splitlines()[2:-1]
    assert [line.split()[-1] for line in days] == ["24", "unknown", "24", "24", "1"]


def test_a_long_publication_names_its_short_slice_below_its_day() -> None:
    lines = publication_table(manifest(31 * 24, short=30)).splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("2026-03-02 "))
    assert lines[at].split() == ["2026-03-02", "(24", "slices)", "short", "240", "241", "2,400"]
    assert lines[at + 1].split() == ["2026-03-02T06:00:00Z", "short", "10", "11", "100"]
    assert len(lines) == 31 + 1 + 3
    assert lines[-1] == "short: 7,440 rows written, 7,441 at the source"


def test_the_documentation_of_a_dag_says_who_is_told(make_spec: Callable[..., ExportSpec]) -> None:
    assert "| told | nobody |" in definition_table(make_spec())
    spec = make_spec(notify=[{"kind": "webhook", "connection": "hook", "on": ["short", "behind"]}])
    assert "| told | `hook (short, behind)` |" in definition_table(spec)
