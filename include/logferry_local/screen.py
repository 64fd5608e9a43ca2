"""What the person at the terminal sees while it runs; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from logferry_local.watch import Step, Watched

_MARKS = {
    "success": ("✓", "green"),
    "failed": ("✗", "red"),
    "upstream_failed": ("✗", "red"),
    "up_for_retry": ("↻", "yellow"),
    "waiting": ("·", "dim"),
}


class _Clock:
    """A text that is drawn anew with the seconds since it began."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._began = time.monotonic()

    def __rich__(self) -> Text:
        return Text(f"{self.text} ({time.monotonic() - self._began:.0f} s)")


@contextmanager
def step(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """Say what is being done, and on a terminal for how long; the yielded function adds what is waited for."""
    began = time.monotonic()
    if not console.is_terminal:
        console.print(f"{text} ...", highlight=False, markup=False)
        yield lambda detail: None
        return
    clock = _Clock(text)
    moving = Table.grid(padding=(0, 1))
    moving.add_row(Spinner("dots"), clock)

    def tell(detail: str) -> None:
        clock.text = f"{text}: {detail}"

    with Live(moving, console=console, refresh_per_second=8, transient=True):
        yield tell
    console.print(f"[green]✓[/green] {text} ({time.monotonic() - began:.0f} s)", highlight=False)


@contextmanager
def progress(console: Console) -> Iterator[Callable[[Sequence[Watched]], None]]:
    """Yields the function that shows how far the runs are: a table that moves, or a line for each change."""
    said: dict[str, str] = {}

    def say_once(subject: str, text: str) -> None:
        if said.get(subject) != text:
            said[subject] = text
            console.print(text, highlight=False, markup=False)

    def show(runs: Sequence[Watched]) -> None:
        for run in runs:
            for attempt, sentence in run.retries.items():
                say_once(f"{run.dag_id} {attempt}", f"{run.spec.name}: {sentence}")
            if not console.is_terminal:
                rows = f" ({run.rows})" if run.rows else ""
                steps = " · ".join(str(part) for part in run.steps)
                say_once(run.dag_id, f"{run.spec.name}: {steps}{rows}")

    if not console.is_terminal:
        yield show
        return
    moving = _Moving()
    with Live(moving, console=console, refresh_per_second=8):

        def show_live(runs: Sequence[Watched]) -> None:
            show(runs)
            moving.runs = runs

        yield show_live


class _Moving:
    def __init__(self) -> None:
        self.runs: Sequence[Watched] = ()
        self._spinner = Spinner("dots", style="cyan")

    def __rich__(self) -> Table:
        table = Table.grid(padding=(0, 3, 0, 0))
        for run in self.runs:
            table.add_row(run.spec.name, *(self._cell(step) for step in run.steps), run.rows)
        return table

    def _cell(self, step: Step) -> Table:
        mark = _MARKS.get(step.state)
        count = f" {step.done}/{step.of}" if step.of > 1 else ""
        state = "" if step.state in ("success", "waiting", "running") else f" {step.state.replace('_', ' ')}"
        cell = Table.grid(padding=(0, 1, 0, 0))
        cell.add_row(Text(*mark) if mark else self._spinner, f"{step.name}{count}{state}")
        return cell
