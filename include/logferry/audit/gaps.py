"""What is missing or wrong in the archive, and which windows of the schedule mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from logferry.audit.coverage import Coverage, SliceCover, runs
from logferry.audit.definitions import DefinitionUse
from logferry.audit.stretches import Stretches
from logferry.records.manifest import Span
from logferry.schedule import Schedule
from logferry.spec import ExportSpec
from logferry.window import Window, format_instant
from logferry.wording import counted

GapState = Literal["missing", "short", "interrupted", "damaged"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Adjoining slices with one state; ``reason``: one clause for people."""

    window: Window
    state: GapState
    reason: str
    slices: int


@dataclass(frozen=True, slots=True)
class Remedy:
    """A command that exports a range again, and the whole windows of the schedule that it runs, oldest first."""

    windows: tuple[Window, ...]
    command: str
    whole: bool = False
    """Whether Airflow's own backfill runs them; else only a run that is told its window does."""

    @property
    def window(self) -> Window:
        return Window(self.windows[0].start, self.windows[-1].end)


def gaps(coverage: Coverage) -> list[Gap]:
    """The gaps of a range, oldest first. Rows of another definition are no gap, nor are slices not due yet."""
    found: list[Gap] = []
    for slice_ in coverage.slices:
        state = gap_state(slice_)
        if state is None:
            continue
        reason = gap_reason(slice_, state)
        last = found[-1] if found else None
        if last and (last.window.end, last.state, last.reason) == (slice_.window.start, state, reason):
            found[-1] = Gap(Window(last.window.start, slice_.window.end), state, reason, last.slices + 1)
        else:
            found.append(Gap(slice_.window, state, reason, 1))
    return found


def gap_state(slice_: SliceCover) -> GapState | None:
    """What makes this slice a gap, the gravest first; None when nothing does."""
    if slice_.damage:
        return "damaged"
    if slice_.state == "missing":
        return "missing"
    if slice_.state == "short":
        return "short"
    return "interrupted" if slice_.interrupted and slice_.published else None


def gap_reason(slice_: SliceCover, state: GapState) -> str:
    """Why, in one clause for people."""
    if state == "damaged":
        return ", ".join(sorted({one.finding.detail for one in slice_.damage}))
    if state == "interrupted":
        return "a run began to replace it and did not end"
    if state == "short":
        rows = sum(one.entry.rows for one in slice_.published)
        at_source = sum(one.entry.source_rows or 0 for one in slice_.published)
        if rows == at_source:
            return (
                f"{counted(rows, 'row')} written and counted, but not at the same times or under the same ids"
            )
        return f"{counted(rows, 'row')} written, {at_source:,} at the source"
    if slice_.interrupted:
        return "a run began to publish it and did not end"
    return "never published"


def remedies(spec: ExportSpec, windows: Iterable[Window], *, now: int) -> list[Remedy]:
    """The commands that export these ranges again, in whole windows of the schedule, oldest first.

    Windows that adjoin share a command. Airflow runs whole windows that have ended (``airflow backfill create``; its
    ``--to-date`` is the start of the last one, which is run too, see
    https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/backfill.html); the part of a window before
    its first boundary and what lies in a window that has not ended are for ``logferry export``, as far as it has
    settled: what cannot be exported yet gets no command.
    """
    schedule = Schedule(spec.schedule)
    first = schedule.next_after(spec.start - 1)
    settled = now - spec.settle
    latest = settled // spec.slice * spec.slice
    whole: set[Window] = set()
    parts: set[Window] = set()
    for window in windows:
        start = max(spec.start, schedule.previous_at_or_before(window.start))
        for piece in schedule.cut(Window(start, schedule.next_after(window.end - 1))):
            if piece.end <= settled:
                (parts if piece.start < first else whole).add(piece)
                continue
            start = max(piece.start, window.start // spec.slice * spec.slice)
            end = min(piece.end, -(-window.end // spec.slice) * spec.slice, latest)
            if start < end:
                parts.add(Window(start, end))
    found = [Remedy(group, backfill_command(spec, group), whole=True) for group in _adjoining(whole)]
    found += [Remedy(group, export_command(spec, group)) for group in _adjoining(parts)]
    return sorted(found, key=lambda remedy: remedy.window)


def replacing(spec: ExportSpec, use: DefinitionUse, *, now: int) -> list[Remedy]:
    """The commands that bring what is of another definition under the present one.

    What a run of the present one has already left, to lose no proven rows, is replaced only where it is told to.
    """
    if use.present is not False:
        return []
    kept = Stretches(use.kept)
    rest = [one for window in use.ranges for one in kept.gaps(window, spec.slice)]
    told = [Remedy((window,), f"{export_command(spec, (window,))} --allow-shrink") for window in kept]
    return sorted([*remedies(spec, rest, now=now), *told], key=lambda remedy: remedy.window)


def reprovable(spec: ExportSpec, coverage: Coverage, *, now: int) -> list[Window]:
    """The unproven slices that a further run can prove: the source still holds their rows."""
    retention = spec.source.retention
    held_from = spec.start if retention is None else now - retention
    return list(
        runs(one for one in coverage.slices if one.state == "unproven" and one.window.start >= held_from)
    )


def backfill_command(spec: ExportSpec, windows: tuple[Window, ...]) -> str:
    """Airflow's command for adjoining whole windows of the schedule, completed ones included."""
    return (
        f"airflow backfill create --dag-id export_{spec.name} --from-date {_offset(windows[0].start)} "
        f"--to-date {_offset(windows[-1].start)} --reprocess-behavior completed"
    )


def export_command(spec: ExportSpec, windows: tuple[Window, ...]) -> str:
    """The command line's own, for any range of slices."""
    span = Span.of(Window(windows[0].start, windows[-1].end))
    return f"logferry export {spec.name} --from {span.start} --to {span.end}"


def _adjoining(windows: Iterable[Window]) -> list[tuple[Window, ...]]:
    groups: list[list[Window]] = []
    for window in sorted(windows):
        if groups and groups[-1][-1].end == window.start:
            groups[-1].append(window)
        else:
            groups.append([window])
    return [tuple(group) for group in groups]


def _offset(tick: int) -> str:
    """An instant as Airflow's options take it, with its offset."""
    return f"{format_instant(tick).removesuffix('Z')}+00:00"
