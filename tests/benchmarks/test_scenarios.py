"""What is chosen is what is measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import as_typed, main
from benchmarks.machine import this_machine
from benchmarks.records import Record, Records, continue_records
from benchmarks.scenarios import CAREFUL, DAY, HOUR, LOGFERRY, MEMORY, ONE_BY_ONE, PEERS, Choice, scenarios

from benchmarks import __main__ as program
from benchmarks import machine


def test_every_scenario_has_a_name_of_its_own() -> None:
    keys = [one.key for one in scenarios(Choice())]
    assert len(set(keys)) == len(keys)


def test_where_requests_wait_logferry_also_runs_one_by_one() -> None:
    for one in scenarios(Choice(parts=(PEERS,))):
        assert (ONE_BY_ONE in one.contestants) == (one.latency_ms > 0)
        assert one.contestants[0] == LOGFERRY


def test_contestants_are_chosen_by_file_or_name() -> None:
    chosen = scenarios(
        Choice(parts=(PEERS,), contestants=("logferry", CAREFUL), latencies_ms=(0,), apis=("azure",))
    )
    for one in chosen:
        assert [contestant.module for contestant in one.contestants] == ["logferry", "azure_careful"]


def test_memory_is_measured_at_several_sizes_in_one_hour_and_with_rows_of_1_mb() -> None:
    choice = Choice(parts=(MEMORY,), hour_rows=(50, 5), long_rows=(3, 2), apis=("azure",))
    assert [(one.rows, one.event_bytes, one.held) for one in scenarios(choice)] == [
        *((5, 1000, HOUR), (50, 1000, HOUR)),
        *((2, 1_000_000, DAY), (3, 1_000_000, DAY), (3, 1_000_000, HOUR)),
    ]


def test_small_sizes_come_first() -> None:
    rows = [
        one.rows for one in scenarios(Choice(parts=(PEERS,), rows=(9, 3), latencies_ms=(0,), apis=("azure",)))
    ]
    assert rows == [3, 9]


@pytest.mark.parametrize("wrong", [["--parts", "all"], ["--rows", "many"], ["--only", "splunk"]])
def test_a_wrong_choice_is_refused_before_anything_runs(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(wrong)
    assert refused.value.code == 2


def test_the_command_is_noted_without_where_the_results_went() -> None:
    assert as_typed([]) == "make bench"
    assert as_typed(["--only", "azure", "--output", "/x"]) == "make bench ARGS='--only azure'"
    assert as_typed(["--output=/x", "--quick"]) == "make bench ARGS=--quick"


def test_everything_is_measured_three_times() -> None:
    assert {one.rounds for one in scenarios(Choice())} == {3}


def record(key: str, command: str) -> Record:
    return Record(
        key=key,
        part="requests",
        api="datadog",
        rows=1,
        latency_ms=0,
        title="",
        held=("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"),
        event_bytes=1000,
        command=command,
        measured_at="2026-03-04T00:00:00+00:00",
    )


@pytest.fixture(autouse=True)
def _peers_are_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to install them to test the harness."""
    monkeypatch.setattr(machine, "PEER_PYTHON", Path(sys.executable))


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Results of an earlier run, and a page of them."""
    found = this_machine()
    monkeypatch.setattr(program, "this_machine", lambda: found)
    records = Records(found.to_json(), {key: record(key, "before") for key in ("a", "b")})
    records.save(tmp_path / "results.json")
    (tmp_path / "RESULTS.md").write_text("before")
    return tmp_path


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), SystemExit("bench: the sandbox did not start")])
def test_a_run_that_ends_early_replaces_only_what_it_measured(
    failure: BaseException, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(bench: program.Bench, choice: Choice) -> None:
        bench._records.found["b"] = record("b", "now")
        raise failure

    monkeypatch.setattr(program.Bench, "run", run)
    if isinstance(failure, SystemExit):
        with pytest.raises(SystemExit):
            main(["--output", str(kept)])
    else:
        assert main(["--output", str(kept)]) == 130
    found = continue_records(kept / "results.json", program.this_machine()).found
    assert {key: one.command for key, one in found.items()} == {"a": "before", "b": "now"}
    assert "before" in (kept / "RESULTS.md").read_text()


def test_a_run_that_measured_nothing_leaves_everything_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(bench: program.Bench, choice: Choice) -> None:
        raise SystemExit("bench: no peer can be loaded")

    monkeypatch.setattr(program.Bench, "run", run)
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_where_requests_wait_azures_answers_are_made_small_in_two_steps() -> None:
    choice = Choice(parts=(PEERS,), rows=(200_000,), latencies_ms=(0, 100), apis=("azure",))
    assert [one.limits.get("max_rows") for one in scenarios(choice)] == [None, None, 5_000, 1_428]
    assert len({one.key for one in scenarios(choice)}) == 4
