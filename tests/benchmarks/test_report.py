"""The page: tables from records, and nothing kept that was measured elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.figures import ALL_THERE, Round
from benchmarks.hot_path import function_of, read_stacks, shares
from benchmarks.machine import Machine
from benchmarks.records import Record, Records, continue_records
from benchmarks.report import megabytes, report, table

HERE = Machine(
    cpu="a processor",
    cores=2,
    memory_bytes=8 << 30,
    kernel="Linux 6",
    product={"python": "3.11.7"},
    peers={},
    revision="abc",
)
LOGFERRY = Round(
    contestant="Logferry",
    number=1,
    verdict=ALL_THERE,
    wall_s=2.0,
    cpu_s=1.5,
    peak_bytes=200_000_000,
    rows=1000,
)
CAREFUL = replace(LOGFERRY, contestant="careful loop", wall_s=20.0)


def record(*rounds: Round, part: str = "peers", api: str = "datadog", key: str = "key") -> Record:
    return Record(
        key=key,
        part=part,
        api=api,
        rows=1000,
        latency_ms=0,
        title="",
        held=("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"),
        event_bytes=1000,
        command="make bench",
        measured_at="2026-03-04T05:06:07+00:00",
        rounds=list(rounds),
    )


def records(*found: Record) -> Records:
    return Records(HERE.to_json(), {one.key: one for one in found})


def row_of(page: str, name: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_is_markdown_and_escapes_what_would_end_a_cell() -> None:
    assert table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |\n"


def test_a_contestant_has_its_rate_its_ratio_and_its_verdict() -> None:
    cells = row_of(report(records(record(LOGFERRY, CAREFUL))), "Logferry")
    assert cells[1:3] == ["500", "10.00"]
    assert cells[-1] == ALL_THERE


def test_a_result_that_lost_rows_has_no_rate() -> None:
    lossy = replace(LOGFERRY, verdict="1 of 1,000 rows lost")
    cells = row_of(report(records(record(lossy, CAREFUL))), "Logferry")
    assert cells[1:3] == ["-", "-"]
    assert cells[-1] == "1 of 1,000 rows lost"


def test_who_did_not_run_is_named_with_the_reason() -> None:
    one = record(LOGFERRY)
    one.left_out["dlt"] = "as it would need about 300 s a round"
    assert "dlt: not run, as it would need about 300 s a round." in report(records(one))


def test_where_requests_wait_logferry_is_compared_with_itself_one_by_one() -> None:
    alone = replace(LOGFERRY, contestant="Logferry, one request at a time", wall_s=16.0)
    page = report(records(record(LOGFERRY, alone, CAREFUL)))
    assert (
        "one request at a time: 8.00 times as fast, - without start; against the careful loop: 10.00" in page
    )


def test_requests_are_compared_with_the_least() -> None:
    one = record(replace(LOGFERRY, requests={"search": 24, "count": 2}), part="requests")
    one.minimum = 20
    cells = row_of(report(records(one)), "datadog,")
    assert cells[2:7] == ["20", "24", "1.200", "2", "1.300"]


def test_machine_and_commands_are_part_of_the_page() -> None:
    page = report(records(record(LOGFERRY)))
    assert "a processor, 2 cores, 8 GiB of memory, Linux 6" in page
    assert "`make bench`, 2026-03-04: peers" in page


def test_what_was_measured_before_on_the_same_machine_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    records(record(LOGFERRY, CAREFUL)).save(path)
    assert continue_records(path, replace(HERE, revision="def")).found == {"key": record(LOGFERRY, CAREFUL)}


def test_figures_of_another_machine_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    records(record(LOGFERRY)).save(path)
    assert continue_records(path, replace(HERE, cores=64)).found == {}


def test_a_broken_file_of_results_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("{")
    assert continue_records(path, HERE).found == {}


@pytest.mark.parametrize(("size", "text"), [(200_000_000, "200 MB"), (1_250_000, "1.2 MB")])
def test_sizes_are_decimal_megabytes(size: int, text: str) -> None:
    assert megabytes(size) == text


def test_a_profile_adds_samples_up_by_function() -> None:
    lines = [
        "thread (1);run (/x/include/logferry/ferry.py:10);send (/x/lib/python3.11/site-packages/urllib3/pool.py:3) 3",
        "thread (1);run (/x/include/logferry/ferry.py:12) 1",
    ]
    text = shares(read_stacks(lines))
    assert "| `send (urllib3/pool.py)` | 75.0 % | 75.0 % |" in text
    assert "| `run (logferry/ferry.py)` | 25.0 % | 100.0 % |" in text


def test_a_profile_without_samples_says_so() -> None:
    assert shares([]).startswith("No profile")


def test_a_function_outside_of_any_package_keeps_its_path() -> None:
    assert function_of("main (script.py:3)") == "main (script.py)"
