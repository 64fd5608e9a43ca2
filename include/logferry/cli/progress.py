"""How an export shows that it moves: a bar on a terminal, one line per slice elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from logferry.cli.output import number
from logferry.plan import Plan
from logferry.publishing.publish import SliceResult


class Watcher(Protocol):
    """A ferry's progress that is also told when a window begins."""

    def begin(self, plan: Plan) -> None: ...

    def page(self, rows: int, body_bytes: int) -> None: ...

    def slice_done(self, result: SliceResult) -> None: ...

    def __enter__(self) -> Watcher: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def watcher(stream: TextIO) -> Watcher:
    """The watcher that suits the stream."""
    return Bar(stream) if stream.isatty() else Lines(stream)


class Lines:
    """One line per finished slice."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def begin(self, plan: Plan) -> None: ...

    def page(self, rows: int, body_bytes: int) -> None: ...

    def slice_done(self, result: SliceResult) -> None:
        at_source = (
            "not counted" if result.source_rows is None else f"{number(result.source_rows)} at the source"
        )
        print(
            f"{result.start} {result.end} {result.status}: {number(result.rows)} rows ({at_source})",
            file=self._stream,
            flush=True,
        )

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Bar:
    """A bar per window: by rows where they were counted, else by slices."""

    def __init__(self, stream: TextIO) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]} rows, {task.fields[slices]} slices"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=stream),
        )
        self._task: TaskID | None = None
        self._by_rows = False
        self._fetched = self._written = self._slices = 0
        self._planned = 0

    def begin(self, plan: Plan) -> None:
        self._by_rows = bool(plan.rows)
        self._fetched = self._written = self._slices = 0
        self._planned = len(plan.slices)
        self._task = self._progress.add_task(
            f"{plan.window.start} to {plan.window.end}",
            total=plan.rows if self._by_rows else self._planned,
            rows="0",
            slices=f"0/{self._planned}",
        )

    def page(self, rows: int, body_bytes: int) -> None:
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
            rows=number(self._fetched),
            slices=f"{self._slices}/{self._planned}",
        )

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
