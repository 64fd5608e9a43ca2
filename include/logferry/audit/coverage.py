"""Which slices of an export are in the archive, and how surely: one state for every slice of a range.

Everything is told from the ledger and the clock; the source is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from logferry.audit.finality import Holding, first_not_final
from logferry.audit.findings import Remembered
from logferry.audit.other_grids import OtherGrids, known_stretches
from logferry.records.ledger import Ledger, Published
from logferry.schedule import Schedule
from logferry.spec import ExportSpec
from logferry.window import Window

State = Literal["proven", "unproven", "short", "missing", "not_due"]
STATES: tuple[State, ...] = ("proven", "unproven", "short", "missing", "not_due")

_WORST_FIRST: tuple[State, ...] = ("missing", "short", "unproven", "proven")


@dataclass(frozen=True, slots=True)
class SliceCover:
    """One slice of the export's grid.

    ``state``: what the last publication says; ``missing``: none, although the window of the schedule that it belongs
    to has ended and settled; ``not_due``: none yet, as that one has not. ``published``: the records it rests on, one
    unless the slice was published on another grid. ``other_definition``: the rows there are of a definition that is
    not the present one. ``interrupted``: a run began to replace it and has not ended. ``damage``: what ``verify``
    found since it was published.
    """

    window: Window
    state: State
    published: tuple[Published, ...] = ()
    other_definition: bool = False
    interrupted: bool = False
    damage: tuple[Remembered, ...] = ()

    @property
    def good(self) -> bool:
        """The rows are there and nothing is known against them."""
        return self.state in ("proven", "unproven") and not self.interrupted and not self.damage


@dataclass(frozen=True, slots=True)
class Coverage:
    """A range, slice by slice, without holes. ``final_up_to``: a tick; None: nothing is final. ``held_by``: see
    ``finality.first_not_final``.
    """

    window: Window
    slices: tuple[SliceCover, ...]
    final_up_to: int | None
    held_by: Holding

    def count(self) -> dict[State, int]:
        """Slices per state, every state named."""
        found = Counter(one.state for one in self.slices)
        return {state: found[state] for state in STATES}

    @property
    def published(self) -> list[Published]:
        """Every publication that the range rests on, once."""
        return list({one.window: one for slice_ in self.slices for one in slice_.published}.values())

    @property
    def rows(self) -> int:
        return sum(one.entry.rows for one in self.published)

    @property
    def bytes(self) -> int:
        return sum(one.entry.file.bytes for one in self.published)


def due_before(spec: ExportSpec, now: int) -> int:
    """The tick before which every slice is due: the last boundary of the schedule whose settle time is over.

    A slice is due with the window of the schedule that carries it, not by itself: a daily export that runs at
    midnight misses nothing at noon. At least ``spec.start``.
    """
    return max(spec.start, Schedule(spec.schedule).previous_at_or_before(now - spec.settle))


def default_range(spec: ExportSpec, now: int) -> Window:
    """From the start of the export to the end of the slice that is under way; at least one slice."""
    end = -(-now // spec.slice) * spec.slice
    return Window(spec.start, max(end, spec.start + spec.slice))


def cover(
    spec: ExportSpec,
    ledger: Ledger,
    window: Window,
    *,
    now: int,
    fingerprint: str | None,
    damage: Mapping[Window, Sequence[Remembered]],
) -> Coverage:
    """The coverage of ``window``, which lies on the grid.

    ``now``: a tick. ``fingerprint``: of the present definition; None when it cannot be told, then no slice of the
    present grid is called one of another definition. ``damage``: see ``findings.damage``.
    """
    covering = Covering(spec, ledger, fingerprint=fingerprint, damage=damage)
    due = due_before(spec, now)
    slices = [covering.at(slice_, due=due) for slice_ in window.slices(spec.slice)]
    holding = first_not_final(spec, ledger, damage=damage, due=due)
    final_up_to = holding.window.start if holding.window.start > spec.start else None
    return Coverage(window, tuple(slices), final_up_to, holding)


class Covering:
    """What is known of each slice of the export's grid; the arguments are those of ``cover``."""

    def __init__(
        self,
        spec: ExportSpec,
        ledger: Ledger,
        *,
        fingerprint: str | None,
        damage: Mapping[Window, Sequence[Remembered]],
    ) -> None:
        self._grid = spec.slice
        self._ledger = ledger
        self._fingerprint = fingerprint
        self._damage = damage
        self._elsewhere = OtherGrids(ledger.slices.values(), spec.slice)

    def at(self, slice_: Window, *, due: int) -> SliceCover:
        """One slice of the grid; ``due``: see ``due_before``."""
        ledger = self._ledger
        own = ledger.slices.get(slice_)
        if own is not None:
            return SliceCover(
                slice_,
                own.entry.status,
                (own,),
                other_definition=self._fingerprint is not None and own.fingerprint != self._fingerprint,
                interrupted=slice_ in ledger.open_intents,
                damage=tuple(self._damage.get(slice_, ())),
            )
        published = self._elsewhere.covering(slice_)
        state: State = "missing" if slice_.end <= due else "not_due"
        if published:
            states = {one.entry.status for one in published}
            state = next(one for one in _WORST_FIRST if one in states)
        return SliceCover(
            slice_,
            state,
            published,
            other_definition=bool(published),
            interrupted=slice_ in ledger.open_intents
            or any(one.window in ledger.open_intents for one in published),
            damage=tuple(found for one in published for found in self._damage.get(one.window, ())),
        )

    def stretches(self) -> list[tuple[int, int]]:
        """See ``known_stretches``."""
        return known_stretches(self._ledger, self._elsewhere, self._grid)


def runs(slices: Iterable[SliceCover]) -> Iterator[Window]:
    """The slices as the fewest windows; they come in order of time."""
    start = end = None
    for one in slices:
        if start is None or end is None:
            start, end = one.window.start, one.window.end
        elif one.window.start == end:
            end = one.window.end
        else:
            yield Window(start, end)
            start, end = one.window.start, one.window.end
    if start is not None and end is not None:
        yield Window(start, end)
