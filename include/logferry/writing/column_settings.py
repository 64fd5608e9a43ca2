"""How each column of a file is written, decided by the first rows of it.

A dictionary pays where values repeat; elsewhere it is built, found to be too large and thrown away: for ids, texts
and documents that costs a tenth of the encoding and makes the file larger. Statistics let readers skip row groups,
by comparing numbers, times, ids and names; on long texts they help nobody and copy two of them into the footer.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_SAMPLE = 4_096
"""Rows that are looked at, and of lists as many of their values."""
_MOST_DISTINCT = 0.25
"""Share of the values that may be distinct in a column with a dictionary."""
_FEW = 256
_MOST_DISTINCT_OF_FEW = 0.9
"""Of these first values, in a column of which more are looked at."""
_CLEARLY_FEW = 16
"""Distinct ones of these first values from which a column repeats, whatever follows: to compare thousands of values of
every such column costs more than everything else here."""
_LONGEST_REPEATED = 64 * 1024
"""Mean bytes of a text from which it gets no dictionary: that holds 1 MiB (https://parquet.apache.org/docs/), and to
compare such texts takes a copy of each."""
_LONGEST_NAME = 64
"""Mean bytes of a text up to which it may be an id or a name, which readers look for."""


@dataclass(frozen=True, slots=True)
class ColumnSettings:
    """Paths of the columns with a dictionary, and of those with statistics, as ``pyarrow.parquet`` takes them."""

    dictionary: list[str]
    statistics: list[str]


def column_settings(first: pa.Table) -> ColumnSettings:
    """By the first rows of the table: the same for the same rows."""
    sample = first.slice(0, _SAMPLE)
    dictionary: list[str] = []
    statistics: list[str] = []
    for field, column in zip(sample.schema, sample.columns, strict=True):
        nested = pa.types.is_list(field.type)
        values = pc.list_flatten(column) if nested else column
        path = f"{field.name}.list.element" if nested else field.name
        # A dictionary of booleans does not exist; one of times or of floats seldom pays where text does.
        repeats = not pa.types.is_boolean(values.type) and _repeats(values)
        if repeats:
            dictionary.append(path)
        if not nested and (repeats or not pa.types.is_string(values.type) or _is_short(values)):
            statistics.append(path)
    return ColumnSettings(dictionary, statistics)


def _repeats(values: pa.ChunkedArray) -> bool:
    if pa.types.is_string(values.type) and _mean_bytes(values.slice(0, _FEW)) > _LONGEST_REPEATED:
        return False
    # To compare many texts that all differ takes long, and a few of them tell.
    few = values.slice(0, _FEW)
    distinct = _distinct(few)
    if len(few) == _FEW and not few.null_count and distinct <= _CLEARLY_FEW:
        return True
    sample = values.slice(0, _SAMPLE)
    return distinct <= _share(few, _MOST_DISTINCT_OF_FEW) and _distinct(sample) <= _share(
        sample, _MOST_DISTINCT
    )


def _distinct(values: pa.ChunkedArray) -> int:
    count: int = pc.count_distinct(values).as_py()
    return count


def _share(values: pa.ChunkedArray, part: float) -> float:
    count: int = len(values) - values.null_count
    return max(1.0, count * part)


def _is_short(values: pa.ChunkedArray) -> bool:
    return _mean_bytes(values) <= _LONGEST_NAME


def _mean_bytes(texts: pa.ChunkedArray) -> float:
    count: int = len(texts) - texts.null_count
    return sum(map(_text_size, texts.chunks)) / max(1, count)


def _text_size(texts: pa.StringArray) -> int:
    """Where nothing is null, what lies between the first offset and the last, as asking for each length costs more."""
    if texts.null_count:
        return int(pc.sum(pc.binary_length(texts)).as_py() or 0)
    if not len(texts):
        return 0
    edges = memoryview(texts.buffers()[1]).cast("B").cast("i")
    size: int = edges[texts.offset + len(texts)] - edges[texts.offset]
    return size
