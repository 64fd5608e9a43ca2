"""One half of a chaos run, on one lake: bad weather and mishaps for a while, then calm, filling, and judgement."""

from __future__ import annotations

import itertools
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.figures import Figures
from tests.chaos.judge import Judge
from tests.chaos.lakes import Lake, lake_in
from tests.chaos.reader import Reader
from tests.chaos.rounds import Port, Rounds
from tests.chaos.sandbox import SandboxProcess
from tests.chaos.truth import Truth
from tests.chaos.weather import Weather
from tests.chaos.world import EXPORTS, World

from logferry.connection import Connection
from logferry.stores.base import Store
from logferry.stores.opening import open_store
from logferry.window import Window

_LANES = 3
_FILL_S_PER_WINDOW = 0.4
_RESTART_EVERY_S = 12.0


@dataclass(frozen=True)
class Plan:
    """``seconds`` for this lake, start and end included; ``rounds``: so many instead, however long they take.

    ``windows``: per export.
    """

    seed: int
    store: str
    seconds: float
    windows: int
    rounds: int | None = None


def chaos(plan: Plan, folder: Path) -> Figures:
    """The figures of one lake; ``folder`` is new and keeps what a finding points to."""
    started = time.monotonic()
    figures = Figures(plan.store, windows=plan.windows * len(EXPORTS))
    world = World(plan.seed, plan.windows)
    truth = Truth(world)
    choose = random.Random(f"{plan.seed}:{plan.store}")
    every_s = _RESTART_EVERY_S if plan.rounds is None else 4.0
    with ExitStack() as open_:
        sandbox = open_.enter_context(SandboxProcess(world, folder / "sandbox"))
        lake, restarts = open_.enter_context(lake_in(plan.store, folder, choose, every_s))
        port = Port(world, sandbox, lake, truth, figures, folder / "runs")
        weather = Weather(sandbox.described, random.Random(f"{plan.seed}:{plan.store}:weather"))
        reader = Reader(lake, truth, figures)
        weather.start()
        fill_s = _FILL_S_PER_WINDOW * figures.windows
        until = started + plan.seconds - fill_s
        rounds = Rounds(port, plan.seed)
        numbers = itertools.count() if plan.rounds is None else range(plan.rounds)
        playable = itertools.takewhile(lambda _: plan.rounds is not None or time.monotonic() < until, numbers)
        _on_every_lane(rounds.play, playable, figures)
        weather.stop()
        restarts.close()
        figures.s3_restarts = lake.restarts
        figures.requests, figures.faults = weather.requests(), weather.faults()
        filling_runs = _fill(port)
        figures.requests_to_fill = weather.requests() - figures.requests
        reader.stop()
        connection = None if lake.connection is None else Connection("lake", **lake.connection)
        store = open_store(lake.url, connection)
        Judge(world, lake, store, truth, figures, folder).judge(port.published_runs(), filling_runs)
        _sweep(lake, store, figures)
    figures.seconds = time.monotonic() - started
    return figures


def _on_every_lane(do: Callable[[Any], None], work: Iterable[Any], figures: Figures) -> None:
    """Do the work piece by piece, in order, several at a time."""
    pieces = iter(work)
    taking = threading.Lock()

    def lane() -> None:
        while True:
            with taking:
                piece = next(pieces, None)
            if piece is None:
                return
            try:
                do(piece)
            except Exception:
                figures.violated(f"the harness failed: {traceback.format_exc()}")

    lanes = [threading.Thread(target=lane, name=f"lane-{number}") for number in range(_LANES)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()


def _fill(port: Port) -> frozenset[str]:
    """What an operator does on the morning after, when all late rows are there: each window is run, and proven.

    Returns the ids of these runs.
    """
    port.release(port.world.late_hours)
    filling: set[str] = set()

    def run_once(missing: tuple[str, Window]) -> None:
        run = port.run(*missing, as_tasks=True, most_chunks=1)
        filling.add(run.run_id)
        ending = run.attempt()
        if (ending.result, ending.status) != ("published", "proven"):
            port.figures.violated(f"{run.who} in calm weather: {ending}")

    windows = map(port.world.window, range(port.world.windows))
    _on_every_lane(run_once, itertools.product(EXPORTS, windows), port.figures)
    return frozenset(filling)


def _sweep(lake: Lake, store: Store, figures: Figures) -> None:
    """What runs that never came back left behind can be removed, and then nothing is left."""
    store.sweep("_staging/", older_than_s=0)
    for key in lake.marks("_staging/"):
        figures.violated(f"{key} cannot be swept away")
