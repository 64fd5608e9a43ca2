"""A ledger as the page needs it: a few numbers for each slice, so that many archives fit into memory.

A year of hourly slices takes some 3 MB here and 11 MB as a ledger. What is left out is read from the slice's record.
Slices of the present grid of which the same is known, as they lie in one longer slice of an older grid, are kept once.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from logferry.audit.coverage import Covering, SliceCover
from logferry.audit.finality import Holding, first_not_final
from logferry.audit.findings import Remembered
from logferry.audit.gaps import Gap
from logferry.records.ledger import Ledger
from logferry.schedule import Schedule
from logferry.spec import ExportSpec
from logferry.view.kept_slice import Cell, Elsewhere, cell_of, elsewhere_of
from logferry.view.letters import GAPS, LETTERS, Letter
from logferry.view.plain import bounded
from logferry.view.publications import Publication
from logferry.window import Window


@dataclass(frozen=True, slots=True)
class Totals:
    """Of a range; every publication it rests on counts once."""

    rows: int
    bytes: int
    cells: dict[Letter, int]


class Index:
    """What is known of an export's slices, on the grid of its definition.

    A cell is a slice by its number: its start divided by the slice's length.
    """

    def __init__(
        self,
        spec: ExportSpec,
        ledger: Ledger,
        *,
        fingerprint: str | None,
        damage: Mapping[Window, Sequence[Remembered]],
    ) -> None:
        self.grid = spec.slice
        self.first = spec.start // spec.slice
        self.schedule = Schedule(spec.schedule)
        # By the first of the cells of which the same is known.
        self._cells: dict[int, Cell] = {}
        self._others: dict[int, tuple[Elsewhere, ...]] = {}
        self._damage: dict[int, tuple[Remembered, ...]] = {}
        self._firsts, self._ends = array("q"), array("q")
        self._same: dict[str, str] = {}
        self._whole: tuple[tuple[int, int], tuple[Totals, list[Gap]]] | None = None
        covering = Covering(spec, ledger, fingerprint=fingerprint, damage=damage)
        for number, after in covering.stretches():
            known = covering.at(self.window(number), due=spec.start)
            if known.published or known.interrupted:
                self._keep(number, known)
                self._firsts.append(number)
                self._ends.append(after)
        self.publications = sorted(map(Publication.of, ledger.windows.values()), reverse=True)
        self.of_seq = {one.seq: one for one in self.publications}
        self.seqs = sorted(self.of_seq)
        self.begun_at = self._begun_at(spec, ledger)
        """Tick of the first window of which the archive knows that it was asked for: whether runs failed before it,
        only Airflow can tell."""
        # The clock decides one thing here only: how the slice that nobody published is called.
        self._holding = first_not_final(spec, ledger, damage=damage, due=spec.start)

    @property
    def entries(self) -> int:
        """What it keeps, some hundreds of bytes each."""
        return len(self._firsts) + len(self.publications) + sum(map(len, self._others.values()))

    def window(self, number: int) -> Window:
        return Window(number * self.grid, (number + 1) * self.grid)

    def numbers(self, window: Window) -> tuple[int, int]:
        """The first cell of a window that lies on the grid, and the one after its last."""
        return window.start // self.grid, window.end // self.grid

    def due_before(self, spec: ExportSpec, now: int) -> int:
        """See ``coverage.due_before``."""
        return max(spec.start, self.schedule.previous_at_or_before(now - spec.settle))

    def due_windows(self, after: int, due: int) -> tuple[int, int]:
        """How many windows of the schedule end after ``after`` and by ``due``, and the end of the first; ticks."""
        ends = self.schedule.boundaries(Window(after + 1, due + 1)) if after < due else []
        return len(ends), ends[0] if ends else due

    def letter(self, number: int, due: int) -> Letter:
        """``due``: a tick."""
        cell = self.cell(number)
        if cell is None or cell.letter is None:
            return "M" if number < due // self.grid else "N"
        return cell.letter

    def cell(self, number: int) -> Cell | None:
        """None where nothing is known."""
        return self._cells.get(self._first(number))

    def others_of(self, number: int) -> tuple[Elsewhere, ...]:
        """The slices of other lengths that a cell's rows lie in."""
        return self._others.get(self._first(number), ())

    def damage_of(self, number: int) -> tuple[Remembered, ...]:
        return self._damage.get(self._first(number), ())

    def known(self, first: int, end: int) -> Iterator[tuple[int, int, Cell]]:
        """The cells of a range of which something is known, ascending: from the first to the one after the last of
        which the same is. Those of the present grid come one by one.
        """
        begin, after = bisect_right(self._ends, first), bisect_left(self._firsts, end)
        for at in range(begin, after):
            number = self._firsts[at]
            yield max(number, first), min(self._ends[at], end), self._cells[number]

    def published(self, first: int, end: int) -> int:
        """How many cells of a range are published."""
        return sum(
            after - number for number, after, cell in self.known(first, end) if cell.letter is not None
        )

    def totals(self, first: int, end: int, due: int) -> Totals:
        rows = size = published = missing = 0
        found: Counter[Letter] = Counter()
        elsewhere: set[Elsewhere] = set()
        due_number = min(max(due // self.grid, first), end)
        for number, after, cell in self.known(first, end):
            if cell.letter is None:
                continue
            found[cell.letter] += after - number
            published += after - number
            missing -= max(0, min(after, due_number) - number)
            if cell.rows is None:
                elsewhere.update(self.others_of(number))
            else:
                rows += cell.rows
                size += cell.bytes or 0
        missing += due_number - first
        found["M"] = missing
        found["N"] = end - first - published - missing
        rows += sum(one.rows for one in elsewhere)
        size += sum(one.bytes for one in elsewhere)
        return Totals(bounded(rows), bounded(size), {one: found[one] for one in LETTERS})

    def gaps(self, first: int, end: int, due: int) -> list[Gap]:
        """As ``gaps`` of the coverage of that range: oldest first, adjoining ones of one state and reason together."""
        found: list[tuple[int, int, Letter, str]] = []

        def add(start: int, after: int, state: Letter, reason: str) -> None:
            if found and found[-1][1:] == (start, state, reason):
                found[-1] = (found[-1][0], after, state, reason)
            else:
                found.append((start, after, state, reason))

        due_number = min(due // self.grid, end)
        at = first
        for number, next_, cell in self.known(first, end):
            if at < min(number, due_number):
                add(at, min(number, due_number), "M", "never published")
            at = next_
            # What nobody published is known of single cells: a run began it.
            state = cell.letter or ("M" if number < due_number else "N")
            if state in GAPS:
                add(number, next_, state, cell.reason or "")
        if at < due_number:
            add(at, due_number, "M", "never published")
        return [
            Gap(Window(start * self.grid, after * self.grid), GAPS[state], reason, after - start)
            for start, after, state, reason in found
        ]

    def whole(self, end: int, due: int) -> tuple[Totals, list[Gap]]:
        """``totals`` and ``gaps`` of all cells before ``end``, which every look at the overview asks for: reckoned once
        for as long as the clock moves neither of the two."""
        kept = self._whole
        if kept is None or kept[0] != (end, due):
            found = (self.totals(self.first, end, due), self.gaps(self.first, end, due))
            kept = self._whole = ((end, due), found)
        return kept[1]

    def last_published(self, end: int) -> int | None:
        """The last cell before ``end`` that is published."""
        for at in range(bisect_left(self._firsts, end) - 1, -1, -1):
            if self._ends[at] <= self.first:
                break
            if self._cells[self._firsts[at]].letter is not None:
                return min(self._ends[at], end) - 1
        return None

    def holding(self, due: int) -> Holding:
        """The first slice that may still change, see ``finality.first_not_final``."""
        held = self._holding
        cell = self.cell(held.window.start // self.grid)
        if cell is None or cell.letter is None:
            return Holding(
                held.window, "it was never published" if held.window.end <= due else "it is not due yet"
            )
        return held

    def last_proven(self) -> Publication | None:
        """The newest window whose slices are all proven."""
        for one in self.publications:
            first, end = self.numbers(one.window)
            if one.window.on_grid(self.grid) and self._all_proven(first, end):
                return one
        return None

    def first_told(self) -> int | None:
        """The tick from which every slice knows how many rows its first publication had; None when none does."""
        since = None
        for number in reversed(self._firsts):
            cell = self._cells[number]
            if cell.rows is None:
                continue
            if cell.first_rows is None:
                break
            since = number * self.grid
        return since

    def _begun_at(self, spec: ExportSpec, ledger: Ledger) -> int:
        """The window of the first slice that was published or begun, but none after the one that the schedule had when
        the export first published: from then on every window is asked for (``audit.survey``). The start of the export
        where an older checkpoint does not tell when that was."""
        at = bisect_right(self._ends, self.first)
        if ledger.first_published_at is None or at == len(self._firsts):
            return spec.start
        known = min(self._firsts[at] * self.grid, ledger.first_published_at)
        return max(spec.start, self.schedule.previous_at_or_before(known))

    def _first(self, number: int) -> int:
        """Under which number a cell is kept; its own where it is not."""
        if number in self._cells:
            return number
        at = bisect_right(self._firsts, number) - 1
        return self._firsts[at] if at >= 0 and number < self._ends[at] else number

    def _all_proven(self, first: int, end: int) -> bool:
        at = first
        for number, after, cell in self.known(first, end):
            if number != at or cell.letter != "P":
                return False
            at = after
        return at == end

    def _keep(self, number: int, known: SliceCover) -> None:
        """Keep what is known of a slice, and of those after it that are alike."""
        self._cells[number] = cell_of(known, once=self._once)
        if others := elsewhere_of(known):
            self._others[number] = others
        if known.damage:
            self._damage[number] = known.damage

    def _once(self, text: str) -> str:
        """The text, kept once however many slices say it."""
        return self._same.setdefault(text, text)
