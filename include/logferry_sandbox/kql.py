"""A small KQL interpreter over in-memory tables: enough of the language to test an exporter honestly.

The time filter at the head of a query is worked out by bisection, never row by row; the rest runs batch by
batch and column by column. What it does not know it refuses, with the error the service would give.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from logferry_sandbox.kql_errors import KqlSemanticError, ScanTooLarge
from logferry_sandbox.kql_expressions import Binder
from logferry_sandbox.kql_frame import Batch, Column, Table
from logferry_sandbox.kql_parse import parse_query
from logferry_sandbox.kql_shortcuts import NumberedRows, shortcut
from logferry_sandbox.kql_stages import Stage, compile_stage, keep_true
from logferry_sandbox.kql_syntax import Expr, Name, Operation, Operator
from logferry_sandbox.kql_values import MAX_TICKS

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a query: its columns, its batches (made as they are read), and whether their order
    means anything. `numbered`: the same rows by their numbers, where the table knows them so.
    """

    columns: tuple[Column, ...]
    batches: Iterator[Batch]
    ordered: bool
    numbered: NumberedRows | None = None

    def rows(self) -> Iterator[list[str]]:
        """The JSON text of the rows, a list per batch."""
        for batch in self.batches:
            if batch.size:
                cells = [batch.columns[column.name].cells() for column in self.columns]
                yield [f"[{row}]" for row in map(",".join, zip(*cells, strict=True))]


def run_query(
    text: str,
    tables: Mapping[str, Table],
    *,
    start: int = 0,
    stop: int = MAX_TICKS,
    scan_limit: int | None = None,
) -> Answer:
    """Check and run one query; `start`/`stop` (ticks, half-open) narrow the table beside the query's own
    filter.

    Raises KqlSyntaxError, KqlSemanticError, or ScanTooLarge when more than `scan_limit` rows would be read.
    """
    query = parse_query(text)
    table = tables.get(query.table)
    if table is None:
        stage = f"'{query.operators[0].name}' operator: " if query.operators else ""
        raise KqlSemanticError(
            "SEM0100", f"{stage}Failed to resolve table or column expression named '{query.table}'"
        )
    schema = table.schema
    stages: list[Stage] = []
    leading, serialized = True, False
    filters = 0
    for operator in query.operators:
        if leading and operator.name == "where":
            # Checking the whole predicate first keeps an error in a part the bisection would swallow.
            compile_stage(operator, schema)
            start, stop, rest = _narrow(operator.items[0].expr, table, start, stop)
            stages += [
                Stage(schema, keep_true(Binder({c.name: c.kind for c in schema}, "where").bind_bool(part)))
                for part in rest
            ]
            filters += 1
            continue
        leading = False
        compiled = compile_stage(operator, schema, serialized=serialized)
        stages.append(compiled)
        schema = compiled.schema
        serialized = serialized if compiled.ordered is None else operator.name in ("sort", "top")
    # A predicate that remains to be tested has a stage of its own: then the rows cannot be told by their numbers.
    known = None
    if len(stages) == len(query.operators) - filters:
        known = shortcut(table, query.operators[filters:], stages, start, stop)
    if known is None and scan_limit is not None and _reads_everything(query.operators) and stop > start:
        planned = table.rows_between(start, stop)
        if planned > scan_limit:
            raise ScanTooLarge(f"{planned} rows")
    batches = table.scan(start, stop) if stop > start else iter(())
    if known is not None and known.batch is not None:
        batches, stages = iter((known.batch,)), stages[known.stages :]
    ordered = False
    for compiled in stages:
        batches = compiled.run(batches)
        ordered = ordered if compiled.ordered is None else compiled.ordered
    columns = tuple(column for column in schema if not column.hidden)
    return Answer(columns, batches, ordered, None if known is None else known.rows)


def _reads_everything(operators: tuple[Operator, ...]) -> bool:
    """Whether no `take` (or `getschema`) ends the scan early."""
    for operator in operators:
        if operator.name in ("take", "getschema"):
            return False
        if operator.name in ("summarize", "sort", "top", "count", "distinct"):
            return True
    return True


def _narrow(predicate: Expr, table: Table, start: int, stop: int) -> tuple[int, int, list[Expr]]:
    """The range a predicate asks of the time column, and the parts of the predicate that remain to be
    tested.
    """
    rest: list[Expr] = []
    binder = Binder({column.name: column.kind for column in table.schema}, "where")
    parts = [predicate]
    while parts:
        part = parts.pop(0)
        bounds = None
        match part:
            case Operation("and", (left, right)):
                parts[:0] = [left, right]
                continue
            case Operation("between", (Name(name), low, high)) if name == table.time_column:
                first, last = _constant(binder, low), _constant(binder, high)
                if first is not None and last is None:
                    last = _constant(binder, Operation("+", (low, high)))
                if first is not None and last is not None:
                    bounds = (first, last + 1)
            case Operation(op, (Name(name), other)) if name == table.time_column and op in _MIRRORED:
                bounds = _range(op, _constant(binder, other))
            case Operation(op, (other, Name(name))) if name == table.time_column and op in _MIRRORED:
                bounds = _range(_MIRRORED[op], _constant(binder, other))
        if bounds is None:
            rest.append(part)
        else:
            start, stop = max(start, bounds[0]), min(stop, bounds[1])
    return start, stop, rest


def _constant(binder: Binder, expr: Expr) -> int | None:
    try:
        bound = binder.bind(expr)
    except (
        KqlSemanticError
    ):  # `datetime .. datetime` bounds do not add up; the whole predicate was checked before
        return None
    return bound.value if bound.constant and bound.kind == "datetime" else None


def _range(op: str, at: int | None) -> tuple[int, int] | None:
    if at is None:
        return None
    match op:
        case "<":
            return 0, at
        case "<=":
            return 0, at + 1
        case ">":
            return at + 1, MAX_TICKS
        case ">=":
            return at, MAX_TICKS
        case _:
            return at, at + 1


def shuffled(rows: list[bytes], seed: str) -> list[bytes]:
    """The rows in another order, the same for the same seed: without `sort` the service promises none.

    Strided slices keep this cheap for half a million rows.
    """
    choose = random.Random(seed)
    stride = choose.randint(3, 11)
    offsets = list(range(stride))
    choose.shuffle(offsets)
    return [row for offset in offsets for row in rows[offset::stride]]
