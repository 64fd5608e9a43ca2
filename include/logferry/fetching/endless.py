"""When a source that pages on and on is not believed any more.

A chain of pages has no length of its own: only what was counted, and what the pages bring, tell a long one from an
endless one. The limits lie far beyond what an honest source shows, and hold for all chains of one span together.
"""

from __future__ import annotations

from logferry.errors import SourceError
from logferry.window import Window

MOST_TIMES_PLANNED = 2
SLACK_ROWS = 200_000
"""Beyond twice the rows counted: rows come late, but not so many."""
MOST_NEEDLESS_ROWS = 2_000_000
"""Rows that came again or lie outside the span: the two milliseconds around it may be dense."""
MOST_IDLE_PAGES = 10_000
"""Pages one after the other without a new row of the span."""
MOST_UNCOUNTED_ROWS = 1_000_000_000
MOST_TICK_ROWS = 2_000_000
"""Rows since the last tick was finished, where nothing was counted: they are held in memory."""


class Endless:
    """Watches the pages of one span. ``planned``: the rows counted for it, None where nothing can be."""

    def __init__(self, span: Window, planned: int | None) -> None:
        self._span = span
        self._planned = planned
        self._came = 0
        self._kept = 0
        self._idle = 0
        self._finished = span.start
        self._came_by_then = 0

    def page(self, came: int, kept: int | None, final_before: int) -> None:
        """Take note of a page of ``came`` rows that names a next one. Raises SourceError at a limit.

        ``kept``: the distinct rows of the span so far (None where nothing was counted), of which those before the
        tick ``final_before`` went on.
        """
        self._came += came
        if self._planned is None or kept is None:
            if final_before > self._finished:
                self._finished, self._came_by_then = final_before, self._came
            if self._came - self._came_by_then > MOST_TICK_ROWS:
                raise self._error(f"gave more than {MOST_TICK_ROWS:,} rows without the time going on")
            if self._came > MOST_UNCOUNTED_ROWS:
                raise self._error(f"gave more than {MOST_UNCOUNTED_ROWS:,} rows")
            return
        self._idle = 0 if kept > self._kept else self._idle + 1
        self._kept = max(self._kept, kept)
        most = MOST_TIMES_PLANNED * self._planned + SLACK_ROWS
        if kept > most:
            raise self._error(f"gave more than {most:,} rows, where it counted {self._planned:,},")
        if self._came - self._kept > MOST_NEEDLESS_ROWS:
            raise self._error(
                f"gave more than {MOST_NEEDLESS_ROWS:,} rows that were not asked for or came before"
            )
        if self._idle > MOST_IDLE_PAGES:
            raise self._error(f"gave {MOST_IDLE_PAGES:,} pages in a row without a new row")

    def _error(self, what: str) -> SourceError:
        return SourceError(
            f"the source {what} for {self._span} and still names a next page; check what answers at the "
            "connection's site or host, or run the window again"
        )
