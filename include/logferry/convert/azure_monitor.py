"""Rows of a Log Analytics query to record batches.

Two decoders for one meaning: one compiled from the column types, which refuses anything unusual, and one that looks
at each cell's own JSON (``kql_cells``). A block of rows that the first refuses is halved until only the unusual rows
are left to the second. No value passes through a float on the way except reals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from logferry.convert.instants import read_instants
from logferry.convert.kql_cells import read_cell, read_real
from logferry.convert.kql_rows import RowDecoder
from logferry.convert.kql_types import QUERY_ITEM, QUERY_TIME, arrow_type, query_columns
from logferry.errors import FailedAnswer
from logferry.sources.base import ID_COLUMN, TICK_COLUMN, SourceSchema
from logferry.window import Window

_BLOCK_BYTES = 512 * 1024
"""JSON decoded at a time: little enough that the values of a block are still in the processor's cache when columns are
made of them, and that they are gone before the garbage collector counts them."""
_MOST_BLOCK_ROWS = 320
_SAMPLE_ROWS = 100
"""Rows whose length says how many make a block."""
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
    sample = rows[:: len(rows) // _SAMPLE_ROWS + 1]
    step = max(1, min(_MOST_BLOCK_ROWS, _BLOCK_BYTES * len(sample) // (1 + sum(map(len, sample)))))
    for start in range(0, len(rows), step):
        reader.read(rows[start : start + step])
    columns, ticks = reader.take()
    _check_times(ticks, span)
    ids = columns[QUERY_ITEM] if schema.has_id else pa.nulls(len(rows), pa.string())
    own = [ticks if c.source_name == QUERY_TIME else columns[c.source_name] for c in schema.columns]
    batch = pa.RecordBatch.from_arrays([*own, ticks, ids], schema=output_schema(schema))
    return batch, {"invalid_text": reader.invalid_text} if reader.invalid_text else {}


class _Reader:
    """Reads blocks of rows of one query; ``invalid_text`` counts what was no text."""

    def __init__(self, columns: list[tuple[str, str]]) -> None:
        self._columns = columns
        self._decoder = RowDecoder([kind for _, kind in columns])
        self._arrays: dict[str, list[pa.Array[Any]]] = {name: [] for name, _ in columns}
        self._ticks: list[pa.Array[Any]] = []
        self.invalid_text = 0

    def take(self) -> tuple[dict[str, pa.Array[Any]], pa.Array[Any]]:
        """The query's columns by name, and the exact times, of all rows read. Once."""
        whole = {}
        for name, kind in self._columns:
            # Column by column, and the blocks of each let go: all of them at once would be in memory twice.
            whole[name] = _joined(self._arrays.pop(name), arrow_type(kind))
        return whole, _joined(self._ticks, pa.int64())

    def read(self, rows: Sequence[msgspec.Raw]) -> None:
        block = b"[" + b",".join(rows) + b"]"
        if self._decoder.able:
            try:
                self._add(self._decoder.columns(block))
                return
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError):
                pass
            if len(rows) > 1:
                half = len(rows) // 2
                self.read(rows[:half])
                self.read(rows[half:])
                return
        # Tells what is wrong, or that it is only unusual.
        self._add(self._carefully(block))

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

    def _add(self, columns: Sequence[Sequence[Any]]) -> None:
        arrays: list[pa.Array[Any]] = []
        ticks: pa.Array[Any] = pa.nulls(0, pa.int64())
        texts: Sequence[Any] = ()
        instants = arrays[0:0]
        for (name, kind), values in zip(self._columns, columns, strict=True):
            if kind == "datetime":
                # The row's time comes twice where the query keeps its own.
                if values != texts or not instants:
                    texts, instants = values, list(read_instants(values))
                arrays.append(instants[0])
                if name == QUERY_TIME:
                    ticks = instants[1]
            elif kind == "real":
                try:
                    array = pa.array(values, pa.float64())
                except pa.ArrowInvalid:  # NaN and infinities come as strings
                    numbers = [read_real(value) if type(value) is str else value for value in values]
                    array = pa.array(numbers, pa.float64())
                arrays.append(array)
            else:
                arrays.append(pa.array(values, arrow_type(kind)))
        for (name, _), array in zip(self._columns, arrays, strict=True):
            self._arrays[name].append(array)
        self._ticks.append(ticks)


def _joined(arrays: list[pa.Array[Any]], kind: pa.DataType) -> pa.Array[Any]:
    return pa.concat_arrays(arrays) if arrays else pa.nulls(0, kind)


def _check_times(ticks: pa.Array[Any], span: Window) -> None:
    if ticks.null_count:
        raise FailedAnswer(f"Log Analytics sent {ticks.null_count:,} rows without a time for {span}")
    if len(ticks) and (pc.min(ticks).as_py() not in span or pc.max(ticks).as_py() not in span):
        raise FailedAnswer(f"Log Analytics sent rows outside the range asked for, {span}")


def _contradicted(name: str, kind: str, raw: bytes) -> FailedAnswer:
    what = {b'"': "text", b"{": "an object", b"[": "a list", b"t": "a bool", b"f": "a bool"}.get(
        raw.strip()[:1], "a number"
    )
    return FailedAnswer(
        f"Log Analytics sent {what} in the column {name!r} that is no {kind}, the type it declares for it; "
        "convert the column in the pipeline, for example with tostring()"
    )
