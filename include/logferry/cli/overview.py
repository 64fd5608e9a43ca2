"""``logferry coverage`` without an export: every archive in one line, the worst first.

``--json``: ``{"now", "exports": [{"state", …}], "broken": [{"file", "reason"}]}``; see docs/commands.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.table import Table
from rich.text import Text

from logferry.cli.calendar import LOOKS_OF
from logferry.cli.narrow import lines_for
from logferry.cli.options import LAKE_PATIENCE_S
from logferry.cli.output import can_show, console, number, print_json, printable, say
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.project import exports_folder
from logferry.spec import load_exports
from logferry.view.archives import Archives
from logferry.view.letters import WORDS, worst
from logferry.view.summary import summary
from logferry.window import format_instant
from logferry.wording import counted

UNREACHABLE = "unreachable"
"""An export whose lake cannot be read: nobody knows anything of it, so it comes before all others."""

STATES = (UNREACHABLE, *WORDS.values())
"""What an export is called, the worst first: by the gravest of its slices."""

_STYLES = {UNREACHABLE: LOOKS_OF["damaged"].style, "not_due": "dim"}
_HEIGHTS = "▁▂▃▄▅▆▇█"
_PLAIN_HEIGHTS = "_.-=+*#@"
_AT_ONCE = 8
_MOST_DAYS = 30
_FEWEST_DAYS = 5
_SHORT_TIME = 16
_SHORTEST_NAME = 16
"""A name gets at least that much room, and no more on a line below 120 columns."""


def show_overview(*, as_json: bool) -> int:
    """Read every archive and print the overview; 0 whatever it finds."""
    loaded = load_exports()
    clock = SystemClock()
    now = clock.now()
    archives = Archives(connection_for, clock, patience_s=LAKE_PATIENCE_S)
    # Lakes that do not answer are waited for together, not one after the other.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        states = pool.map(archives.state, loaded.exports.values())
        views = [summary(state, now=now) for state in states]
    rows = sorted(
        ({"state": state_of(view), **view} for view in views),
        key=lambda row: (STATES.index(row["state"]), -row["gaps"]["slices"], row["name"]),
    )
    broken = [{"file": str(file), "reason": reason} for file, reason in loaded.broken.items()]
    if as_json:
        print_json({"now": format_instant(now), "exports": rows, "broken": broken})
    else:
        _show(rows, [one["reason"] for one in broken])
    return 0


def state_of(view: dict[str, Any]) -> str:
    """One word for an export, of ``STATES``; a damaged journal counts like a damaged slice."""
    if not view["lake"]["reachable"]:
        return UNREACHABLE
    if view["journal"]["damage"]:
        return WORDS["D"]
    found = worst(letter for letter, count in view["cells"].items() if count)
    return WORDS[found or "N"]


def sparkline(rows: Sequence[int], *, plain: bool = False) -> str:
    """Each number as a height against the largest; a blank for none."""
    heights = _PLAIN_HEIGHTS if plain else _HEIGHTS
    most = max(rows, default=0)
    return "".join(
        " " if not count else heights[min(len(heights) - 1, count * len(heights) // (most + 1))]
        for count in rows
    )


def _show(rows: Sequence[dict[str, Any]], broken: Sequence[str]) -> None:
    out = console()
    if not rows:
        say(f"there is no export {'that can be read' if broken else 'definition'} in {exports_folder()}")
    else:
        out.print(_table(rows, out.width, plain=not can_show(_HEIGHTS)))
    for text in (*_sentences(rows), *broken):
        for line in lines_for(out, printable(text)):
            say(line)


def _table(rows: Sequence[dict[str, Any]], width: int, *, plain: bool) -> Table:
    whole = width >= 120
    table = Table(box=None, pad_edge=False)
    cells = [_cells(row, whole=whole) for row in rows]
    widths = [max(len(line[at]) for line in [*cells, _TITLES]) for at in range(len(_TITLES))]
    # A number that is cut is another number, so only the name gives way.
    beside = sum(widths) - widths[_NAME] + 2 * (len(widths) - 1)
    widths[_NAME] = min(widths[_NAME], max(_SHORTEST_NAME, width - beside) if whole else _SHORTEST_NAME)
    for at, title in enumerate(_TITLES):
        table.add_column(
            title, no_wrap=True, justify="right" if title in _NUMBERS else "left", min_width=widths[at]
        )
    days = min(_MOST_DAYS, width - sum(widths) - 2 * len(widths))
    if days >= _FEWEST_DAYS:
        table.add_column("rows a day" if days >= len("rows a day") else "rows", no_wrap=True)
    for row, line in zip(rows, cells, strict=True):
        state = Text(line[0], style=_STYLES.get(row["state"]) or LOOKS_OF[row["state"]].style)
        drawn = (
            [sparkline([one["rows"] for one in row["days"]][-days:], plain=plain)]
            if days >= _FEWEST_DAYS
            else []
        )
        name = _cut(line[_NAME], widths[_NAME], "~" if plain else "…")
        table.add_row(state, name, *line[_NAME + 1 :], *drawn)
    return table


_TITLES = ("state", "export", "proven to", "final up to", "gaps", "short")
_NAME = _TITLES.index("export")
_NUMBERS = ("gaps", "short")


def _cells(row: dict[str, Any], *, whole: bool) -> tuple[str, ...]:
    proven = row["last_proven"]
    return (
        row["state"].replace("_", " "),
        row["name"],
        _time(None if proven is None else proven["to"], whole=whole),
        _time(row["final_up_to"], whole=whole),
        *(number(count if _was_read(row) else None) for count in (row["gaps"]["slices"], row["cells"]["S"])),
    )


def _was_read(row: dict[str, Any]) -> bool:
    """Whether its numbers say anything: of a lake that was never read all of them are 0."""
    return row["lake"]["reachable"] or row["lake"]["read_at"] is not None


def _cut(name: str, width: int, end: str) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}{end}"


def _time(text: str | None, *, whole: bool) -> str:
    """``2026-11-20T00:00``: the times of a wide line carry their seconds and zone, too."""
    if text is None:
        return "-"
    return text if whole else text[:_SHORT_TIME]


def _sentences(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        lake, name = row["lake"], row["name"]
        if not lake["reachable"]:
            since = f" since {lake['since']}" if lake["since"] else ""
            read = f"; what is shown was read at {lake['read_at']}" if lake["read_at"] else ""
            url = f" {lake['url']}" if lake["url"] else ""
            yield f"{name}: the lake{url} cannot be read{since}: {lake['reason']}{read}"
        if row["journal"]["damage"]:
            yield f"{name}: the journal is damaged: logferry verify {name}"
        gaps, behind = row["gaps"], row["behind"]
        if gaps["slices"]:
            late = ""
            if behind is not None:
                since = f" since {behind['since']}" if behind["since"] else ""
                late = f", {counted(behind['windows'], 'window')} behind schedule{since}"
            yield (
                f"{name}: {counted(gaps['slices'], 'slice')} in {counted(gaps['stretches'], 'gap')}{late}: "
                f"logferry gaps {name}"
            )
