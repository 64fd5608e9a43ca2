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


def test_the_server_is_compared_with_the_fastest_whole_export_from_it() -> None:
    lossy = replace(LOGFERRY, carry_s=0.01, verdict="1 of 1,000 rows lost")
    found = records(record(replace(LOGFERRY, carry_s=0.5), replace(LOGFERRY, carry_s=1.0), lossy, CAREFUL))
    rate = {"server": "Datadog, prepared", "rows": 1000, "body_bytes": 10**6, "seconds": 0.1}
    found.server = {"command": "the command", "rates": [{**rate, "server_cpu_s": 0.002, "reader_cpu_s": 0.1}]}
    page = report(found)
    assert "`the command`:" in page
    assert row_of(page, "Datadog, prepared")[1:] == [
        *("1,000", "1,000", "10,000", "10 MB/s", "2.00 us", "5.00")
    ]


def test_a_size_that_was_measured_later_stands_in_its_place() -> None:
    measured = [("datadog", 10), ("azure", 10), ("datadog", 1000), ("datadog", 100)]
    found = [
        replace(record(LOGFERRY, part="growth", api=api, key=f"{api} {rows}"), rows=rows)
        for api, rows in measured
    ]
    lines = [line.split("|") for line in report(records(*found)).splitlines() if line.startswith("| ")]
    assert [(cells[1].strip(), int(cells[2].replace(",", ""))) for cells in lines[2:]] == [
        *(("datadog", 10), ("datadog", 100), ("datadog", 1000), ("azure", 10))
    ]


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


def test_results_that_were_checked_for_less_are_not_mixed_in(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    records(record(LOGFERRY)).save(path)
    path.write_text(path.read_text().replace('"format": 2', '"format": 1'))
    assert continue_records(path, HERE).found == {}


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


def test_a_profile_names_the_stage_of_the_innermost_function_it_knows() -> None:
    lines = [
        "process 7;main (task.py:1);_send (logferry/http.py:3);readinto (logferry/wire.py:9) 1",
        "work (logferry/fetching/lanes.py:1);to_batch (logferry/convert/datadog.py:3);cast (pyarrow/compute.py:1) 2",
        "write (logferry/writing/encoder.py:1);write_table (pyarrow/parquet/core.py:2) 3",
        "task (logferry/fetching/lanes.py:1);add (logferry/fetching/rows.py:2) 4",
        "main (task.py:1);_find_and_load (<frozen importlib._bootstrap>:1);<module> (logferry/convert/text.py:1) 5",
        "main (task.py:1);prove (logferry/proof/prove.py:4) 5",
        "run (threading.py:1);Condition.wait (threading.py:327) 100",
        "run (threading.py:1);_worker (concurrent/futures/thread.py:81) 100",
    ]
    text = shares(read_stacks(lines))
    assert text.startswith("20 samples of busy threads; 200 more at a lock or an empty queue are left out.")
    for stage, share in (
        ("HTTP: requests, bodies, budget", "5.0 % | 6.7 %"),
        ("decode: JSON to Arrow", "10.0 % | 13.3 %"),
        ("Parquet, checksums, disk", "15.0 % | 20.0 %"),
        ("sort and hash", "20.0 % | 26.7 %"),
        ("start: imports", "25.0 % | "),
        ("other: plan, proof, publication, command line", "25.0 % | 33.3 %"),
    ):
        assert f"| {stage} | {share} |" in text
    assert "_find_and_load" not in text


def test_a_profile_without_samples_says_so() -> None:
    assert shares([]).startswith("No profile")


def test_a_function_outside_of_any_package_keeps_its_path() -> None:
    assert function_of("main (script.py:3)") == "main (script.py)"
