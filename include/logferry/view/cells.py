"""The slices of a range, one letter each, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from logferry.audit.gaps import Gap
from logferry.view.archives import ArchiveState
from logferry.view.plain import more, span
from logferry.window import TICK_PER_SECOND, Window, format_instant

MOST_SLICES = 20_000


def cells(state: ArchiveState, window: Window, *, now: int) -> dict[str, Any]:
    """The body of ``…/cells``, of a window on the grid. ``rows``, ``source_rows``, ``bytes``, ``seq``: parallel to
    ``cells``, None where there is none; ``marks`` and ``gaps`` only where there are any.

    ``totals`` and ``gaps`` are those of the slices in this answer; of very many gaps the newest are listed, oldest
    first, and ``gaps_more`` counts the others. Raises LakeUnread.
    """
    index = state.index
    spec = state.spec
    due = index.due_before(spec, now)
    begin, after = index.numbers(window)
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
    totals = index.totals(begin, end, due)
    found = index.gaps(begin, end, due)
    return {
        "name": spec.name,
        **span(Window(window.start, end * index.grid)),
        "next": None if end == after else format_instant(end * index.grid),
        "slice_s": spec.slice // TICK_PER_SECOND,
        "now": format_instant(now),
        "due_before": format_instant(due),
        "cells": letters.decode(),
        "rows": rows,
        "source_rows": source_rows,
        "bytes": sizes,
        "seq": seqs,
        "marks": marks,
        "gaps": gap_list(found[more(found) :]),
        "gaps_more": more(found),
        "totals": {"rows": totals.rows, "bytes": totals.bytes, "cells": totals.cells},
    }


def gap_list(gaps: Iterable[Gap]) -> list[dict[str, Any]]:
    return [
        {**span(one.window), "state": one.state, "reason": one.reason, "slices": one.slices} for one in gaps
    ]
