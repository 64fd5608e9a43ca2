"""How many rows slices will hold that are not in the archive, judged by those that are."""

from __future__ import annotations

from statistics import median_low
from typing import Literal

from logferry.view.index import Index
from logferry.view.kept_slice import Cell
from logferry.window import TICK_PER_DAY

_DAYS = 28
Basis = Literal["archive", "weekday", "hour", "around"]


class Expected:
    """Guesses for the slices of one archive."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._around: dict[int, int | None] = {}
        self.used: dict[Basis, int] = {}
        """How many slices each way of guessing was used for."""

    def rows(self, number: int) -> int | None:
        """Rows of a slice: what it is known to hold, else the median of the same hour of the same weekday, else of the
        same hour, else of all slices, within 28 days around it; None where there are none.
        """
        cell = self._index.cell(number)
        if cell is not None and cell.rows is not None:
            return self._used("archive", max(cell.rows, cell.source_rows or 0, 0))
        weekly = self._held(number, range(7, _DAYS + 1, 7))
        if weekly:
            return self._used("weekday", median_low(weekly))
        daily = self._held(number, range(1, _DAYS + 1))
        if daily:
            return self._used("hour", median_low(daily))
        around = self._of_the_time(number)
        return None if around is None else self._used("around", around)

    def _used(self, basis: Basis, rows: int) -> int:
        self.used[basis] = self.used.get(basis, 0) + 1
        return rows

    def _held(self, number: int, days: range) -> list[int]:
        found = []
        start, grid = number * self._index.grid, self._index.grid
        for day in days:
            for other in (start - day * TICK_PER_DAY, start + day * TICK_PER_DAY):
                rows = self._whole(other // grid)
                if rows is not None:
                    found.append(rows)
        return found

    def _of_the_time(self, number: int) -> int | None:
        """One guess for all slices of a day: they are few."""
        grid = self._index.grid
        day = number * grid // TICK_PER_DAY
        if day not in self._around:
            first, end = (-(-one * TICK_PER_DAY // grid) for one in (day - _DAYS, day + _DAYS + 1))
            held = [
                rows
                for _, _, cell in self._index.known(first, end)
                if (rows := _whole_rows(cell)) is not None
            ]
            self._around[day] = median_low(held) if held else None
        return self._around[day]

    def _whole(self, number: int) -> int | None:
        cell = self._index.cell(number)
        return None if cell is None else _whole_rows(cell)


def _whole_rows(cell: Cell) -> int | None:
    """Rows of a slice that is not known to lack any."""
    return cell.rows if cell.letter in ("P", "U") else None
