"""Slices of another grid that share time with a window: readers would meet their rows twice.

They are left by a definition whose ``slice`` changed, or by a run of it that died. A publication removes those that it
replaces as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from logferry.errors import DefinitionError
from logferry.layout import day_prefixes, slice_key, slice_of
from logferry.records.fold import Ledger
from logferry.records.manifest import SliceEntry
from logferry.stores.base import Store
from logferry.window import Window


class Leftover(msgspec.Struct, frozen=True):
    """A slice of another grid to remove; the object of ``key`` may be gone already."""

    slice_: Window
    key: str


def find_leftovers(
    store: Store, export: str, window: Window, own: set[Window], ledger: Ledger
) -> list[Leftover]:
    """Those inside the window: published, lying there without a record, or meant by a run that died; and those that
    reach beyond it, whose object is gone and whose whole time other slices cover. ``own``: the slices of the window
    on the present grid.

    Raises DefinitionError for an object that also reaches beyond the window: what lies outside would be lost.
    """
    grid = max(slice_.ticks for slice_ in own)
    lying = {
        found
        for prefix in day_prefixes(export, window)
        for info in store.list(prefix)
        if (found := slice_of(info.key)) is not None
        and found.overlaps(window)
        and info.key == slice_key(export, found)
    }
    named = {
        slice_
        for known in (ledger.slices, ledger.open_intents)
        for slice_ in known
        if slice_.overlaps(window)
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
    gone = {
        slice_
        for slice_ in others & ledger.slices.keys() - lying
        if not window.covers(slice_) and _is_covered(slice_, (ledger.slices.keys() | own) - {slice_})
    }
    return [
        Leftover(slice_, slice_key(export, slice_))
        for slice_ in sorted(others)
        if window.covers(slice_) or slice_ in gone
    ]


def _is_covered(slice_: Window, others: Iterable[Window]) -> bool:
    at = slice_.start
    for other in sorted(others):
        if other.start > at:
            break
        at = max(at, other.end)
    return at >= slice_.end


def check_not_fewer(leftovers: Sequence[Leftover], entries: Iterable[SliceEntry], ledger: Ledger) -> None:
    """Raises DefinitionError where slices of the old grid hold more rows than those that replace them: proven ones,
    or any that would give way to no rows or to fewer that nothing proves.

    Compared are the shortest ranges on whose edges both grids have one.
    """
    new = [(entry.window(), entry) for entry in entries]
    own = [slice_ for slice_, _ in new]
    window = Window(own[0].start, own[-1].end)
    # Of one that reaches beyond the window the object is gone, and other publications cover its time.
    inside = [one.slice_ for one in leftovers if window.covers(one.slice_)]
    old = [ledger.slices[slice_] for slice_ in inside if slice_ in ledger.slices]
    for range_ in _ranges([one.window for one in old], own):
        replaced = [one for one in old if range_.covers(one.window)]
        entries_ = [entry for slice_, entry in new if range_.covers(slice_)]
        had = sum(one.entry.rows for one in replaced)
        proven = sum(one.proof.rows for one in replaced if one.proof is not None)
        have = sum(entry.rows for entry in entries_)
        fewer = have < had and (have == 0 or any(entry.status != "proven" for entry in entries_))
        if fewer or have < proven:
            raise DefinitionError(
                f"{range_} is published{' and proven' if have < proven else ''} with "
                f"{proven if have < proven else had} rows on the old slice grid, and the source now gives {have}; "
                "nothing was replaced; --allow-shrink replaces them"
            )


def _ranges(old: Sequence[Window], new: Sequence[Window]) -> list[Window]:
    """What old slices touch, joined wherever two slices share time."""
    joined: list[Window] = []
    touched = [slice_ for slice_ in new if any(slice_.overlaps(one) for one in old)]
    for slice_ in sorted([*old, *touched]):
        if joined and joined[-1].overlaps(slice_):
            joined[-1] = Window(joined[-1].start, max(joined[-1].end, slice_.end))
        else:
            joined.append(slice_)
    return joined
