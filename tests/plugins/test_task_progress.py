"""Progress of a chunk in Airflow's task state store."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from logferry_airflow.task_progress import (
    KEY,
    PACKED_FROM,
    SAVE_EVERY_S,
    TaskProgress,
    WindowProgress,
    state_store,
)

pytestmark = pytest.mark.airflow


class States(dict[str, Any]):
    """What a ``task_state_store`` does: it takes JSON values alone, no tuples, and not None."""

    def set(self, key: str, value: Any) -> None:
        assert value is not None
        assert json.loads(json.dumps(value)) == value
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


class Down:
    """A state store whose API server does not answer."""

    def get(self, key: str) -> Any:
        raise ConnectionError("no API server")

    def set(self, key: str, value: Any) -> None:
        raise ConnectionError("no API server")

    def delete(self, key: str) -> None:
        raise ConnectionError("no API server")


class Ticking:
    """A clock that is told the time."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def keep(store: States, progress: dict[str, Any]) -> None:
    """A try that saves this and fails."""
    kept = TaskProgress(store)
    kept.save(progress)
    kept.flush()


def test_what_one_try_saved_the_next_one_loads() -> None:
    states = States()
    progress = {"fingerprint": "sha256:1", "parts": [{"start": 17_000_000_000_000_000, "bins": [[1, 2]]}]}
    keep(states, progress)
    assert TaskProgress(states).load() == progress
    assert states[KEY] == progress  # short progress can be read in the UI


def test_tuples_are_saved_as_the_lists_that_airflow_takes() -> None:
    states = States()
    keep(states, {"parts": [{"bins": [(1, 2), (3, 4)]}]})
    assert TaskProgress(states).load() == {"parts": [{"bins": [[1, 2], [3, 4]]}]}


def test_long_progress_stays_below_the_size_that_airflow_warns_about() -> None:
    states = States()
    bins = [[17_000_000_000_000_000 + 300_000_000 * number, number % 700] for number in range(10_000)]
    progress = {"fingerprint": "sha256:1", "parts": [{"bins": bins}]}
    assert len(json.dumps(progress)) > 3 * PACKED_FROM
    keep(states, progress)
    assert len(json.dumps(states[KEY])) < 65_536
    assert TaskProgress(states).load() == progress


def test_nothing_saved_and_progress_cleared_are_nothing_to_go_on_from() -> None:
    states = States()
    progress = TaskProgress(states)
    assert progress.load() is None
    progress.save({"parts": []})
    progress.clear()
    assert progress.load() is None
    assert states == {}


@pytest.mark.parametrize("found", ["text", 7, [1], {"zlib": "!!"}, {"zlib": 7}, {"zlib": "AAAA"}])
def test_what_cannot_be_read_is_nothing_to_go_on_from(
    found: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert TaskProgress(States({KEY: found})).load() is None
    assert "all is fetched" in caplog.text


def test_a_store_that_is_down_costs_time_and_not_the_export(caplog: pytest.LogCaptureFixture) -> None:
    progress = TaskProgress(Down())
    with caplog.at_level(logging.WARNING):
        assert progress.load() is None
        progress.save({"parts": []})
        progress.flush()
        assert not progress.is_kept
        progress.clear()
    assert caplog.text.count("no API server") == 3


def test_a_chunk_of_a_moment_asks_airflow_once_and_tells_it_nothing() -> None:
    class Counted(States):
        asked = 0

        def get(self, key: str, default: Any = None) -> Any:
            self.asked += 1
            return super().get(key, default)

        def set(self, key: str, value: Any) -> None:
            raise AssertionError("nothing failed")

        def delete(self, key: str) -> None:
            raise AssertionError("nothing is there")

    states = Counted()
    with TaskProgress(states, monotonic=Ticking()) as progress:
        progress.load()
        for number in range(24):
            progress.save({"number": number})
        progress.clear()
    assert states.asked == 1


def test_what_is_saved_reaches_airflow_after_seconds_and_when_the_work_fails() -> None:
    states, clock = States(), Ticking()
    progress = TaskProgress(states, monotonic=clock)
    progress.save({"number": 1})
    assert states == {}
    clock.now = SAVE_EVERY_S
    progress.save({"number": 2})
    assert states[KEY] == {"number": 2}
    progress.save({"number": 3})
    with pytest.raises(SystemExit), progress:
        raise SystemExit("the worker is told to stop")
    assert states[KEY] == {"number": 3}


class LateTimers:
    """Timers that go off when they are told to."""

    def __init__(self) -> None:
        self.set: list[Any] = []

    def __call__(self, due_s: float, then: Any) -> Any:
        timer = Waiting(due_s, then)
        self.set.append(timer)
        return timer


class Waiting:
    daemon = False

    def __init__(self, due_s: float, then: Any) -> None:
        self.due_s, self.then = due_s, then
        self.is_started = self.is_cancelled = False

    def start(self) -> None:
        self.is_started = True

    def cancel(self) -> None:
        self.is_cancelled = True


def parts(*keys: str) -> dict[str, Any]:
    return {"parts": [{"key": key, "rows": 1} for key in keys]}


def test_the_last_part_before_an_hour_of_paging_reaches_airflow_without_another() -> None:
    states, clock, timers = States(), Ticking(), LateTimers()
    progress = TaskProgress(states, monotonic=clock, timer=timers)
    clock.now = 10.0
    progress.save(parts("a"))
    clock.now = 13.0
    progress.save(parts("a", "b"))
    progress.save(parts("a", "b", "c"))
    assert states[KEY] == parts("a")
    (timer,) = timers.set
    assert (timer.due_s, timer.is_started, timer.daemon) == (2.0, True, True)
    timer.then()
    assert states[KEY] == parts("a", "b", "c")
    progress.save(parts("a", "b", "c", "d"))
    assert len(timers.set) == 2


def test_a_part_that_is_replaced_is_told_before_its_object_is_removed() -> None:
    states, timers = States(), LateTimers()
    progress = TaskProgress(states, monotonic=Ticking(), timer=timers)
    progress.save(parts("a", "b"))
    progress.flush()
    progress.save(parts("a", "whole"))
    assert states[KEY] == parts("a", "whole")


def test_a_part_of_an_earlier_try_that_is_replaced_is_told_at_once_too() -> None:
    states = States({KEY: parts("old")})
    progress = TaskProgress(states, monotonic=Ticking(), timer=LateTimers())
    assert progress.load() == parts("old")
    progress.save(parts("new"))
    assert states[KEY] == parts("new")


def test_a_part_that_airflow_never_heard_of_is_replaced_without_a_word() -> None:
    states = States()
    progress = TaskProgress(states, monotonic=Ticking(), timer=LateTimers())
    progress.save(parts("a"))
    progress.save(parts("b"))
    assert states == {}


def test_nothing_is_written_after_the_chunk_is_done() -> None:
    states, timers = States(), LateTimers()
    with TaskProgress(states, monotonic=Ticking(), timer=timers) as progress:
        progress.save(parts("a"))
        progress.clear()
    (timer,) = timers.set
    assert timer.is_cancelled
    timer.then()
    assert states == {}


def test_what_an_earlier_try_left_is_cleared_by_the_one_that_succeeds() -> None:
    states = States({KEY: {"number": 1}})
    with TaskProgress(states) as progress:
        assert progress.load() == {"number": 1}
        progress.clear()
    assert states == {}


def test_a_chunk_that_is_done_is_kept_until_its_window_is() -> None:
    states = States()
    progress = WindowProgress(states)
    labels = ("2026-03-02T06:00:00Z/2026-03-02T09:00:00Z", "2026-03-02T09:00:00Z/2026-03-02T12:00:00Z")
    for number, label in enumerate(labels):
        chunk = progress.of(label)
        chunk.save({"number": number})
        chunk.clear()
    again = WindowProgress(states)
    assert [again.of(label).load() for label in labels] == [{"number": 0}, {"number": 1}]
    again.clear()
    assert states == {}


def test_a_context_without_a_store_has_none() -> None:
    assert state_store({"run_id": "manual__1"}) is None
