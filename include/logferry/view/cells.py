"""The slices of a range, one letter each, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from logferry.audit.gaps import Gap
from logferry.errors import DefinitionError
from logferry.view.archive_state import ArchiveState
from logferry.view.plain import more, span
from logferry.window import TICK_PER_SECOND, Window, format_instant

MOST_SLICES = 20_000
"""Of one page."""
MOST_OF_A_RANGE = 150_000
"""Of all pages of a range; a longer one is cut."""


def cells(state: ArchiveState, window: Window, *, now: int, page: int | None = None) -> dict[str, Any]:
    """The body of ``…/cells``, of a window on the grid, page by page. ``page``: where the page begins, as ``next`` of
    the one before says; None: the first. ``rows``, ``source_rows``, ``bytes``, ``seq``: parallel to ``cells``, None
    where there is none; ``marks`` only where there are any.

    ``totals`` and ``gaps`` are in the first page alone, and are those of the whole window, so that nothing that lies
    across the pages counts twice; of very many gaps the newest are listed, oldest first, and ``gaps_more`` counts the
    others. ``cut_at``: where a window of more than MOST_OF_A_RANGE slices was cut, None elsewhere. Raises LakeUnread,
    and DefinitionError for a page outside the window.
    """
    index = state.index
    spec = state.spec
    due = index.due_before(spec, now)
    first, asked_end = index.numbers(window)
    after = min(asked_end, first + MOST_OF_A_RANGE)
    begin = first if page is None else page // index.grid
    if not first <= begin < after:
        raise DefinitionError(
            f"No page of {format_instant(window.start)} to {format_instant(after * index.grid)} begins at "
            f"{format_instant(begin * index.grid)}: ask for the first page anew."
        )
    end = min(after, begin + MOST_SLICES)
    count = end - begin
    due_number = min(max(due // index.grid, begin), end)
    letters = bytearray(b"M" * (due_number - begin) + b"N" * (end - due_number))
    rows: list[int | None] = [None] * count
    source_rows, sizes, seqs = rows.copy(), rows.copy(), rows.copy()
    marks: dict[str, list[str]] = {}
    for first_alike, after_alike, cell in index.known(begin, end):
        if cell.letter is None:
            continue
        for at in range(first_alike - begin, after_alike - begin):
            letters[at] = ord(cell.letter)
            rows[at], source_rows[at], sizes[at], seqs[at] = cell.rows, cell.source_rows, cell.bytes, cell.seq
            if cell.marks:
                marks[str(at)] = list(cell.marks)
    answer = {
        "name": spec.name,
        **span(Window(begin * index.grid, end * index.grid)),
        "next": None if end == after else format_instant(end * index.grid),
        "cut_at": None if after == asked_end else format_instant(after * index.grid),
        "slice_s": spec.slice // TICK_PER_SECOND,
        "now": format_instant(now),
        "due_before": format_instant(due),
        "begun_at": format_instant(state.begun_at),
        "cells": letters.decode(),
        "rows": rows,
        "source_rows": source_rows,
        "bytes": sizes,
        "seq": seqs,
        "marks": marks,
    }
    if page is None:
        totals = index.totals(first, after, due)
        found = index.gaps(first, after, due)
        answer |= {
            "gaps": gap_list(found[more(found) :]),
            "gaps_more": more(found),
            "totals": {"rows": totals.rows, "bytes": totals.bytes, "cells": totals.cells},
        }
    return answer


def gap_list(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    return [
        {**span(one.window), "state": one.state, "reason": one.reason, "slices": one.slices} for one in gaps
    ]
