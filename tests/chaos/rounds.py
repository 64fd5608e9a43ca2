"""What happens to windows: one round each, dealt from a shuffled deck so that a short run meets every kind.

plain       a window under whatever weather there is
struck      workers killed at a chosen step, retry after retry
hunted      workers killed by the clock, wherever they are
abandoned   a run is killed and another run, with another id, takes its window
race        two runs of one window at once
overlap     two runs of overlapping windows at once, one of them perhaps killed
frozen      one run stops in mid-publication; another does the window; the first goes on
stale       as frozen, late rows arriving in between, so that the two differ
revenant    one run is killed in mid-publication; another does the window, later; the first is retried
late        a window, then its late rows, then those of its slices that moved
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.chaos.crew import Ending, Worker
from tests.chaos.fate import STEPS, Fate, Step
from tests.chaos.figures import Figures
from tests.chaos.lakes import Lake
from tests.chaos.sandbox import SandboxProcess
from tests.chaos.truth import Truth
from tests.chaos.worker import Job
from tests.chaos.world import EXPORTS, World, connection_fields, definition, hours_of

from logferry.clock import SystemClock
from logferry.window import TICK_PER_HOUR, Window

KINDS = (
    "plain",
    "struck",
    "struck",
    "hunted",
    "abandoned",
    "race",
    "overlap",
    "frozen",
    "stale",
    "revenant",
    "late",
)
_ATTEMPTS = 4
_EVENTS: dict[Step, int] = {"plan": 2, "fetch": 14, "stage": 12, "publish": 40}
_WRITES: dict[Step, int] = {"stage": 7, "publish": 10}
"""About how many events a step has, and how many of them change something: where in it a worker may die."""


class Port:
    """Where runs start: the sandbox, the lake, the truth and the figures they share."""

    def __init__(
        self, world: World, sandbox: SandboxProcess, lake: Lake, truth: Truth, figures: Figures, folder: Path
    ) -> None:
        self.world, self.figures, self.truth = world, figures, truth
        self._sandbox, self._lake, self._folder = sandbox, lake, folder
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._started: list[Run] = []
        self._runs = 0

    def run(
        self, export: str, window: Window, *, as_tasks: bool, most_chunks: int = 3, only_moved: bool = False
    ) -> Run:
        with self._lock:
            self._runs += 1
            number = self._runs
        connections = {export: connection_fields(self._sandbox.described, export)}
        if self._lake.connection is not None:
            connections["lake"] = dict(self._lake.connection)
        text = definition(export, self._lake.url, "lake" if self._lake.connection is not None else None)
        run_id = f"chaos__{number:05d}"
        folder = self._folder / f"run-{number:05d}"
        run = Run(
            self.figures,
            lambda attempt, fate: Job(
                definition=text,
                connections=connections,
                window=window,
                run_id=run_id,
                attempt=attempt,
                folder=folder,
                machine=folder / f"machine-{attempt}",
                as_tasks=as_tasks,
                most_chunks=most_chunks,
                only_moved=only_moved,
                fate=fate,
            ),
            run_id=run_id,
            who=f"run {run_id} of {export} {window}",
        )
        with self._lock:
            self._started.append(run)
        return run

    def published_runs(self) -> frozenset[str]:
        """The ids of the runs whose last attempt published."""
        return frozenset(run.run_id for run in self._started if run.published)

    def release(self, hours: Iterable[int]) -> None:
        """Let the late rows of these hours arrive."""
        due = self.world.late_hours.intersection(hours) - self.truth.arrived
        if due:
            before = self._clock.now()
            self._sandbox.release(due)
            self.truth.released(due, before, self._clock.now())
            self.figures.add("late_releases")


class Run:
    """One run: its attempts share an id and a folder. ``who`` names it in a finding."""

    def __init__(
        self, figures: Figures, job: Callable[[int, Fate | None], Job], *, run_id: str, who: str
    ) -> None:
        self._figures = figures
        self.run_id = run_id
        self.published = False
        self._job = job
        self._attempt = 0
        self.who = who

    def start(self, fate: Fate | None = None) -> Worker:
        self._attempt += 1
        self._figures.add("attempts")
        return Worker(self._job(self._attempt, fate))

    def end(self, worker: Worker) -> Ending:
        """Wait for the worker and count its end; what no worker may do is a violation."""
        ending = worker.wait()
        assert ending is not None
        figures = self._figures
        self.published = ending.result == "published"
        figures.count(figures.endings, ending.result)
        if ending.result == "killed":
            figures.count(figures.kills, ending.step)
        elif ending.result == "refused":
            figures.refused(ending.error, ending.message)
        elif ending.result in ("crashed", "hung"):
            figures.violated(f"{self.who} {ending.result} in {ending.step}: {ending.message}")
        return ending

    def attempt(self, fate: Fate | None = None) -> Ending:
        return self.end(self.start(fate))

    def retry(self, attempts: int = _ATTEMPTS) -> Ending:
        """Attempts until one publishes; the last one's end."""
        ending = self.attempt()
        for _ in range(attempts - 1):
            if ending.result == "published":
                break
            ending = self.attempt()
        return ending


class Rounds:
    """Plays round after round; what each does is drawn from ``(seed, store, number)`` alone."""

    def __init__(self, port: Port, seed: int) -> None:
        self._port = port
        self._seed = seed

    def play(self, number: int) -> None:
        """One round."""
        figures = self._port.figures
        deck_number, place = divmod(number, len(KINDS))
        deck = list(KINDS)
        random.Random(f"{self._seed}:{figures.store}:deck:{deck_number}").shuffle(deck)
        choose = random.Random(f"{self._seed}:{figures.store}:round:{number}")
        figures.count(figures.rounds, deck[place])
        export = list(EXPORTS)[number % len(EXPORTS)]
        window = self._port.world.window(choose.randrange(self._port.world.windows))
        getattr(self, f"_{deck[place]}")(choose, export, window)

    def _run(self, choose: random.Random, export: str, window: Window) -> Run:
        as_tasks, only_moved = choose.random() < 0.6, choose.random() < 0.2
        return self._port.run(export, window, as_tasks=as_tasks, only_moved=only_moved)

    def _plain(self, choose: random.Random, export: str, window: Window) -> None:
        self._run(choose, export, window).retry()

    def _struck(self, choose: random.Random, export: str, window: Window) -> None:
        run = self._run(choose, export, window)
        for _ in range(choose.choice([1, 2, 3])):
            run.attempt(_death(choose, choose.choice(STEPS)))
        run.retry()

    def _hunted(self, choose: random.Random, export: str, window: Window) -> None:
        run = self._run(choose, export, window)
        for _ in range(choose.choice([1, 2, 3])):
            worker = run.start()
            worker.wait_until_begun()
            time.sleep(choose.uniform(0, 0.4))
            worker.kill()
            run.end(worker)
        run.retry()

    def _abandoned(self, choose: random.Random, export: str, window: Window) -> None:
        self._run(choose, export, window).attempt(_death(choose, choose.choice(["stage", "publish"])))
        self._run(choose, export, window).retry()

    def _race(self, choose: random.Random, export: str, window: Window) -> None:
        one, other = self._run(choose, export, window), self._run(choose, export, window)
        self._compete(choose, [one, other], [None, None])

    def _overlap(self, choose: random.Random, export: str, window: Window) -> None:
        whole = self._port.world.whole
        shift = choose.choice([-2, -1, 1, 2]) * TICK_PER_HOUR
        shifted = Window(max(whole.start, window.start + shift), min(whole.end, window.end + shift))
        runs = [self._run(choose, export, window), self._run(choose, export, shifted)]
        self._compete(choose, runs, [choose.choice([None, _death(choose, "publish")]), None])

    def _frozen(self, choose: random.Random, export: str, window: Window) -> None:
        self._pause(choose, export, window, arrive=False)

    def _stale(self, choose: random.Random, export: str, window: Window) -> None:
        self._pause(choose, export, self._late_window(choose, window), arrive=True)

    def _revenant(self, choose: random.Random, export: str, window: Window) -> None:
        window = self._late_window(choose, window)
        first = self._port.run(export, window, as_tasks=True)
        first.attempt(_death(choose, "publish"))
        self._port.release(hours_of(window))
        self._run(choose, export, window).retry()
        first.retry(2)

    def _late(self, choose: random.Random, export: str, window: Window) -> None:
        window = self._late_window(choose, window)
        self._run(choose, export, window).retry()
        self._port.release(hours_of(window))
        self._port.run(export, window, as_tasks=True, only_moved=True).retry()

    def _pause(self, choose: random.Random, export: str, window: Window, *, arrive: bool) -> None:
        """One run freezes in publish, another publishes, the first thaws."""
        slow, quick = self._run(choose, export, window), self._run(choose, export, window)
        worker = slow.start(_fate(choose, "publish", signal.SIGSTOP))
        froze = worker.wait_until_frozen()
        if froze:
            self._port.figures.add("freezes")
        if arrive:
            self._port.release(hours_of(window))
        ending = quick.retry(2)
        worker.thaw()
        if froze:
            self._port.figures.count(self._port.figures.races, _outcome([slow.end(worker), ending]))
        else:
            slow.end(worker)

    def _compete(self, choose: random.Random, runs: list[Run], fates: list[Fate | None]) -> None:
        """All at once; the killed and the superseded are retried, as a scheduler would."""
        workers = []
        for run, fate in zip(runs, fates, strict=True):
            workers.append(run.start(fate))
            time.sleep(choose.uniform(0, 0.1))
        endings = [run.end(worker) for run, worker in zip(runs, workers, strict=True)]
        self._port.figures.count(self._port.figures.races, _outcome(endings))
        for run, ending in zip(runs, endings, strict=True):
            if ending.result != "published":
                run.retry(2)

    def _late_window(self, choose: random.Random, otherwise: Window) -> Window:
        """A window some of whose rows are still to arrive, while there is one."""
        port = self._port
        waiting = [
            window
            for window in map(port.world.window, range(port.world.windows))
            if port.world.late_hours.intersection(hours_of(window)) - port.truth.arrived
        ]
        return choose.choice(waiting) if waiting else otherwise


def _death(choose: random.Random, step: Step) -> Fate:
    return _fate(choose, step, signal.SIGKILL)


def _fate(choose: random.Random, step: Step, number: signal.Signals) -> Fate:
    writes = step in _WRITES and choose.random() < 0.8
    return Fate(step, choose.randint(1, (_WRITES if writes else _EVENTS)[step]), number, writes)


def _outcome(endings: list[Ending]) -> str:
    """What came of a race: both agreed on the rows, both published theirs, one gave way, or something else."""
    if all(ending.result == "published" for ending in endings):
        return "agreed" if len({ending.rows for ending in endings}) == 1 else "both published"
    if any(ending.error == "Superseded" for ending in endings):
        return "superseded"
    if any(ending.result == "killed" for ending in endings):
        return "one killed"
    return "one refused"
