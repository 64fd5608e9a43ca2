"""One slice's Parquet file on local disk: written once, sorted, checked by its own footer.

Defaults: zstd level 1; a row group ends at 131,072 rows or 32 MiB of values, whichever comes first.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from logferry.errors import StoreError
from logferry.sources.base import ID_COLUMN, TICK_COLUMN, SourceSchema
from logferry.writing.row_hash import RowHash

GROUP_ROWS = 131_072
GROUP_BYTES = 32 * 1024 * 1024
_GROUP_EXCESS = GROUP_BYTES // 8
"""How far the last rows of a group may lead beyond its size; they are not cut one by one."""
ROW_HASH_KEY = "logferry.row_hash"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a finished file holds; ``first_tick``/``last_tick`` are None when it has no rows."""

    path: Path
    rows: int
    bytes: int
    sha256: str
    row_hash: str
    first_tick: int | None
    last_tick: int | None


class SliceFile:
    """Writes one slice. Use as a context manager: leaving it by an exception removes the file."""

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        *,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._path = path
        self._schema = schema
        self._metadata = dict(metadata or {})
        self._hash = RowHash(schema)
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._rows = 0
        self._first_tick: int | None = None
        self._last_tick: int | None = None
        try:
            self._writer = pq.ParquetWriter(
                path,
                schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=True,
                write_statistics=True,
                version="2.6",
            )
        except OSError as error:
            raise StoreError(
                f"cannot write {path}: {error.strerror or error}; free disk space is needed there"
            ) from error

    def __enter__(self) -> SliceFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            # Closing writes a footer, which fails again on a full disk and would hide why.
            with contextlib.suppress(OSError, pa.ArrowException):
                self._writer.close()
            self._path.unlink(missing_ok=True)

    def write(self, table: pa.Table) -> None:
        """Append rows that are sorted after all rows before; TICK_COLUMN and ID_COLUMN are left out."""
        if table.num_rows == 0:
            return
        ticks = table[TICK_COLUMN]
        first, last = ticks[0].as_py(), ticks[-1].as_py()
        if self._last_tick is not None and first < self._last_tick:
            raise AssertionError("rows reached the file out of order")
        self._first_tick = first if self._first_tick is None else self._first_tick
        self._last_tick = last
        self._append(table.drop_columns([TICK_COLUMN, ID_COLUMN]).cast(self._schema))

    def extend(self, part: FileFacts) -> None:
        """Append the rows of a finished file that come after all rows before, one row group at a time."""
        if part.first_tick is None:
            return
        if self._last_tick is not None and part.first_tick < self._last_tick:
            raise AssertionError("parts reached the file out of order")
        self._first_tick = part.first_tick if self._first_tick is None else self._first_tick
        self._last_tick = part.last_tick
        try:
            with pq.ParquetFile(part.path) as file:
                for group in range(file.num_row_groups):
                    self._append(file.read_row_group(group, use_threads=False).cast(self._schema))
        except (pa.ArrowException, OSError) as error:
            raise StoreError(
                f"cannot read {part.path} back ({error}); check the disk it lies on, and run again"
            ) from error

    def _append(self, output: pa.Table) -> None:
        self._hash.update(output)
        while output.num_rows:
            part = self._fitting(output)
            output = output.slice(part.num_rows)
            self._waiting.append(part)
            self._waiting_rows += part.num_rows
            self._waiting_bytes += part.nbytes
            self._rows += part.num_rows
            if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
                self._end_group()

    def close(self) -> FileFacts:
        """Finish the file, read its footer back and return the facts."""
        row_hash = self._hash.digest()
        try:
            self._end_group()
            self._writer.add_key_value_metadata({**self._metadata, ROW_HASH_KEY: row_hash})
            self._writer.close()
            footer = pq.read_metadata(self._path)
            if footer.num_rows != self._rows:
                raise StoreError(
                    f"{self._path} holds {footer.num_rows:,} rows of {self._rows:,}; the disk lost some"
                )
            with self._path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = self._path.stat().st_size
        except OSError as error:
            raise StoreError(
                f"cannot write {self._path}: {error.strerror or error}; free disk space is needed there"
            ) from error
        return FileFacts(
            self._path, self._rows, size, f"sha256:{digest}", row_hash, self._first_tick, self._last_tick
        )

    def _fitting(self, table: pa.Table) -> pa.Table:
        """The first rows of ``table``, at least one, that the group still has room for."""
        part = table.slice(0, GROUP_ROWS - self._waiting_rows)
        while part.num_rows > 1 and self._waiting_bytes + part.nbytes > GROUP_BYTES + _GROUP_EXCESS:
            part = part.slice(0, part.num_rows // 2)
        return part

    def _end_group(self) -> None:
        if self._waiting_rows:
            group = pa.concat_tables(self._waiting).combine_chunks()
            try:
                self._writer.write_table(group, row_group_size=GROUP_ROWS)
            except OSError as error:
                raise StoreError(
                    f"cannot write {self._path}: {error.strerror or error}; free disk space is needed there"
                ) from error
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0


def arrow_schema(schema: SourceSchema) -> pa.Schema:
    """The Arrow schema of a window's files."""
    return pa.schema([pa.field(column.name, _arrow_type(column.arrow)) for column in schema.columns])


_ARROW_TYPES = {
    str(kind): kind
    for kind in (
        pa.string(),
        pa.int64(),
        pa.int32(),
        pa.float64(),
        pa.bool_(),
        pa.timestamp("us", tz="UTC"),
        pa.list_(pa.string()),
    )
}


def _arrow_type(text: str) -> pa.DataType:
    return _ARROW_TYPES[text]
