"""One slice while it is fetched and proven: its parts, and what the counts said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from logferry.plan import SlicePlan
from logferry.proof.twins import Twins
from logferry.records.manifest import FileEntry
from logferry.window import Window
from logferry.writing.parts import Part


@dataclass(slots=True, eq=False)
class SliceWork:
    """``counted`` is per bin of ``bin_ticks`` at the clock's ``counted_at``, None before a count and where none could
    be had. ``other_twins``: those that the newest look found with other identities, ``same_twins`` with the same."""

    planned: SlicePlan
    window: Window
    bin_ticks: int
    kept: FileEntry | None
    parts: list[Part] = field(default_factory=list)
    counted: Mapping[int, int] | None = None
    counted_at: int = 0
    shrank: bool = False
    """The newest count gave fewer rows than an earlier one, the plan's included: one of them is wrong, or rows are
    being deleted."""
    same_twins: set[Twins] = field(default_factory=set)
    other_twins: list[Twins] = field(default_factory=list)
    searched_again: bool = False
    """It was searched after a count."""
    _most: int = 0

    @classmethod
    def of(cls, planned: SlicePlan, bin_ticks: int) -> SliceWork:
        return cls(planned, planned.window(), bin_ticks, planned.kept, _most=planned.rows or 0)

    @property
    def unsearched(self) -> bool:
        """It was counted empty and nobody has looked, or holds fewer rows than a count gave and was not searched after
        a count."""
        if self.planned.rows == 0 and any(not part.to_end for part in self.parts):
            return True
        return self.kept is None and self.rows < self._most and not self.searched_again

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts) if self.kept is None else self.kept.rows

    @property
    def most_counted(self) -> int:
        """The most rows that any count gave, the plan's included."""
        return self._most

    @property
    def counted_rows(self) -> int | None:
        return None if self.counted is None else sum(self.counted.values())

    def take_count(self, counts: Mapping[int, int] | None, counted_at: int) -> None:
        """A count of the time around this slice, begun at ``counted_at``."""
        self.counted_at = counted_at
        self.counted = None
        if counts is not None:
            self.counted = {start: rows for start, rows in counts.items() if start in self.window}
            now = sum(self.counted.values())
            self.shrank = now < self._most
            self._most = max(self._most, now)

    def counted_bins(self) -> tuple[int, list[int]] | None:
        """The rows of the newest count and how they lie in equal bins; None without one."""
        if self.counted is None:
            return None
        starts = range(self.window.start, self.window.end, self.bin_ticks)
        return sum(self.counted.values()), [self.counted.get(start, 0) for start in starts]

    def differing_bins(self) -> list[int]:
        """Starts of the bins that were counted and written with different numbers."""
        if self.counted is None:
            return []
        if self.kept is not None:
            return [] if sum(self.counted.values()) == self.kept.rows else [self.window.start]
        written: dict[int, int] = {}
        for part in self.parts:
            for start, rows in part.bins.items():
                written[start] = written.get(start, 0) + rows
        counted = {start: rows for start, rows in self.counted.items() if rows}
        return sorted(
            start for start in written.keys() | counted.keys() if written.get(start) != counted.get(start)
        )

    def differing_parts(self) -> list[Window]:
        """The parts that must be fetched again: they differ, or nothing confirms the number they stopped at."""
        if self.kept is not None:
            return [self.window] if self.differing_bins() else []
        if self.counted is None:
            return sorted(part.span for part in self.parts if not part.to_end)
        bins = [Window(start, start + self.bin_ticks) for start in self.differing_bins()]
        return sorted(part.span for part in self.parts if any(part.span.overlaps(bin_) for bin_ in bins))
