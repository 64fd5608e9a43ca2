"""Who is told of an export's work as it goes on."""

from __future__ import annotations

import threading
from typing import Protocol

from logferry.publishing.results import SliceResult


class Progress(Protocol):
    """Told of the work as it goes on, by one thread at a time."""

    def page(self, rows: int, body_bytes: int) -> None:
        """An answer came: rows in it (some may lie outside the window) and its size."""
        ...

    def slice_done(self, result: SliceResult) -> None:
        """A slice is written, proven or not, and staged."""
        ...


class Silent:
    """Progress that nobody watches."""

    def page(self, rows: int, body_bytes: int) -> None: ...

    def slice_done(self, result: SliceResult) -> None: ...


class OneAtATime:
    """Progress that several threads tell of: one waits for the other."""

    def __init__(self, told: Progress) -> None:
        self._told = told
        self._telling = threading.Lock()

    def page(self, rows: int, body_bytes: int) -> None:
        with self._telling:
            self._told.page(rows, body_bytes)

    def slice_done(self, result: SliceResult) -> None:
        with self._telling:
            self._told.slice_done(result)
