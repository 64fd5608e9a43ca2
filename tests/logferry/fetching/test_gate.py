"""The gate: one answer at a time, the earliest of those that wait, and nobody is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import cast

import pytest

from logferry.clock import Stopped, stoppable
from logferry.fetching.gate import Gate, guarded
from logferry.fetching.pace import Pace
from logferry.fetching.readers import Readers
from logferry.sources.base import MIB, Request, Response


def waiting(gate: Gate) -> int:
    with gate._lock:  # Who comes is among those that wait for a moment, and may be given a place in the next.
        return len(gate._waiting)


def until(came: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not came():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


def test_the_earliest_of_those_that_wait_is_next() -> None:
    gate, order = Gate(), []

    def work(start: int) -> None:
        with gate.turn(start):
            order.append(start)

    threads = [threading.Thread(target=work, args=(start,)) for start in (30, 10, 20, 10)]
    with gate.turn(99):
        for number, thread in enumerate(threads, start=1):
            thread.start()
            until(lambda number=number: waiting(gate) == number)
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


class Somebody:
    """Stands where a reader stands; ``ready`` and ``lost`` as the test says."""

    def __init__(self) -> None:
        self.ready = False
        self.lost = False

    def is_ready(self) -> bool:
        return self.ready


class Crew:
    """Gives the readers that it was made with, one at a time."""

    def __init__(self, *readers: Somebody) -> None:
        self.left = list(readers)
        self.asked = 0

    def another(self) -> Somebody | None:
        self.asked += 1
        return self.left.pop(0) if self.left else None

    def close(self) -> None:
        self.left.clear()


def crowded(gate: Gate, bytes_each: int, answers: int) -> None:
    """So many answers that find the place here taken, one after the other."""
    for _ in range(answers):
        thread = threading.Thread(target=lambda: enter_and_leave(gate, bytes_each))
        with gate.turn(0):
            thread.start()
            while not gate._waiting and thread.is_alive():
                thread.join(0.001)
        thread.join(30)
        assert not thread.is_alive()


def enter_and_leave(gate: Gate, size: int) -> None:
    with gate.turn(1, size=size):
        pass


def test_a_reader_is_started_when_enough_had_to_wait_and_not_before() -> None:
    crew = Crew(Somebody())
    gate = Gate(cast(Readers, crew))
    crowded(gate, 4 * MIB, 3)
    assert crew.asked == 0
    crowded(gate, 4 * MIB, 1)
    assert crew.asked == 1
    assert gate.places == 1, "it is not ready yet"


def test_a_reader_that_is_ready_is_a_second_place_and_the_first_choice() -> None:
    reader = Somebody()
    gate = Gate(cast(Readers, Crew(reader)))
    crowded(gate, 13 * MIB, 1)
    reader.ready = True
    with gate.turn(1) as first, gate.turn(2, here=True) as second:
        assert (first, second) == (reader, None)
        assert gate.places == 2
    with gate.turn(1, here=True) as place:
        assert place is None


@pytest.mark.parametrize(("size", "wait"), [(MIB, 2), (2 * MIB, 0), (0, 2)])
def test_small_answers_wait_for_a_reader_before_the_place_here_is_taken_and_large_ones_do_not(
    size: int, wait: int
) -> None:
    reader = Somebody()
    gate = Gate(cast(Readers, Crew(reader)))
    crowded(gate, 13 * MIB, 1)
    reader.ready = True
    places: list[tuple[int, object]] = []
    gone_on = threading.Event()

    def work(start: int) -> None:
        with gate.turn(start, size=size) as place:
            places.append((start, place))
            assert gone_on.wait(30)

    threads = [threading.Thread(target=work, args=(start,)) for start in (2, 3, 4)]
    with gate.turn(1, size=size) as first:
        assert first is reader
        for number, thread in enumerate(threads, start=1):
            thread.start()
            until(lambda number=number: waiting(gate) + len(places) == number)
            assert bool(places) == (number > wait)
        # Whoever waited longest has it.
        assert places == [(2, None)]
        assert waiting(gate) == 2
    gone_on.set()
    for thread in threads:
        thread.join(30)
    assert sorted(start for start, _ in places) == [2, 3, 4]


def test_who_needs_the_place_here_is_not_given_another_and_holds_up_nobody() -> None:
    reader = Somebody()
    gate = Gate(cast(Readers, Crew(reader)))
    crowded(gate, 13 * MIB, 1)
    reader.ready = True
    places: list[tuple[str, object]] = []

    def here() -> None:
        with gate.turn(0, here=True) as place:
            places.append(("here", place))

    def anywhere() -> None:
        with gate.turn(9) as place:
            places.append(("anywhere", place))

    elsewhere = gate.turn(1)
    assert elsewhere.__enter__() is reader
    with gate.turn(1, here=True):
        threads = [threading.Thread(target=work) for work in (here, anywhere)]
        for thread in threads:
            thread.start()
        until(lambda: waiting(gate) == 2)
        elsewhere.__exit__(None, None, None)
        threads[1].join(30)
        assert places == [("anywhere", reader)]
    threads[0].join(30)
    assert places[1:] == [("here", None)]
    assert gate.turn(0).__enter__() is reader


def test_a_reader_that_becomes_ready_goes_to_the_earliest_that_waits_not_to_who_just_came() -> None:
    reader = Somebody()
    gate = Gate(cast(Readers, Crew(reader)))
    crowded(gate, 13 * MIB, 1)
    places: list[tuple[int, object]] = []

    def take(start: int) -> None:
        with gate.turn(start) as place:
            places.append((start, place))

    with gate.turn(0):
        early, late = (threading.Thread(target=take, args=(start,)) for start in (1, 9))
        early.start()
        while not gate._waiting:
            early.join(0.001)
        reader.ready = True
        late.start()
        late.join(30)
        assert places[0] == (1, reader)
    early.join(30)
    assert [start for start, _ in places] == [1, 9]


def test_a_gate_that_was_closed_gives_the_place_here_only() -> None:
    reader = Somebody()
    crew = Crew(reader)
    gate = Gate(cast(Readers, crew))
    crowded(gate, 13 * MIB, 1)
    reader.ready = True
    with gate.turn(1) as place:
        assert place is reader
    gate.close()
    with gate.turn(1) as place:
        assert place is None


def exchange() -> Generator[Request, Response, str]:
    response = yield cast(Request, None)
    return response.body.decode()


def test_what_interrupts_the_wait_for_a_turn_is_what_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    asked = guarded(exchange(), gate, Pace(), 0)
    next(asked)
    monkeypatch.setattr(gate, "_enter", interrupt)
    with pytest.raises(KeyboardInterrupt):
        asked.send(Response(200, {}, b"rows"))


def test_no_more_requests_are_under_way_than_may_be_however_many_lanes_ask() -> None:
    gate, lock = Gate(), threading.Lock()
    gate.ask_at_once(2)
    under_way: list[int] = []
    most: list[int] = []
    answer = threading.Semaphore(0)

    def lane(number: int) -> None:
        asked = guarded(exchange(), gate, Pace(), number)
        next(asked)
        with lock:
            under_way.append(number)
            most.append(len(under_way))
        assert answer.acquire(timeout=30)
        with lock:
            under_way.remove(number)
        with pytest.raises(StopIteration):
            asked.send(Response(200, {}, b"rows"))

    lanes = [threading.Thread(target=lane, args=(number,)) for number in range(6)]
    for one in lanes:
        one.start()
    for _ in lanes:
        answer.release()
    for one in lanes:
        one.join(30)
    assert len(most) == 6
    assert max(most) <= 2


def test_a_request_that_failed_leaves_its_place_to_others() -> None:
    gate = Gate()
    gate.ask_at_once(1)
    failed = guarded(exchange(), gate, Pace(), 0)
    next(failed)
    with pytest.raises(ConnectionError):
        failed.throw(ConnectionError())
    next(guarded(exchange(), gate, Pace(), 1))


def test_a_lane_that_was_told_to_stop_while_it_waited_reads_nothing() -> None:
    gate, stop, read = Gate(), threading.Event(), []

    def lane() -> None:
        asked = guarded(exchange(), gate, Pace(), 0)
        with stoppable(stop):
            next(asked)
            try:
                asked.send(Response(200, {}, b"rows"))
            except StopIteration:
                read.append("rows")
            except Stopped:
                read.append("stopped")

    thread = threading.Thread(target=lane)
    with gate.turn(0):
        thread.start()
        while not gate._waiting:
            thread.join(0.001)
        stop.set()
    thread.join(30)
    assert read == ["stopped"]


def test_a_reader_that_was_lost_is_a_place_less() -> None:
    reader = Somebody()
    gate = Gate(cast(Readers, Crew(reader)))
    crowded(gate, 13 * MIB, 1)
    reader.ready = True
    with gate.turn(1) as place:
        assert place is reader
        reader.lost = True
    assert gate.places == 1
    with gate.turn(1) as place:
        assert place is None


def test_one_that_is_lost_before_it_is_ready_never_becomes_a_place() -> None:
    reader = Somebody()
    gate = Gate(cast(Readers, Crew(reader)))
    crowded(gate, 13 * MIB, 1)
    reader.ready = reader.lost = True
    with gate.turn(1) as place:
        assert (place, gate.places) == (None, 1)


def test_for_much_to_come_one_reader_is_started_at_once_and_only_one() -> None:
    crew = Crew(Somebody(), Somebody())
    gate = Gate(cast(Readers, crew))
    gate.expect(63 * MIB)
    assert crew.asked == 0
    gate.expect(64 * MIB)
    gate.expect(640 * MIB)
    assert crew.asked == 1
    with gate.turn(1):
        pass
    gate.expect(640 * MIB)
    assert crew.asked == 1
