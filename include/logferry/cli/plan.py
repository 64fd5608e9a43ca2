"""``logferry plan``: what an export of a range would take, before anything is fetched.

``--json``: ``{"export", "rows", "requests", "bytes", "eta_s", "allowance", "what_if", "windows": [{"window": {"from",
"to"}, "counted_at", "rows", "requests", "bytes", "eta_s", "slices": [{"from", "to", "rows"}]}]}``; null where nobody
can know. ``allowance``: ``{"limit", "period_s", "reserve", "others", "left", "sharing"}`` of the searches, as learned
from answers. ``what_if``: ``[{"limit", "period_s", "requests", "eta_s"}, {"rows", "requests", "eta_s"}]``, an allowance
ten times as large and a query with a tenth of the rows; empty while the allowance is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.bar import Bar
from rich.table import Table

from logferry.budget import Forecast
from logferry.cli.calendar import LOOKS_OF
from logferry.cli.narrow import lines_for
from logferry.cli.options import AsJson, Export, From, To, export_range, run_id
from logferry.cli.output import can_show, console, lasting, number, print_json, say, size
from logferry.cli.remarks import summary
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.opening import open_ferry
from logferry.plan import Plan, estimate_requests, eta_s, with_part_of_rows
from logferry.sources.base import LogSource
from logferry.spec import load_exports
from logferry.wording import counted

_LARGER = 10
_NARROWER = 0.1
_MOST_SLICES = 96
"""More are told by their windows."""
_BAR = 24
_BLOCKS = "█▉▊▋▌▍▎▏"
"""What Rich's bars are made of."""


def plan(export: Export, start: From, end: To, as_json: AsJson = False) -> int:
    """Count a range at the source: rows per slice, requests, bytes, time. Fetches nothing."""
    spec = load_exports().get(export)
    clock = SystemClock()
    window = export_range(spec, start, end, now=clock.now())
    with open_ferry(spec, connection_for, clock=clock, run_id=run_id(clock.now())) as ferry:
        plans = [ferry.plan(piece) for piece in spec.schedule_windows(window)]
        others = what_if(plans, ferry.source, ferry.most_in_flight)
    if as_json:
        forecast = plans[-1].forecast
        print_json(
            {
                "export": spec.name,
                **_totals(plans, ferry.most_in_flight),
                "allowance": None if forecast is None else forecast.to_json(),
                "what_if": others,
                "windows": [plan_json(one) for one in plans],
            }
        )
    else:
        _show(plans, _totals(plans, ferry.most_in_flight))
        for line in lines_for(console(), advice(plans[-1].forecast, others, spec.source.connection)):
            say(line)
    return 0


def plan_json(plan: Plan) -> dict[str, Any]:
    """One window of ``plan --json``."""
    return {
        "window": {"from": plan.window.start, "to": plan.window.end},
        "counted_at": plan.counted_at,
        "rows": plan.rows,
        "requests": plan.requests,
        "bytes": plan.bytes,
        "eta_s": plan.eta_s,
        "slices": [{"from": one.start, "to": one.end, "rows": one.rows} for one in plan.slices],
    }


def what_if(plans: Sequence[Plan], source: LogSource, at_once: int) -> list[dict[str, Any]]:
    """What a larger allowance and a narrower query would change; nothing while the allowance is not known."""
    forecast = plans[-1].forecast
    if forecast is None:
        return []
    requests = sum(one.requests for one in plans)
    larger = forecast.times(_LARGER)
    changed: list[dict[str, Any]] = [
        {
            "limit": larger.limit,
            "period_s": larger.period_s,
            "requests": requests,
            "eta_s": eta_s(larger, requests, at_once=at_once),
        }
    ]
    if all(one.rows is not None for one in plans):
        narrower = [with_part_of_rows(one.slices, _NARROWER) for one in plans]
        fewer = sum(estimate_requests(source, slices) for slices in narrower)
        changed.append(
            {
                "rows": sum(one.rows or 0 for slices in narrower for one in slices),
                "requests": fewer,
                "eta_s": eta_s(forecast, fewer, at_once=at_once),
            }
        )
    return changed


def advice(forecast: Forecast | None, others: Sequence[dict[str, Any]], connection: str) -> str:
    """The allowance that the time was reckoned by and what would change it, in one or two sentences."""
    if forecast is None:
        return (
            "The time is unknown: the source names its allowance only in answers to searches, and none was seen yet "
            "with this credential on this machine. The first page of an export teaches it; so does logferry doctor "
            f"{connection}."
        )
    spent = f", of which others spend about {forecast.others:g}" if forecast.others >= 0.05 else ""
    shared = f", shared by {forecast.sharing} exports" if forecast.sharing > 1 else ""
    ways = [
        f"at {one['limit']:,} per {one['period_s']:g} s: {lasting(one['eta_s'])}"
        if "limit" in one
        else f"a query with a tenth of the rows: {lasting(one['eta_s'])} ({counted(one['requests'], 'request')})"
        for one in others
    ]
    return (
        f"Allowance: {counted(forecast.limit, 'request')} per {forecast.period_s:g} s{spent}; {forecast.reserve:.0%} "
        f"is left to others{shared}. What would change the time: {'; '.join(ways)}."
    )


def _totals(plans: list[Plan], at_once: int) -> dict[str, Any]:
    # Not the sum of the windows' times: what may be sent at once may be sent only once.
    requests = sum(one.requests for one in plans)
    return {
        "rows": _sum([one.rows for one in plans]),
        "requests": requests,
        "bytes": _sum([one.bytes for one in plans]),
        "eta_s": eta_s(plans[-1].forecast, requests, at_once=at_once),
    }


def _sum(values: list[Any]) -> Any:
    """The sum, or None as soon as one part is unknown."""
    return None if None in values else sum(values)


def _show(plans: list[Plan], totals: dict[str, Any]) -> None:
    out = console()
    if sum(len(one.slices) for one in plans) <= _MOST_SLICES:
        for one in plans:
            out.print(_slices(one, bars=out.is_terminal and can_show(_BLOCKS)))
            for line in lines_for(out, summary(one)):
                say(line)
    else:
        out.print(_windows(plans))
    if len(plans) > 1:
        rows = "an unknown number of rows" if totals["rows"] is None else counted(totals["rows"], "row")
        amount = "size unknown" if totals["bytes"] is None else f"about {size(totals['bytes'])}"
        text = (
            f"in all: {rows} in {counted(len(plans), 'window')}, {counted(totals['requests'], 'request')}, {amount}, "
            f"time {lasting(totals['eta_s'])}"
        )
        for line in lines_for(out, text):
            say(line)


def _slices(plan: Plan, *, bars: bool) -> Table:
    """The rows of each slice; ``bars``: with their lengths against the largest, for a terminal."""
    table = Table("from", "to", box=None, pad_edge=False)
    table.add_column("rows", justify="right", no_wrap=True)
    most = max((one.rows or 0 for one in plan.slices), default=0)
    if bars and most:
        table.add_column("")
    for one in plan.slices:
        bar = (
            [Bar(most, 0, one.rows or 0, width=_BAR, color=LOOKS_OF["proven"].style)] if bars and most else []
        )
        table.add_row(one.start, one.end, number(one.rows), *bar)
    return table


def _windows(plans: Sequence[Plan]) -> Table:
    """A line for each window, where the slices would fill several screens (``--json`` has them)."""
    table = Table("from", "to", box=None, pad_edge=False)
    for title in ("rows", "requests", "about"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in plans:
        about = "-" if one.bytes is None else size(one.bytes)
        table.add_row(one.window.start, one.window.end, number(one.rows), number(one.requests), about)
    return table
