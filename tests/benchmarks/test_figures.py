"""Medians, ratios and verdicts: what the benchmark says about rounds."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.figures import ALL_THERE, Round, minimum_answers, standings, verdict
from hypothesis import given
from hypothesis import strategies as st

ROUND = Round(contestant="a", number=1, verdict=ALL_THERE, wall_s=1.0, cpu_s=0.5, peak_bytes=100)
TRUTH = {"truth_rows": 3, "truth_sha256": "good"}


def rounds(contestant: str, *walls: float) -> list[Round]:
    return [
        replace(ROUND, contestant=contestant, number=number, wall_s=wall)
        for number, wall in enumerate(walls, 1)
    ]


def test_a_whole_result_is_complete() -> None:
    assert verdict(rows=3, ids=3, ids_sha256="good", **TRUTH) == ALL_THERE


def test_a_lost_row_is_told_with_its_number() -> None:
    assert verdict(rows=2, ids=2, ids_sha256="other", **TRUTH) == "1 of 3 rows lost"


def test_a_doubled_row_is_found_though_every_id_is_there() -> None:
    assert verdict(rows=4, ids=3, ids_sha256="other", **TRUTH) == "1 rows doubled or without id"


def test_a_doubled_row_does_not_make_up_for_a_lost_one() -> None:
    assert (
        verdict(rows=3, ids=2, ids_sha256="other", **TRUTH)
        == "1 of 3 rows lost; 1 rows doubled or without id"
    )


def test_rows_from_outside_the_window_are_too_many() -> None:
    assert verdict(rows=5, ids=5, ids_sha256="other", **TRUTH) == "2 rows too many"


def test_as_many_rows_with_other_ids_are_not_complete() -> None:
    assert "other ids" in verdict(rows=3, ids=3, ids_sha256="other", **TRUTH)


def test_times_are_medians_and_the_ratio_is_between_medians() -> None:
    found = standings(
        [*rounds("fast", 1.0, 9.0, 2.0), *rounds("slow", 8.0, 4.0, 6.0)], rows=60, reference="slow"
    )
    fast, slow = found
    assert (fast.contestant, fast.wall_s, fast.fastest_s, fast.slowest_s) == ("fast", 2.0, 1.0, 9.0)
    assert fast.ratio == 3.0
    assert slow.ratio == 1.0
    assert fast.rows_per_s == 30.0


def test_memory_is_the_highest_of_the_rounds() -> None:
    own = [replace(ROUND, peak_bytes=size) for size in (5, 9, 7)]
    assert standings(own, rows=1, reference="a")[0].peak_bytes == 9


def test_a_contestant_that_once_lost_rows_has_no_ratio_and_keeps_its_verdict() -> None:
    own = rounds("fast", 1.0, 1.0, 1.0)
    own[1] = replace(own[1], verdict="1 of 3 rows lost")
    fast, _ = standings([*own, *rounds("slow", 4.0)], rows=3, reference="slow")
    assert fast.ratio is None
    assert fast.verdict == "1 of 3 rows lost"


def test_nothing_is_compared_with_a_reference_that_failed_or_did_not_run() -> None:
    failed = [replace(one, verdict="failed") for one in rounds("slow", 4.0)]
    assert standings([*rounds("fast", 1.0), *failed], rows=3, reference="slow")[0].ratio is None
    assert standings(rounds("fast", 1.0), rows=3, reference="slow")[0].ratio is None


def test_the_least_answers_are_counted_per_slice() -> None:
    assert minimum_answers([0, 1, 1000, 1001], rows_per_answer=1000) == 4


@given(st.lists(st.integers(0, 10_000)), st.integers(1, 2000))
def test_the_least_answers_hold_all_rows_and_not_one_answer_less_would(rows: list[int], most: int) -> None:
    least = minimum_answers(rows, rows_per_answer=most)
    assert sum(rows) <= least * most < sum(rows) + most * sum(1 for one in rows if one) + 1


def test_start_up_counts_in_one_ratio_and_not_in_the_other() -> None:
    fast = replace(ROUND, contestant="fast", wall_s=2.0, carry_s=1.0)
    slow = replace(ROUND, contestant="slow", wall_s=8.0, carry_s=7.0)
    found = standings([fast, slow], rows=3, reference="slow")[0]
    assert (found.ratio, found.carry_ratio) == (4.0, 7.0)


def test_rows_that_are_all_there_are_not_complete_when_a_column_differs_or_the_order_is_not_kept() -> None:
    found = verdict(
        rows=3, ids=3, ids_sha256="good", differing=["host is not as at the source"], unordered=2, **TRUTH
    )
    assert found == "host is not as at the source; 2 files not in order of time"
