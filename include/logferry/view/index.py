"""A ledger as the page needs it: a few numbers for each slice, so that many archives fit into memory.

A year of hourly slices takes some 3 MB here and 11 MB as a ledger. What is left out is read from the slice's record.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from logferry.audit.coverage import Covering, Holding, SliceCover, first_not_final
from logferry.audit.findings import Remembered
from logferry.audit.gaps import Gap, gap_reason
from logferry.records.ledger import Ledger, Published, PublishedWindow, Requests
from logferry.schedule import Schedule
from logferry.spec import ExportSpec
from logferry.view.letters import GAPS, LETTERS, Letter, letter
from logferry.view.plain import bounded, bounded_or_none, cut
from logferry.window import Window, instant_or_none


class Cell(NamedTuple):
    """One slice of which something is known. ``letter`` None: nothing is published, so the clock decides.

    ``rows``, ``source_rows``, ``bytes``, ``first_rows``: None also where its rows lie in slices of another length,
    which ``Index.others`` then tells. ``seq``: of the newest record it rests on, 0 without any. ``reason``: why it is a
    gap, or would be one once due.
    """

    letter: Letter | None
    rows: int | None
    source_rows: int | None
    bytes: int | None
    seq: int
    first_rows: int | None
    fingerprint: str | None
    reason: str | None
    marks: tuple[str, ...]


class Elsewhere(NamedTuple):
    """A published slice of another length."""

    window: Window
    rows: int
    bytes: int
    seq: int
    status: str


class Publication(NamedTuple):
    """The newest publication of a window. Times in ticks; None where an older checkpoint does not tell."""

    window: Window
    seq: int
    hash: str
    status: str
    run: str
    rows: int | None
    attempt: int | None
    started_at: int | None
    finished_at: int | None
    requests: Requests | None


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
        self.cells: dict[int, Cell] = {}
        self.others: dict[int, tuple[Elsewhere, ...]] = {}
        self.damage: dict[int, tuple[Remembered, ...]] = {}
        self._same: dict[str, str] = {}
        covering = Covering(spec, ledger, fingerprint=fingerprint, damage=damage)
        for number in covering.touched():
            known = covering.at(self.window(number), due=spec.start)
            if known.published or known.interrupted:
                self._add(number, known)
        self._numbers = sorted(self.cells)
        self.publications = sorted(map(self._publication, ledger.windows.values()), reverse=True)
        self.of_seq = {one.seq: one for one in self.publications}
        self.seqs = sorted(self.of_seq)
        # The clock decides one thing here only: how the slice that nobody published is called.
        self._holding = first_not_final(spec, ledger, damage=damage, due=spec.start)

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
        cell = self.cells.get(number)
        if cell is None or cell.letter is None:
            return "M" if number < due // self.grid else "N"
        return cell.letter

    def known(self, first: int, end: int) -> Iterator[tuple[int, Cell]]:
        """The cells of a range of which something is known, ascending."""
        for number in self._numbers[bisect_left(self._numbers, first) : bisect_left(self._numbers, end)]:
            yield number, self.cells[number]

    def totals(self, first: int, end: int, due: int) -> Totals:
        rows = size = published = missing = 0
        found: Counter[Letter] = Counter()
        elsewhere: set[Elsewhere] = set()
        due_number = min(max(due // self.grid, first), end)
        for number, cell in self.known(first, end):
            if cell.letter is None:
                continue
            found[cell.letter] += 1
            published += 1
            missing -= number < due_number
            if cell.rows is None:
                elsewhere.update(self.others[number])
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
        for number, cell in self.known(first, end):
            if at < min(number, due_number):
                add(at, min(number, due_number), "M", "never published")
            at = number + 1
            state = cell.letter or ("M" if number < due_number else "N")
            if state in GAPS:
                add(number, number + 1, state, cell.reason or "")
        if at < due_number:
            add(at, due_number, "M", "never published")
        return [
            Gap(Window(start * self.grid, after * self.grid), GAPS[state], reason, after - start)
            for start, after, state, reason in found
        ]

    def last_published(self, end: int) -> int | None:
        """The last cell before ``end`` that is published."""
        for number in reversed(self._numbers[: bisect_left(self._numbers, end)]):
            if number >= self.first and self.cells[number].letter is not None:
                return number
        return None

    def holding(self, due: int) -> Holding:
        """The first slice that may still change, see ``coverage.first_not_final``."""
        held = self._holding
        cell = self.cells.get(held.window.start // self.grid)
        if cell is None or cell.letter is None:
            return Holding(
                held.window, "it was never published" if held.window.end <= due else "it is not due yet"
            )
        return held

    def last_proven(self) -> Publication | None:
        """The newest window whose slices are all proven."""
        for one in self.publications:
            first, end = self.numbers(one.window)
            if one.window.on_grid(self.grid) and all(
                (cell := self.cells.get(number)) is not None and cell.letter == "P"
                for number in range(first, end)
            ):
                return one
        return None

    def first_told(self) -> int | None:
        """The tick from which every slice knows how many rows its first publication had; None when none does."""
        since = None
        for number in reversed(self._numbers):
            cell = self.cells[number]
            if cell.rows is None:
                continue
            if cell.first_rows is None:
                break
            since = number * self.grid
        return since

    def _add(self, number: int, known: SliceCover) -> None:
        own = known.published[0] if known.published and known.published[0].window == known.window else None
        told = letter(known) if known.published else None
        reason = None
        if told in GAPS:
            reason = gap_reason(known, GAPS[told])
        elif told is None:
            reason = gap_reason(known, "missing")
        if own is None and known.published:
            self.others[number] = tuple(
                Elsewhere(
                    one.window,
                    bounded(one.entry.rows),
                    bounded(one.entry.file.bytes),
                    one.seq,
                    one.entry.status,
                )
                for one in known.published
            )
        if known.damage:
            self.damage[number] = known.damage
        rows = None if own is None else bounded(own.entry.rows)
        counted = None if own is None else bounded_or_none(own.entry.source_rows)
        fingerprint = known.published[0].fingerprint if known.published else None
        self.cells[number] = Cell(
            told,
            rows,
            rows if counted == rows else counted,
            None if own is None else bounded(own.entry.file.bytes),
            max((one.seq for one in known.published), default=0),
            None if own is None else rows if own.first_rows == rows else bounded_or_none(own.first_rows),
            None if fingerprint is None else self._once(fingerprint),
            None if reason is None else self._once(cut(reason)),
            tuple(map(self._once, _marks(known, own))),
        )

    def _publication(self, one: PublishedWindow) -> Publication:
        return Publication(
            one.window,
            one.seq,
            one.hash,
            one.status,
            cut(one.run),
            bounded_or_none(one.rows),
            bounded_or_none(one.attempt),
            instant_or_none(one.started_at),
            instant_or_none(one.finished_at),
            one.requests,
        )

    def _once(self, text: str) -> str:
        """The text, kept once however many slices say it."""
        return self._same.setdefault(text, text)


def _marks(known: SliceCover, own: Published | None) -> Iterable[str]:
    if own is None:
        if known.published:
            yield "other_grid"
    else:
        before = own.entry.previous_rows if own.first_rows is None else own.first_rows
        moved = bounded(own.entry.rows - (own.entry.rows if before is None else before))
        if moved:
            yield f"late:+{moved}" if moved > 0 else f"fewer:{moved}"
        if own.entry.source_now is not None:
            yield "kept"
    if known.other_definition:
        yield "other_definition"
