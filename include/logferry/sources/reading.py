"""Where an answer becomes a page: in this process, or in one beside it that does nothing else.

Reading takes the interpreter, of which a process has one. A source says only what is to be read and how; who fetches
decides where (``logferry.fetching.gate``).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from logferry.sources.base import Page

Reading = Callable[[bytes], Page]
"""Makes a page of an answer's body. It can be pickled, and what it gives depends on the body and on what it was made
with, nothing else."""


class Reads(Protocol):
    """Somebody else who reads."""

    def read(self, reading: Reading, body: bytes) -> Page:
        """``reading(body)``, with the errors it raises."""
        ...


_thread = threading.local()


@contextlib.contextmanager
def read_by(reader: Reads | None) -> Iterator[None]:
    """Within it this thread's answers are read by ``reader``; None: by the thread itself."""
    _thread.reader = reader
    try:
        yield
    finally:
        _thread.reader = None


def read_page(reading: Reading, body: bytes) -> Page:
    """``reading(body)``, by whomever reads this thread's answers."""
    reader: Reads | None = getattr(_thread, "reader", None)
    return reading(body) if reader is None else reader.read(reading, body)
