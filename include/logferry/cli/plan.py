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

from rich.table import Table

from logferry.budget import Forecast
from logferry.cli.options import AsJson, Export, From, To, export_range, run_id
from logferry.cli.output import console, lasting, number, print_json, say, size
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.ferry import open_ferry
from logferry.plan import Plan, estimate_requests, eta_s, with_part_of_rows
from logferry.sources.base import LogSource
from logferry.spec import load_exports
from logferry.wording import counted

_LARGER = 10
_NARROWER = 0.1


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
        for one in plans:
            _show(one)
        say(advice(plans[-1].forecast, others, spec.source.connection))
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


def summary(plan: Plan) -> str:
    """A plan in one line."""
    rows = "an unknown number of rows" if plan.rows is None else counted(plan.rows, "row")
    amount = "size unknown" if plan.bytes is None else f"about {size(plan.bytes)}"
    return (
        f"{plan.window.start} to {plan.window.end}: {rows} in {counted(len(plan.slices), 'slice')}, "
        f"{counted(plan.requests, 'request')}, {amount}, time {lasting(plan.eta_s)}"
    )


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


def _show(plan: Plan) -> None:
    table = Table("from", "to", box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    for one in plan.slices:
        table.add_row(one.start, one.end, number(one.rows))
    console().print(table)
    console().print(summary(plan))
