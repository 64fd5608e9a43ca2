"""``logferry gaps``: what an archive lacks, and the command that brings it, or the runs themselves.

``--json``: ``{"export", "window": {"from", "to"}, "slices", "gaps": [{"from", "to", "state", "reason", "slices"}],
"remedies": [{"from", "to", "windows", "command"}], "definitions": [{"fingerprint", "present", "slices", "ranges",
"source", "remedies"}]}``. With ``--fill`` ``"filled"`` is added: what ``export --json`` prints.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from logferry.audit.archive import Examined, examine, open_archive
from logferry.audit.definitions import DefinitionUse, differing
from logferry.audit.gaps import Gap, Remedy, remedies, replacing
from logferry.audit.gaps import gaps as gaps_of
from logferry.cli.archive_json import definition_json, gap_json, remedy_json, window_json
from logferry.cli.local_airflow import instead_of_airflow
from logferry.cli.narrow import KEPT, command_lines, wrapped
from logferry.cli.options import AsJson, Export, Since, Until, archive_range
from logferry.cli.output import print_json, say
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.errors import DefinitionError, ShortError, gravest
from logferry.spec import load_exports
from logferry.window import format_instant
from logferry.wording import counted


def gaps(
    export: Export,
    start: Since = None,
    end: Until = None,
    check: Annotated[bool, typer.Option("--check", help="Exit code 3 when there is a gap.")] = False,
    fill: Annotated[
        bool, typer.Option("--fill", help="Export the windows with gaps now, oldest first.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """List what is missing, short, interrupted or damaged, with the command that mends it."""
    if check and fill:
        raise DefinitionError("--check looks and --fill exports: give one")
    spec = load_exports().get(export)
    now = SystemClock().now()
    examined = examine(open_archive(spec, connection_for), archive_range(spec, start, end, now=now), now=now)
    found = gaps_of(examined.coverage)
    commands = remedies(spec, [one.window for one in found], now=now)
    others = [use for use in examined.definitions() if use.present is False]
    shown: dict[str, Any] = {
        "export": spec.name,
        "window": window_json(examined.coverage.window),
        "slices": sum(one.slices for one in found),
        "gaps": [gap_json(one) for one in found],
        "remedies": [remedy_json(one) for one in commands],
        "definitions": [definition_json(use, examined, now=now) for use in others],
    }
    if not as_json:
        whole = start is None and end is None
        _show(examined, found, commands, others, now=now, whole=whole, filling=fill)
    code = ShortError.exit_code if check and found else 0
    if fill:
        from logferry.cli.export import Carrying, carry_windows  # what asks a source, only to fill

        run = Carrying(as_json=as_json, allow_shrink=False)
        if commands:
            carry_windows(spec, [window for one in commands for window in one.windows], run)
        shown["filled"] = run.to_json(spec.name)
        if not as_json:
            run.show(spec.name)
        code = gravest(run.codes)
    if as_json:
        print_json(shown)
    return code


def _show(
    examined: Examined,
    found: list[Gap],
    commands: list[Remedy],
    others: list[DefinitionUse],
    *,
    now: int,
    whole: bool,
    filling: bool,
) -> None:
    spec, cover = examined.archive.spec, examined.coverage
    asked = (
        ""
        if whole
        else f" --from {format_instant(cover.window.start)} --to {format_instant(cover.window.end)}"
    )
    span = f"{format_instant(cover.window.start)} to {format_instant(cover.window.end)}"
    if not found:
        say(f"{spec.name!r} has no gaps in what is due from {span}")
    for gap in found:
        text = f"{format_instant(gap.window.start)} to {format_instant(gap.window.end)} {gap.state}: {gap.reason}"
        for line in wrapped(text):
            say(line)
    if found:
        say(f"{counted(sum(one.slices for one in found), 'slice')} in {counted(len(found), 'gap')}")
        if commands and not filling:
            _show_commands(commands, "to mend them")
            say("or, in this process and without Airflow:")
            for line in command_lines(f"logferry gaps {spec.name}{asked} --fill", 2):
                say(line)
        elif not commands:
            say("none of it can be exported yet: it has not settled")
    for use in others:
        name = use.fingerprint.removeprefix("sha256:")[:12]
        say("")
        for line in wrapped(
            f"{counted(use.slices, 'slice')} of another definition ({name}), which are no gaps: "
            + "; ".join(differing(use, spec, examined.definition.source))
        ):
            say(line)
        for window in use.ranges:
            say(f"  {format_instant(window.start)} to {format_instant(window.end)}")
        _show_commands(replacing(spec, use, now=now), "to have them under the present definition")
        if use.kept:
            for line in wrapped(KEPT):
                say(line)
    if examined.definition.note:
        say("")
        for line in wrapped(f"note: {examined.definition.note}"):
            say(line)


def _show_commands(commands: list[Remedy], purpose: str) -> None:
    if not commands:
        return
    say("")
    for line in wrapped(f"{purpose}{':' if len(commands) == 1 else ', one after the other:'}"):
        say(line)
    for one in commands:
        for line in command_lines(one.command, 2):
            say(line)
    local = instead_of_airflow(commands)
    if local is not None:
        for line in wrapped(f"({local})"):
            say(line)
