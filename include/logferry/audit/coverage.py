"""Which slices of an export are in the archive, and how surely: one state for every slice of a range.

Everything is told from the ledger and the clock; the source is not asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from logferry.audit.findings import Remembered
from logferry.records.ledger import Ledger, Published
from logferry.schedule import Schedule
from logferry.spec import ExportSpec
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window, format_instant, instant_or_none

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
class Holding:
    """The first slice from the start of the export that is not final, and why: one clause for people."""

    window: Window
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """A range, slice by slice, without holes. ``final_up_to``: a tick; None: nothing is final. ``held_by``: see
    ``first_not_final``.
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
        self._elsewhere = _OtherGrids(ledger.slices.values(), spec.slice)

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
        """The slices, ascending, of which anything is known, as multiples of the grid since the epoch: stretches, from
        the first to the one after the last, in which the same is known of every slice.

        Of every other slice it is known that nothing was published, and that no run began to.
        """
        return _stretches(self._ledger, self._elsewhere, self._grid)


def first_not_final(
    spec: ExportSpec, ledger: Ledger, *, damage: Mapping[Window, Sequence[Remembered]], due: int
) -> Holding:
    """The first slice that may still change; nothing before it is expected to.

    Every slice before it is proven by a count that was taken when no late row could come any more: at its end plus the
    horizon, or after. ``due``: see ``due_before``.
    """
    grid = spec.slice
    elsewhere = _OtherGrids(ledger.slices.values(), grid)
    slice_ = Window(spec.start, spec.start + grid)
    for first, end in _stretches(ledger, elsewhere, grid):
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


def _stretches(ledger: Ledger, elsewhere: _OtherGrids, grid: int) -> list[tuple[int, int]]:
    """See ``Covering.stretches``."""
    own = {
        window.start // grid
        for known in (ledger.slices, ledger.open_intents)
        for window in known
        if window.ticks == grid and window.on_grid(grid)
    }
    known = [(number, number + 1) for number in sorted(own)]
    if not elsewhere.windows:
        return known
    edges: set[int] = set()
    begun: Counter[int] = Counter()
    for window in elsewhere.windows:
        first, end = window.start // grid, -(-window.end // grid)
        # What it covers in part only is another stretch.
        edges.update((first, -(-window.start // grid), window.end // grid, end))
        begun[first] += 1
        begun[end] -= 1
    for first, end in known:
        edges.update((first, end))
        begun[first] += 1
        begun[end] -= 1
    found = []
    under_way = 0
    for first, end in pairwise(sorted(edges)):
        under_way += begun[first]
        if under_way:
            found.append((first, end))
    return found


def _not_final(
    one: Published, horizon: int, ledger: Ledger, damage: Mapping[Window, Sequence[Remembered]]
) -> str | None:
    if damage.get(one.window):
        return "it is damaged"
    if one.window in ledger.open_intents:
        return "a run began to replace it and has not ended"
    if one.entry.status == "short":
        return "it is short"
    counted_at = proved_at(one)
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


def proved_at(published: Published) -> int | None:
    """The tick of the newest count that proves the rows which are published; None when none does.

    A later record that only kept them (no count could be had any more) leaves the count that proved them.
    """
    return None if published.proof is None else instant_or_none(published.proof.counted_at)


class _OtherGrids:
    """Published slices of other lengths than the present grid's, by the hours that they touch: by single slices one of
    a day would be kept 1,440 times on a grid of minutes.
    """

    def __init__(self, published: Iterable[Published], grid: int) -> None:
        self.windows: list[Window] = []
        self._ticks = grid * max(1, TICK_PER_HOUR // grid)
        self._at: dict[int, list[Published]] = {}
        for one in published:
            ours = one.window.ticks == grid and one.window.on_grid(grid)
            if (
                ours or one.window.ticks > TICK_PER_DAY
            ):  # no slice is longer, so a record that says so is forged
                continue
            self.windows.append(one.window)
            for hour in range(one.window.start // self._ticks, -(-one.window.end // self._ticks)):
                self._at.setdefault(hour, []).append(one)
        for found in self._at.values():
            found.sort(key=lambda one: one.window)

    def covering(self, slice_: Window) -> tuple[Published, ...]:
        """The slices of other grids that hold every instant of this one; none when some instant is in none."""
        found = [
            one
            for one in self._at.get(slice_.start // self._ticks, ())
            if one.window.start < slice_.end and slice_.start < one.window.end
        ]
        at = slice_.start
        for one in found:
            if one.window.start > at:
                return ()
            at = max(at, one.window.end)
        return tuple(found) if at >= slice_.end else ()


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
