"""Columns and batches of the KQL interpreter: lazy, so that a query pays only for the columns it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from logferry_sandbox.kql_values import encode_cells


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table or of a stage's result. Hidden ones can be named but are not returned by
    themselves.
    """

    name: str
    kind: str
    hidden: bool = False


class Vector:
    """The values of one column, and the JSON text of each, both made on first use."""

    __slots__ = ("_cells", "_make", "_make_cells", "_values", "kind")

    def __init__(
        self,
        kind: str,
        values: list[Any] | None = None,
        *,
        make: Callable[[], list[Any]] | None = None,
        make_cells: Callable[[], list[str]] | None = None,
    ) -> None:
        self.kind = kind
        self._values = values
        self._make = make
        self._make_cells = make_cells
        self._cells: list[str] | None = None

    def values(self) -> list[Any]:
        if self._values is None:
            assert self._make is not None
            self._values = self._make()
        return self._values

    def cells(self) -> list[str]:
        if self._cells is None:
            self._cells = self._make_cells() if self._make_cells else encode_cells(self.kind, self.values())
        return self._cells

    def pick(self, rows: Sequence[int]) -> Vector:
        """The same column for the given row numbers (repeats allowed)."""
        return self._derive(lambda source: [source[row] for row in rows])

    def cut(self, start: int, stop: int) -> Vector:
        """The same column for rows start..stop-1."""
        return self._derive(lambda source: source[start:stop])

    def _derive(self, select: Callable[[list[Any]], list[Any]]) -> Vector:
        make_cells = (lambda: select(self.cells())) if self._make_cells or self._cells is not None else None
        return Vector(self.kind, make=lambda: select(self.values()), make_cells=make_cells)


@dataclass(slots=True)
class Batch:
    """Some rows: their number and their columns by name."""

    size: int
    columns: dict[str, Vector]

    def pick(self, rows: Sequence[int]) -> Batch:
        return Batch(len(rows), {name: vector.pick(rows) for name, vector in self.columns.items()})

    def cut(self, start: int, stop: int) -> Batch:
        if start == 0 and stop >= self.size:
            return self
        return Batch(max(0, stop - start), {name: v.cut(start, stop) for name, v in self.columns.items()})


def concat(schema: Sequence[Column], batches: Sequence[Batch]) -> Batch:
    """One batch with the rows of all, in order."""
    if len(batches) == 1:
        return batches[0]

    def joined(name: str) -> Callable[[], list[Any]]:
        return lambda: [value for batch in batches for value in batch.columns[name].values()]

    columns = {column.name: Vector(column.kind, make=joined(column.name)) for column in schema}
    return Batch(sum(batch.size for batch in batches), columns)


class Table(Protocol):
    """What a query reads. Times are ticks since 0001-01-01, ranges half-open."""

    @property
    def name(self) -> str: ...

    @property
    def schema(self) -> tuple[Column, ...]: ...

    @property
    def time_column(self) -> str: ...

    def rows_between(self, start: int, stop: int) -> int:
        """About how many rows a scan of the range would read, without reading them."""

    def scan(self, start: int, stop: int) -> Iterator[Batch]:
        """The rows of the range in time order, a batch at a time, every schema column present."""
