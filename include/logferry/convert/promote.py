"""Promoted columns: values lifted out of an event's free-form attributes into typed columns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

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
_ALLOWED: dict[str, frozenset[type]] = {
    "string": frozenset({str, _NONE}),
    "int64": frozenset({int, _NONE}),
    "bool": frozenset({bool, _NONE}),
}
"""Python types that go into a column of the type as they are; of the others each value is looked at."""


class Misfit(Exception):
    """The value is there but is not of the column's type."""


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
    """``values``: None where there is none. Values of the column's own type, as nearly all are, go in at once."""
    allowed = _ALLOWED.get(kind)
    if allowed is not None and allowed.issuperset(map(type, values)):
        try:
            return pa.array(values, ARROW_TYPES[kind]), 0
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            pass  # a number beyond int64, an infinity, half of a surrogate pair
    fitting: list[Any] = []
    unfit = 0
    for value in values:
        try:
            fitting.append(None if value is None else _fit(value, kind))
        except Misfit:
            fitting.append(None)
            unfit += 1
    return pa.array(fitting, ARROW_TYPES[kind]), unfit


def _fit(value: Any, kind: str) -> Any:
    if kind == "string" and isinstance(value, str):
        return valid_text(value)
    if kind == "bool" and isinstance(value, bool):
        return value
    if isinstance(value, bool):
        raise Misfit
    if kind == "int64" and isinstance(value, int | float):
        if isinstance(value, float) and not (abs(value) < _EXACT_FLOATS and value.is_integer()):
            raise Misfit
        if not -(2**63) <= value < 2**63:
            raise Misfit
        return int(value)
    if kind == "float64" and isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            raise Misfit from None
        if math.isinf(number):  # JSON has no infinity: the number was beyond a double
            raise Misfit
        return number
    if kind == "timestamp":
        return _fit_time(value)
    raise Misfit


def _fit_time(value: Any) -> int:
    """Microseconds since the epoch, of ISO-8601 text with a zone or of whole epoch milliseconds."""
    if isinstance(value, str):
        try:
            return parse_instant(value) // TICK_PER_MICROSECOND
        except (ValueError, OverflowError):
            raise Misfit from None
    if isinstance(value, int) and abs(value) < 2**52:
        return value * (TICK_PER_MS // TICK_PER_MICROSECOND)
    raise Misfit
