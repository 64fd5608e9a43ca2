"""What several commands take alike: the export, its range, and how they open it."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from logferry.errors import DefinitionError
from logferry.spec import ExportSpec
from logferry.window import (
    EARLIEST,
    LATEST,
    Window,
    format_compact,
    format_duration,
    format_instant,
    parse_instant,
)

Export = Annotated[
    str, typer.Argument(help="Name of an export (a file in include/exports).", metavar="EXPORT")
]
MaybeExport = Annotated[
    str | None, typer.Argument(help="Name of an export; left out: all of them.", metavar="EXPORT")
]
From = Annotated[
    str, typer.Option("--from", help="Absolute time with a zone, on the slice grid.", metavar="TIME")
]
To = Annotated[str, typer.Option("--to", help="Likewise; not part of the range.", metavar="TIME")]
Since = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="Absolute time with a zone, on the slice grid; default: the export's start.",
        metavar="TIME",
    ),
]
Until = Annotated[
    str | None, typer.Option("--to", help="Likewise, not part of the range; default: now.", metavar="TIME")
]
LAKE_PATIENCE_S = 60.0
"""How long a command waits for a lake that it reads for the first time: a shell remembers nothing, so who is sent away
begins anew. A store that can tell that it is not there says so long before."""

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def export_range(spec: ExportSpec, start: str, end: str, *, now: int) -> Window:
    """The range of ``--from`` and ``--to``. DefinitionError naming what would be right; ``now`` is a tick."""
    first, last = _edge("--from", start, spec), _edge("--to", end, spec)
    if first >= last:
        what = "empty" if first == last else "reversed"
        raise DefinitionError(
            f"the range from {format_instant(first)} to {format_instant(last)} is {what}; "
            "give a --from that lies before --to"
        )
    if first < spec.start:
        raise DefinitionError(
            f"--from {format_instant(first)} lies before the start of {spec.name}; give "
            f"{format_instant(spec.start)} or later, or an earlier `start` in its definition"
        )
    latest = (now - spec.settle) // spec.slice * spec.slice
    if last > latest:
        raise DefinitionError(
            f"--to {format_instant(last)} is too late: rows of {spec.name} settle for "
            f"{format_duration(spec.settle)}; the latest --to is {format_instant(latest)} now, and this one "
            "can "
            f"be given from {format_instant(last + spec.settle)}"
        )
    return Window(first, last)


def archive_range(spec: ExportSpec, start: str | None, end: str | None, *, now: int) -> Window | None:
    """The range of an archive that ``--from`` and ``--to`` name, None without them; ``now`` is a tick.

    Each has its default: the start of the export, and the end of the slice that is under way, which is also the
    latest ``--to``. DefinitionError naming what would be right.
    """
    if start is None and end is None:
        return None
    from logferry.audit.coverage import default_range  # the archive's modules, which `export` does without

    latest = default_range(spec, now).end
    first = spec.start if start is None else _edge("--from", start, spec)
    last = latest if end is None else _edge("--to", end, spec)
    if first < spec.start:
        raise DefinitionError(
            f"--from {format_instant(first)} lies before the start of {spec.name}; give "
            f"{format_instant(spec.start)} or later"
        )
    if last > latest:
        raise DefinitionError(
            f"--to {format_instant(last)} lies in the future; give {format_instant(latest)} or earlier"
        )
    if first >= last and end is None:
        raise DefinitionError(
            f"--from {format_instant(first)} lies in the future; give a time before {format_instant(last)}"
        )
    if first >= last:
        raise DefinitionError(
            f"the range from {format_instant(first)} to {format_instant(last)} is "
            f"{'empty' if first == last else 'reversed'}; give a --from that lies before --to"
        )
    return Window(first, last)


def _edge(option: str, text: str, spec: ExportSpec) -> int:
    try:
        tick = parse_instant(text)
    except ValueError as error:
        raise DefinitionError(f"{option}: {error}") from None
    if not EARLIEST <= tick <= LATEST:
        raise DefinitionError(
            f"{option} {format_instant(tick)} is not between 1970 and 2200; correct the year"
        )
    before = tick // spec.slice * spec.slice
    if tick != before:
        raise DefinitionError(
            f"{option} {format_instant(tick)} is not on the slice grid of {spec.name} "
            f"({format_duration(spec.slice)}); write {format_instant(before)} or "
            f"{format_instant(before + spec.slice)}"
        )
    return tick


def run_id(now: int) -> str:
    """A name for this run that no other has; ``now`` is a tick."""
    return f"cli-{format_compact(now // 10_000_000 * 10_000_000)}-{secrets.token_hex(3)}"
