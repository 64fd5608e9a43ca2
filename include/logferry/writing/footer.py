"""The footer of a Parquet file, changed as little as moving its row groups into another file takes.

Field numbers: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift. What readers need
and nobody here knows, statistics above all, stays as it was written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from logferry.errors import StoreError
from logferry.writing.compact_thrift import (
    BINARY,
    I16,
    LIST,
    STRUCT,
    Items,
    NotThrift,
    Struct,
    read_struct,
    struct_bytes,
)

MAGIC = b"PAR1"
_TAIL = 8
"""Bytes after the footer: its length (four bytes, little-endian) and the magic."""
# FileMetaData
_SCHEMA, _NUM_ROWS, _ROW_GROUPS, _KEY_VALUES, _COLUMN_ORDERS, _ENCRYPTION = 2, 3, 4, 5, 7, 8
_KEY, _VALUE = 1, 2
# RowGroup
_COLUMNS, _GROUP_ROWS, _GROUP_OFFSET, _ORDINAL = 1, 3, 5, 7
_MOST_ORDINAL = 32_767
# ColumnChunk
_FILE_PATH, _CHUNK_OFFSET, _META_DATA = 1, 2, 3
_OFFSET_INDEX, _OFFSET_INDEX_BYTES, _COLUMN_INDEX = 4, 5, 6
# ColumnMetaData
_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE, _BLOOM_FILTER = 9, 10, 11, 14
# OffsetIndex, and PageLocation
_PAGE_LOCATIONS, _PAGE_OFFSET = 1, 1


@dataclass(slots=True)
class Footer:
    """``tree``: the FileMetaData. ``begins_at``: the offset of its first byte, where row groups end."""

    tree: Struct
    begins_at: int

    @property
    def row_groups(self) -> list[Struct]:
        groups: list[Struct] = self.tree.get(_ROW_GROUPS).values
        return groups

    @property
    def rows(self) -> int:
        rows: int = self.tree.get(_NUM_ROWS)
        return rows


def read_footer(path: Path) -> Footer:
    """The file's footer. Raises StoreError when the file is not a whole plain Parquet file."""
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise StoreError(
            f"cannot read {path} back: {error.strerror or error}; check the disk it lies on"
        ) from error
    except NotThrift as error:
        raise StoreError(
            f"cannot read {path} back: it is not a whole Parquet file ({error}); check the disk it lies on, and run "
            "again"
        ) from error


def _read(file: BinaryIO) -> Footer:
    size = file.seek(0, os.SEEK_END)
    if size < len(MAGIC) + _TAIL:
        raise NotThrift(f"of {size} bytes")
    file.seek(0)
    head = file.read(len(MAGIC))
    file.seek(size - _TAIL)
    tail = file.read(_TAIL)
    length = int.from_bytes(tail[:4], "little")
    if head != MAGIC or tail[4:] != MAGIC or length > size - len(MAGIC) - _TAIL:
        raise NotThrift("its first or last bytes are others")
    begins_at = size - _TAIL - length
    file.seek(begins_at)
    tree, taken = read_struct(file.read(length))
    footer = Footer(tree, begins_at)
    if taken != length or not _is_plain(footer):
        raise NotThrift("its footer is another")
    return footer


def _is_plain(footer: Footer) -> bool:
    """Whether it has what each Parquet file has, in this one file and unencrypted."""
    tree = footer.tree
    return (
        isinstance(tree.get(_SCHEMA), Items)
        and isinstance(tree.get(_ROW_GROUPS), Items)
        and isinstance(tree.get(_NUM_ROWS), int)
        and _ENCRYPTION not in tree.fields
        and all(
            isinstance(group, Struct)
            and isinstance(group.get(_COLUMNS), Items)
            and all(
                isinstance(chunk, Struct)
                and isinstance(chunk.get(_META_DATA), Struct)
                and _FILE_PATH not in chunk.fields
                for chunk in group.get(_COLUMNS).values
            )
            for group in footer.row_groups
        )
    )


def same_columns(one: Footer, two: Footer) -> bool:
    """Whether both files have the same columns, of the same types and orders."""
    return all(one.tree.get(field) == two.tree.get(field) for field in (_SCHEMA, _COLUMN_ORDERS))


def move(footer: Footer, by: int) -> None:
    """Every offset of the footer is now larger ``by`` so many bytes, as all that it points to lies so much later.

    What lies in the offset indexes are offsets too: ``moved_offset_indexes``.
    """
    for group in footer.row_groups:
        _shift(group, _GROUP_OFFSET, by)
        for chunk in group.get(_COLUMNS).values:
            _shift(chunk, _CHUNK_OFFSET, by)
            _shift(chunk, _COLUMN_INDEX, by)
            for field in (_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE, _BLOOM_FILTER):
                _shift(chunk.get(_META_DATA), field, by)


def moved_offset_indexes(footer: Footer, by: int, read: Callable[[int, int], bytes], write_at: int) -> bytes:
    """The offset indexes of a file whose row groups lie ``by`` bytes later: they will lie at ``write_at``, where the
    footer now says that they are. ``read(offset, size)`` gives bytes of the file as it was.

    Raises NotThrift.
    """
    out = bytearray()
    for group in footer.row_groups:
        for chunk in group.get(_COLUMNS).values:
            if _OFFSET_INDEX not in chunk.fields:
                continue
            index, _ = read_struct(read(chunk.get(_OFFSET_INDEX), chunk.get(_OFFSET_INDEX_BYTES)))
            for location in index.get(_PAGE_LOCATIONS).values:
                _shift(location, _PAGE_OFFSET, by)
            data = struct_bytes(index)
            chunk.put(_OFFSET_INDEX, write_at + len(out))
            chunk.put(_OFFSET_INDEX_BYTES, len(data))
            out += data
    return bytes(out)


def _shift(struct: Struct, field: int, by: int) -> None:
    # Some offsets are optional, and 0 stands for none: the magic lies there.
    if struct.get(field):
        struct.put(field, struct.get(field) + by)


def merged(footers: Sequence[Footer], metadata: Mapping[str, str]) -> bytes:
    """The footer, and what follows it, of a file that holds the row groups of all of them in this order.

    They are moved already. ``metadata`` replaces entries of the first one's key-value metadata; the rest of that stays.
    """
    tree = Struct(dict(footers[0].tree.fields))
    # Groups without rows, which some writers leave behind, have no pages and no offsets that mean anything.
    groups = [group for footer in footers for group in footer.row_groups if group.get(_GROUP_ROWS)]
    for number, group in enumerate(groups):
        if len(groups) <= _MOST_ORDINAL + 1:
            group.fields[_ORDINAL] = (I16, number)
        else:
            group.fields.pop(_ORDINAL, None)
    tree.put(_NUM_ROWS, sum(footer.rows for footer in footers))
    tree.put(_ROW_GROUPS, Items(STRUCT, groups))
    kept = tree.get(_KEY_VALUES).values if _KEY_VALUES in tree.fields else []
    entries = [entry for entry in kept if entry.get(_KEY).decode(errors="replace") not in metadata]
    entries += [_key_value(key, value) for key, value in metadata.items()]
    tree.fields[_KEY_VALUES] = (LIST, Items(STRUCT, entries))
    data = struct_bytes(tree)
    return data + len(data).to_bytes(4, "little") + MAGIC


def _key_value(key: str, value: str) -> Struct:
    return Struct({_KEY: (BINARY, key.encode()), _VALUE: (BINARY, value.encode())})
