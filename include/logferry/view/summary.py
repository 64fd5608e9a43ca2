"""One export in a row of the overview."""

from __future__ import annotations

from typing import Any

from logferry.view.archive_state import ArchiveState
from logferry.view.budgets import budget_of
from logferry.view.cells import gap_list
from logferry.view.index import Index
from logferry.view.letters import LETTERS, worst
from logferry.view.plain import bounded, cut, instant, span
from logferry.view.reading import Emptied
from logferry.window import TICK_PER_DAY, TICK_PER_MINUTE, Window, format_instant

_DAYS = 30
_NEWEST_GAPS = 5
_MOST_SENTENCES = 20


def summary(state: ArchiveState, *, now: int) -> dict[str, Any]:
    """The body of ``/exports/<name>``; of a lake that was never read, all numbers are 0 and ``lake`` says why."""
    spec = state.spec
    lake = {
        "url": state.url,
        "reachable": state.reachable,
        "since": instant(state.since),
        "reason": state.reason,
        # By the minute while it can be reached, so that what did not change reads the same.
        "read_at": instant(_minute(state.read_at) if state.reachable else state.read_at),
    }
    budget, budget_note = budget_of(state, now=now)
    answer: dict[str, Any] = {
        "name": spec.name,
        "now": format_instant(now),
        "lake": lake,
        "cells": dict.fromkeys(LETTERS, 0),
        "rows": 0,
        "bytes": 0,
        "gaps": {"slices": 0, "stretches": 0, "list": []},
        "before_first": None,
        "last_proven": None,
        "final_up_to": None,
        "held_by": None,
        "behind": None,
        "days": [],
        "budget": budget,
        "budget_note": budget_note,
        "journal": {"seq": 0, "damage": []},
        "emptied": None,
        "notes": [],
    }
    if state.read is None:
        return answer
    index, found = state.index, state.read
    due = index.due_before(spec, now)
    end = max(-(-now // index.grid), index.first + 1)
    totals, gaps = index.whole(end, due)
    proven = index.last_proven()
    held = index.holding(due)
    damage = [f"{one.key}: {one.detail}." for one in found.damage if one.acknowledged is None]
    damage += [f"{one.finding.sentence()}." for one in found.beside]
    answer |= {
        "cells": totals.cells,
        "rows": totals.rows,
        "bytes": totals.bytes,
        "gaps": {
            "slices": sum(one.slices for one in gaps),
            "stretches": len(gaps),
            "list": gap_list(reversed(gaps[-_NEWEST_GAPS:])),
        },
        "before_first": _before_first(state, due),
        "last_proven": None if proven is None else {**span(proven.window), "seq": proven.seq},
        "final_up_to": format_instant(held.window.start) if held.window.start > spec.start else None,
        "held_by": {**span(held.window), "reason": cut(held.reason)},
        "behind": _behind(state, index, due, end),
        "days": _days(index, due, end),
        "journal": {
            "seq": found.seq,
            "damage": [cut(one) for one in dict.fromkeys(damage)][:_MOST_SENTENCES],
        },
        "emptied": _emptied(found.emptied),
        "notes": [] if found.definition.note is None else [cut(found.definition.note)],
    }
    return answer


def _before_first(state: ArchiveState, due: int) -> dict[str, Any] | None:
    """What is missing because the export was first asked for after its start, see ``ArchiveState.begun_at``."""
    start, end = state.spec.start, min(state.begun_at, due)
    if end <= start:
        return None
    window = Window(start, end)
    return {**span(window), "slices": window.ticks // state.index.grid}


def _emptied(emptied: Emptied | None) -> dict[str, Any] | None:
    return None if emptied is None else {"records": emptied.records, "since": instant(emptied.since)}


def _minute(tick: int | None) -> int | None:
    return None if tick is None else tick - tick % TICK_PER_MINUTE


def _behind(state: ArchiveState, index: Index, due: int, end: int) -> dict[str, Any] | None:
    """The due windows of the schedule after the last published slice; ``since``: when the first of them was due."""
    last = index.last_published(end)
    after = state.spec.start if last is None else (last + 1) * index.grid
    if after >= due:
        return None
    windows, oldest = index.due_windows(after, due)
    return {"windows": windows, "since": format_instant(oldest + state.spec.settle)} if windows else None


def _days(index: Index, due: int, end: int) -> list[dict[str, Any]]:
    """The last days of the export, oldest first."""
    today = (end * index.grid - 1) // TICK_PER_DAY
    found = []
    for day in range(today - _DAYS + 1, today + 1):
        window = Window(day * TICK_PER_DAY, (day + 1) * TICK_PER_DAY)
        # The slices that begin on the day: they need not divide it.
        first = max(-(-window.start // index.grid), index.first)
        after = min(-(-window.end // index.grid), end)
        if first >= after:
            continue
        totals = index.totals(first, after, due)
        found.append(
            {
                "day": format_instant(window.start)[:10],
                "rows": totals.rows,
                "bytes": bounded(totals.bytes),
                "worst": worst(one for one, count in totals.cells.items() if count),
            }
        )
    return found
