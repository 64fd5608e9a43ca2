"""Slices of another grid that share time with a window: readers would meet their rows twice.

They are left by a definition whose ``slice`` changed, or by a run of it that died. A publication removes those that it
replaces as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from logferry.errors import DefinitionError
from logferry.layout import day_prefixes, slice_key, slice_of
from logferry.records.fold import Ledger, overlap
from logferry.records.manifest import SliceEntry
from logferry.stores.base import Store
from logferry.window import Window


@dataclass(frozen=True, slots=True)
class Leftover:
    """A slice of another grid inside the window; the object of ``key`` may be gone already."""

    slice_: Window
    key: str


def find_leftovers(
    store: Store, export: str, window: Window, own: set[Window], ledger: Ledger
) -> list[Leftover]:
    """Those inside the window: published, lying there without a record, or meant by a run that died. ``own``: the
    slices of the window on the present grid.

    Raises DefinitionError for an object that also reaches beyond the window: what lies outside would be lost.
    """
    grid = max(slice_.ticks for slice_ in own)
    lying = {
        found
        for prefix in day_prefixes(export, window)
        for info in store.list(prefix)
        if (found := slice_of(info.key)) is not None
        and overlap(found, window)
        and info.key == slice_key(export, found)
    }
    named = {
        slice_
        for known in (ledger.slices, ledger.open_intents)
        for slice_ in known
        if overlap(slice_, window)
    }
    others = (lying | named) - own
    beyond = [slice_ for slice_ in others & lying if not window.covers(slice_)]
    if beyond:
        start = min(slice_.start for slice_ in beyond)
        end = max(slice_.end for slice_ in beyond)
        whole = Window(min(start, window.start) // grid * grid, -(-max(end, window.end) // grid) * grid)
        raise DefinitionError(
            f"{min(beyond)} of {export} lies in {store.url} as one slice of another grid and reaches beyond {window}; "
            f"export {whole}, which covers it, or keep the old `slice`"
        )
    return [Leftover(slice_, slice_key(export, slice_)) for slice_ in sorted(others) if window.covers(slice_)]


def check_not_fewer(leftovers: Sequence[Leftover], entries: Iterable[SliceEntry], ledger: Ledger) -> None:
    """Raises DefinitionError where proven slices of the old grid hold more rows than those that replace them.

    Compared are the shortest ranges on whose edges both grids have one.
    """
    new = [(entry.window(), entry.rows) for entry in entries]
    old = []
    for leftover in leftovers:
        published = ledger.slices.get(leftover.slice_)
        if published is not None and published.proof is not None:
            old.append((leftover.slice_, published.proof.rows))
    for range_ in _ranges([slice_ for slice_, _ in old], [slice_ for slice_, _ in new]):
        had = sum(rows for slice_, rows in old if range_.covers(slice_))
        have = sum(rows for slice_, rows in new if range_.covers(slice_))
        if had > have:
            raise DefinitionError(
                f"{range_} is published and proven with {had} rows on the old slice grid, and the source now gives "
                f"{have}; nothing was replaced; --allow-shrink replaces them"
            )


def _ranges(old: Sequence[Window], new: Sequence[Window]) -> list[Window]:
    """What old slices touch, joined wherever two slices share time."""
    joined: list[Window] = []
    touched = [slice_ for slice_ in new if any(overlap(slice_, one) for one in old)]
    for slice_ in sorted([*old, *touched]):
        if joined and overlap(joined[-1], slice_):
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, slice_.end))
        else:
            joined.append(slice_)
    return joined
