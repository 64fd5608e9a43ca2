"""Up to where an archive is final: which slice may still change, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from logferry.audit.findings import Remembered
from logferry.audit.other_grids import OtherGrids, known_stretches
from logferry.records.ledger import Ledger, Published
from logferry.spec import ExportSpec
from logferry.window import Window, format_instant, instant_or_none


@dataclass(frozen=True, slots=True)
class Holding:
    """The first slice from the start of the export that is not final, and why: one clause for people."""

    window: Window
    reason: str


def first_not_final(
    spec: ExportSpec, ledger: Ledger, *, damage: Mapping[Window, Sequence[Remembered]], due: int
) -> Holding:
    """The first slice that may still change; nothing before it is expected to.

    Every slice before it is proven by a count that was taken when no late row could come any more: at its end plus the
    horizon, or after. ``due``: see ``coverage.due_before``.
    """
    grid = spec.slice
    elsewhere = OtherGrids(ledger.slices.values(), grid)
    slice_ = Window(spec.start, spec.start + grid)
    for first, end in known_stretches(ledger, elsewhere, grid):
        if end * grid <= slice_.start:
            continue
        own = ledger.slices.get(slice_)
        published = (own,) if own is not None else elsewhere.covering(slice_)
        if first * grid > slice_.start or not published:
            break
        for one in published:
            reason = _not_final(one, spec.horizon, ledger, damage)
            if reason is not None:
                return Holding(slice_, reason)
        slice_ = Window(end * grid, (end + 1) * grid)
    return Holding(slice_, "it was never published" if slice_.end <= due else "it is not due yet")


def _not_final(
    one: Published, horizon: int, ledger: Ledger, damage: Mapping[Window, Sequence[Remembered]]
) -> str | None:
    if damage.get(one.window):
        return "it is damaged"
    if one.window in ledger.open_intents:
        return "a run began to replace it and has not ended"
    if one.entry.status == "short":
        return "it is short"
    counted_at = _proved_at(one)
    if counted_at is None:
        return "no count proves it"
    late = one.window.end + horizon
    # A source that held fewer rows at a later count, of which the proven ones were kept, has no late ones to come.
    kept_at = instant_or_none(one.entry.source_now_at)
    if max(counted_at, kept_at or 0) >= late:
        return None
    return (
        f"it was counted at {format_instant(counted_at)}, and rows may come late until {format_instant(late)}: "
        "a count after that makes it final"
    )


def _proved_at(published: Published) -> int | None:
    """The tick of the newest count that proves the rows which are published; None when none does.

    A later record that only kept them (no count could be had any more) leaves the count that proved them.
    """
    return None if published.proof is None else instant_or_none(published.proof.counted_at)
