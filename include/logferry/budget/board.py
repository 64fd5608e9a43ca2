"""Where those who spend one allowance meet: small records that are changed one at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")

Work = Callable[[bytes, int, int], tuple[bytes | None, T]]
"""``work(record, now_ms, divided_by)`` gives the record's new bytes (None: as it was) and a result.

``now_ms``: milliseconds since the Unix epoch by the clock that all who meet share. ``divided_by``: machines that are
taken to spend the same allowance without meeting here. It may be called again when somebody else was faster."""


class Board(Protocol):
    def change(self, name: str, work: Work[T]) -> T:
        """Read the record ``name`` (empty when there is none), change it, write it; no one else in between."""
        ...


class SharedBoard(Board, Protocol):
    """A board on a server."""

    def peek(self, name: str) -> tuple[bytes, int]:
        """The record ``name``, empty when there is none, and the server's time in milliseconds; nothing is changed.

        Raises BoardDown.
        """
        ...


class BoardDown(Exception):
    """A board cannot be reached; the text says why, without credentials."""
