"""The gate: one answer at a time, the earliest of those that wait, and nobody is forgotten."""

from __future__ import annotations

import heapq
import threading
from typing import Any

import pytest

from logferry.fetching.gate import Gate


def waiting(gate: Gate) -> int:
    return len(gate._waiting)


def test_the_earliest_of_those_that_wait_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    gate, order, queued = Gate(), [], threading.Semaphore(0)
    push = heapq.heappush

    def note(heap: list[Any], item: Any) -> None:
        push(heap, item)
        queued.release()

    monkeypatch.setattr("logferry.fetching.gate.heapq.heappush", note)

    def work(start: int) -> None:
        with gate.turn(start):
            order.append(start)

    threads = [threading.Thread(target=work, args=(start,)) for start in (30, 10, 20, 10)]
    with gate.turn(99):
        for thread in threads:
            thread.start()
            assert queued.acquire(timeout=30)
    for thread in threads:
        thread.join(30)
    assert order == [10, 10, 20, 30]


def test_never_two_at_once_and_an_error_gives_the_turn_on() -> None:
    gate, inside, most = Gate(), [], []

    def work(start: int) -> None:
        for _ in range(50):
            try:
                with gate.turn(start):
                    inside.append(start)
                    most.append(len(inside))
                    inside.remove(start)
                    if start % 2:
                        raise ValueError
            except ValueError:
                pass

    threads = [threading.Thread(target=work, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 300
    assert max(most) == 1


def test_who_is_interrupted_while_waiting_leaves_the_turn_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    with gate.turn(1):
        with monkeypatch.context() as patched:
            patched.setattr("logferry.fetching.gate.threading.Event", Interrupted)
            with pytest.raises(KeyboardInterrupt), gate.turn(2):
                raise AssertionError("it was not its turn")
        assert waiting(gate) == 0
    with gate.turn(3):
        pass


def test_a_turn_that_comes_with_the_interruption_is_given_on(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    first = gate.turn(1)

    class GivenThenInterrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            first.__exit__(None, None, None)
            raise KeyboardInterrupt

    first.__enter__()
    with monkeypatch.context() as patched:
        patched.setattr("logferry.fetching.gate.threading.Event", GivenThenInterrupted)
        with pytest.raises(KeyboardInterrupt), gate.turn(2):
            raise AssertionError("it was interrupted")
    with gate.turn(3):
        assert waiting(gate) == 0
