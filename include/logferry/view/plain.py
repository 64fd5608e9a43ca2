"""Values of a lake as an answer may carry them: bounded, and exact in every JSON reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from logferry.window import Window, format_instant, instant_or_none

T = TypeVar("T")

MOST_TEXT = 2_000
"""Characters of a single text."""
MOST_ENTRIES = 500
"""Entries of a list."""
_LARGEST = 2**53 - 1
"""The largest whole number that JavaScript holds exactly."""
_DEEPEST = 6


def cut(text: str, most: int = MOST_TEXT) -> str:
    """The text, ended with ``…`` where it is too long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def text_or_none(text: str | None) -> str | None:
    return None if text is None else cut(text)


def bounded(number: int) -> int:
    """The number, held within what every reader of JSON takes for a whole number."""
    if -_LARGEST <= number <= _LARGEST:
        return number
    return _LARGEST if number > 0 else -_LARGEST


def bounded_or_none(number: int | None) -> int | None:
    return None if number is None else bounded(number)


def first(found: Sequence[T]) -> Sequence[T]:
    """As many entries as an answer lists."""
    return found[:MOST_ENTRIES]


def more(found: Sequence[Any]) -> int:
    """How many entries ``first`` leaves out."""
    return max(0, len(found) - MOST_ENTRIES)


def span(window: Window) -> dict[str, Any]:
    return {"from": format_instant(window.start), "to": format_instant(window.end)}


def instant(tick: int | None) -> str | None:
    return None if tick is None else format_instant(tick)


def time_or_none(text: str | None) -> str | None:
    """A time as a record tells it, None for what is no time."""
    return None if instant_or_none(text) is None else text


def counts(found: Mapping[str, int]) -> dict[str, int]:
    """A record's own counts by name."""
    return {cut(name, 200): bounded(number) for name, number in islice(found.items(), MOST_ENTRIES)}


def plain(value: Any, depth: int = 0) -> Any:
    """Any JSON value, bounded in every direction."""
    if isinstance(value, str):
        return cut(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return bounded(value)
    if isinstance(value, float):
        return value
    if depth >= _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {
            cut(str(name), 200): plain(one, depth + 1) for name, one in islice(value.items(), MOST_ENTRIES)
        }
    if isinstance(value, Iterable):
        return [plain(one, depth + 1) for one in islice(value, MOST_ENTRIES)]
    return cut(str(value))
