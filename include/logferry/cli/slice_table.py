"""The slices of a short range one by one: what was written, what the source counted, where it lies."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from logferry.audit.coverage import Coverage, SliceCover
from logferry.audit.gaps import gap_state
from logferry.cli.calendar import styled
from logferry.cli.output import number, size
from logferry.records.manifest import SliceEntry
from logferry.window import TICK_PER_DAY, format_instant

MOST_TICKS = 2 * TICK_PER_DAY
MOST_SLICES = 96
_WIDE = 160
"""Columns from which on the key of the file has a place."""


def slice_table(coverage: Coverage, width: int) -> Table:
    """A line for each slice of the range."""
    table = Table(box=None, pad_edge=False)
    table.add_column("from", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for title in ("written", "at source", "size", "record"):
        table.add_column(title, justify="right", no_wrap=True)
    states = [gap_state(one) or one.state for one in coverage.slices]
    notes = [
        ", ".join(note for note in _notes(one) if note != state)
        for one, state in zip(coverage.slices, states, strict=True)
    ]
    if any(notes):
        table.add_column("", no_wrap=True)
    if width >= _WIDE:
        table.add_column("file", no_wrap=True)
    for one, state, note in zip(coverage.slices, states, notes, strict=True):
        entry = _entry(one)
        table.add_row(
            format_instant(one.window.start),
            styled(state),
            number(None if entry is None else entry.rows),
            number(None if entry is None else entry.source_rows),
            "-" if entry is None else size(entry.file.bytes),
            str(max((published.seq for published in one.published), default="-")),
            *([note] if any(notes) else []),
            *([""] if width >= _WIDE and entry is None else []),
            *([entry.file.key] if width >= _WIDE and entry is not None else []),
        )
    return table


def _entry(one: SliceCover) -> SliceEntry | None:
    """Of slices on another grid nobody knows how many rows belong to this one."""
    own = one.published and one.published[0].window == one.window
    return one.published[-1].entry if own else None


def _notes(one: SliceCover) -> Iterator[str]:
    if one.damage:
        yield "damaged"
    if one.interrupted:
        yield "interrupted"
    if one.other_definition:
        yield "other definition"
    entry = _entry(one)
    if entry is not None and entry.previous_rows is not None:
        yield f"was {number(entry.previous_rows)}"
    if entry is not None and entry.source_now is not None:
        yield f"kept, source {number(entry.source_now)}"
