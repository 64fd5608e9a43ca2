"""A hash of rows that does not depend on how they were batched, compressed or written.

Two files with the same rows have the same row hash whatever pyarrow wrote them; that is how a re-run knows that a
slice did not change. Every column is fed to three digests of its own (which values are null, how long they are,
their bytes), so that batch borders leave no trace.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

_ONES, _ZEROS = b"\1" * 65_536, bytes(65_536)
"""What the digests get of columns that are all values or all nulls."""


class RowHash:
    """Feed tables in row order, then ask for ``digest()``."""

    def __init__(self, schema: pa.Schema) -> None:
        self._columns = [(field.name, _ColumnHash(field.type)) for field in schema]
        self._rows = 0

    def update(self, table: pa.Table) -> None:
        self._rows += table.num_rows
        for name, column in self._columns:
            for chunk in table[name].chunks:
                if len(chunk):
                    column.update(chunk)

    def copy(self) -> RowHash:
        """One that goes on from here by itself."""
        other = RowHash(pa.schema([]))
        other._columns = [(name, column.copy()) for name, column in self._columns]
        other._rows = self._rows
        return other

    def digest(self) -> str:
        whole = hashlib.sha256(str(self._rows).encode())
        for name, column in self._columns:
            whole.update(f"\0{name}\0{column.kind}\0".encode())
            whole.update(column.digest())
        return f"sha256:{whole.hexdigest()}"


class _ColumnHash:
    def __init__(self, kind: pa.DataType) -> None:
        self.kind = kind
        self._valid = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._values = hashlib.sha256()
        self._child = _ColumnHash(kind.value_type) if pa.types.is_list(kind) else None

    def update(self, array: pa.Array) -> None:
        nulls = array.null_count
        if not nulls:
            _repeat(self._valid, _ONES, len(array))
        elif nulls == len(array):
            _repeat(self._valid, _ZEROS, len(array))
        else:
            self._valid.update(_plain(array.is_valid().cast(pa.uint8())))
        if self._child is not None:
            lengths = pc.list_value_length(array)
            self._lengths.update(_plain(pc.fill_null(lengths, 0) if nulls else lengths))
            self._child.update(array.flatten())
        elif pa.types.is_string(array.type):
            if nulls == len(array):
                _repeat(self._lengths, _ZEROS, 4 * nulls)
                return
            lengths = pc.binary_length(array)
            self._lengths.update(_plain(pc.fill_null(lengths, 0) if nulls else lengths))
            self._values.update(_text_bytes(array) if not nulls else _text_bytes(array.drop_null()))
        elif pa.types.is_boolean(array.type):
            self._values.update(_plain((pc.fill_null(array, False) if nulls else array).cast(pa.uint8())))
        else:
            numbers = array.view(pa.int64()) if pa.types.is_timestamp(array.type) else array
            self._values.update(_plain(pc.fill_null(numbers, 0) if nulls else numbers))

    def copy(self) -> _ColumnHash:
        other = _ColumnHash(self.kind)
        other._valid, other._lengths = self._valid.copy(), self._lengths.copy()
        other._values = self._values.copy()
        other._child = None if self._child is None else self._child.copy()
        return other

    def digest(self) -> bytes:
        parts = self._valid.digest() + self._lengths.digest() + self._values.digest()
        return parts + (self._child.digest() if self._child else b"")


def _repeat(digest: hashlib._Hash, block: bytes, size: int) -> None:
    whole, rest = divmod(size, len(block))
    for _ in range(whole):
        digest.update(block)
    digest.update(memoryview(block)[:rest])


def _plain(array: pa.Array) -> memoryview:
    """The values of a fixed-width array without nulls, as they lie in memory (little-endian)."""
    width = array.type.bit_width // 8
    return memoryview(array.buffers()[1])[array.offset * width : (array.offset + len(array)) * width]


def _text_bytes(array: pa.Array) -> memoryview:
    _, offsets, data = array.buffers()
    if data is None:
        return memoryview(b"")
    edges = memoryview(offsets).cast("B").cast("i")
    return memoryview(data)[edges[array.offset] : edges[array.offset + len(array)]]
