"""How large a table is: asked for every answer, on each of its ways."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

_MUCH = 4 * 1024 * 1024
"""Bytes from which it is worth the time to be exact."""


def table_bytes(table: pa.Table) -> int:
    """The bytes of a table's values, give or take ``_MUCH``.

    ``Table.nbytes`` looks into every column of every batch. Where all the memory behind the table is not much, a batch
    takes instead the share of it that its rows are of its answer's.
    """
    if table.get_total_buffer_size() > _MUCH:
        return int(table.nbytes)
    return sum(
        batch.get_total_buffer_size() * batch.num_rows // max(batch.num_rows, _rows_behind(batch.column(0)))
        for batch in table.to_batches()
        if batch.num_rows
    )


def _rows_behind(column: pa.Array[Any]) -> int:
    """The rows of the array that this one is a part of."""
    kind, buffer = column.type, column.buffers()[1]
    if pa.types.is_string(kind) or pa.types.is_list(kind):
        # Where each value begins, and where the last ends: https://arrow.apache.org/docs/format/Columnar.html.
        return int(buffer.size) // 4 - 1
    return int(buffer.size) * 8 // int(kind.bit_width)
