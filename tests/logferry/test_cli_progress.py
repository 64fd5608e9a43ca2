"""What an export shows while it works: a bar on a terminal, a line per slice elsewhere."""

from __future__ import annotations

import io
import re

import pytest

from logferry.cli.progress import Lines, watcher
from logferry.cli.progress_bar import Bar
from logferry.plan import Plan, SlicePlan
from logferry.publishing.results import SliceResult
from logferry.records.manifest import FileEntry, Span
from logferry.sources.base import SourceSchema

FROM, MIDDLE, TO = "2026-11-20T00:00:00Z", "2026-11-20T01:00:00Z", "2026-11-20T02:00:00Z"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def plan(rows: int | None) -> Plan:
    return Plan(
        export="web",
        window=Span(start=FROM, end=TO),
        started_at=TO,
        counted_at=TO,
        rows=rows,
        requests=2,
        bytes=None,
        eta_s=None,
        slices=[
            SlicePlan(start=FROM, end=MIDDLE, rows=rows),
            SlicePlan(start=MIDDLE, end=TO, rows=rows and 0),
        ],
        schema=SourceSchema((), has_id=True),
        spent={},
        fingerprint="sha256:x",
    )


def finished(start: str, end: str, rows: int, source_rows: int | None) -> SliceResult:
    file = FileEntry(key="k", rows=rows, bytes=1, sha256="x", row_hash="x", min_time=None, max_time=None)
    return SliceResult(
        start=start,
        end=end,
        status="unproven" if source_rows is None else "proven",
        rows=rows,
        source_rows=source_rows,
        counted_at=None,
        file=file,
    )


def test_a_pipe_gets_one_line_per_slice() -> None:
    stream = io.StringIO()
    with watcher(stream) as watching:
        assert isinstance(watching, Lines)
        watching.begin(plan(1200), lambda: None, 16, "")
        watching.page(1000, 5)
        watching.slice_done(finished(FROM, MIDDLE, 1200, 1200))
        watching.slice_done(finished(MIDDLE, TO, 0, None))
    assert stream.getvalue().splitlines() == [
        f"{FROM} {MIDDLE} proven: 1,200 rows (1,200 at the source)",
        f"{MIDDLE} {TO} unproven: 0 rows (not counted)",
    ]


@pytest.mark.parametrize("columns", ["80", "200"])
@pytest.mark.parametrize("rows", [1200, None])
def test_a_terminal_gets_a_bar_that_ends_full_and_fits_on_one_line(
    rows: int | None, columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    with watcher(stream) as watching:
        assert isinstance(watching, Bar)
        watching.begin(plan(rows), lambda: None, 16, "")
        watching.page(1000, 5)
        watching.page(203, 5)
        watching.slice_done(finished(FROM, MIDDLE, 1200, rows))
        watching.slice_done(finished(MIDDLE, TO, 0, rows))
    shown = stream.getvalue()
    last = re.split(r"\r|\n|\x1b\[[0-9?]*[a-zA-Z]", shown.strip())
    (bar,) = [line for line in last if "2/2 slices" in line][-1:]
    assert bar.startswith(f"{FROM} +2h ")
    assert bar.split(" +2h ")[1].split()[1:] == ["1,200", "rows", "2/2", "slices"]


def test_the_bar_of_a_long_backfill_is_that_of_the_window_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    with watcher(stream) as watching:
        for place in ("1 of 365", "2 of 365"):
            watching.begin(plan(1200), lambda: None, 16, place)
            watching.slice_done(finished(FROM, MIDDLE, 1200, 1200))
    ended = stream.getvalue().rpartition("2 of 365")
    assert ended[1]
    assert "1 of 365" not in ended[2]
