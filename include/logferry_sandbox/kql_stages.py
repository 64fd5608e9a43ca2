"""The pipe stages of KQL: each is checked against the schema before it, then turns batches into batches.

Reference: https://learn.microsoft.com/kusto/query/tabular-expression-statements
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import zip_longest
from typing import Any

from logferry_sandbox.kql_aggregates import bind_aggregate
from logferry_sandbox.kql_expressions import Binder, Bound
from logferry_sandbox.kql_frame import Batch, Column, Vector, concat
from logferry_sandbox.kql_syntax import Call, Expr, Item, Literal, Member, Name, Operator
from logferry_sandbox.kql_values import NET_TYPES, convert, to_text

Run = Callable[[Iterator[Batch]], Iterator[Batch]]
Schema = tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """A checked stage. `ordered`: its rows come in a defined order (None: in the order they came).

    `whole`: it must see every row before it can answer.
    """

    schema: Schema
    run: Run
    ordered: bool | None = None
    whole: bool = False


def compile_stage(stage: Operator, schema: Schema, *, serialized: bool = False) -> Stage:
    """Check one stage; raises KqlSemanticError. `serialized`: its rows come sorted, in one batch."""
    binder = Binder({column.name: column.kind for column in schema}, stage.name, serialized=serialized)
    return _STAGES[stage.name](stage, schema, binder)


def _each(change: Callable[[Batch], Batch]) -> Run:
    return lambda batches: (change(batch) for batch in batches)


def keep_true(predicate: Bound) -> Run:
    """Only the rows for which the predicate is true; null is not true."""

    def change(batch: Batch) -> Batch:
        rows = [row for row, value in enumerate(predicate.evaluate(batch)) if value is True]
        return batch if len(rows) == batch.size else batch.pick(rows)

    return _each(change)


def _where(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    return Stage(schema, keep_true(binder.bind_bool(stage.items[0].expr)))


def _default_name(expr: Expr) -> str | None:
    match expr:
        case Name(name):
            return name
        case Member(base, Literal("string", key)):
            prefix = _default_name(base)
            return f"{prefix}_{key}" if prefix else None
        case Call(
            "bin" | "floor" | "bin_at" | "tostring" | "toint" | "tolong" | "todouble" | "tobool", args
        ) if args:
            return _default_name(args[0])
    return None


def _named(items: Sequence[Item], binder: Binder) -> list[tuple[str, Bound]]:
    named: list[tuple[str, Bound]] = []
    unnamed = 0
    for item in items:
        name = item.name or _default_name(item.expr)
        if name is None:
            unnamed += 1
            name = f"Column{unnamed}"
        if name in [other for other, _ in named]:
            raise binder.error("SEM0103", f"A column named '{name}' is defined twice")
        named.append((name, binder.bind(item.expr)))
    return named


def _extend(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    added = _named(stage.items, binder)
    kinds = {name: bound.kind for name, bound in added}
    kept = [Column(c.name, kinds.pop(c.name)) if c.name in kinds else c for c in schema]
    kept += [Column(name, kind) for name, kind in kinds.items()]

    def change(batch: Batch) -> Batch:
        return Batch(batch.size, batch.columns | {name: bound.vector(batch) for name, bound in added})

    return Stage(tuple(kept), _each(change))


def _project(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    named = _named(stage.items, binder)

    def change(batch: Batch) -> Batch:
        return Batch(batch.size, {name: bound.vector(batch) for name, bound in named})

    return Stage(tuple(Column(name, bound.kind) for name, bound in named), _each(change))


def _matched(pattern: str, schema: Schema, binder: Binder) -> list[Column]:
    """The columns a name or wildcard means; a wildcard never means a hidden one."""
    if "*" in pattern:
        return [column for column in schema if not column.hidden and fnmatchcase(column.name, pattern)]
    binder.bind(Name(pattern))
    return [column for column in schema if column.name == pattern]


def _project_away(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    gone = {column for pattern in stage.patterns for column in _matched(pattern, schema, binder)}
    return Stage(tuple(column for column in schema if column not in gone), _each(lambda batch: batch))


def _project_keep(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    kept = {column for pattern in stage.patterns for column in _matched(pattern, schema, binder)}
    return Stage(tuple(Column(c.name, c.kind) for c in schema if c in kept), _each(lambda batch: batch))


def _project_reorder(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    first = [column for pattern in stage.patterns for column in _matched(pattern, schema, binder)]
    return Stage(tuple(dict.fromkeys([*first, *schema])), _each(lambda batch: batch))


def _project_rename(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    renamed: dict[str, str] = {}
    for item in stage.items:
        if item.name is None or not isinstance(item.expr, Name):
            raise binder.error("SEM0027", "project-rename needs New = Old")
        binder.bind(item.expr)
        renamed[item.expr.name] = item.name
    after = tuple(Column(renamed[c.name], c.kind) if c.name in renamed else c for c in schema)
    names = [column.name for column in after]
    for name in names:
        if names.count(name) > 1:
            raise binder.error("SEM0103", f"A column named '{name}' is defined twice")

    def change(batch: Batch) -> Batch:
        columns = {renamed.get(column.name, column.name): batch.columns[column.name] for column in schema}
        return Batch(batch.size, columns)

    return Stage(after, _each(change))


def _parse(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    source = binder.bind(stage.items[0].expr)
    targets: list[tuple[str, str]] = [piece for piece in stage.pieces if isinstance(piece, tuple)]
    pattern = ""
    for at, piece in enumerate(stage.pieces):
        if isinstance(piece, Literal):
            pattern += re.escape(str(piece.value))
        else:
            lazy = "" if at == len(stage.pieces) - 1 else "?"
            pattern += f".*{lazy}" if piece == "*" else f"(.*{lazy})"
    match = re.compile(pattern, re.DOTALL).fullmatch
    kinds = dict(targets)
    after = [Column(c.name, kinds.pop(c.name)) if c.name in kinds else c for c in schema]
    after += [Column(name, kind) for name, kind in kinds.items()]

    def change(batch: Batch) -> Batch:
        found = [match(to_text(source.kind, value)) for value in source.evaluate(batch)]
        parsed = {}
        for group, (name, kind) in enumerate(targets, 1):
            values = [convert("string", hit[group] if hit else "", kind) for hit in found]
            parsed[name] = Vector(kind, values)
        result = Batch(batch.size, batch.columns | parsed)
        if stage.name == "parse":
            return result
        return result.pick([row for row, hit in enumerate(found) if hit])

    return Stage(tuple(after), _each(change))


def _elements(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value or [None]
    if isinstance(value, dict):
        return [{key: item} for key, item in value.items()] or [None]
    return [value]


def _mv_expand(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    named = _named([Item(item.expr, item.name) for item in stage.items], binder)
    for name, bound in named:
        if bound.kind != "dynamic":
            raise binder.error("SEM0240", f"'{name}' must be dynamic, not {bound.kind}")
    kinds = {name: item.to_type or "dynamic" for (name, _), item in zip(named, stage.items, strict=True)}
    missing = dict(kinds)
    after = [Column(c.name, missing.pop(c.name)) if c.name in missing else c for c in schema]
    after += [Column(name, kind) for name, kind in missing.items()]

    def change(batch: Batch) -> Batch:
        rows: list[int] = []
        expanded: list[tuple[Any, ...]] = []
        for row, values in enumerate(zip(*(bound.evaluate(batch) for _, bound in named), strict=True)):
            parts = list(zip_longest(*map(_elements, values)))
            rows += [row] * len(parts)
            expanded += parts
        result = batch.pick(rows)
        for at, (name, kind) in enumerate(kinds.items()):
            result.columns[name] = Vector(kind, [convert("dynamic", parts[at], kind) for parts in expanded])
        return result

    return Stage(tuple(after), _each(change))


def _summarize(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    aggregates = [bind_aggregate(binder, item) for item in stage.items]
    keys = _named(stage.by, binder)
    for name, bound in keys:
        if bound.kind == "dynamic":
            raise binder.error(
                "SEM0101", f"'{name}' is dynamic: cast it, e.g. with tostring(), to group by it"
            )
    after = tuple(
        [Column(name, bound.kind) for name, bound in keys] + [Column(a.name, a.kind) for a in aggregates]
    )

    def run(batches: Iterator[Batch]) -> Iterator[Batch]:
        groups: dict[tuple[Any, ...], list[Any]] = {}
        if not keys:
            groups[()] = [aggregate.start() for aggregate in aggregates]
        for batch in batches:
            for key, rows in _grouped(keys, batch):
                state = groups.get(key)
                if state is None:
                    state = groups[key] = [aggregate.start() for aggregate in aggregates]
                for at, aggregate in enumerate(aggregates):
                    if aggregate.source.constant:
                        values = [aggregate.source.value] * len(rows)
                    else:
                        column = aggregate.source.vector(batch).values()
                        values = [column[row] for row in rows]
                    state[at] = aggregate.add(state[at], values)
        columns = {
            name: Vector(bound.kind, [key[at] for key in groups]) for at, (name, bound) in enumerate(keys)
        }
        for at, aggregate in enumerate(aggregates):
            finished = [aggregate.finish(state[at]) for state in groups.values()]
            columns[aggregate.name] = Vector(aggregate.kind, finished)
        yield Batch(len(groups), columns)

    return Stage(after, run, ordered=False, whole=True)


def _grouped(keys: list[tuple[str, Bound]], batch: Batch) -> Iterator[tuple[tuple[Any, ...], Sequence[int]]]:
    if not keys:
        yield (), range(batch.size)
        return
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row, key in enumerate(zip(*(bound.evaluate(batch) for _, bound in keys), strict=True)):
        if key in groups:
            groups[key].append(row)
        else:
            groups[key] = [row]
    yield from groups.items()


def _distinct(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    items = stage.items or tuple(Item(Name(column.name)) for column in schema if not column.hidden)
    named = _named(items, binder)

    def run(batches: Iterator[Batch]) -> Iterator[Batch]:
        seen: set[tuple[str, ...]] = set()
        for batch in batches:
            columns = {name: bound.vector(batch) for name, bound in named}
            rows = []
            for row, key in enumerate(zip(*(vector.cells() for vector in columns.values()), strict=True)):
                if key not in seen:
                    seen.add(key)
                    rows.append(row)
            yield Batch(batch.size, columns).pick(rows)

    return Stage(tuple(Column(name, bound.kind) for name, bound in named), run, ordered=False, whole=True)


def _count(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    def run(batches: Iterator[Batch]) -> Iterator[Batch]:
        yield Batch(1, {"Count": Vector("long", [sum(batch.size for batch in batches)])})

    return Stage((Column("Count", "long"),), run, ordered=False, whole=True)


def _take_rows(batches: Iterator[Batch], limit: int) -> Iterator[Batch]:
    for batch in batches:
        yield batch.cut(0, min(limit, batch.size))
        limit -= batch.size
        if limit <= 0:
            return


def _take(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    limit = binder.bind_count(stage.items[0].expr)
    return Stage(schema, lambda batches: _take_rows(batches, limit))


def _sort(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    keys = [(binder.bind(item.expr), item.order == "desc", item.nulls == "first") for item in stage.by]
    for bound, _, _ in keys:
        if bound.kind == "dynamic":
            raise binder.error("SEM0101", "cannot sort by a dynamic: cast it, e.g. with tostring()")
    limit = binder.bind_count(stage.items[0].expr) if stage.name == "top" else None

    def run(batches: Iterator[Batch]) -> Iterator[Batch]:
        batch = concat(schema, list(batches) or [Batch(0, {c.name: Vector(c.kind, []) for c in schema})])
        rows = list(range(batch.size))
        for bound, descending, nulls_first in reversed(keys):
            values = bound.evaluate(batch)
            nulls = [row for row in rows if values[row] is None]
            known = [row for row in rows if values[row] is not None]
            known.sort(key=values.__getitem__, reverse=descending)
            rows = nulls + known if nulls_first else known + nulls
        yield batch.pick(rows if limit is None else rows[:limit])

    return Stage(schema, run, ordered=True, whole=True)


def _getschema(stage: Operator, schema: Schema, binder: Binder) -> Stage:
    visible = [column for column in schema if not column.hidden]
    columns = {
        "ColumnName": Vector("string", [column.name for column in visible]),
        "ColumnOrdinal": Vector("int", list(range(len(visible)))),
        "DataType": Vector("string", [NET_TYPES[column.kind] for column in visible]),
        "ColumnType": Vector("string", [column.kind for column in visible]),
    }
    after = tuple(Column(name, vector.kind) for name, vector in columns.items())
    return Stage(after, lambda batches: iter([Batch(len(visible), columns)]), ordered=True)


_STAGES: dict[str, Callable[[Operator, Schema, Binder], Stage]] = {
    "where": _where,
    "extend": _extend,
    "project": _project,
    "project-away": _project_away,
    "project-keep": _project_keep,
    "project-reorder": _project_reorder,
    "project-rename": _project_rename,
    "parse": _parse,
    "parse-where": _parse,
    "mv-expand": _mv_expand,
    "summarize": _summarize,
    "distinct": _distinct,
    "count": _count,
    "take": _take,
    "sort": _sort,
    "top": _sort,
    "getschema": _getschema,
}
