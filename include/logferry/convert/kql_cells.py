"""Single cells of a query answer whose JSON is not what their KQL type usually looks like.

Usual forms: https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format. Recorded answers also
hold decimals as numbers, and dynamics as bare strings. A text column keeps whatever comes, as its JSON
text; a number, bool or time column takes any form of the same value. What contradicts the declared type is
refused: a null in its place would lose it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from logferry.convert.instants import read_instant
from logferry.convert.repair import readable_text

_SPECIAL_REALS = {
    "NaN": math.nan,
    "Infinity": math.inf,
    "+Infinity": math.inf,
    "-Infinity": -math.inf,
}
_LONG_RANGE = range(-(2**63), 2**63)
_INT_RANGE = range(-(2**31), 2**31)


class Contradiction(ValueError):
    """The cell's value cannot be of the column's type."""


def read_cell(raw: bytes, kind: str) -> tuple[Any, int]:
    """The value of one cell (JSON) in a column of KQL type ``kind``, and 1 if invalid text was replaced.

    Text for the types that are kept as text and for ``datetime``; int, float or bool else; None for null.
    Raises ValueError (mostly Contradiction) for a value that is none of the type.
    """
    token, invalid = readable_text(raw)
    token = token.strip()
    if token == "null":
        return None, invalid
    value = _string(token) if token.startswith('"') else None
    reader = _READERS.get(kind)
    if reader is None:
        return (token if value is None else value), invalid
    return reader(token if value is None else value, value is not None), invalid


def read_real(text: str) -> float:
    """A real that came as a string: ``NaN``, ``Infinity``, ``-Infinity`` or a number."""
    if text in _SPECIAL_REALS:
        return _SPECIAL_REALS[text]
    number = float(_decimal(text))
    if not math.isfinite(number):
        raise Contradiction
    return number


def _string(token: str) -> str:
    import json  # late: hardly any cell needs it

    text: str = json.loads(token)
    return text


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise Contradiction from None
    if not number.is_finite():
        raise Contradiction
    return number


def _real(text: str, quoted: bool) -> float:
    return read_real(text)


def _whole(allowed: range) -> Callable[[str, bool], int]:
    def read(text: str, quoted: bool) -> int:
        number = _decimal(text)
        # The exponent is looked at first: int() of 1e999999 would fill the memory.
        if number.adjusted() > 20 or number != number.to_integral_value() or int(number) not in allowed:
            raise Contradiction
        return int(number)

    return read


def _bool(text: str, quoted: bool) -> bool:
    match text.lower():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
    raise Contradiction


def _time(text: str, quoted: bool) -> str:
    if not quoted:
        raise Contradiction
    read_instant(text)
    return text


_READERS: dict[str, Callable[[str, bool], Any]] = {
    "long": _whole(_LONG_RANGE),
    "int": _whole(_INT_RANGE),
    "real": _real,
    "bool": _bool,
    "datetime": _time,
}
