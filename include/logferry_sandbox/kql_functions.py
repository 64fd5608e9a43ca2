"""Scalar functions of KQL: each entry gets argument types and constant values, and gives result type and
function.

Reference: https://learn.microsoft.com/kusto/query/scalar-functions
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from logferry_sandbox.kql_values import NUMERIC, TICKS_PER_DAY, convert, to_text

Compute = Callable[..., Any]
Function = Callable[[Sequence[str], Sequence[Any]], tuple[str, Compute]]


def _arity(kinds: Sequence[str], low: int, high: int | None = None) -> None:
    if len(kinds) < low or (high is not None and len(kinds) > high):
        wanted = str(low) if high == low else f"{low} to {high}" if high else f"at least {low}"
        raise TypeError(f"expected {wanted} arguments, got {len(kinds)}")


def _conversion(target: str) -> Function:
    def function(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
        _arity(kinds, 1, 1)
        kind = kinds[0]
        return target, lambda value: convert(kind, value, target)

    return function


def _isempty(negative: bool) -> Function:
    def function(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
        _arity(kinds, 1, 1)
        return "bool", lambda value: (value is None or value == "") is not negative

    return function


def _isnull(negative: bool) -> Function:
    def function(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
        _arity(kinds, 1, 1)
        # Kusto strings are never null.
        text = kinds[0] == "string"
        return "bool", lambda value: (value is None and not text) is not negative

    return function


def _strcat(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 1)
    return "string", lambda *parts: "".join(map(to_text, kinds, parts))


def _strlen(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 1, 1)
    return "long", lambda value: len(to_text(kinds[0], value))


def _case_of(change: Callable[[str], str]) -> Function:
    def function(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
        _arity(kinds, 1, 1)
        return "string", lambda value: change(to_text(kinds[0], value))

    return function


def _substring(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 2, 3)

    def compute(value: Any, start: int, length: int | None = None) -> str:
        text = to_text(kinds[0], value)
        return text[start:] if length is None else text[start : start + length]

    return "string", compute


def _common(kinds: Sequence[str]) -> str:
    known = {kind for kind in kinds if kind != "dynamic"} or {"dynamic"}
    if len(known) == 1:
        return known.pop()
    if known <= set(NUMERIC):
        return max(known, key=NUMERIC.index)
    raise TypeError(f"the results must have one type, not {', '.join(sorted(known))}")


def _coalesce(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 2)

    def compute(*options: Any) -> Any:
        return next((option for option in options if option is not None and option != ""), options[-1])

    return _common(kinds), compute


def _case(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 3)
    if len(kinds) % 2 == 0:
        raise TypeError("expected pairs of predicate and result, then a default")

    def compute(*parts: Any) -> Any:
        for at in range(0, len(parts) - 1, 2):
            if parts[at] is True:
                return parts[at + 1]
        return parts[-1]

    return _common([*kinds[1::2], kinds[-1]]), compute


def _iff(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 3, 3)
    return _case(kinds, values)


def floor_to(value: Any, size: Any, anchor: Any = 0) -> Any:
    """`value` rounded down to a multiple of `size` counted from `anchor`; null for a null or a size of 0."""
    if value is None or not size:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return value
    return (value - anchor) // size * size + anchor


def _bin(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 2, 2)
    value, size = kinds
    if value in ("datetime", "timespan"):
        if size == "timespan":
            return value, floor_to
        if size in NUMERIC:  # a bare number of days
            return value, lambda at, days: floor_to(at, int(days * TICKS_PER_DAY))
    elif value in NUMERIC and size in NUMERIC:
        if "decimal" in kinds:
            return "decimal", lambda a, b: None if a is None else floor_to(Decimal(str(a)), Decimal(str(b)))
        return max(kinds, key=NUMERIC.index), floor_to
    raise TypeError(f"a {value} cannot be rounded to a {size}")


def _bin_at(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 3, 3)
    if kinds[0] == kinds[2] and (kinds[0] in NUMERIC or kinds[1] == "timespan"):
        return kinds[0], floor_to
    raise TypeError(f"a {kinds[0]} cannot be rounded to a {kinds[1]} from a {kinds[2]}")


def stable_hash(kind: str, value: Any) -> int:
    """A 63-bit hash of a value. Kusto documents `hash()` as an implementation detail; only its determinism
    counts.
    """
    text = to_text(kind, value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) >> 1


def _hash(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 1, 2)
    if kinds[0] == "dynamic":
        raise TypeError("cannot hash a dynamic; use tostring() first")
    kind = kinds[0]
    if len(kinds) == 1:
        return "long", lambda value: stable_hash(kind, value)
    return "long", lambda value, modulus: stable_hash(kind, value) % modulus


def _parse_json(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 1, 1)
    return "dynamic", lambda value: convert(kinds[0], value, "dynamic")


_FIXED_SIZES = {
    "bool": 1,
    "int": 4,
    "long": 8,
    "real": 8,
    "datetime": 8,
    "timespan": 8,
    "guid": 16,
    "decimal": 34,
}


def _estimate_data_size(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    """https://learn.microsoft.com/kusto/query/estimate-data-size-function: 8 for a long, a text by its length."""
    _arity(kinds, 1)
    fixed = sum(_FIXED_SIZES.get(kind, 0) for kind in kinds)
    texts = [(at, kind) for at, kind in enumerate(kinds) if kind not in _FIXED_SIZES]

    def compute(*cells: Any) -> int:
        # Every plan asks for each cell of its rows: most are texts, and an ASCII one is as wide as long.
        size = fixed
        for at, kind in texts:
            text = cell if type(cell := cells[at]) is str else to_text(kind, cell)
            size += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        return size

    return "long", compute


def _array_length(kinds: Sequence[str], values: Sequence[Any]) -> tuple[str, Compute]:
    _arity(kinds, 1, 1)
    return "long", lambda value: len(value) if isinstance(value, list) else None


FUNCTIONS: dict[str, Function] = {
    "tostring": _conversion("string"),
    "toint": _conversion("int"),
    "tolong": _conversion("long"),
    "todouble": _conversion("real"),
    "toreal": _conversion("real"),
    "todecimal": _conversion("decimal"),
    "tobool": _conversion("bool"),
    "toboolean": _conversion("bool"),
    "todatetime": _conversion("datetime"),
    "totimespan": _conversion("timespan"),
    "toguid": _conversion("guid"),
    "todynamic": _parse_json,
    "parse_json": _parse_json,
    "array_length": _array_length,
    "isempty": _isempty(negative=False),
    "isnotempty": _isempty(negative=True),
    "isnull": _isnull(negative=False),
    "isnotnull": _isnull(negative=True),
    "strcat": _strcat,
    "strlen": _strlen,
    "tolower": _case_of(str.lower),
    "toupper": _case_of(str.upper),
    "substring": _substring,
    "coalesce": _coalesce,
    "case": _case,
    "iff": _iff,
    "iif": _iff,
    "bin": _bin,
    "floor": _bin,
    "bin_at": _bin_at,
    "hash": _hash,
    "estimate_data_size": _estimate_data_size,
}
