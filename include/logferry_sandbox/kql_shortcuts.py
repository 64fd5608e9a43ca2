"""Queries over a table that knows its rows by number: counts and whole rows without making a row.

Only the forms an exporter sends are recognised (a time range, renamed columns, counts by bins, rows in the order of
time or in none); anything else is left to the interpreter, which gives the same answers row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

from logferry_sandbox.http_server import Buffer
from logferry_sandbox.kql_expressions import Binder
from logferry_sandbox.kql_frame import Batch, Column, Table, Vector
from logferry_sandbox.kql_functions import floor_to
from logferry_sandbox.kql_stages import Stage
from logferry_sandbox.kql_syntax import Call, Expr, Item, Name, Operator


class Written(Protocol):
    """The JSON rows of some columns, by row number."""

    def bytes_before(self, row: int) -> int:
        """Bytes of all rows before this one, a comma after each."""

    def text(self, start: int, stop: int) -> Buffer:
        """Rows ``[start, stop)``, a comma after each."""


@runtime_checkable
class NumberedTable(Table, Protocol):
    """A table whose rows have numbers that ascend with their time. Times are ticks since 0001-01-01."""

    def rows_before(self, tick: int) -> int:
        """How many rows are earlier than ``tick``."""

    def time_of(self, row: int) -> int:
        """The row's time."""

    def data_size_before(self, columns: Sequence[str], row: int) -> int:
        """The sum of ``estimate_data_size`` of these columns over all rows before this one."""

    def written(self, columns: Sequence[str]) -> Written:
        """The rows as JSON arrays of these columns."""


@dataclass(frozen=True, slots=True)
class NumberedRows:
    """A result that is rows ``[start, stop)`` of a table, of each the given columns."""

    table: NumberedTable
    columns: tuple[str, ...]
    start: int
    stop: int

    def written(self) -> Written:
        """The rows as JSON arrays."""
        return self.table.written(self.columns)


@dataclass(frozen=True, slots=True)
class Shortcut:
    """What is known beforehand: the result of the first ``stages`` stages, or all the rows (``batch`` None)."""

    stages: int
    batch: Batch | None
    rows: NumberedRows | None


def shortcut(
    table: Table, operators: Sequence[Operator], stages: Sequence[Stage], start: int, stop: int
) -> Shortcut | None:
    """How to answer the ``operators`` (each compiled to one of ``stages``) over the time range, or None."""
    if not isinstance(table, NumberedTable):
        return None
    first, last = table.rows_before(start), table.rows_before(stop)
    names = {column.name: column.name for column in table.schema}
    schema: tuple[Column, ...] = table.schema
    for number, (operator, stage) in enumerate(zip(operators, stages, strict=True)):
        renamed = _renamed(operator.items, names)
        match operator.name:
            case "extend" if renamed is not None:
                names |= renamed
            case "project" if renamed is not None:
                names = renamed
            case "sort" if _by_time(operator, names, table.time_column):
                pass
            case "count":
                return Shortcut(number + 1, Batch(1, {"Count": Vector("long", [last - first])}), None)
            case "summarize":
                sized = [names[column.name] for column in schema]
                batch = _counted(table, operator, stage, names, sized, first, max(first, last))
                return None if batch is None else Shortcut(number + 1, batch, None)
            case _:
                return None
        schema = stage.schema
    columns = tuple(names[column.name] for column in schema if not column.hidden)
    return Shortcut(len(stages), None, NumberedRows(table, columns, first, max(first, last)))


def _renamed(items: Sequence[Item], names: dict[str, str]) -> dict[str, str] | None:
    """What the items name, by their names; None unless all of them are columns."""
    renamed = {}
    for item in items:
        if not isinstance(item.expr, Name):
            return None
        renamed[item.name or item.expr.name] = names[item.expr.name]
    return renamed


def _by_time(operator: Operator, names: dict[str, str], time_column: str) -> bool:
    match operator.by:
        case (Item(Name(name), order="asc"),):
            return names[name] == time_column
    return False


def _counted(
    table: NumberedTable,
    operator: Operator,
    stage: Stage,
    names: dict[str, str],
    sized: Sequence[str],
    first: int,
    last: int,
) -> Batch | None:
    """``summarize`` of counts and data sizes, in total or by bins of time."""
    measures: list[Callable[[int], int]] = []
    for item in operator.items:
        match item.expr:
            case Call("count", ()):
                measures.append(lambda row: row)
            case Call("sum", (Call("estimate_data_size", (Name("*"),)),)):
                measures.append(lambda row: table.data_size_before(sized, row))
            case _:
                return None
    match operator.by:
        case ():
            bins: list[int] = []
            edges = [first, last]
        case (Item(expr),):
            size_anchor = _bin(expr, names, table.time_column)
            if size_anchor is None:
                return None
            size, anchor = size_anchor
            bins, edges = [], [first]
            while edges[-1] < last:
                bins.append(floor_to(table.time_of(edges[-1]), size, anchor))
                edges.append(min(last, table.rows_before(bins[-1] + size)))
        case _:
            return None
    keyed = [Vector("datetime", list(bins))] if operator.by else []
    sums = []
    for measure in measures:
        before = [measure(row) for row in edges]
        sums.append(Vector("long", [after - now for now, after in pairwise(before)]))
    columns = {column.name: vector for column, vector in zip(stage.schema, [*keyed, *sums], strict=True)}
    return Batch(len(edges) - 1, columns)


def _bin(expr: Expr, names: dict[str, str], time_column: str) -> tuple[int, int] | None:
    """Size and anchor of the bins, where the expression is ``bin`` or ``bin_at`` of the time column."""
    match expr:
        case Call("bin" | "floor" | "bin_at", (Name(name), *constants)) if names[name] == time_column:
            bound = [Binder({}, "summarize").bind(constant) for constant in constants]
            sizes = [one.value for one in bound if one.constant and one.kind in ("timespan", "datetime")]
            if len(sizes) == len(bound) and bound[0].kind == "timespan" and sizes[0]:
                return sizes[0], sizes[1] if len(sizes) > 1 else 0
    return None
