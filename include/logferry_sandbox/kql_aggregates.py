"""Aggregates of `summarize`: a start, what a group's values add to it, and its end.

Reference: https://learn.microsoft.com/kusto/query/aggregation-functions
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from logferry_sandbox.kql_errors import KqlSemanticError
from logferry_sandbox.kql_expressions import Binder, Bound, constant
from logferry_sandbox.kql_syntax import Call, Item, Name
from logferry_sandbox.kql_values import NUMERIC


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One output column of summarize. `add` gets the state and the group's values of one batch."""

    name: str
    kind: str
    source: Bound
    start: Callable[[], Any]
    add: Callable[[Any, list[Any]], Any]
    finish: Callable[[Any], Any]


def _plain(value: Any) -> Any:
    return value


def _extreme(pick: Callable[..., Any]) -> Callable[[Any, list[Any]], Any]:
    def add(state: Any, values: list[Any]) -> Any:
        known = [value for value in values if value is not None]
        if state is not None:
            known.append(state)
        return pick(known) if known else None

    return add


def _sum(state: Any, values: list[Any]) -> Any:
    return sum((value for value in values if value is not None), state)


def _average(state: tuple[Any, int], values: list[Any]) -> tuple[Any, int]:
    known = [value for value in values if value is not None]
    return state[0] + sum(known), state[1] + len(known)


def _any(state: Any, values: list[Any]) -> Any:
    return state if state is not None else next((value for value in values if value is not None), None)


def bind_aggregate(binder: Binder, item: Item) -> Aggregate:
    """The aggregate one item of `summarize` asks for; raises KqlSemanticError for anything else."""
    call = item.expr
    if not isinstance(call, Call):
        raise binder.error("SEM0028", "summarize needs aggregates, e.g. count()")
    if call.name == "count" and not call.args:
        name = item.name or "count_"
        return Aggregate(name, "long", constant("long", 1), int, lambda n, v: n + len(v), _plain)
    if len(call.args) != 1:
        raise binder.error("SEM0219", f"{call.name}() takes one argument")
    source = binder.bind_bool(call.args[0]) if call.name == "countif" else binder.bind(call.args[0])
    argument = call.args[0]
    name = item.name or f"{call.name}_{argument.name if isinstance(argument, Name) else ''}"
    match call.name:
        case "countif":
            return Aggregate(name, "long", source, int, lambda n, v: n + v.count(True), _plain)
        case "dcount":
            return Aggregate(name, "long", source, set, lambda s, v: s | set(v), len)
        case "min" | "max":
            pick = min if call.name == "min" else max
            return Aggregate(name, source.kind, source, lambda: None, _extreme(pick), _plain)
        case "take_any" | "any":
            return Aggregate(name, source.kind, source, lambda: None, _any, _plain)
        case "sum" | "avg" if source.kind in (*NUMERIC, "timespan"):
            kind = "long" if source.kind == "int" else source.kind
            if call.name == "sum":
                return Aggregate(name, kind, source, int, _sum, _plain)
            kind = source.kind if source.kind in ("decimal", "timespan") else "real"
            return Aggregate(
                name,
                kind,
                source,
                lambda: (0, 0),
                _average,
                lambda s: None if not s[1] else s[0] // s[1] if kind == "timespan" else s[0] / s[1],
            )
    raise KqlSemanticError("SEM0260", f"'summarize' operator: Unknown aggregate: '{call.name}'")
