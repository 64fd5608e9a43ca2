"""Rows of a Log Analytics query to record batches.

Three decoders for one meaning: Arrow's own of CSV (``kql_csv``), one compiled from the column types (``kql_rows``), and
one that looks at each cell's own JSON (``kql_cells``). Each refuses whatever it might read otherwise than the next. A
block of rows that the first refuses goes to the second in pieces, and is halved there until only the unusual rows are
left to the third. No value passes through a float on the way except reals.

Whether the first or the second takes less depends on the rows: beyond ASCII Python's strings are dear, escapes and long
texts are dear for CSV. So both are tried (``Cheaper``), and the choice changes nothing but the time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from logferry.convert.cheaper import Cheaper
from logferry.convert.instants import read_instants
from logferry.convert.kql_cells import read_cell, read_real
from logferry.convert.kql_csv import CsvRows
from logferry.convert.kql_rows import RowDecoder
from logferry.convert.kql_types import QUERY_ITEM, QUERY_TIME, arrow_type, query_columns
from logferry.errors import FailedAnswer
from logferry.sources.base import ID_COLUMN, TICK_COLUMN, SourceSchema
from logferry.window import Window

BLOCK_BYTES = 4 * 1024 * 1024
"""JSON of rows read at a time: enough for what a block costs by itself, a good millisecond, to be little; and little
beside an answer, of which a block takes several times its size while it is read."""
_LEAST_CSV_BYTES = 128 * 1024
"""JSON of rows before the parser of CSV is loaded, which takes 2 ms: two answers as small save those."""
_MOST_CSV_BYTES = 2 * BLOCK_BYTES
"""Rows may be far longer than those whose length told how many to take, and one alone as long as an answer."""
_TRIAL_BYTES = 1024 * 1024
"""JSON of rows that tell what a way takes: a whole block by the dearer one would cost some per cent of an export."""
_PIECES = 8
"""Into which a block is cut that CSV cannot be trusted with."""
_TYPED_BYTES = 512 * 1024
"""JSON decoded to Python's values at a time: few enough that they are still in the cache when columns are made of them,
and that they are gone before the garbage collector counts them."""
_MOST_TYPED_ROWS = 320
_SAMPLE_ROWS = 100
"""Rows whose length says how many make a block."""
_BY_TYPE, _BY_CSV = 0, 1
_MINUS_ZERO = re.compile(rb"-0\s*[,\]]")
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
) -> tuple[pa.Table, dict[str, int]]:
    """The rows of one answer, in order of time, in batches of some BLOCK_BYTES; and notes. ``rows``: JSON arrays whose
    columns are ``query_columns(schema)``.

    Raises FailedAnswer when a row has another number of cells, holds a value that contradicts its column's
    declared type, or has no time inside ``span``: the query's own filter rules that out, so the answer is
    wrong.
    """
    return read_blocks(_cut(rows, _rows_of(rows, BLOCK_BYTES)), schema, span)


def read_blocks(
    blocks: Iterable[Sequence[msgspec.Raw]], schema: SourceSchema, span: Window
) -> tuple[pa.Table, dict[str, int]]:
    """The same of rows that come in blocks of some BLOCK_BYTES."""
    reader = _Reader(schema)
    for rows in blocks:
        reader.read(rows)
        reader.end_batch()
    table = _in_order(reader.batches(), schema)
    _check_times(table[TICK_COLUMN], span)
    return table, {"invalid_text": reader.invalid_text} if reader.invalid_text else {}


def _rows_of(rows: Sequence[msgspec.Raw], size: int) -> int:
    """How many of the rows make some ``size`` bytes."""
    sample = rows[:: len(rows) // _SAMPLE_ROWS + 1]
    return max(1, size * len(sample) // (1 + sum(map(len, sample))))


def _cut(rows: Sequence[msgspec.Raw], step: int) -> Iterator[Sequence[msgspec.Raw]]:
    return (rows[start : start + step] for start in range(0, len(rows), step))


@lru_cache(64)
def _ways(columns: tuple[tuple[str, str], ...]) -> Cheaper:
    """For the answers of one query: what is learned of one serves the next."""
    return Cheaper()


class _Reader:
    """Reads blocks of rows of one query; ``invalid_text`` counts what was no text."""

    def __init__(self, schema: SourceSchema) -> None:
        self._schema = schema
        self._columns = columns = query_columns(schema)
        kinds = [kind for _, kind in columns]
        self._decoder = RowDecoder(kinds)
        self._kinds = kinds
        self._csv: CsvRows | None = None
        self._ways = _ways(tuple(columns))
        self._reals = [at for at, kind in enumerate(kinds) if kind == "real"]
        self._arrays: dict[str, list[pa.Array[Any]]] = {name: [] for name, _ in columns}
        self._ticks: list[pa.Array[Any]] = []
        self._batches: list[pa.RecordBatch] = []
        self.invalid_text = 0

    def end_batch(self) -> None:
        """What was read since the last one makes a batch."""
        if not self._ticks:
            return
        whole = {name: _joined(self._arrays[name], arrow_type(kind)) for name, kind in self._columns}
        ticks = _joined(self._ticks, pa.int64())
        ids = whole[QUERY_ITEM] if self._schema.has_id else pa.nulls(len(ticks), pa.string())
        own = [ticks if c.source_name == QUERY_TIME else whole[c.source_name] for c in self._schema.columns]
        self._batches.append(
            pa.RecordBatch.from_arrays([*own, ticks, ids], schema=output_schema(self._schema))
        )
        self._arrays = {name: [] for name, _ in self._columns}
        self._ticks = []

    def batches(self) -> list[pa.RecordBatch]:
        """All batches, in the answer's order. Once."""
        batches, self._batches = self._batches, []
        return batches

    def read(self, rows: Sequence[msgspec.Raw]) -> None:
        """The rows, of which each is valid JSON."""
        if not rows:
            return
        size = sum(map(len, rows))
        if size > _MOST_CSV_BYTES and len(rows) > 1:
            half = len(rows) // 2
            self.read(rows[:half])
            self.read(rows[half:])
            return
        if not self._decoder.able or not _LEAST_CSV_BYTES <= size <= _MOST_CSV_BYTES:
            self._by_type_in_turn(rows)
            return
        way, on_trial = self._ways.choose()
        now = rows[: _rows_of(rows, _TRIAL_BYTES)] if on_trial else rows
        if way == _BY_CSV and self._csv is None:
            self._csv = CsvRows(self._kinds)
        began = time.thread_time()
        if way == _BY_CSV and self._csv is not None:
            self._by_csv(self._csv, now)
        else:
            self._by_type_in_turn(now)
        self._ways.took(way, time.thread_time() - began, sum(map(len, now)))
        self.read(rows[len(now) :])

    def _by_csv(self, csv: CsvRows, rows: Sequence[msgspec.Raw]) -> None:
        if self._read_by_csv(csv, rows):
            return
        for piece in _cut(rows, len(rows) // _PIECES + 1):
            if not self._read_by_csv(csv, piece):
                self._by_type_in_turn(piece)

    def _read_by_csv(self, csv: CsvRows, rows: Sequence[msgspec.Raw]) -> bool:
        try:
            self._add(csv.columns(rows))
        except ValueError:
            return False
        return True

    def _by_type_in_turn(self, rows: Sequence[msgspec.Raw]) -> None:
        for few in _cut(rows, min(_MOST_TYPED_ROWS, _rows_of(rows, _TYPED_BYTES))):
            self._by_type(few)

    def _by_type(self, rows: Sequence[msgspec.Raw]) -> None:
        block = b"[" + b",".join(rows) + b"]"
        if self._decoder.able:
            try:
                columns = self._decoder.columns(block)
                self._see_zeros(rows, columns)
                self._add(columns)
                return
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError):
                pass
            if len(rows) > 1:
                half = len(rows) // 2
                self._by_type(rows[:half])
                self._by_type(rows[half:])
                return
        # Tells what is wrong, or that it is only unusual.
        self._add(self._carefully(block))

    def _see_zeros(self, rows: Sequence[msgspec.Raw], columns: Sequence[Sequence[Any]]) -> None:
        """Raise where a real may be -0, of which the decoder makes a whole number, and that has no sign."""
        for at in self._reals:
            if 0.0 in columns[at] and any(
                value == 0 and _MINUS_ZERO.search(row) for row, value in zip(rows, columns[at], strict=True)
            ):
                raise ValueError

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

    def _add(self, columns: Sequence[Sequence[Any] | pa.Array[Any]]) -> None:
        arrays: list[pa.Array[Any]] = []
        ticks: pa.Array[Any] = pa.nulls(0, pa.int64())
        texts: Sequence[Any] | pa.Array[Any] = ()
        instants = arrays[0:0]
        for (name, kind), values in zip(self._columns, columns, strict=True):
            if kind == "datetime":
                # The row's time comes twice where the query keeps its own.
                if not instants or values != texts:
                    texts, instants = values, list(read_instants(values))
                arrays.append(instants[0])
                if name == QUERY_TIME:
                    ticks = instants[1]
            elif isinstance(values, pa.Array):
                arrays.append(values)
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
    if len(arrays) == 1:
        return arrays[0]
    return pa.concat_arrays(arrays) if arrays else pa.nulls(0, kind)


def _in_order(batches: list[pa.RecordBatch], schema: SourceSchema) -> pa.Table:
    """The batches' rows in order of time, and of identity within one time; ``batches`` is empty then.

    Log Analytics gives rows in any order. To sort them is a part of reading: that way it is done where an answer is
    read, which may be another process, and in its turn. Large pieces of memory cost a page fault for each page, every
    time: a column is put in order in as many pieces as it came in, and one column after the other.
    """
    table = pa.Table.from_batches(batches, output_schema(schema))
    pieces = len(batches)
    batches.clear()
    if _ascend(table[TICK_COLUMN]):
        return table
    order = pc.sort_indices(table, sort_keys=[(TICK_COLUMN, "ascending"), (ID_COLUMN, "ascending")])
    step = -(-len(order) // pieces)
    orders = [order.slice(start, step) for start in range(0, len(order), step)]
    names = table.schema.names
    columns = []
    for _ in names:
        column = table.column(0).combine_chunks()
        table = table.remove_column(0)
        columns.append(pa.chunked_array([column.take(piece) for piece in orders]))
    return pa.table(columns, names)


def _ascend(ticks: pa.ChunkedArray[Any]) -> bool:
    steps = pc.pairwise_diff(ticks.combine_chunks())
    return len(ticks) < 2 or (ticks.null_count == 0 and pc.min(steps).as_py() >= 0)


def _check_times(ticks: pa.ChunkedArray[Any], span: Window) -> None:
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
