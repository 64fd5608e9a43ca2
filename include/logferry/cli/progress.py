"""How an export shows that it moves: a bar on a terminal, one line per slice elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, TextIO

from logferry.cli.output import lasting, number
from logferry.cli.remaining import Forecaster, Remaining
from logferry.plan import Plan
from logferry.publishing.results import SliceResult

_WORTH_SAYING_S = 10.0


class Watcher(Protocol):
    """A ferry's progress that is also told when a window begins."""

    def begin(self, plan: Plan, forecast: Forecaster, at_once: int, place: str) -> None: ...

    def page(self, rows: int, body_bytes: int) -> None: ...

    def slice_done(self, result: SliceResult) -> None: ...

    def __enter__(self) -> Watcher: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def watcher(stream: TextIO) -> Watcher:
    """The watcher that suits the stream."""
    if not stream.isatty():
        return Lines(stream)
    from logferry.cli.progress_bar import Bar  # Rich, which plain lines do without

    return Bar(stream)


class Lines:
    """One line per finished slice, with the time to go where it is worth saying."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._remaining: Remaining | None = None

    def begin(self, plan: Plan, forecast: Forecaster, at_once: int, place: str) -> None:
        self._remaining = Remaining(plan, forecast, at_once)

    def page(self, rows: int, body_bytes: int) -> None:
        if self._remaining is not None:
            self._remaining.page(rows)

    def slice_done(self, result: SliceResult) -> None:
        left_s = self._remaining.seconds() if self._remaining is not None else None
        to_go = f", about {lasting(left_s)} to go" if left_s is not None and left_s >= _WORTH_SAYING_S else ""
        at_source = (
            "not counted" if result.source_rows is None else f"{number(result.source_rows)} at the source"
        )
        print(
            f"{result.start} {result.end} {result.status}: {number(result.rows)} rows ({at_source}){to_go}",
            file=self._stream,
            flush=True,
        )

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
