"""The syntax tree of a KQL query: one table, then pipe stages, with scalar expressions inside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    kind: str
    value: Any


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    base: Expr
    key: Expr


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """Unary `-`, or a binary operator, or `in`/`between` with a list of operands."""

    op: str
    args: tuple[Expr, ...]


Expr = Literal | Name | Member | Call | Operation


@dataclass(frozen=True, slots=True)
class Item:
    """`expr` or `name = expr`; for sort keys `order` is asc/desc and `nulls` first/last."""

    expr: Expr
    name: str | None = None
    order: str | None = None
    nulls: str | None = None
    to_type: str | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """One pipe stage; which fields are set depends on `name`."""

    name: str
    items: tuple[Item, ...] = ()
    by: tuple[Item, ...] = ()
    patterns: tuple[str, ...] = ()
    pieces: tuple[Any, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Query:
    table: str
    operators: tuple[Operator, ...]
