"""The threads that read lakes: few, bounded in time, and fair to the exports whose lake answers."""

from __future__ import annotations

import asyncio
import threading

import pytest

from logferry_airflow.page.lane import Lane, SlowLake

pytestmark = pytest.mark.airflow
PATIENCE_S = 60.0


class Slow:
    """Work that ends when it may."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self._begun = threading.Semaphore(0)

    def __call__(self) -> None:
        self._begun.release()
        assert self.answers.wait(PATIENCE_S)

    async def asked(self, times: int) -> None:
        """Until so many threads are at it: a limit counts from before that."""
        for _ in range(times):
            assert await asyncio.to_thread(self._begun.acquire, timeout=PATIENCE_S)


def test_work_is_done_in_another_thread_and_its_result_or_error_comes_back() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def scenario() -> str:
        lane = Lane()
        with pytest.raises(ValueError, match="no"):
            await lane.run("shop", fail)
        return await lane.run("shop", lambda: threading.current_thread().name)

    assert asyncio.run(scenario()).startswith("logferry-page")


def test_a_lake_that_hangs_is_given_up_and_keeps_no_other_export_waiting() -> None:
    slow = Slow()

    async def scenario() -> None:
        lane = Lane(limit_s=PATIENCE_S)
        first = [asyncio.create_task(lane.run("shop", slow)) for _ in range(2)]
        try:
            await slow.asked(2)
            lane._limit_s = 0.05
            for _ in range(18):
                with pytest.raises(SlowLake, match="the lake of shop has not answered for"):
                    await lane.run("shop", slow)
            lane._limit_s = PATIENCE_S
            assert await lane.run("till", lambda: "here") == "here"
        finally:
            slow.answers.set()
            await asyncio.gather(*first)

    asyncio.run(scenario())


def test_a_lake_that_was_not_asked_yet_is_not_blamed() -> None:
    slow = Slow()

    async def scenario() -> None:
        lane = Lane(limit_s=PATIENCE_S)
        others = [
            asyncio.create_task(lane.run(f"other_{number}", slow)) for number in range(4) for _ in range(2)
        ]
        try:
            await slow.asked(8)
            lane._limit_s = 0.05
            with pytest.raises(
                SlowLake, match="the page is busy with lakes that do not answer, so that of shop"
            ):
                await lane.run("shop", lambda: True)
        finally:
            slow.answers.set()
            await asyncio.gather(*others)

    asyncio.run(scenario())


def test_when_the_lake_answers_again_its_turn_comes() -> None:
    answered = threading.Event()

    async def scenario() -> None:
        lane = Lane(limit_s=0.05)
        for _ in range(3):
            with pytest.raises(SlowLake):
                await lane.run("shop", answered.wait)
        answered.set()
        lane._limit_s = PATIENCE_S
        assert await lane.run("shop", lambda: 1) == 1

    asyncio.run(scenario())


def test_a_lake_that_answers_after_the_server_ended_complains_of_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answered = threading.Event()
    lane = Lane(limit_s=0.05)

    async def scenario() -> None:
        with pytest.raises(SlowLake):
            await lane.run("shop", answered.wait)

    asyncio.run(scenario())
    answered.set()
    lane._threads.shutdown()
    assert not caplog.records
