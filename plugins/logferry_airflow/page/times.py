"""Times in addresses that stand for exact slices: nothing is rounded where an export or a slice is meant."""

from __future__ import annotations

from logferry.errors import DefinitionError
from logferry.spec import ExportSpec
from logferry.view.ranges import asked
from logferry.window import EARLIEST, LATEST, Window, format_duration, format_instant, parse_instant


def on_grid(what: str, text: str, spec: ExportSpec) -> int:
    """The tick of an instant on the export's slice grid. DefinitionError naming ``what``, and the neighbours."""
    try:
        tick = parse_instant(text)
    except ValueError as error:
        raise DefinitionError(f"{what}: {error}") from None
    if not EARLIEST <= tick <= LATEST:
        raise DefinitionError(
            f"{what}: {format_instant(tick)} is not between 1970 and 2200; correct the year"
        )
    if tick % spec.slice:
        below = tick - tick % spec.slice
        raise DefinitionError(
            f"{what}: {format_instant(tick)} does not lie on the slice grid of {format_duration(spec.slice)}; the "
            f"neighbours are {format_instant(below)} and {format_instant(below + spec.slice)}"
        )
    return tick


def whole_window(spec: ExportSpec, start: str | None, end: str | None, *, now: int) -> Window:
    """The range ``asked`` for, each end that is given on the slice grid. DefinitionError with one sentence."""
    for what, text in (("from", start), ("to", end)):
        if text is not None:
            on_grid(what, text, spec)
    return asked(spec, start, end, now=now)
