"""What is chosen is what is measured."""

from __future__ import annotations

import pytest
from benchmarks.__main__ import as_typed, main
from benchmarks.scenarios import CAREFUL, LOGFERRY, ONE_BY_ONE, PEERS, Choice, scenarios


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
