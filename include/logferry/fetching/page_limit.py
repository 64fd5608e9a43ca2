"""The rows asked of one page: as many as make no more than PAGE_BYTES of answer, fewer while such pages do not come
through, and more again when they do."""

from __future__ import annotations

import threading

PAGE_BYTES = 8 * 1024 * 1024
"""Bytes of answer that a page is to make at most. A page takes some four times its bytes while it becomes rows; a full
one of ordinary events is 1 to 2 MB, and asking for less of those would only cost requests."""
_GROWN_FILL = 0.75
"""Share of PAGE_BYTES that twice the rows must fit before they are asked for, so that the limit does not swing."""
_KEPT = 0.5
"""What of the bytes and rows known so far is kept beside those of each new page."""
_LONG_ROW_BYTES = 16 * 1024
"""Bytes of answer from which a row is long: hardly any work is in it but to copy it."""
_MOST_PATIENCE = 64


class PageRows:
    """How many rows make a page of at most PAGE_BYTES, learned from the pages of all chains of a source; safe for use
    by several threads.

    ``limit`` is None for a full page of ``full`` rows, else a half of it, or a half of that. It follows the mean row
    of the newest pages, so that a single long row among many others changes nothing.
    """

    def __init__(self, full: int) -> None:
        self._full = full
        self._lock = threading.Lock()
        self._rows = self._bytes = 0.0
        self._halvings = 0

    @property
    def limit(self) -> int | None:
        return self._full >> self._halvings if self._halvings else None

    @property
    def long(self) -> bool:
        """Whether rows are so long that memory counts more than the time they take."""
        with self._lock:
            return self._bytes > self._rows * _LONG_ROW_BYTES

    def came(self, rows: int, body_bytes: int) -> None:
        """A page."""
        if not rows:
            return
        with self._lock:
            self._rows = self._rows * _KEPT + rows
            self._bytes = self._bytes * _KEPT + body_bytes
            row_bytes = self._bytes / self._rows
            while self._full >> self._halvings > 1 and self._bytes_of(self._halvings, row_bytes) > PAGE_BYTES:
                self._halvings += 1
            while (
                self._halvings and self._bytes_of(self._halvings - 1, row_bytes) <= PAGE_BYTES * _GROWN_FILL
            ):
                self._halvings -= 1

    def _bytes_of(self, halvings: int, row_bytes: float) -> float:
        return (self._full >> halvings) * row_bytes


def fewer(one: int | None, other: int | None) -> int | None:
    """The lower of two limits, of which None is the highest."""
    return min((limit for limit in (one, other) if limit is not None), default=None)


class PageLimit:
    """One for a chain. ``limit`` is None for a full page of ``full`` rows, as the source gives by itself.

    A single row can be what makes a page fail, so a limit doubles as soon as a page came. Only where the larger pages
    fail again soon does each step wait for more pages than the one before.
    """

    def __init__(self, full: int) -> None:
        self._full = full
        self._patience = 1
        self._came = 0
        self._grew = False
        self.limit: int | None = None

    def halve(self, asked: int | None, *, left: int | None = None, times: int = 1) -> bool:
        """Ask for half of the ``asked`` rows, which did not come, ``times`` over; False when it was one row already.

        ``left``: rows that there were to come by a count, where that is known: a page of fewer did not fail of what it
        might have held.
        """
        present = asked or self._full
        if present <= 1:
            return False
        if self._grew and asked == self.limit:
            self._patience = min(self._patience * 2, _MOST_PATIENCE)
        if left is not None and left > 0:
            present = min(present, left)
        self.limit = max(1, present >> times)
        self._came = 0
        self._grew = False
        return True

    def came(self, asked: int | None) -> None:
        """A page of ``asked`` rows came through; one asked for before the limit changed says nothing."""
        if asked != self.limit:
            return
        self._came += 1
        if self._came < self._patience:
            return
        self._came = 0
        if self.limit is None:
            self._patience = 1
            self._grew = False
        else:
            self.limit = self.limit * 2 if self.limit * 2 < self._full else None
            self._grew = True

    def copy(self) -> PageLimit:
        """The same again, to go on from apart."""
        other = PageLimit(self._full)
        other._take(self)
        return other

    def learn(self, before: PageLimit, after: PageLimit) -> None:
        """Know what another chain learned, between ``before`` and ``after``: where that is nothing, what is known here
        stays, which may be what a third one learned meanwhile."""
        if after._step != before._step:
            self._take(after)
        elif self._step == before._step:
            self._came += after._came - before._came

    @property
    def _step(self) -> tuple[int | None, int, bool]:
        return self.limit, self._patience, self._grew

    def _take(self, other: PageLimit) -> None:
        self._patience, self._came, self._grew = other._patience, other._came, other._grew
        self.limit = other.limit
