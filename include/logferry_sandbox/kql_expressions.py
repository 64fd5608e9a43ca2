"""Scalar expressions of KQL: types are checked once, then each expression is worked out a column at a time.

Null rules follow https://learn.microsoft.com/kusto/query/scalar-data-types/null-values : comparing with
null gives null except `==` (false) and `!=` (true) against a value, and `where` keeps only true.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any

from logferry_sandbox.kql_errors import KqlSemanticError
from logferry_sandbox.kql_frame import Batch, Vector
from logferry_sandbox.kql_functions import FUNCTIONS
from logferry_sandbox.kql_syntax import Call, Expr, Literal, Member, Name, Operation
from logferry_sandbox.kql_values import NUMERIC, to_text

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_JSON_KINDS = ("bool", "int", "long", "string", "guid", "dynamic")
_TERM = r"(?<![A-Za-z0-9]){}(?![A-Za-z0-9])"


@dataclass(frozen=True, slots=True)
class Bound:
    """A checked expression: its type and how to work it out over a batch.

    `constant` marks a value that is the same in every row; `column` names the source of a bare column
    reference.
    """

    kind: str
    evaluate: Callable[[Batch], list[Any]]
    constant: bool = False
    value: Any = None
    column: str | None = None

    def vector(self, batch: Batch) -> Vector:
        """The result as a column; a bare reference keeps the source's prepared JSON."""
        if self.column is not None:
            return batch.columns[self.column]
        return Vector(self.kind, make=lambda: self.evaluate(batch))


def constant(kind: str, value: Any) -> Bound:
    """The expression with one value for every row."""
    return Bound(kind, lambda batch: [value] * batch.size, constant=True, value=value)


def property_bags(kinds: Mapping[str, str], batch: Batch) -> list[Any]:
    """`pack_all()`: every column of each row as one bag; what JSON has no form for becomes text.

    https://learn.microsoft.com/kusto/query/pack-all-function
    """
    columns = []
    for name, kind in kinds.items():
        values = batch.columns[name].values()
        if kind not in _JSON_KINDS:
            values = [None if value is None else to_text(kind, value) for value in values]
        columns.append(values)
    return [dict(zip(kinds, row, strict=True)) for row in zip(*columns, strict=True)]


def _incomparable(left: str, right: str) -> KqlSemanticError:
    return KqlSemanticError(
        "SEM0064", f"Cannot compare values of types {left} and {right}. Try adding explicit casts"
    )


def _comparable(left: str, right: str) -> bool:
    if left == right or "dynamic" in (left, right):
        return True
    return left in NUMERIC and right in NUMERIC


class Binder:
    """Turns syntax into Bound expressions for one stage of a query."""

    def __init__(self, kinds: Mapping[str, str], stage: str, *, serialized: bool = False) -> None:
        self._kinds = kinds
        self._stage = stage
        self._serialized = serialized

    def error(self, code: str, message: str) -> KqlSemanticError:
        """A semantic error that names the stage it happened in."""
        return KqlSemanticError(code, f"'{self._stage}' operator: {message}")

    def bind(self, expr: Expr) -> Bound:
        """Check names and types; a sub-expression of constants becomes one constant."""
        match expr:
            case Literal(kind, value):
                return constant(kind, value)
            case Name(name):
                if name not in self._kinds:
                    raise self.error(
                        "SEM0100", f"Failed to resolve column or scalar expression named '{name}'"
                    )
                return Bound(self._kinds[name], lambda batch: batch.columns[name].values(), column=name)
            case Member():
                return self._member(expr)
            case Call("estimate_data_size", (Name("*"),)):
                return self._call("estimate_data_size", [self.bind(Name(column)) for column in self._kinds])
            case Call(name, args):
                return self._call(name, [self.bind(arg) for arg in args])
            case Operation(op, args):
                return self._fold(self._operation(op, [self.bind(arg) for arg in args]), args)
        raise AssertionError(expr)

    def bind_bool(self, expr: Expr) -> Bound:
        """As bind, for a predicate."""
        bound = self.bind(expr)
        if bound.kind not in ("bool", "dynamic"):
            raise self.error("SEM0024", f"The predicate must be of type bool, not {bound.kind}")
        return bound

    def bind_count(self, expr: Expr) -> int:
        """A constant row count."""
        bound = self.bind(expr)
        if not bound.constant or bound.kind not in ("int", "long") or bound.value is None or bound.value < 0:
            raise self.error("SEM0023", "the row count must be a non-negative constant")
        return int(bound.value)

    def _fold(self, bound: Bound, args: Sequence[Expr]) -> Bound:
        if all(self.bind(arg).constant for arg in args):
            return constant(bound.kind, bound.evaluate(Batch(1, {}))[0])
        return bound

    def _member(self, expr: Member) -> Bound:
        base, key = self.bind(expr.base), self.bind(expr.key)
        if base.kind != "dynamic":
            raise self.error("SEM0010", f"cannot take a member of a value of type {base.kind}")

        def member(value: Any, name: Any) -> Any:
            if isinstance(value, dict):
                return value.get(name)
            if isinstance(value, list) and isinstance(name, int) and -len(value) <= name < len(value):
                return value[name]
            return None

        return Bound("dynamic", lambda batch: list(map(member, base.evaluate(batch), key.evaluate(batch))))

    def _call(self, name: str, args: list[Bound]) -> Bound:
        if name == "not":
            if len(args) != 1 or args[0].kind not in ("bool", "dynamic"):
                raise self.error("SEM0009", "not() takes one bool")
            return Bound("bool", lambda b: [None if v is None else not v for v in args[0].evaluate(b)])
        if name == "pack_all" and not args:
            kinds = self._kinds
            return Bound("dynamic", lambda b: property_bags(kinds, b))
        if name == "row_cumsum":
            return self._row_cumsum(args)
        function = FUNCTIONS.get(name)
        if function is None:
            raise self.error("SEM0260", f"Unknown function: '{name}'")
        try:
            kind, compute = function([arg.kind for arg in args], [arg.value for arg in args])
        except TypeError as error:
            raise self.error("SEM0219", f"{name}(): {error}") from error
        bound = Bound(kind, lambda batch: list(map(compute, *(arg.evaluate(batch) for arg in args))))
        if args and all(arg.constant for arg in args):
            return constant(kind, compute(*(arg.value for arg in args)))
        return bound

    def _row_cumsum(self, args: list[Bound]) -> Bound:
        """https://learn.microsoft.com/kusto/query/row-cumsum-function: only over a serialized row set."""
        if not self._serialized:
            message = (
                "Function 'row_cumsum' cannot be invoked in current context: the row set must be serialized"
            )
            raise self.error("SEM0036", message)
        if len(args) != 1 or args[0].kind not in NUMERIC:
            raise self.error("SEM0219", "row_cumsum(): expected one number")
        return Bound(args[0].kind, lambda batch: list(accumulate(args[0].evaluate(batch))))

    def _operation(self, op: str, args: list[Bound]) -> Bound:
        match op:
            case "and" | "or":
                return self._logic(op, args)
            case "==" | "!=":
                return self._equality(op, *args)
            case "<" | "<=" | ">" | ">=":
                return self._order(op, *args)
            case "negate":
                if args[0].kind not in (*NUMERIC, "timespan", "dynamic"):
                    raise self.error("SEM0026", f"cannot negate a value of type {args[0].kind}")
                return Bound(args[0].kind, lambda b: [None if v is None else -v for v in args[0].evaluate(b)])
            case "+" | "-" | "*" | "/" | "%":
                return self._arithmetic(op, *args)
            case "between" | "!between":
                return self._between(op, *args)
            case "in" | "!in" | "in~" | "!in~":
                return self._membership(op, args)
            case _:
                return self._text(op, *args)

    def _logic(self, op: str, args: list[Bound]) -> Bound:
        for arg in args:
            if arg.kind not in ("bool", "dynamic"):
                raise self.error("SEM0024", f"'{op}' needs bool operands, not {arg.kind}")
        absorbing = op == "or"

        def combine(left: Any, right: Any) -> Any:
            if left is absorbing or right is absorbing:
                return absorbing
            return None if left is None or right is None else not absorbing

        return Bound("bool", lambda b: list(map(combine, args[0].evaluate(b), args[1].evaluate(b))))

    def _equality(self, op: str, left: Bound, right: Bound) -> Bound:
        if not _comparable(left.kind, right.kind):
            raise _incomparable(left.kind, right.kind)
        wanted = op == "=="
        if right.constant and right.value is not None:
            value = right.value
            return Bound("bool", lambda b: [(v == value) is wanted for v in left.evaluate(b)])

        def equal(a: Any, b: Any) -> bool | None:
            return None if a is None and b is None else (a == b) is wanted

        return Bound("bool", lambda b: list(map(equal, left.evaluate(b), right.evaluate(b))))

    def _order(self, op: str, left: Bound, right: Bound) -> Bound:
        if not _comparable(left.kind, right.kind) or left.kind == "bool":
            raise _incomparable(left.kind, right.kind)
        compare = _COMPARE[op]
        if right.constant and right.value is not None and left.kind != "dynamic":
            value = right.value
            return Bound(
                "bool", lambda b: [None if v is None else compare(v, value) for v in left.evaluate(b)]
            )

        def ordered(a: Any, b: Any) -> bool | None:
            if a is None or b is None:
                return None
            try:
                return compare(a, b)
            except TypeError:  # a dynamic that holds something else
                return None

        return Bound("bool", lambda b: list(map(ordered, left.evaluate(b), right.evaluate(b))))

    def _between(self, op: str, value: Bound, low: Bound, high: Bound) -> Bound:
        if value.kind == "datetime" and low.kind == "datetime" and high.kind == "timespan":
            high = self._arithmetic("+", low, high)
        inside = self._logic("and", [self._order(">=", value, low), self._order("<=", value, high)])
        return inside if op == "between" else self._call("not", [inside])

    def _membership(self, op: str, args: list[Bound]) -> Bound:
        value, options = args[0], args[1:]
        for option in options:
            if not _comparable(value.kind, option.kind):
                raise _incomparable(value.kind, option.kind)
            if not option.constant:
                raise self.error("SEM0025", "every value of an in-list must be a constant")
        negative, caseless = op.startswith("!"), op.endswith("~")

        def fold(item: Any) -> Any:
            return item.lower() if caseless and isinstance(item, str) else item

        wanted: list[Any] = []
        for option in options:
            wanted.extend(option.value if isinstance(option.value, list) else [option.value])
        found = {fold(item) for item in wanted if item is not None and not isinstance(item, dict)}

        def contained(item: Any) -> bool:
            return (not isinstance(item, dict | list) and fold(item) in found) is not negative

        return Bound("bool", lambda b: [contained(item) for item in value.evaluate(b)])

    def _arithmetic(self, op: str, left: Bound, right: Bound) -> Bound:
        kind = self._arithmetic_kind(op, left.kind, right.kind)
        whole = kind in ("int", "long", "timespan") and op in "/%"

        def compute(a: Any, b: Any) -> Any:
            if a is None or b is None or isinstance(a, str) or isinstance(b, str):
                return None
            if op in "/%" and b == 0:
                return None if kind != "real" or op == "%" or a == 0 else float("inf") * (1 if a > 0 else -1)
            if kind == "decimal":
                a, b = Decimal(str(a)), Decimal(str(b))
            try:
                match op:
                    case "+":
                        result = a + b
                    case "-":
                        result = a - b
                    case "*":
                        result = a * b
                    case "/":
                        result = int(a / b) if whole and isinstance(b, float) else a // b if whole else a / b
                    case _:
                        result = a % b
            except TypeError:
                return None
            return int(result) if kind == "timespan" else result

        return Bound(kind, lambda b: list(map(compute, left.evaluate(b), right.evaluate(b))))

    def _arithmetic_kind(self, op: str, left: str, right: str) -> str:
        pair = (left, right)
        if "dynamic" in pair:
            return "dynamic"
        if left in NUMERIC and right in NUMERIC:
            return max(pair, key=NUMERIC.index)
        kinds = {
            ("datetime", "-", "datetime"): "timespan",
            ("datetime", "-", "timespan"): "datetime",
            ("datetime", "+", "timespan"): "datetime",
            ("timespan", "+", "datetime"): "datetime",
            ("timespan", "+", "timespan"): "timespan",
            ("timespan", "-", "timespan"): "timespan",
            ("timespan", "/", "timespan"): "real",
            ("timespan", "%", "timespan"): "timespan",
            ("datetime", "%", "timespan"): "timespan",
        }
        if left == "timespan" and right in NUMERIC and op in "*/":
            return "timespan"
        if right == "timespan" and left in NUMERIC and op == "*":
            return "timespan"
        kind = kinds.get((left, op, right))
        if kind is None:
            raise self.error("SEM0026", f"'{op}' is not defined for {left} and {right}")
        return kind

    def _text(self, op: str, left: Bound, right: Bound) -> Bound:
        negative = op.startswith("!")
        name = op.removeprefix("!")
        for side in (left, right):
            if side.kind not in ("string", "dynamic"):
                raise self.error("SEM0064", f"'{op}' needs string operands, not {side.kind}")
        if name in ("=~", "~"):
            name = "=~"
        test = self._text_test(name)
        sensitive = name.endswith("_cs") or name == "matches regex"

        def compute(a: Any, b: Any) -> bool:
            first, second = to_text(left.kind, a), to_text(right.kind, b)
            if not sensitive:
                first, second = first.lower(), second.lower()
            return test(first, second) is not negative

        return Bound("bool", lambda b: list(map(compute, left.evaluate(b), right.evaluate(b))))

    @staticmethod
    def _text_test(name: str) -> Callable[[str, str], bool]:
        match name.removesuffix("_cs"):
            case "=~":
                return operator.eq
            case "contains":
                return operator.contains
            case "startswith":
                return str.startswith
            case "endswith":
                return str.endswith
            case "has":
                return lambda text, term: re.search(_TERM.format(re.escape(term)), text) is not None
            case _:
                return lambda text, pattern: re.search(pattern, text) is not None
