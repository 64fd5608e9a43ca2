"""How many answers it takes where hours differ a hundredfold in rows and in the size of a row."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any, cast

import pytest
from tests.logferry.conftest import ManualClock
from tests.logferry.memory_source import DirectClient, Event, MemorySource

from logferry.ferry import Ferry, Run
from logferry.fetching import answer_size
from logferry.http import Client
from logferry.sources.base import LogSource
from logferry.spec import export_from
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_HOUR, Window, parse_instant

START = parse_instant("2026-11-20T00:00:00Z")
DAY = Window(START, START + 12 * TICK_PER_HOUR)
ANSWER_ROWS, ANSWER_BYTES = 5_000, 600_000


def log_analytics(events: list[Event], **changes: Any) -> MemorySource:
    """Caps of an answer a hundred times smaller than the service's; the rest as it is."""
    return MemorySource(
        events,
        answer_rows=ANSWER_ROWS,
        page_rows=ANSWER_ROWS,
        most_bytes=ANSWER_BYTES,
        most_bins=4_000,
        most_shares=1_024,
        tick=1,
        **changes,
    )


def uneven(seed: int) -> list[Event]:
    dice = random.Random(seed)
    hours = [int(2_000 * math.exp(dice.gauss(0, 1.3))) for _ in range(12)]
    sizes = [int(300 * math.exp(dice.gauss(0, 1.2))) for _ in range(12)]
    return [
        Event(
            START + hour * TICK_PER_HOUR + dice.randrange(TICK_PER_HOUR),
            f"{hour}-{number}",
            f"t{hour}-{number}",
            max(20, int(sizes[hour] * dice.choice([0.5, 1, 1.5]))),
        )
        for hour in range(12)
        for number in range(hours[hour])
    ]


def fewest(source: MemorySource) -> int:
    least = 0
    for hour in DAY.slices(TICK_PER_HOUR):
        sizes = [event.bytes for event in source.between(hour.start, hour.end)]
        least += max(math.ceil(sum(sizes) / ANSWER_BYTES), math.ceil(len(sizes) / ANSWER_ROWS))
    return least


def carry(source: MemorySource, folder: Path, windows: list[Window]) -> None:
    """Each window in a process of its own, which has learned nothing."""
    export = {
        "name": "web",
        "source": {"kind": "datadog", "connection": "dd", "query": "*"},
        "schedule": "@hourly",
        "start": "2026-01-01T00:00:00Z",
    }
    (folder / "work").mkdir()
    for number, window in enumerate(windows):
        with Ferry(
            export_from(export, where="test"),
            source=cast(LogSource, source),
            client=cast(Client, DirectClient()),
            store=LocalStore(folder / "lake"),
            run=Run(f"run-{number}"),
            clock=ManualClock(),
            workdir=folder / "work",
        ) as ferry:
            assert ferry.carry(window).status == "proven"


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("hourly", [False, True], ids=["one process", "a process an hour"])
@pytest.mark.parametrize("reckoned", [0.8, 1.0, 1.3])
def test_reckoned_sizes_keep_the_searches_within_a_third_of_the_fewest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, hourly: bool, reckoned: float
) -> None:
    monkeypatch.setattr(answer_size, "ANSWER_BYTES", ANSWER_BYTES)
    source = log_analytics(uneven(seed), reckoned=reckoned)
    carry(source, tmp_path, list(DAY.slices(TICK_PER_HOUR)) if hourly else [DAY])
    assert len(source.searched) <= 1.3 * fewest(source)


@pytest.mark.parametrize("reckoned", [0.01, 50.0, None])
def test_a_day_is_whole_however_wrong_the_reckoning_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reckoned: float | None
) -> None:
    monkeypatch.setattr(answer_size, "ANSWER_BYTES", ANSWER_BYTES)
    source = log_analytics(uneven(2), reckoned=reckoned)
    carry(source, tmp_path, [DAY])


@pytest.mark.parametrize("times_full", [1.2, 10])
def test_a_tick_that_holds_more_than_an_answer_costs_little_more_than_its_answers(
    tmp_path: Path, times_full: float
) -> None:
    hot = [
        Event(START + TICK_PER_HOUR // 3 + 12_345_677, f"hot{at}", f"t{at}")
        for at in range(int(times_full * ANSWER_ROWS))
    ]
    calm = [Event(START + at * TICK_PER_HOUR // 90, f"e{at}", f"u{at}") for at in range(90)]
    source = log_analytics([*hot, *calm])
    carry(source, tmp_path, [Window(START, START + TICK_PER_HOUR)])
    assert len(source.searched) <= math.ceil(times_full) + 3
    assert len(source.counted) == 2 + 2
