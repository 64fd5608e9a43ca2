"""The encoder: one piece of work at a time, in order, and no error is lost or met twice."""

from __future__ import annotations

import threading

import pytest

from logferry.sources.base import MIB
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


class Slow:
    """Work that goes on until it may end."""

    def __init__(self) -> None:
        self.started, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.started.set()
        assert self.may_end.wait(30)


@pytest.mark.parametrize(
    ("among", "under_way", "next_", "waits"),
    [
        (1, 20 * MIB, 9 * MIB, False),
        (1, 32 * MIB, 9 * MIB, True),
        (1, 200 * MIB, 0, True),
        (1, 0, 200 * MIB, True),
        (2, 10 * MIB, 4 * MIB, False),
        (2, 20 * MIB, 9 * MIB, True),
    ],
)
def test_the_next_work_waits_where_both_would_hold_too_much_memory(
    among: int, under_way: int, next_: int, waits: bool
) -> None:
    slow, handed_on = Slow(), threading.Event()
    with Encoder(among=among) as encoder:
        encoder.submit(slow, size=under_way)
        assert slow.started.wait(30)

        def hand_on() -> None:
            encoder.submit(lambda: None, size=next_)
            handed_on.set()

        caller = threading.Thread(target=hand_on)
        caller.start()
        if waits:
            assert not handed_on.is_set()
        else:
            assert handed_on.wait(30)
        slow.may_end.set()
        caller.join(30)
        assert handed_on.is_set()


def test_any_amount_of_memory_is_given_to_work_that_is_alone() -> None:
    with Encoder() as encoder:
        assert encoder.submit(lambda: 7, size=1_000 * MIB).result() == 7
        assert encoder.submit(lambda: 8, size=1_000 * MIB).result() == 8


def test_only_so_much_work_waits_however_small() -> None:
    slow, handed_on = Slow(), []
    with Encoder() as encoder:
        encoder.submit(slow)

        def hand_on() -> None:
            for number in range(100):
                encoder.submit(lambda: None)
                handed_on.append(number)

        caller = threading.Thread(target=hand_on)
        caller.start()
        assert slow.started.wait(30)
        assert len(handed_on) < 50
        slow.may_end.set()
        caller.join(30)
        assert len(handed_on) == 100


def broken() -> None:
    raise OSError("the disk is full")


def test_what_went_wrong_is_raised_by_the_next_step_and_by_the_result() -> None:
    with Encoder() as encoder:
        result = encoder.submit(broken, size=200 * MIB)
        with pytest.raises(OSError, match="full"):
            encoder.submit(lambda: None)
        with pytest.raises(OSError, match="full"):
            result.result()


def test_what_went_wrong_is_raised_until_it_is_dropped() -> None:
    with Encoder() as encoder:
        first = encoder.submit(broken)
        for _ in range(3):
            with pytest.raises(OSError, match="full"):
                encoder.submit(lambda: None, size=200 * MIB)
        encoder.drop([first])
        assert encoder.submit(lambda: 7).result() == 7


def test_what_is_dropped_before_it_begins_is_never_done_and_not_waited_for() -> None:
    slow, done = Slow(), []
    with Encoder() as encoder:
        encoder.submit(slow, size=MIB)
        assert slow.started.wait(30)
        behind = [encoder.submit(lambda number=number: done.append(number), size=MIB) for number in range(6)]
        encoder.drop(behind[::2])
        assert not slow.may_end.is_set()
        assert [work.cancelled() for work in behind] == [True, False] * 3
        # What was dropped holds no memory, and is no error of a later step.
        encoder.submit(lambda: done.append(9), size=28 * MIB)
        slow.may_end.set()
    assert done == [1, 3, 5, 9]


def test_what_is_under_way_is_waited_for_when_it_is_dropped() -> None:
    slow, dropped = Slow(), threading.Event()
    with Encoder() as encoder:
        work = encoder.submit(slow)
        assert slow.started.wait(30)

        def drop() -> None:
            encoder.drop([work])
            dropped.set()

        dropping = threading.Thread(target=drop)
        dropping.start()
        assert not dropped.is_set()
        slow.may_end.set()
        assert dropped.wait(30)
        assert work.done()
        dropping.join(30)


def test_what_went_wrong_with_other_work_is_told_though_some_is_dropped() -> None:
    with Encoder() as encoder:
        first = encoder.submit(broken)
        assert isinstance(first.exception(), OSError)
        encoder.drop([finished(None)])
        with pytest.raises(OSError, match="full"):
            encoder.submit(lambda: None)


def test_leaving_waits_for_the_last_work() -> None:
    done: list[int] = []
    with Encoder() as encoder:
        for number in range(5):
            encoder.submit(lambda number=number: done.append(number))
    assert done == list(range(5))


def test_leaving_by_an_error_waits_for_what_is_under_way_only() -> None:
    slow, done = Slow(), []
    with pytest.raises(KeyError), Encoder() as encoder:  # noqa: PT012
        encoder.submit(slow)
        assert slow.started.wait(30)
        behind = encoder.submit(lambda: done.append(1))
        behind.add_done_callback(lambda _: slow.may_end.set())
        raise KeyError
    assert behind.cancelled()
    assert done == []


def test_what_needs_no_work_is_there_at_once() -> None:
    assert finished("x").result() == "x"
