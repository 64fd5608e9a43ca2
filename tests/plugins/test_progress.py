"""A long export says how far it is."""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from logferry.budget import Budget
from logferry.plan import SlicePlan
from logferry.publishing.results import SliceResult
from logferry.records.manifest import FileEntry, Status
from logferry.window import TICK_PER_SECOND, parse_instant
from logferry_airflow.progress import Heartbeat, Outlook, ProgressLog, since_now, spent

pytestmark = pytest.mark.airflow

log = logging.getLogger("logferry.test_progress")


def result(rows: int, source_rows: int | None, status: Status | None = None) -> SliceResult:
    file = FileEntry(key="k", rows=rows, bytes=1, sha256="", row_hash="", min_time=None, max_time=None)
    return SliceResult(
        start="2026-11-20T00:00:00Z",
        end="2026-11-20T01:00:00Z",
        status=status or ("proven" if rows == source_rows else "unproven"),
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
    assert caplog.messages == [
        "slice 2026-11-20T00:00:00Z proven: 1,234 rows, 1,234 at the source (1 of 2 slices)",
        "slice 2026-11-20T00:00:00Z unproven: 5 rows, not counted at the source (2 of 2 slices)",
    ]
    assert progress.line() == "2 of 2 slices, 1 answer, 1,000 rows, 2.5 MB received"


class Told:
    """A clock that sleeping moves on."""

    def __init__(self) -> None:
        self.tick = parse_instant("2026-03-02T00:00:03Z")

    def now(self) -> int:
        return self.tick

    def sleep(self, seconds: float) -> None:
        self.tick += round(seconds * TICK_PER_SECOND)

    def seconds(self) -> float:
        return self.tick / TICK_PER_SECOND


def planned(rows: int | None) -> SlicePlan:
    return SlicePlan(start="2026-03-01T00:00:00Z", end="2026-03-01T01:00:00Z", rows=rows)


def a_ferry(budget: Budget) -> Any:
    """What an outlook reads of a ferry from Datadog."""
    source = SimpleNamespace(page_rows=1000, answer_rows=None)
    client = SimpleNamespace(budget=budget, stats={"throttled": 0})
    return SimpleNamespace(
        client=client, source=source, forecast=lambda: budget.forecast("datadog_search"), most_in_flight=16
    )


PAGES = 120


def test_the_time_to_go_at_three_requests_in_ten_seconds_is_right_within_a_tenth(tmp_path: Path) -> None:
    clock = Told()
    budget = Budget("key", clock=clock, folder=tmp_path / "budget")
    progress = ProgressLog(log, slices=1, monotonic=clock.seconds)
    progress.expect(Outlook(a_ferry(budget), [planned(1000 * PAGES)]))
    said: list[tuple[float, float]] = []
    used = dict[int, int]()
    for page in range(PAGES):
        budget.acquire("datadog_search")
        period = clock.tick // (10 * TICK_PER_SECOND)
        used[period] = used.get(period, 0) + 1
        to_go = 10 - clock.tick // TICK_PER_SECOND % 10
        headers = {"limit": 3, "period": 10, "remaining": 3 - used[period], "reset": to_go}
        budget.learn(
            "datadog_search", 200, {f"x-ratelimit-{name}": str(value) for name, value in headers.items()}
        )
        clock.sleep(0.2)
        progress.page(1000, 600_000)
        if 0 < page < PAGES * 3 // 4:
            found = re.search(r"(\d+) requests left, about (?:(\d+) min )?(\d+) s to go", progress.line())
            assert found, progress.line()
            assert int(found[1]) == PAGES - page - 1
            said.append((clock.seconds(), 60 * int(found[2] or 0) + int(found[3])))
    end = clock.seconds()
    wrong = [abs(at + to_go - end) / (end - at) for at, to_go in said]
    assert max(wrong) < 0.10
    assert max(used.values()) <= 3


def test_an_export_that_shares_the_allowance_goes_by_its_own_speed(tmp_path: Path) -> None:
    clock = Told()
    progress = ProgressLog(log, slices=1, monotonic=clock.seconds)
    progress.expect(Outlook(a_ferry(Budget("key", clock=clock, folder=tmp_path / "b")), [planned(100_000)]))
    assert progress.line().endswith("0 of 100,000 rows (0%), 100 requests left, time unknown")
    for _ in range(10):
        clock.sleep(5.0)
        progress.page(1000, 600_000)
    assert progress.line() == (
        "0 of 1 slice, 10 answers, 6.0 MB received, 10,000 of 100,000 rows (10%), 90 requests left, "
        "about 7 min 30 s to go"
    )


def test_what_an_earlier_stretch_fetched_counts_as_done(tmp_path: Path) -> None:
    clock = Told()
    progress = ProgressLog(log, slices=1, monotonic=clock.seconds)
    budget = Budget("key", clock=clock, folder=tmp_path / "b")
    progress.expect(Outlook(a_ferry(budget), [planned(100_000)]))
    progress.already(lambda: 75_000)
    budget.waited_s = 31.0
    assert progress.line().endswith(
        "75,000 of 100,000 rows (75%), 25 requests left, time unknown, waited 31 s for the allowance"
    )


def test_where_nothing_was_counted_no_end_is_foretold(tmp_path: Path) -> None:
    clock = Told()
    progress = ProgressLog(log, slices=1, monotonic=clock.seconds)
    progress.expect(Outlook(a_ferry(Budget("key", clock=clock, folder=tmp_path / "b")), [planned(None)]))
    progress.page(1000, 600_000)
    assert progress.line() == "0 of 1 slice, 1 answer, 0.6 MB received, 1,000 rows"


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


def test_a_short_slice_is_a_warning_and_part_of_the_outcome(caplog: pytest.LogCaptureFixture) -> None:
    clock = Told()
    progress = ProgressLog(log, slices=3, monotonic=clock.seconds)
    with caplog.at_level(logging.INFO, logger=log.name):
        progress.page(1, 100_000)
        progress.slice_done(result(1, 1))
        progress.slice_done(result(1, 2, "short"))
        progress.slice_done(result(5, None))
    clock.sleep(75)
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]
    assert caplog.messages[1] == ("slice 2026-11-20T00:00:00Z short: 1 row, 2 at the source (2 of 3 slices)")
    assert progress.outcome() == (
        "3 slices (1 short, 1 unproven), 7 rows written; 1 answer, 0.1 MB received in 1 min 15 s"
    )


def test_the_line_says_what_is_left_of_the_allowance(tmp_path: Path) -> None:
    clock = Told()
    budget = Budget("key", clock=clock, folder=tmp_path / "b")
    progress = ProgressLog(log, slices=1, monotonic=clock.seconds)
    progress.expect(Outlook(a_ferry(budget), [planned(100_000)]))
    budget.acquire("datadog_search")
    headers = {"limit": 300, "period": 10, "remaining": 290, "reset": 7}
    told = {f"x-ratelimit-{name}": str(value) for name, value in headers.items()}
    budget.learn("datadog_search", 200, told)
    found = re.search(r"to go, allowance (\d+) of 300 for this 10 s$", progress.line())
    assert found, progress.line()
    assert 0 < int(found[1]) <= 290, "the reserve is not ours"


def test_work_that_only_time_measures_is_not_silent_either(caplog: pytest.LogCaptureFixture) -> None:
    clock = Told()
    how_far = since_now(clock.seconds)
    clock.sleep(80)
    assert how_far() == "for 1 min 20 s"
    beaten = threading.Event()

    def say() -> str:
        beaten.set()
        return "so far"

    with caplog.at_level(logging.INFO, logger=log.name), Heartbeat(log, "counting", say, every_s=0.001):
        assert beaten.wait(timeout=30)
    assert "still counting: so far" in caplog.messages
    assert not any(thread.name == "logferry-progress" for thread in threading.enumerate())


def test_requests_tell_how_far_a_count_is() -> None:
    budget = SimpleNamespace(waited_s=0.0)
    client = SimpleNamespace(budget=budget, stats={"search": 0, "count": 1, "schema": 0, "retried": 9})
    ferry: Any = SimpleNamespace(client=client)
    assert spent(ferry) == "1 request sent"
    client.stats["count"], budget.waited_s = 1200, 65
    assert spent(ferry) == "1,200 requests sent, waited 1 min 5 s for the allowance"
