"""How an export shows on a terminal that it moves: a bar for the window at work."""

from __future__ import annotations

from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from logferry.cli.output import lasting
from logferry.cli.published import compact
from logferry.cli.remaining import Forecaster, Remaining
from logferry.plan import Plan
from logferry.publishing.results import SliceResult
from logferry.wording import counted


class _ToGo(ProgressColumn):
    """The time a task still takes; asked about once a second, because a wait changes it too."""

    max_refresh = 1.0

    def render(self, task: Task) -> Text:
        remaining: Remaining | None = task.fields["remaining"]
        left_s = None if remaining is None or task.finished else remaining.seconds()
        return Text("" if left_s is None else f"{lasting(left_s)} to go", no_wrap=True)


class Bar:
    """A bar for the window at work: by rows where they were counted, else by slices.

    Only that one: of a backfill of a year the finished windows would fill more than a screen.
    """

    def __init__(self, stream: TextIO) -> None:
        whole = Column(no_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description}", table_column=whole),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
            TextColumn("{task.fields[rows]}", table_column=whole),
            TextColumn("{task.fields[slices]}", table_column=whole),
            _ToGo(table_column=whole),
            console=Console(file=stream),
            expand=True,
        )
        self._task: TaskID | None = None
        self._by_rows = False
        self._fetched = self._written = self._slices = 0
        self._planned = 0
        self._remaining: Remaining | None = None

    def begin(self, plan: Plan, forecast: Forecaster, at_once: int, place: str) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._remaining = Remaining(plan, forecast, at_once)
        self._by_rows = bool(plan.rows)
        self._fetched = self._written = self._slices = 0
        self._planned = len(plan.slices)
        self._task = self._progress.add_task(
            place or compact(plan.window),
            total=plan.rows if self._by_rows else self._planned,
            rows="0 rows",
            slices=f"0/{self._planned} slices",
            remaining=self._remaining,
        )

    def page(self, rows: int, body_bytes: int) -> None:
        if self._remaining is not None:
            self._remaining.page(rows)
        self._fetched += rows
        self._show()

    def slice_done(self, result: SliceResult) -> None:
        self._slices += 1
        self._written += result.rows
        # Pages also bring rows from just outside, so in the end what is written counts.
        last = self._slices == self._planned
        self._fetched = self._written if last else max(self._fetched, self._written)
        self._show()

    def _show(self) -> None:
        if self._task is None:
            return
        self._progress.update(
            self._task,
            completed=self._fetched if self._by_rows else self._slices,
            rows=counted(self._fetched, "row"),
            slices=f"{self._slices}/{self._planned} slices",
        )

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
