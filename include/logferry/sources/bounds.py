"""What no answer of any source may exceed, and how an answer that is not readable is spoken of."""

from __future__ import annotations

import random
from typing import Any

from logferry.errors import TooMuch
from logferry.sources.base import MIB

COUNT_BYTES = 4 * MIB
"""Of an answer that counts, or names columns: thousands of times what the largest known one takes."""
MOST_VALUES = 10_000_000
"""Values in one answer. Each takes some 75 bytes while it is read, and two bytes can be one: ``0,0,0``."""
_SURELY_FEW_BYTES = 2 * MOST_VALUES
_STEPS = (29, 31, 37, 41, 43)
"""Every so many-th byte of a large answer is looked at first, by two of these steps: to count all commas takes a third
of the time in which it is decoded. Which bytes those are is left to chance; where rows are of one length that is a
multiple of one step, the other sees their commas."""
_MOST_TEXT = 2_000


def check_values(body: bytes, what: str) -> None:
    """Raise TooMuch when the answer may hold more than MOST_VALUES, by its commas (of texts, too)."""
    if len(body) <= _SURELY_FEW_BYTES:
        return
    about = max(body[random.randrange(step) :: step].count(b",") * step for step in random.sample(_STEPS, 2))
    if about > MOST_VALUES // 2 and body.count(b",") > MOST_VALUES:
        raise TooMuch(f"{what} of {len(body):,} bytes holds more than {MOST_VALUES:,} values")


def reason(error: Exception) -> str:
    """Why a document is not readable, for a message."""
    if isinstance(error, RecursionError):
        return "it is nested more than some 900 levels deep, which no log is"
    return str(error)[:_MOST_TEXT]


def text_of(value: Any) -> str:
    """The text of a decoded JSON value for a message: no list or object is written out, however small."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value[:_MOST_TEXT]
    return f"({type(value).__name__})" if isinstance(value, list | dict) else str(value)[:_MOST_TEXT]
