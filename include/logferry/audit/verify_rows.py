"""What a published file says of its rows: in its footer, and, decoded, in the rows themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.parquet.core import ParquetReader

from logferry.spec import DATADOG_COLUMNS
from logferry.window import TICK_PER_MICROSECOND, Window, format_instant
from logferry.writing.parquet import ROW_HASH_KEY
from logferry.writing.row_hash import RowHash

_TICKS = "_ticks"
_DATADOG = list(DATADOG_COLUMNS[: DATADOG_COLUMNS.index("tags")])
_AFTER_TAGS = list(DATADOG_COLUMNS[len(_DATADOG) + 1 :])


class Unreadable(Exception):
    """The content is no Parquet file of an archive; says why."""


@dataclass(frozen=True, slots=True)
class FooterFacts:
    """``first`` and ``last``: ticks of the first and last row; None without rows, or where no statistics tell."""

    rows: int
    row_hash: str | None
    first: int | None
    last: int | None


@dataclass(frozen=True, slots=True)
class RowFacts:
    """Of the decoded rows. ``repeated``: an id that occurs twice, where ids are unique."""

    row_hash: str
    in_order: bool
    first: int | None
    last: int | None
    repeated: str | None


def read_footer(content: bytes | Path) -> FooterFacts:
    """The facts in the footer. Raises Unreadable."""
    try:
        footer = _footer(content)
        row_hash = (footer.metadata or {}).get(ROW_HASH_KEY.encode())
        first = last = None
        if footer.num_rows:
            column, unit = _time_column(footer.schema.names)
            first, last = _bounds(footer, column, unit)
        return FooterFacts(footer.num_rows, row_hash.decode() if row_hash else None, first, last)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise Unreadable(_short(error)) from error


def read_rows(content: bytes | Path) -> RowFacts:
    """Decode every row, one row group at a time. Raises Unreadable."""
    try:
        with pq.ParquetFile(_source(content)) as file:
            return _facts(file)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise Unreadable(_short(error)) from error


def _facts(file: pq.ParquetFile) -> RowFacts:
    schema = file.schema_arrow
    column, unit = _time_column(schema.names)
    unique = _is_datadog(schema.names)
    hashed = RowHash(pa.schema([pa.field(field.name, _as_written(field.type)) for field in schema]))
    in_order = True
    first = last = None
    ids: set[str] = set()
    repeated = None
    for number in range(file.num_row_groups):
        table = file.read_row_group(number)
        if not table.num_rows:
            continue
        hashed.update(table)
        ticks = _as_ticks(table.column(column), unit)
        if ticks.null_count:
            in_order = False
            ticks = ticks.drop_null()
        in_order = in_order and _ascending(ticks, last)
        if len(ticks):
            bounds = pc.min_max(ticks).as_py()
            first = bounds["min"] if first is None else min(first, bounds["min"])
            last = bounds["max"] if last is None else max(last, bounds["max"])
        if unique and repeated is None:
            repeated = _repeat(table.column("id").to_pylist(), ids)
    return RowFacts(hashed.digest(), in_order, first, last, repeated)


def outside(first: int | None, last: int | None, slice_: Window) -> bool:
    """Whether rows between these ticks can lie outside the slice."""
    return (first is not None and first < slice_.start) or (last is not None and last >= slice_.end)


def _as_written(kind: pa.DataType) -> pa.DataType:
    """Parquet calls the element of a list ``element``, which Arrow writes as ``item``."""
    return pa.list_(kind.value_type) if pa.types.is_list(kind) else kind


def _time_column(names: Sequence[str]) -> tuple[int, int]:
    """Which column holds a row's time, and how many ticks its unit is; ``names``: as the schema or a footer has them.

    A footer names a list by its element, so the name of ``tags`` is not looked at.
    """
    if _is_datadog(names):
        return names.index("timestamp"), TICK_PER_MICROSECOND
    if _TICKS in names:
        return names.index(_TICKS), 1
    if "time" in names:
        return names.index("time"), TICK_PER_MICROSECOND
    raise Unreadable("it has none of the columns of an export")


def _is_datadog(names: Sequence[str]) -> bool:
    before, after = names[: len(_DATADOG)], names[len(_DATADOG) + 1 : len(DATADOG_COLUMNS)]
    return list(before) == _DATADOG and list(after) == _AFTER_TAGS


def _footer(content: bytes | Path) -> pq.FileMetaData:
    """As ``pq.read_metadata``, which takes half of its time to prepare for reading columns."""
    reader = ParquetReader()
    reader.open(pa.BufferReader(content) if isinstance(content, bytes) else str(content))
    return reader.metadata


def _bounds(footer: pq.FileMetaData, column: int, unit: int) -> tuple[int | None, int | None]:
    lows, highs = [], []
    for number in range(footer.num_row_groups):
        statistics = footer.row_group(number).column(column).statistics
        if statistics is None or not statistics.has_min_max:
            return None, None
        lows.append(statistics.min_raw)
        highs.append(statistics.max_raw)
    return min(lows, default=0) * unit, max(highs, default=0) * unit


def _as_ticks(column: pa.ChunkedArray, unit: int) -> pa.ChunkedArray:
    numbers = column.cast(pa.int64())
    return numbers if unit == 1 else pc.multiply(numbers, unit)


def _ascending(ticks: pa.ChunkedArray, before: int | None) -> bool:
    if not len(ticks):
        return True
    flat = ticks.combine_chunks()
    if isinstance(flat, pa.ChunkedArray):
        flat = pa.concat_arrays(flat.chunks)
    rising = len(flat) < 2 or bool(pc.all(pc.less_equal(flat[:-1], flat[1:])).as_py())
    return rising and (before is None or bool(flat[0].as_py() >= before))


def _repeat(values: list[str | None], seen: set[str]) -> str | None:
    for value in values:
        if value is None:
            continue
        if value in seen:
            return value
        seen.add(value)
    return None


def _source(content: bytes | Path) -> pa.BufferReader | Path:
    return pa.BufferReader(content) if isinstance(content, bytes) else content


def _short(error: BaseException) -> str:
    """The first line of a library's complaint."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def described(first: int | None, last: int | None) -> str:
    """``2026-…Z to 2026-…Z``, for people."""
    texts = ["nothing" if tick is None else format_instant(tick) for tick in (first, last)]
    return f"{texts[0]} to {texts[1]}" if first is not None else "nothing"
