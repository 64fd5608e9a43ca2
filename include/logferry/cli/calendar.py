"""Coverage as a heat map for a terminal: one cell for an hour or a day, told apart by symbol and by colour.

At most 80 columns wide. The colours are those of Okabe and Ito, which colour-blind people can tell apart
(https://jfly.uni-koeln.de/color/); the symbols alone say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich.text import Text

from logferry.audit.coverage import Coverage, SliceCover
from logferry.cli.narrow import WIDTH
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window, to_datetime

_MOST_DAYS = 40
"""A longer range is shown with a cell for each day instead of each hour."""
_HOURS = 24
_CELL = 2


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind of cell is shown. ``plain``: where the output has no block characters."""

    kind: str
    symbol: str
    plain: str
    style: str
    meaning: str


LOOKS = (
    Look("damaged", "≠", "%", "bold #CC79A7", "damaged"),
    Look("short", "!", "!", "bold #D55E00", "short"),
    Look("missing", "×", "x", "bold #F0E442", "missing"),  # noqa: RUF001
    Look("interrupted", "~", "~", "#E69F00", "interrupted"),
    Look("unproven", "▒", "=", "#56B4E9", "unproven"),
    Look("other", "o", "o", "#009E73", "of another definition"),
    Look("proven", "█", "#", "#0072B2", "proven"),
    Look("not_due", "·", ".", "dim", "not due"),
)
"""The worst first: that is what a cell shows of the slices in it. The page has the same signs (``states.js``)."""

LOOKS_OF = {look.kind: look for look in LOOKS}

_GRAVITY = {look.kind: gravity for gravity, look in enumerate(LOOKS)}


def calendar(coverage: Coverage, slice_ticks: int, *, plain: bool) -> Iterator[Text]:
    """The lines of the map: days down and hours across, or months down and days across for long ranges."""
    window = coverage.window
    if window.ticks <= _MOST_DAYS * TICK_PER_DAY:
        yield from _days(coverage, slice_ticks, plain=plain)
    else:
        yield from _months(coverage, plain=plain)


def legend(coverage: Coverage, *, plain: bool) -> Iterator[Text]:
    """What the symbols on the map mean, in lines."""
    seen = {kind_of(one) for one in coverage.slices}
    line = Text()
    for look in reversed(LOOKS):
        if look.kind not in seen:
            continue
        symbol = look.plain if plain else look.symbol
        if line and len(line) + len(symbol) + len(look.meaning) + 3 > WIDTH:
            yield line
            line = Text()
        line.append("  " if line else "").append(symbol, style=look.style).append(f" {look.meaning}")
    yield line


def kind_of(slice_: SliceCover) -> str:
    """The one kind of cell that a slice is shown as."""
    kinds: list[str] = [slice_.state if slice_.state != "proven" or not slice_.other_definition else "other"]
    if slice_.damage:
        kinds.append("damaged")
    if slice_.interrupted:
        kinds.append("interrupted")
    return min(kinds, key=_GRAVITY.__getitem__)


def _days(coverage: Coverage, slice_ticks: int, *, plain: bool) -> Iterator[Text]:
    # The width of an hour stays the same, so a longer slice is a longer bar.
    ticks = slice_ticks if slice_ticks > TICK_PER_HOUR and TICK_PER_DAY % slice_ticks == 0 else TICK_PER_HOUR
    width = _CELL * ticks // TICK_PER_HOUR
    cells = _worst(coverage, ticks)
    yield Text(f"{'':12}" + "".join(f"{hour:02}{'':4}" for hour in range(0, _HOURS, 3)).rstrip())
    for day in _cells(coverage.window, TICK_PER_DAY):
        line = Text(f"{to_datetime(day * TICK_PER_DAY):%Y-%m-%d}  ")
        first = day * (TICK_PER_DAY // ticks)
        _draw(line, [cells.get(first + at) for at in range(TICK_PER_DAY // ticks)], width, plain=plain)
        yield line


def _months(coverage: Coverage, *, plain: bool) -> Iterator[Text]:
    cells = _worst(coverage, TICK_PER_DAY)
    yield Text(
        f"{'':9}" + "".join(f"{day:<{10 if day > 1 else 8}}" for day in (1, 5, 10, 15, 20, 25, 30)).rstrip()
    )
    months: dict[str, list[str | None]] = {}
    for day in _cells(coverage.window, TICK_PER_DAY):
        moment = to_datetime(day * TICK_PER_DAY)
        months.setdefault(f"{moment:%Y-%m}", [None] * 31)[moment.day - 1] = cells.get(day)
    for month, days in months.items():
        line = Text(f"{month}  ")
        _draw(line, days, _CELL, plain=plain)
        yield line


def _worst(coverage: Coverage, ticks: int) -> dict[int, str]:
    """Per cell of that length the worst of the slices that touch it."""
    cells: dict[int, str] = {}
    for one in coverage.slices:
        kind = kind_of(one)
        for cell in _cells(one.window, ticks):
            before = cells.get(cell)
            if before is None or _GRAVITY[kind] < _GRAVITY[before]:
                cells[cell] = kind
    return cells


def _cells(window: Window, ticks: int) -> range:
    return range(window.start // ticks, -(-window.end // ticks))


def _draw(line: Text, kinds: list[str | None], width: int, *, plain: bool) -> None:
    for kind, same in groupby(kinds):
        cells = width * len(list(same))
        if kind is None:
            line.append(" " * cells)
            continue
        look = LOOKS_OF[kind]
        line.append((look.plain if plain else look.symbol) * cells, style=look.style)
    line.rstrip()


def styled(state: str) -> Text:
    """The name of a state, in its colour."""
    return Text(state.replace("_", " "), style=LOOKS_OF[state].style)


def symbols() -> str:
    """Every symbol, to try an output's encoding with."""
    return "".join(look.symbol for look in LOOKS)
