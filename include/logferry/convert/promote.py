"""Promoted columns: values lifted out of an event's free-form attributes into typed columns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from logferry.convert.text import valid_text
from logferry.spec import ColumnSpec
from logferry.window import TICK_PER_MICROSECOND, TICK_PER_MS, parse_instant

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}
_MOST_DIGITS = 400
"""No double has more digits before its point."""
_EXACT_FLOATS = 2**53
"""Below it a double holds a whole number exactly as it was written."""
_MISSING = object()
_decode = msgspec.json.Decoder().decode


class Misfit(Exception):
    """The value is there but is not of the column's type."""


def promote(
    documents: Sequence[bytes | None], columns: Mapping[str, ColumnSpec]
) -> tuple[list[pa.Array], dict[str, int]]:
    """One array per column, and ``{"misfit:<column>": n}`` for values that did not fit and are null there.

    ``documents`` holds each row's attributes as JSON text, None where the event has none. The nested key is
    looked up first, then the literal dotted one. The document itself keeps every value.
    """
    values: dict[str, list[Any]] = {name: [] for name in columns}
    misfits: dict[str, int] = {}
    for document in documents:
        parsed = None if document is None else _parse(document)
        for name, column in columns.items():
            found = _find(parsed, column.path)
            if found is _MISSING or found is None:
                values[name].append(None)
                continue
            try:
                values[name].append(_fit(found, column.type))
            except Misfit:
                values[name].append(None)
                misfits[f"misfit:{name}"] = misfits.get(f"misfit:{name}", 0) + 1
    arrays = [pa.array(values[name], ARROW_TYPES[column.type]) for name, column in columns.items()]
    return arrays, misfits


def _parse(document: bytes) -> Any:
    try:
        return _decode(document)
    except msgspec.DecodeError:
        # Numbers beyond a double and lone surrogates: legal JSON that msgspec refuses.
        return json.loads(document, parse_int=_whole)


def _whole(digits: str) -> int | float:
    """A whole number; beyond any column's range infinity, as Python refuses to read thousands of digits."""
    return int(digits) if len(digits) <= _MOST_DIGITS else math.inf


def _find(document: Any, path: str) -> Any:
    here = document
    for key in path.split("."):
        if not isinstance(here, dict) or key not in here:
            here = _MISSING
            break
        here = here[key]
    if here is _MISSING and isinstance(document, dict):
        return document.get(path, _MISSING)
    return here


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
