"""Requests under way at once: never more than the API allows, by turns between exports, freed when a process dies."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.budget import IN_FLIGHT, Budget, in_flight
from logferry.budget.board import Work
from logferry.budget.in_flight import LeasedSlots, LocalSlots, held
from logferry.budget.local_board import LocalBoard
from logferry.budget.slots import Slots
from logferry.clock import Stopped, SystemClock, stoppable
from logferry.errors import Unavailable

T = TypeVar("T")


def test_no_more_are_under_way_than_the_api_allows(tmp_path: Path) -> None:
    most = under_way = 0
    lock = threading.Lock()

    def ask(name: str) -> None:
        nonlocal most, under_way
        budget = Budget("key", folder=tmp_path, share=name)
        for _ in range(10):
            with budget.in_flight("azure_query"):
                with lock:
                    under_way += 1
                    most = max(most, under_way)
                with lock:
                    under_way -= 1

    threads = [threading.Thread(target=ask, args=(f"export {number % 3}",)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= IN_FLIGHT["azure_query"]


def test_a_bucket_without_a_limit_is_not_held_up(tmp_path: Path) -> None:
    budget = Budget("key", folder=tmp_path)
    with budget.in_flight("datadog_search"), budget.in_flight("datadog_search"):
        assert not list(tmp_path.iterdir())


def test_the_connections_number_replaces_the_default(tmp_path: Path) -> None:
    board = LocalBoard(SystemClock(), tmp_path)
    budget = Budget("key", folder=tmp_path, most_in_flight=1)
    with budget.in_flight("azure_query"):
        (record,) = (path.name for path in tmp_path.glob("*-slots.budget"))
        assert LocalSlots(board).hold(record.removesuffix(".budget"), "other", 1) is None


def test_a_process_that_dies_gives_its_slot_back(tmp_path: Path) -> None:
    def hold_and_die() -> None:
        assert LocalSlots(LocalBoard(SystemClock(), tmp_path)).hold("slots", "one", 1) is not None
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=hold_and_die)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert LocalSlots(LocalBoard(SystemClock(), tmp_path)).hold("slots", "two", 1) is not None


def test_a_wait_for_a_slot_can_be_stopped(tmp_path: Path) -> None:
    budget = Budget("key", folder=tmp_path, most_in_flight=1)
    stop = threading.Event()
    stop.set()
    with budget.in_flight("azure_query"), stoppable(stop), pytest.raises(Stopped):
        budget.in_flight("azure_query").__enter__()


def test_an_export_that_waits_comes_before_one_that_holds_slots() -> None:
    slots = Slots()
    for now, free in enumerate([{0, 1, 2, 3}, {1, 2, 3}, {2, 3}, {3}]):
        assert slots.give("wide", "", now, free, 1 << 50) is not None
    assert slots.give("narrow", "", 10, set(), 1 << 50) is None
    assert slots.give("wide", "", 20, {2}, 1 << 50) is None
    assert slots.give("narrow", "", 30, {2}, 1 << 50) == 2


def test_exports_that_hold_as_many_are_served_in_the_order_in_which_they_came() -> None:
    slots = Slots()
    assert slots.give("a", "", 0, {0}, 1 << 50) == 0
    for now, name in enumerate("bcd"):
        assert slots.give(name, "", now, set(), 1 << 50) is None
    served = []
    for now in range(10, 13):
        served += [name for name in "dcba" if slots.give(name, "", now, {0}, 1 << 50) == 0][:1]
        slots.held = []
    assert served == ["b", "c", "d"]


def test_an_export_that_went_away_while_it_waited_is_forgotten() -> None:
    slots = Slots()
    slots.give("gone", "", 0, set(), 1 << 50)
    assert slots.give("here", "", 1, {0}, 1 << 50) is None
    assert slots.give("here", "", 2_500, {0}, 1 << 50) == 0


def test_a_lease_that_is_not_renewed_expires() -> None:
    slots = Slots()
    slots.give("one", "dead", 0, {0}, 60_000)
    assert slots.free(1, 30_000, 60_000) == []
    slots.renew("dead", {0}, 90_000)
    assert slots.free(1, 70_000, 60_000) == []
    assert slots.free(1, 90_001, 60_000) == [0]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_whoever_asks_no_slot_is_given_twice(steps: list[tuple[str, bool]]) -> None:
    slots, taken = Slots(), dict[int, str]()
    for now, (name, gives_back) in enumerate(steps):
        if gives_back and taken:
            taken.popitem()
        given_slot = slots.give(name, "", now, set(range(4)) - taken.keys(), 1 << 50)
        if given_slot is not None:
            assert given_slot not in taken
            taken[given_slot] = name


class Taken:
    """Slots that nobody ever gives back."""

    def hold(self, name: str, share: str, most: int) -> None:
        return None

    def where(self, name: str) -> str:
        return f"/folder/{name}"


def test_a_wait_for_a_slot_is_counted_told_once_and_given_up_after_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    slept: list[float] = []
    with (
        pytest.raises(Unavailable, match=r"in use for 36\d\d s \(/folder/slots\)") as caught,
        held(Taken(), "slots", "me", 4, slept.append),
    ):
        pass
    assert 3600 <= sum(slept) < 3601
    assert caught.value.wait_s == 300, "a task comes back then"
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for one of 4 requests that may be under way at once (/folder/slots)"
    ]


def test_a_wait_for_a_slot_counts_as_waiting(tmp_path: Path) -> None:
    budget = Budget("key", clock=SystemClock(), folder=tmp_path, most_in_flight=1)
    stop = threading.Event()
    with budget.in_flight("azure_query"), stoppable(stop):
        stop.set()
        with pytest.raises(Stopped):
            budget.in_flight("azure_query").__enter__()
    assert budget.waited_s > 0


class Failing:
    """A board that keeps records, and fails once told to; ``failed`` is set when it did twice."""

    def __init__(self) -> None:
        self.records: dict[str, bytes] = {}
        self.fails = False
        self.failures = 0
        self.failed = threading.Event()

    def change(self, name: str, work: Work[T]) -> T:
        if self.fails:
            self.failures += 1
            if self.failures == 2:
                self.failed.set()
            raise ValueError("a driver's own mistake")
        changed, result = work(self.records.get(name, b""), 0, 1)
        self.records[name] = changed or b""
        return result


def test_leases_are_renewed_on_after_any_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(in_flight, "_RENEW_S", 0.001)
    board = Failing()
    give_back = LeasedSlots(board).hold("slots", "one", 1)
    assert give_back is not None
    board.fails = True
    assert board.failed.wait(20), "it was tried again after the first failure"
    give_back()
    assert len([record for record in caplog.records if "cannot be" in record.getMessage()]) == 1
