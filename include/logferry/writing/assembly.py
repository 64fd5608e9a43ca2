"""Several Parquet files into one: their row groups byte for byte, under one new footer. Nothing is decoded."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from logferry.errors import StoreError
from logferry.writing.compact_thrift import NotThrift
from logferry.writing.footer import (
    MAGIC,
    Footer,
    merged,
    move,
    moved_offset_indexes,
    read_footer,
    same_columns,
)

_COPY_BYTES = 1 << 20


def assemble_files(path: Path, parts: Sequence[Path], metadata: Mapping[str, str]) -> tuple[int, str]:
    """Write the parts' rows in this order to ``path``; its bytes and ``sha256:…``.

    ``metadata`` goes into the file's; the Arrow schema stays as the first part has it. Raises StoreError when a part
    is not a whole Parquet file or the disk refuses, and leaves no file then; AssertionError when the parts'
    columns differ.
    """
    footers = [read_footer(part) for part in parts]
    for part, footer in zip(parts, footers, strict=True):
        if not same_columns(footers[0], footer):
            raise AssertionError(f"{part} has other columns than {parts[0]}")
    try:
        try:
            with path.open("xb") as file:
                out = _Hashed(file)
                out.write(MAGIC)
                for part, footer in zip(parts, footers, strict=True):
                    _append(out, part, footer)
                out.write(merged(footers, metadata))
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {error.strerror or error}; free disk space is needed there"
            ) from error
        _check(path, footers, out)
    except BaseException:
        with contextlib.suppress(OSError):  # What went wrong before says more.
            path.unlink(missing_ok=True)
        raise
    return out.size, f"sha256:{out.digest.hexdigest()}"


def row_groups(path: Path) -> Iterator[pa.Table]:
    """The file's rows, a row group at a time. Raises StoreError when they cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


class _Hashed:
    """A file that is being written, and the hash of what is in it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size += len(data)


def _append(out: _Hashed, part: Path, footer: Footer) -> None:
    """What lies before the part's footer, without the magic; the footer is made to say where it lies now."""
    by = out.size - len(MAGIC)
    with part.open("rb") as file:
        file.seek(len(MAGIC))
        left = footer.begins_at - len(MAGIC)
        while left and (data := file.read(min(left, _COPY_BYTES))):
            out.write(data)
            left -= len(data)
        if left:
            raise _unreadable(part, "it ends early")

        def read(offset: int, size: int) -> bytes:
            file.seek(offset)
            return file.read(size)

        try:
            indexes = moved_offset_indexes(footer, by, read, out.size)
        except NotThrift as error:
            raise _unreadable(part, error) from error
        out.write(indexes)
    move(footer, by)


def _check(path: Path, footers: Sequence[Footer], out: _Hashed) -> None:
    """Read the new footer back, every row group and column of it, and see that each lies in the file."""
    try:
        found = pq.read_metadata(path)
        groups = [found.row_group(number) for number in range(found.num_row_groups)]
        rows = [group.num_rows for group in groups]
        starts = [
            min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
            for group in groups
            for chunk in map(group.column, range(group.num_columns))
        ]
        sizes = [
            chunk.total_compressed_size
            for group in groups
            for chunk in map(group.column, range(group.num_columns))
        ]
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    end = len(MAGIC)
    for start, size in zip(starts, sizes, strict=True):
        if start < end:
            raise _unreadable(path, "its columns lie in each other")
        end = start + size
    expected = sum(footer.rows for footer in footers)
    if found.num_rows != expected or sum(rows) != expected or end > out.size - found.serialized_size:
        raise _unreadable(path, f"it holds {sum(rows):,} rows of {expected:,}")


def _unreadable(path: Path, why: object) -> StoreError:
    return StoreError(f"cannot read {path} back ({why}); check the disk it lies on, and run again")
