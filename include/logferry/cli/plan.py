"""``logferry plan``: what an export of a range would take, before anything is fetched.

``--json``: ``{"export", "rows", "requests", "bytes", "eta_s", "windows": [{"window": {"from", "to"}, "counted_at",
"rows", "requests", "bytes", "eta_s", "slices": [{"from", "to", "rows"}]}]}``; null where nobody can know.
"""

from __future__ import annotations

from typing import Any

from rich.table import Table

from logferry.cli.options import AsJson, Export, From, To, export_range, run_id
from logferry.cli.output import console, lasting, number, print_json, size
from logferry.clock import SystemClock
from logferry.connection import connection_for
from logferry.ferry import open_ferry
from logferry.plan import Plan
from logferry.spec import load_exports
from logferry.wording import counted


def plan(export: Export, start: From, end: To, as_json: AsJson = False) -> int:
    """Count a range at the source: rows per slice, requests, bytes, time. Fetches nothing."""
    spec = load_exports().get(export)
    clock = SystemClock()
    window = export_range(spec, start, end, now=clock.now())
    with open_ferry(spec, connection_for, clock=clock, run_id=run_id(clock.now())) as ferry:
        plans = [ferry.plan(piece) for piece in spec.schedule_windows(window)]
    if as_json:
        print_json({"export": spec.name, **_totals(plans), "windows": [plan_json(one) for one in plans]})
    else:
        for one in plans:
            _show(one)
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


def _totals(plans: list[Plan]) -> dict[str, Any]:
    return {
        "rows": _sum([one.rows for one in plans]),
        "requests": _sum([one.requests for one in plans]),
        "bytes": _sum([one.bytes for one in plans]),
        "eta_s": _sum([one.eta_s for one in plans]),
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
