"""A look at the budget of a credential takes nothing from it, and leaves no trace."""

from __future__ import annotations

from pathlib import Path

from tests.logferry.conftest import ManualClock

from logferry.budget.budget import Budget
from logferry.budget.look import look

HEADERS = {
    "x-ratelimit-limit": "30",
    "x-ratelimit-period": "10",
    "x-ratelimit-remaining": "20",
    "x-ratelimit-reset": "8",
}


def spent(folder: Path, clock: ManualClock) -> Budget:
    budget = Budget("credential", clock=clock, folder=folder, share="web")
    budget.acquire("datadog_search")
    budget.learn("datadog_search", 200, HEADERS)
    return budget


def test_it_says_what_the_budget_itself_forecasts(tmp_path: Path, clock: ManualClock) -> None:
    budget = spent(tmp_path, clock)
    seen = look("credential", "datadog_search", share="web", now=clock.now(), folder=tmp_path)
    assert seen is not None
    assert seen.forecast == budget.forecast("datadog_search")
    assert (seen.forecast.limit, seen.forecast.sharing) == (30, 1)
    other = look("credential", "datadog_search", share="other", now=clock.now(), folder=tmp_path)
    assert other is not None
    assert other.forecast.sharing == 2


def test_nothing_is_taken_and_no_file_is_made_or_changed(tmp_path: Path, clock: ManualClock) -> None:
    spent(tmp_path, clock)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    look("credential", "datadog_search", share="web", now=clock.now(), folder=tmp_path)
    assert look("another", "datadog_search", share="web", now=clock.now(), folder=tmp_path) is None
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_a_folder_or_with_a_torn_record_nothing_is_known(tmp_path: Path, clock: ManualClock) -> None:
    missing = tmp_path / "missing"
    assert look("credential", "datadog_search", share="web", now=clock.now(), folder=missing) is None
    assert not missing.exists()
    spent(tmp_path, clock)
    (record,) = tmp_path.glob("*.budget")
    record.write_bytes(record.read_bytes()[:-3])
    assert look("credential", "datadog_search", share="web", now=clock.now(), folder=tmp_path) is None


def test_a_link_to_somewhere_else_is_not_followed(tmp_path: Path, clock: ManualClock) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "board"
    spent(elsewhere, clock)
    folder.mkdir()
    (record,) = elsewhere.glob("*.budget")
    (folder / record.name).symlink_to(record)
    assert look("credential", "datadog_search", share="web", now=clock.now(), folder=folder) is None
