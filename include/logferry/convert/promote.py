"""Promoted columns: values lifted out of an event's free-form attributes into typed columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from logferry.convert.members import find_members
from logferry.convert.text import valid_text
from logferry.window import TICK_PER_MICROSECOND, TICK_PER_MS, parse_instant

if TYPE_CHECKING:
    from logferry.spec import ColumnSpec

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_EXACT_FLOATS = 2**53
"""Below it a double holds a whole number exactly as it was written."""
_NONE = type(None)
_OWN: dict[str, frozenset[type]] = {
    "string": frozenset({str, _NONE}),
    "int64": frozenset({int, _NONE}),
    "float64": frozenset({float, int, _NONE}),
    "bool": frozenset({bool, _NONE}),
    "timestamp": frozenset({_NONE}),
}
"""Python types whose values nearly all go into a column of the type as they are."""


_MISFIT: Any = object()
"""Stands for a value that is there but is not of the column's type."""


def promote(
    documents: Sequence[bytes | msgspec.Raw | None], columns: Mapping[str, ColumnSpec]
) -> tuple[list[pa.Array], dict[str, int]]:
    """One array per column, and ``{"misfit:<column>": n}`` for values that did not fit and are null there.

    ``documents`` holds each row's attributes as JSON text, None where the event has none. The nested key is
    looked up first, then the literal dotted one. The document itself keeps every value.
    """
    found = find_members(documents, [column.path for column in columns.values()])
    arrays = []
    misfits: dict[str, int] = {}
    for (name, column), values in zip(columns.items(), found, strict=True):
        array, unfit = _fit_column(values, column.type)
        arrays.append(array)
        if unfit:
            misfits[f"misfit:{name}"] = unfit
    return arrays, misfits


def _fit_column(values: Sequence[Any], kind: str) -> tuple[pa.Array, int]:
    """``values``: None where there is none. Those of the column's own types are looked at only when Arrow refuses one:
    a number beyond int64, or that no double is exactly, an infinity, half of a surrogate pair."""
    try:
        array, unfit = _fitted(values, kind, _OWN[kind])
        if kind != "float64" or not pc.any(pc.is_inf(array)).as_py():
            return array, unfit
    except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
        pass
    return _fitted(values, kind, frozenset({_NONE}))


def _fitted(values: Sequence[Any], kind: str, as_they_are: frozenset[type]) -> tuple[pa.Array, int]:
    """The values, but for those of the types that go in ``as_they_are`` each looked at by itself."""
    unfit = 0
    if not as_they_are.issuperset(map(type, values)):
        fitting = [value if type(value) in as_they_are else _fit(value, kind) for value in values]
        if unfit := sum(value is _MISFIT for value in fitting):
            fitting = [None if value is _MISFIT else value for value in fitting]
        values = fitting
    return pa.array(values, ARROW_TYPES[kind]), unfit


def _fit(value: Any, kind: str) -> Any:
    if kind == "string" and isinstance(value, str):
        return valid_text(value)
    if kind == "bool" and isinstance(value, bool):
        return value
    if isinstance(value, bool):
        return _MISFIT
    if kind == "int64" and isinstance(value, int | float):
        if isinstance(value, float) and not (abs(value) < _EXACT_FLOATS and value.is_integer()):
            return _MISFIT
        if not -(2**63) <= value < 2**63:
            return _MISFIT
        return int(value)
    if kind == "float64" and isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return _MISFIT
        if math.isinf(number):  # JSON has no infinity: the number was beyond a double
            return _MISFIT
        return number
    if kind == "timestamp":
        return _fit_time(value)
    return _MISFIT


def _fit_time(value: Any) -> Any:
    """Microseconds since the epoch, of ISO-8601 text with a zone or of whole epoch milliseconds."""
    if isinstance(value, str):
        try:
            return parse_instant(value) // TICK_PER_MICROSECOND
        except (ValueError, OverflowError):
            return _MISFIT
    if isinstance(value, int) and abs(value) < 2**52:
        return value * (TICK_PER_MS // TICK_PER_MICROSECOND)
    return _MISFIT
