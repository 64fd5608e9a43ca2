"""Whether a window of an export can be exported: the definition covers it, on the slice grid, and it has settled."""

from __future__ import annotations

from logferry.errors import DefinitionError
from logferry.spec import ExportSpec
from logferry.window import Window, format_instant


def settled_at(spec: ExportSpec, window: Window) -> int:
    """The tick from which the window may be exported: its end and the settle time."""
    return window.end + spec.settle


def check_exportable(spec: ExportSpec, window: Window, now: int) -> None:
    """Raise DefinitionError unless the window can be exported at the tick ``now``."""
    grid = spec.slice
    if window.start < spec.start:
        raise DefinitionError(
            f"{window} begins before {format_instant(spec.start)}, the `start` of {spec.name}; begin "
            "there, or move `start` in the definition"
        )
    if not window.on_grid(grid):
        nearest = Window(window.start // grid * grid, -(-window.end // grid) * grid)
        raise DefinitionError(
            f"{window} does not lie on the slice grid of {spec.name}; the nearest is {nearest}"
        )
    if now < settled_at(spec, window):
        raise DefinitionError(
            f"{window} of {spec.name} has not settled: it can be exported from "
            f"{format_instant(settled_at(spec, window))}, now is {format_instant(now)}"
        )
