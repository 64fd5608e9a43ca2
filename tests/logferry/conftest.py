"""What the engine's tests share: a clock that never waits, a budget and a harbour of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.logferry.harbour import Harbour

from logferry.budget import Budget
from logferry.window import TICK_PER_SECOND, parse_instant


class ManualClock:
    """Time that passes only by sleeping; ``slept`` lists every sleep in seconds."""

    def __init__(self, start: str = "2026-11-22T12:00:00Z") -> None:
        self.tick = parse_instant(start)
        self.slept: list[float] = []

    def now(self) -> int:
        return self.tick

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.tick += round(seconds * TICK_PER_SECOND)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def budget(tmp_path: Path, clock: ManualClock) -> Budget:
    """A budget of its own, so that tests neither wait for nor spend each other's requests."""
    return Budget("test", clock=clock, folder=tmp_path / "budget")


@pytest.fixture
def harbour(tmp_path: Path, clock: ManualClock) -> Iterator[Harbour]:
    """A ferry's lake and source, and a folder for its work, in which nothing may stay behind."""
    one = Harbour(tmp_path, clock)
    yield one
    assert list(one.workdir.iterdir()) == [], "unfinished files stayed behind"
