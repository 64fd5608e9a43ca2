"""A long export says how far it is."""

from __future__ import annotations

import logging
import threading

import pytest

from logferry.publishing.publish import SliceResult
from logferry.records.manifest import FileEntry
from logferry_airflow.progress import ProgressLog

pytestmark = pytest.mark.airflow

log = logging.getLogger("logferry.test_progress")


def result(rows: int, source_rows: int | None) -> SliceResult:
    file = FileEntry(key="k", rows=rows, bytes=1, sha256="", row_hash="", min_time=None, max_time=None)
    return SliceResult(
        start="2026-11-20T00:00:00Z",
        end="2026-11-20T01:00:00Z",
        status="proven" if rows == source_rows else "unproven",
        rows=rows,
        source_rows=source_rows,
        counted_at=None,
        file=file,
    )


def test_every_finished_slice_is_one_line_with_both_counts(caplog: pytest.LogCaptureFixture) -> None:
    progress = ProgressLog(log, slices=2)
    with caplog.at_level(logging.INFO, logger=log.name):
        progress.page(1000, 2_500_000)
        progress.slice_done(result(1234, 1234))
        progress.slice_done(result(5, None))
    so_far = "1 answers, 1,000 rows, 2.5 MB received"
    assert caplog.messages == [
        f"slice 2026-11-20T00:00:00Z proven: 1,234 rows, 1,234 at the source (1 of 2 slices, {so_far})",
        f"slice 2026-11-20T00:00:00Z unproven: 5 rows, not counted at the source (2 of 2 slices, {so_far})",
    ]


def test_it_speaks_while_nothing_comes_and_stops_when_closed() -> None:
    spoke = threading.Event()

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "still exporting" in record.getMessage():
                spoke.set()

    handler = Listening()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        with ProgressLog(log, slices=1, heartbeat_s=0.001):
            assert spoke.wait(timeout=30)
    finally:
        log.removeHandler(handler)
    assert not any(thread.name == "logferry-progress" for thread in threading.enumerate())
