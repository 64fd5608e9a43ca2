"""How much to ask for at once: learned from the answers, so that few are too much and few are needlessly small."""

from __future__ import annotations

import math
import threading

from logferry.sources.base import LogSource

PIECE_ROWS = 50_000
"""Rows of a piece where a cursor continues the answer: some fifty pages, so that a broken chain costs little."""
ROW_BYTES_GUESS = 1_000
"""Bytes of answer per row assumed before any was seen."""
ANSWER_BYTES = 64_000_000
"""Bytes one answer without a cursor is first taken to hold (Log Analytics:
https://learn.microsoft.com/azure/azure-monitor/service-limits)."""
_ROWS_FILL = 0.98
"""Share of an answer's rows that a piece aims for. Rows are counted, so only late ones can make it too much."""
_BYTES_FILL = 0.9
"""Share of an answer's bytes that a piece aims for: they are known from other rows only."""
_NEWEST = 0.5
"""Weight of the newest answer in the bytes per row: they drift with the hours of a day."""
_NEAR = 1.15


class AnswerSize:
    """What one answer of a source holds: at most its ``answer_rows``, which may become fewer, and bytes that are
    learned.

    The bytes begin at ANSWER_BYTES. A larger answer raises them; a range that was too much although its rows were
    few enough lowers them, as soon as its halves have come and its size is known. Safe for use by several threads.
    """

    def __init__(self, source: LogSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._row_bytes = float(ROW_BYTES_GUESS)
        self._seen = False
        self._came_bytes = self._expected_bytes = 0.0
        self._most = float(ANSWER_BYTES)
        self._largest = 0
        self._lowered = False

    @property
    def has_cursors(self) -> bool:
        """Whether an answer that holds less than was asked for can be continued."""
        return self._source.answer_rows is None

    @property
    def row_bytes(self) -> float:
        """Bytes of answer per row."""
        return self._row_bytes

    def rows_of(self, row_bytes: float | None) -> int:
        """Rows of a piece where a row is reckoned to make ``row_bytes`` of an answer; None: by what is learned."""
        answer_rows = self._source.answer_rows
        if answer_rows is None:
            return PIECE_ROWS
        with self._lock:
            by_bytes = self._aim() / (row_bytes or self._row_bytes)
        return max(1, int(min(answer_rows * _ROWS_FILL, by_bytes)))

    def full_answer(self, row_bytes: float | None) -> int:
        """Rows of a full answer, or page, where a row is reckoned to make ``row_bytes`` of it."""
        return self._source.page_rows if self._source.answer_rows is None else self.rows_of(row_bytes)

    def stretch(self, row_bytes: int | None = None) -> StretchSize:
        """For rows that are reckoned to make so many bytes each, corrected by how true that was until now."""
        return StretchSize(self, row_bytes)

    def true_bytes(self, reckoned: float) -> float:
        """Bytes per row that were reckoned, corrected by how true that was until now."""
        with self._lock:
            return reckoned * (self._came_bytes / self._expected_bytes if self._expected_bytes else 1.0)

    def came(self, rows: int, body_bytes: int, reckoned: int | None = None) -> None:
        """A whole answer, of rows that were ``reckoned`` to make so many bytes each."""
        if self._source.answer_rows is None or not rows:
            return
        with self._lock:
            self._row_bytes = _drifted(self._row_bytes if self._seen else None, body_bytes / rows)
            self._seen = True
            if reckoned:
                self._came_bytes += body_bytes
                self._expected_bytes += rows * reckoned
            self._largest = max(self._largest, body_bytes)
            self._most = max(self._most, self._largest)

    def was_too_much(self, rows: int, body_bytes: int) -> None:
        """A range that did not come at once came in parts: its rows and bytes together.

        One of more rows than an answer holds says nothing of bytes, and neither does one smaller than an answer
        that came (a query that ran out of time).
        """
        answer_rows = self._source.answer_rows
        with self._lock:
            if answer_rows is None or rows > answer_rows or body_bytes <= self._largest:
                return
            self._most = min(self._most, float(body_bytes))
            self._lowered = True

    @property
    def seen(self) -> bool:
        """Whether bytes per row are known from an answer."""
        return self._seen

    def _aim(self) -> float:
        if not self._lowered:
            return self._most * _BYTES_FILL
        # The limit lies between the largest that came and the smallest that did not.
        if self._most <= self._largest * _NEAR:
            return float(self._largest)
        return math.sqrt(self._largest * self._most)


class StretchSize:
    """How much of one stretch of a slice to ask for at once; its own answers say more of it than those of others.

    Safe for use by several threads.
    """

    def __init__(self, answers: AnswerSize, reckoned: int | None) -> None:
        self._answers = answers
        self._reckoned = reckoned
        self._own: float | None = None

    @property
    def piece_rows(self) -> int:
        """Rows that the next piece should hold at most."""
        return self._answers.rows_of(self.row_bytes)

    @property
    def row_bytes(self) -> float | None:
        """Bytes of answer per row; None where nothing but what other stretches taught is known."""
        if self._own is not None or not self._reckoned:
            return self._own
        return self._answers.true_bytes(self._reckoned)

    @property
    def known(self) -> bool:
        """Whether the size is more than a guess."""
        return self._answers.seen or bool(self._reckoned)

    def came(self, rows: int, body_bytes: int) -> None:
        """A whole answer."""
        if rows and self._reckoned:
            self._own = _drifted(self.row_bytes, body_bytes / rows)
        self._answers.came(rows, body_bytes, self._reckoned)

    def was_too_much(self, rows: int, body_bytes: int) -> None:
        """See ``AnswerSize.was_too_much``."""
        self._answers.was_too_much(rows, body_bytes)


def _drifted(before: float | None, here: float) -> float:
    return here if before is None else before + (here - before) * _NEWEST
