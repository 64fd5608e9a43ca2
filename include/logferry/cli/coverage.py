"""``logferry coverage``: what an archive holds, without asking the source; without a name, all of them.

``--json`` of one: ``{"export", "window": {"from", "to"}, "now", "slice", "fingerprint", "final_up_to", "held_by":
{"from", "to", "reason"}, "totals": {"slices": {state: count}, "rows", "bytes", "gaps"}, "slices": […], "gaps": […],
"remedies": […], "to_prove": […], "definitions": […], "interrupted": […], "damage": […], "findings": […],
"notes": […]}``; see docs/commands.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from logferry.audit.archive import Examined, examine, open_archive
from logferry.audit.definitions import differing
from logferry.audit.gaps import Remedy, gaps, remedies, replacing, reprovable
from logferry.cli.archive_json import coverage_json
from logferry.cli.calendar import calendar, legend, symbols
from logferry.cli.local_airflow import instead_of_airflow
from logferry.cli.narrow import KEPT, command_lines, listed, wrapped
from logferry.cli.options import AsJson, MaybeExport, Since, Until, archive_range
from logferry.cli.output import can_show, console, number, print_json, size
from logferry.cli.slice_table import MOST_SLICES, MOST_TICKS, slice_table
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.errors import DefinitionError
from logferry.spec import load_exports
from logferry.window import format_duration, format_instant
from logferry.wording import counted

_MOST_LINES = 15


def coverage(
    export: MaybeExport = None, start: Since = None, end: Until = None, as_json: AsJson = False
) -> int:
    """Show which hours are proven, unproven, short, missing or not due; without EXPORT, every export in a line.

    Asks the source nothing.
    """
    if export is None:
        if start is not None or end is not None:
            raise DefinitionError("--from and --to are for one export: name it, or leave them out")
        from logferry.cli.overview import show_overview  # what reads all archives, only to show them all

        return show_overview(as_json=as_json)
    spec = load_exports().get(export)
    now = SystemClock().now()
    examined = examine(open_archive(spec, connection_for), archive_range(spec, start, end, now=now), now=now)
    if as_json:
        print_json(coverage_json(examined, now=now))
    else:
        _show(examined, now=now, slices=start is not None or end is not None)
    return 0


def _show(examined: Examined, *, now: int, slices: bool) -> None:
    out = console()
    plain = not can_show(symbols())
    spec, cover = examined.archive.spec, examined.coverage
    out.print(f"{spec.name}, slices of {format_duration(spec.slice)}, UTC")
    out.print(f"{format_instant(cover.window.start)} to {format_instant(cover.window.end)}")
    out.print()
    for line in calendar(cover, spec.slice, plain=plain):
        out.print(line)
    out.print()
    for line in legend(cover, plain=plain):
        out.print(line)
    out.print()
    if slices and cover.window.ticks <= MOST_TICKS and len(cover.slices) <= MOST_SLICES:
        out.print(slice_table(cover, out.width))
        out.print()
    for text in _sentences(examined, now=now):
        out.print(Text(text if not plain else text.replace("…", "...")), soft_wrap=True)


def _sentences(examined: Examined, *, now: int) -> Iterator[str]:
    cover = examined.coverage
    states = cover.count()
    yield from wrapped(
        "slices: "
        + ", ".join(f"{count:,} {state.replace('_', ' ')}" for state, count in states.items() if count)
    )
    yield f"rows: {number(cover.rows)} in {size(cover.bytes)}"
    moved = sum(one.entry.previous_rows is not None for one in cover.published)
    if moved:
        yield f"late rows: the last publication of {counted(moved, 'slice')} changed its count (--json)"
    if cover.final_up_to is None:
        yield "final up to: nothing is final yet"
    else:
        yield f"final up to {format_instant(cover.final_up_to)}"
    held = cover.held_by
    yield from wrapped(
        f"held there by {format_instant(held.window.start)} to {format_instant(held.window.end)}: {held.reason}",
        2,
    )
    yield from _gap_lines(examined, now)
    yield from _unproven_lines(examined, now)
    yield from _definition_lines(examined, now)
    yield from _interrupted_lines(examined, now)
    yield from _damage_lines(examined)


def _gap_lines(examined: Examined, now: int) -> Iterator[str]:
    spec = examined.archive.spec
    found = gaps(examined.coverage)
    if not found:
        return
    yield ""
    yield f"gaps ({counted(sum(one.slices for one in found), 'slice')}):"
    lines = (
        line
        for gap in found
        for line in wrapped(
            f"{format_instant(gap.window.start)} to {format_instant(gap.window.end)} {gap.state}: {gap.reason}",
            2,
        )
    )
    yield from listed(lines, _MOST_LINES, f"logferry gaps {spec.name}")
    yield from _mended_by(remedies(spec, [gap.window for gap in found], now=now), spec.name, "to mend them")


def _unproven_lines(examined: Examined, now: int) -> Iterator[str]:
    """What a further run can still prove."""
    spec = examined.archive.spec
    windows = reprovable(spec, examined.coverage, now=now)
    commands = remedies(spec, windows, now=now)
    if not commands:
        return
    yield ""
    yield "unproven, and the source should still hold them:"
    lines = (f"  {format_instant(one.start)} to {format_instant(one.end)}" for one in windows)
    yield from listed(lines, 5, f"logferry coverage {spec.name} --json")
    yield from _mended_by(commands, spec.name, "to prove them")


def _mended_by(found: list[Remedy], export: str, purpose: str) -> Iterator[str]:
    if not found:
        yield "  none of it can be exported yet: it has not settled"
        return
    yield f"  {purpose}:" if len(found) == 1 else f"  {purpose}, one after the other:"
    for remedy in found[:3]:
        yield from command_lines(remedy.command)
    if len(found) > 3:
        yield f"    … and {len(found) - 3:,} more: logferry gaps {export}"
    local = instead_of_airflow(found[:3])
    if local is not None:
        yield from wrapped(f"({local})", 2)


def _definition_lines(examined: Examined, now: int) -> Iterator[str]:
    spec = examined.archive.spec
    used = examined.definitions()
    if examined.definition.note:
        yield ""
        yield from wrapped(f"note: {examined.definition.note}")
    if len(used) < 2 and all(use.present is not False for use in used):
        return
    yield ""
    yield "definitions:"
    for use in used:
        mark = {True: "the present one", False: "another one", None: "cannot be compared"}[use.present]
        yield f"  {use.fingerprint.removeprefix('sha256:')[:12]}, {mark}: {counted(use.slices, 'slice')}"
        lines = (f"    {format_instant(one.start)} to {format_instant(one.end)}" for one in use.ranges)
        yield from listed(lines, 5, f"logferry coverage {spec.name} --json")
        if use.source is not None and use.present is not True:
            asked = ", ".join(f"{name} {value}" for name, value in use.source.items() if value is not None)
            yield from wrapped(f"asked: {asked}", 4)
        if use.present is False:
            differs = "; ".join(differing(use, spec, examined.definition.source))
            yield from wrapped(f"differs from the present one: {differs or 'no record tells how'}", 4)
        commands = replacing(spec, use, now=now)
        if commands:
            yield "    to have them under the present definition (or give the export"
            yield "    another name, and both archives stay whole):"
            for remedy in commands[:3]:
                yield from command_lines(remedy.command, 6)
            if len(commands) > 3:
                yield f"    … and {len(commands) - 3:,} more: logferry gaps {spec.name}"
            if use.kept:
                yield from wrapped(KEPT, 4)


def _interrupted_lines(examined: Examined, now: int) -> Iterator[str]:
    spec = examined.archive.spec
    runs = examined.interrupted()
    if not runs:
        return
    yield ""
    yield "interrupted (or still at work):"
    for one in runs[:_MOST_LINES]:
        span = f"{format_instant(one.window.start)} to {format_instant(one.window.end)}"
        began = f"the run {one.intent.run} began at {one.intent.began_at}"
        yield from wrapped(f"{span}: {began}; if it died:", 2)
        for remedy in remedies(spec, [one.window], now=now):
            yield from command_lines(remedy.command, 4)
    if len(runs) > _MOST_LINES:
        yield f"  … and {len(runs) - _MOST_LINES:,} more: logferry coverage {spec.name} --json"


def _damage_lines(examined: Examined) -> Iterator[str]:
    spec = examined.archive.spec
    lines = [
        f"{one.key}: {one.detail}"
        + ("" if one.acknowledged is None else f" (record {one.acknowledged} went on after it)")
        for one in examined.ledger.damage
    ]
    lines += [
        one.finding.sentence()
        for found in (slice_.damage for slice_ in examined.coverage.slices)
        for one in found
    ]
    lines += [one.finding.sentence() for one in examined.beside()]
    if not lines:
        return
    yield ""
    yield "damage:"
    for line in dict.fromkeys(lines[:_MOST_LINES]):
        yield from wrapped(line, 2)
    if len(lines) > _MOST_LINES:
        yield f"  … and {len(lines) - _MOST_LINES:,} more: logferry verify {spec.name}"
    elif examined.ledger.damage:
        yield from wrapped(f"to know what else it touches: logferry verify {spec.name}", 2)
