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
from logferry.cli.output import can_show, console, number, print_json, printable, say
from logferry.clock import SystemClock
from logferry.connection import connection_for
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
_LONGEST_NAME = 16


def show_overview(*, as_json: bool) -> int:
    """Read every archive and print the overview; 0 whatever it finds."""
    loaded = load_exports()
    clock = SystemClock()
    now = clock.now()
    archives = Archives(connection_for, clock)
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
    """One word for an export, of ``STATES``."""
    if not view["lake"]["reachable"]:
        return UNREACHABLE
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
        say("there is no export definition in include/exports yet")
    else:
        out.print(_table(rows, out.width, plain=not can_show(_HEIGHTS)))
    for text in (*_sentences(rows), *broken):
        for line in lines_for(out, printable(text)):
            say(line)


def _table(rows: Sequence[dict[str, Any]], width: int, *, plain: bool) -> Table:
    whole = width >= 120
    table = Table(box=None, pad_edge=False)
    table.add_column("state", no_wrap=True)
    table.add_column("export", no_wrap=True, overflow="ellipsis")
    for title in ("proven to", "final up to"):
        table.add_column(title, no_wrap=True)
    for title in ("gaps", "short"):
        table.add_column(title, justify="right", no_wrap=True)
    cells = [_cells(row, whole=whole, cut="~" if plain else "…") for row in rows]
    used = sum(max(len(line[at]) for line in [*cells, _TITLES]) + 2 for at in range(len(_TITLES)))
    days = min(_MOST_DAYS, width - used)
    if days >= _FEWEST_DAYS:
        table.add_column("rows a day" if days >= len("rows a day") else "rows", no_wrap=True)
    for row, line in zip(rows, cells, strict=True):
        state = Text(line[0], style=_STYLES.get(row["state"]) or LOOKS_OF[row["state"]].style)
        drawn = (
            [sparkline([one["rows"] for one in row["days"]][-days:], plain=plain)]
            if days >= _FEWEST_DAYS
            else []
        )
        table.add_row(state, *line[1:], *drawn)
    return table


_TITLES = ("state", "export", "proven to", "final up to", "gaps", "short")


def _cells(row: dict[str, Any], *, whole: bool, cut: str) -> tuple[str, ...]:
    proven = row["last_proven"]
    name = row["name"]
    return (
        row["state"].replace("_", " "),
        name if whole or len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}{cut}",
        _time(None if proven is None else proven["to"], whole=whole),
        _time(row["final_up_to"], whole=whole),
        number(row["gaps"]["slices"]),
        number(row["cells"].get("S", 0)),
    )


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
            yield f"{name}: the lake {lake['url'] or ''} cannot be read{since}: {lake['reason']}{read}"
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
