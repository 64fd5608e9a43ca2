"""The encoder: one piece of work at a time, in order, and no error is lost or met twice."""

from __future__ import annotations

import threading

import pytest

from logferry.writing.encoder import Encoder, finished


def test_work_is_done_in_the_order_given_and_never_two_at_once() -> None:
    done: list[int] = []
    busy = threading.Lock()

    def work(number: int) -> int:
        assert busy.acquire(blocking=False)
        done.append(number)
        busy.release()
        return number * 2

    with Encoder() as encoder:
        results = [encoder.submit(lambda number=number: work(number)) for number in range(50)]
    assert done == list(range(50))
    assert [result.result() for result in results] == [number * 2 for number in range(50)]


def test_the_next_work_waits_for_the_one_before() -> None:
    may_end, started, handed_on = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        assert may_end.wait(30)

    with Encoder() as encoder:
        encoder.submit(slow)
        assert started.wait(30)

        def hand_on() -> None:
            encoder.submit(lambda: None)
            handed_on.set()

        caller = threading.Thread(target=hand_on)
        caller.start()
        assert not handed_on.is_set()
        may_end.set()
        caller.join(30)
        assert handed_on.is_set()


def broken() -> None:
    raise OSError("the disk is full")


def test_what_went_wrong_is_raised_by_the_next_step_and_by_the_result() -> None:
    with Encoder() as encoder:
        result = encoder.submit(broken)
        with pytest.raises(OSError, match="full"):
            encoder.submit(lambda: None)
        with pytest.raises(OSError, match="full"):
            result.result()


def test_settling_forgets_what_went_wrong() -> None:
    with Encoder() as encoder:
        encoder.submit(broken)
        encoder.settle()
        assert encoder.submit(lambda: 7).result() == 7


def test_leaving_waits_for_the_last_work() -> None:
    done: list[int] = []
    with pytest.raises(KeyError), Encoder() as encoder:  # noqa: PT012
        encoder.submit(lambda: done.append(1))
        raise KeyError
    assert done == [1]


def test_what_needs_no_work_is_there_at_once() -> None:
    assert finished("x").result() == "x"
