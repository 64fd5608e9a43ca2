"""Blocks of rows as columns of Python values, decoded by the columns' types.

Most text columns of a table hold a handful of values over and over: the workspace, the role, the resource. Once known,
such values are declared as the only ones: then no string is made for a cell, which is dearer than all else here.
A block with a new value is decoded without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import GenericAlias
from typing import Any, Literal

import msgspec

_USUAL: dict[str, Any] = {
    "string": str | None,
    "guid": str | None,
    "dynamic": str | None,
    "decimal": str | None,
    "timespan": str | None,
    "datetime": str | None,
    "long": int | None,
    "int": int | None,
    "real": float | str | None,
    "bool": bool | None,
}
_MOST_KNOWN = 32
"""Distinct values of a column that repeats."""
_MOST_GROWTHS = 2
"""Blocks with new values before a column counts as one that does not repeat."""
_ENOUGH_ROWS = 64
"""Rows that tell which columns repeat."""
_literal: Any = Literal


class RowDecoder:
    """Decodes the rows of one query; ``kinds`` are the KQL types of its columns."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._types = [_USUAL.get(kind, msgspec.Raw) for kind in kinds]
        self._texts = [at for at, declared in enumerate(self._types) if declared == str | None]
        self._decode = _decoder(self._types)
        self._known: dict[int, set[Any]] | None = None
        self._growths: dict[int, int] = {}
        self._decode_known: Callable[[bytes], list[tuple[Any, ...]]] | None = None
        self.able = all(kind in _USUAL for kind in kinds)
        """Whether there is a Python type for each column's type."""

    def columns(self, block: bytes) -> list[tuple[Any, ...]]:
        """The columns of a JSON array of at least one row.

        Raises DecodeError, UnicodeDecodeError or RecursionError for whatever is not just of the columns' types.
        """
        if self._decode_known is not None:
            try:
                return list(zip(*self._decode_known(block), strict=True))
            except msgspec.ValidationError:
                pass
        columns = list(zip(*self._decode(block), strict=True))
        self._learn(columns)
        return columns

    def _learn(self, columns: Sequence[Sequence[Any]]) -> None:
        if self._known is None:
            if len(columns[0]) < _ENOUGH_ROWS:
                return
            distinct = {at: set(columns[at]) for at in self._texts}
            self._known = {at: values for at, values in distinct.items() if len(values) <= _MOST_KNOWN}
        else:
            grown = [at for at, values in self._known.items() if not values.issuperset(columns[at])]
            if not grown:
                return
            for at in grown:
                self._known[at].update(columns[at])
                self._growths[at] = self._growths.get(at, 0) + 1
                if len(self._known[at]) > _MOST_KNOWN or self._growths[at] > _MOST_GROWTHS:
                    del self._known[at]
        self._decode_known = None
        if self._known:
            types = list(self._types)
            for at, values in self._known.items():
                types[at] = _literal[tuple(values)]
            self._decode_known = _decoder(types)


def _decoder(types: Sequence[Any]) -> Callable[[bytes], list[tuple[Any, ...]]]:
    decode: Callable[[bytes], list[tuple[Any, ...]]] = msgspec.json.Decoder(
        GenericAlias(list, (GenericAlias(tuple, tuple(types)),))
    ).decode
    return decode
