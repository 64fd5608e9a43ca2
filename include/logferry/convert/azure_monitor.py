"""Rows of a Log Analytics query to record batches.

Two decoders for one meaning, chosen per block of rows: one compiled from the column types, which refuses
anything unusual, and one that looks at each cell's own JSON (``kql_cells``). No value passes through a
float on the way except reals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import GenericAlias
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from logferry.convert.instants import read_instants
from logferry.convert.kql_cells import read_cell, read_real
from logferry.convert.kql_types import QUERY_ITEM, QUERY_TIME, arrow_type, query_columns
from logferry.errors import FailedAnswer
from logferry.sources.base import ID_COLUMN, TICK_COLUMN, SourceSchema
from logferry.window import Window

_BLOCK_ROWS = 2_048
"""Rows decoded at a time: bounds the Python values alive, and how many rows one odd value slows down."""
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
_decode_cells = msgspec.json.Decoder(list[list[msgspec.Raw]]).decode


def output_schema(schema: SourceSchema) -> pa.Schema:
    """Arrow schema of a page's batch: the output columns, then TICK_COLUMN and ID_COLUMN."""
    fields = []
    for column in schema.columns:
        is_ticks = column.source_name == QUERY_TIME
        fields.append(pa.field(column.name, pa.int64() if is_ticks else arrow_type(column.source_type)))
    fields += [pa.field(TICK_COLUMN, pa.int64()), pa.field(ID_COLUMN, pa.string())]
    return pa.schema(fields)


def read_rows(
    rows: Sequence[msgspec.Raw], schema: SourceSchema, span: Window
) -> tuple[pa.RecordBatch, dict[str, int]]:
    """The batch of one answer and notes; ``rows``: JSON arrays whose columns are ``query_columns(schema)``.

    Raises FailedAnswer when a row has another number of cells, holds a value that contradicts its column's
    declared type, or has no time inside ``span``: the query's own filter rules that out, so the answer is
    wrong.
    """
    reader = _Reader(query_columns(schema))
    arrow_schema = output_schema(schema)
    batches = []
    for start in range(0, len(rows), _BLOCK_ROWS):
        batch = _assemble(reader.read(rows[start : start + _BLOCK_ROWS]), schema, arrow_schema)
        _check_times(batch, span)
        batches.append(batch)
    notes = {"invalid_text": reader.invalid_text} if reader.invalid_text else {}
    if batches:
        return pa.concat_batches(batches), notes
    return pa.RecordBatch.from_pylist([], schema=arrow_schema), notes


@dataclass(frozen=True, slots=True)
class _Block:
    """The query's columns for some rows, by name, and the rows' exact times."""

    arrays: dict[str, pa.Array[Any]]
    ticks: pa.Array[Any]


class _Reader:
    """Reads blocks of rows of one query; ``invalid_text`` counts what was no text."""

    def __init__(self, columns: list[tuple[str, str]]) -> None:
        self._columns = columns
        row = GenericAlias(tuple, tuple(_USUAL.get(kind, msgspec.Raw) for _, kind in columns))
        self._decode_usual: Callable[[bytes], list[tuple[Any, ...]]] = msgspec.json.Decoder(
            GenericAlias(list, (row,))
        ).decode
        self._all_usual = all(kind in _USUAL for _, kind in columns)
        self.invalid_text = 0

    def read(self, rows: Sequence[msgspec.Raw]) -> _Block:
        block = b"[" + b",".join(rows) + b"]"
        if self._all_usual:
            try:
                return self._arrays(list(zip(*self._decode_usual(block), strict=True)))
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError):
                pass  # The careful way tells what is wrong, or that it is only unusual.
        return self._arrays(self._carefully(block))

    def _carefully(self, block: bytes) -> list[list[Any]]:
        try:
            rows = _decode_cells(block)
        except (msgspec.DecodeError, RecursionError) as error:
            raise FailedAnswer(f"Log Analytics' rows are not lists of values: {error}") from error
        columns: list[list[Any]] = [[] for _ in self._columns]
        for row in rows:
            if len(row) != len(self._columns):
                raise FailedAnswer(
                    f"Log Analytics sent a row of {len(row)} values for {len(self._columns)} columns"
                )
            for (name, kind), values, raw in zip(self._columns, columns, row, strict=True):
                try:
                    value, invalid = read_cell(bytes(raw), kind)
                except ValueError:
                    raise _contradicted(name, kind, bytes(raw)) from None
                values.append(value)
                self.invalid_text += invalid
        return columns

    def _arrays(self, columns: Sequence[Sequence[Any]]) -> _Block:
        arrays: dict[str, pa.Array[Any]] = {}
        ticks: pa.Array[Any] = pa.nulls(len(columns[0]), pa.int64())
        for (name, kind), values in zip(self._columns, columns, strict=True):
            if kind == "datetime":
                arrays[name], exact = read_instants(values)
                if name == QUERY_TIME:
                    ticks = exact
            elif kind == "real":
                numbers = [read_real(value) if type(value) is str else value for value in values]
                arrays[name] = pa.array(numbers, pa.float64())
            else:
                arrays[name] = pa.array(values, arrow_type(kind))
        return _Block(arrays, ticks)


def _assemble(block: _Block, schema: SourceSchema, arrow_schema: pa.Schema) -> pa.RecordBatch:
    ids = block.arrays[QUERY_ITEM] if schema.has_id else pa.nulls(len(block.ticks), pa.string())
    own = [
        block.ticks if column.source_name == QUERY_TIME else block.arrays[column.source_name]
        for column in schema.columns
    ]
    return pa.RecordBatch.from_arrays([*own, block.ticks, ids], schema=arrow_schema)


def _check_times(batch: pa.RecordBatch, span: Window) -> None:
    ticks = batch.column(TICK_COLUMN)
    if ticks.null_count:
        raise FailedAnswer(f"Log Analytics sent {ticks.null_count:,} rows without a time for {span}")
    if pc.min(ticks).as_py() not in span or pc.max(ticks).as_py() not in span:
        raise FailedAnswer(f"Log Analytics sent rows outside the range asked for, {span}")


def _contradicted(name: str, kind: str, raw: bytes) -> FailedAnswer:
    what = {b'"': "text", b"{": "an object", b"[": "a list", b"t": "a bool", b"f": "a bool"}.get(
        raw.strip()[:1], "a number"
    )
    return FailedAnswer(
        f"Log Analytics sent {what} in the column {name!r} that is no {kind}, the type it declares for it; "
        "convert the column in the pipeline, for example with tostring()"
    )
