"""One slice's Parquet file on local disk: written once, sorted, checked by its own footer.

Defaults: zstd level 1; a row group ends at 131,072 rows or 32 MiB of values, whichever comes first.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from logferry.errors import StoreError
from logferry.fetching.table_bytes import table_bytes
from logferry.sources.base import TICK_COLUMN, SourceSchema
from logferry.writing.column_settings import column_settings
from logferry.writing.encoder import Encoder
from logferry.writing.row_hash import RowHash

GROUP_ROWS = 131_072
GROUP_BYTES = 32 * 1024 * 1024
_GROUP_EXCESS = GROUP_BYTES // 8
"""How far the last rows of a group may lead beyond its size; they are not cut one by one."""
_PAGE_BYTES = 2 * 1024 * 1024
"""Bytes of long rows that are encoded at once; 1,024 ordinary ones are less."""
_BATCH_ROWS = 1_024
"""Rows after which the writer looks whether a page of a column is full, as pyarrow does by itself."""
_LARGE_CHUNK = 64 * 1024
"""Mean bytes of a column's chunks that are not worth a copy."""
ROW_HASH_KEY = "logferry.row_hash"


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a finished file holds; ``first_tick``/``last_tick`` are None when it has no rows.

    ``row_hash``: of its rows, where ``follows`` is None. Otherwise the file goes on where another one ended whose rows
    and those before it have the row hash ``follows``, and ``row_hash`` is that of all of them with its own.
    """

    path: Path
    rows: int
    bytes: int
    sha256: str
    row_hash: str
    first_tick: int | None
    last_tick: int | None
    follows: str | None = None


class SliceFile:
    """Writes one slice, or a part of one. Use as a context manager: leaving it by an exception removes the file, and
    waits for no more than what of it is under way.

    Full row groups are hashed and encoded by ``encoder`` while the next is collected; what goes wrong there is raised
    by the next ``write``, by ``close`` or by its result. ``rows``: the running hash that these rows go on.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        *,
        encoder: Encoder,
        metadata: Mapping[str, str] | None = None,
        rows: RowHash | None = None,
    ) -> None:
        self._schema = schema
        self._encoder = encoder
        self._groups = RowGroups()
        self._file = GroupFile(path, schema, metadata or {})
        self._goes_on = rows is not None
        self.running = rows or RowHash(schema)
        """The running hash, once the result of ``close`` is there: for a file that goes on from here."""
        self._follows: str | None = None
        self._begun = False
        self._failed: BaseException | None = None
        self._works: list[Future[Any]] = []
        self.rows = 0
        self._first_tick: int | None = None
        self._last_tick: int | None = None

    def __enter__(self) -> SliceFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._encoder.drop(self._works)
            self._file.abandon()

    def write(self, table: pa.Table) -> bool:
        """Append rows that are sorted after all rows before; TICK_COLUMN and ID_COLUMN are left out.

        Whether a row group ended with or in them, so that no more than one of tables is kept alive.
        """
        if table.num_rows == 0:
            return False
        ticks = table[TICK_COLUMN]
        first, last = ticks[0].as_py(), ticks[-1].as_py()
        if self._last_tick is not None and first < self._last_tick:
            raise AssertionError("rows reached the file out of order")
        self._first_tick = first if self._first_tick is None else self._first_tick
        self._last_tick = last
        self.rows += table.num_rows
        output = table.select(self._schema.names)
        if not output.schema.equals(self._schema):
            output = output.cast(self._schema)
        ended = False
        for group in self._groups.add(output):
            self._works.append(self._encoder.submit(partial(self._encode, group.tables), size=group.bytes))
            ended = True
        return ended

    def close(self) -> Future[FileFacts]:
        """Finish the file, read its footer back and give the facts, all in the background."""
        rest = self._groups.rest()
        end = self._encoder.submit(partial(self._finish, rest.tables), size=rest.bytes)
        self._works.append(end)
        return end

    def _finish(self, rest: list[pa.Table]) -> FileFacts:
        try:
            self._encode(rest)
            row_hash = self.running.digest()
            size, sha256 = self._file.close(self.rows, None if self._follows else row_hash)
        except BaseException:
            self._file.abandon()
            raise
        return FileFacts(
            path=self._file.path,
            rows=self.rows,
            bytes=size,
            sha256=sha256,
            row_hash=row_hash,
            first_tick=self._first_tick,
            last_tick=self._last_tick,
            follows=self._follows,
        )

    def _encode(self, tables: list[pa.Table]) -> None:
        if self._failed is not None:
            # What follows may have been on its way already: the file must not look whole without these rows.
            raise self._failed
        try:
            self._append(tables)
        except BaseException as error:
            self._failed = error
            raise

    def _append(self, tables: list[pa.Table]) -> None:
        if self._goes_on and not self._begun:
            self._follows = self.running.digest()
        self._begun = True
        if tables:
            group = joined(tables)
            self.running.update(group)
            self._file.write(group)


def joined(tables: list[pa.Table]) -> pa.Table:
    """The tables as one; the list is empty then.

    Columns of many small chunks are copied into one each, for every chunk costs time wherever it is read. To copy
    large ones costs more.
    """
    whole = pa.concat_tables(tables)
    tables.clear()
    columns = [
        column.combine_chunks()
        if column.get_total_buffer_size() < _LARGE_CHUNK * column.num_chunks
        else column
        for column in whole.columns
    ]
    return pa.table(columns, schema=whole.schema)


class RowGroup(NamedTuple):
    """Rows as tables in order, and the bytes of their values."""

    tables: list[pa.Table]
    bytes: int


class RowGroups:
    """Collects rows into row groups of bounded size."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._rows = 0
        self._bytes = 0

    def add(self, table: pa.Table) -> Iterator[RowGroup]:
        """The groups that are full now."""
        while table.num_rows:
            part, size = self._fitting(table)
            table = table.slice(part.num_rows)
            self._tables.append(part)
            self._rows += part.num_rows
            self._bytes += size
            if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                yield self.rest()

    def rest(self) -> RowGroup:
        """The group that is not full, which ends here."""
        group = RowGroup(self._tables, self._bytes)
        self._tables = []
        self._rows = self._bytes = 0
        return group

    def _fitting(self, table: pa.Table) -> tuple[pa.Table, int]:
        """The first rows of ``table``, at least one, that the group still has room for, and their bytes."""
        part = table.slice(0, GROUP_ROWS - self._rows)
        size = table_bytes(part)
        while part.num_rows > 1 and self._bytes + size > GROUP_BYTES + _GROUP_EXCESS:
            part = part.slice(0, part.num_rows // 2)
            size = table_bytes(part)
        return part, size


class GroupFile:
    """A Parquet file that is written a row group at a time. Raises StoreError where the disk refuses.

    It may be given up by another thread than the one that writes, at any moment.
    """

    def __init__(self, path: Path, schema: pa.Schema, metadata: Mapping[str, str]) -> None:
        self.path = path
        self._schema = schema
        self._metadata = dict(metadata)
        self._writer: pq.ParquetWriter | None = None
        self._is_given_up = False
        self._at_work = threading.RLock()
        with writing(path):
            self._sink = pa.OSFile(str(path), "wb")

    def write(self, group: pa.Table) -> None:
        with self._working():
            self._opened(group).write_table(group, row_group_size=GROUP_ROWS)

    def close(self, rows: int, row_hash: str | None) -> tuple[int, str]:
        """Write the footer, with the row hash if there is one, and read it back; the file's bytes and their hash."""
        labels = {**self._metadata, ROW_HASH_KEY: row_hash} if row_hash else self._metadata
        with self._working():
            writer = self._opened(self._schema.empty_table())
            writer.add_key_value_metadata(labels)
            writer.close()
            self._sink.close()
            footer = pq.read_metadata(self.path)
            if footer.num_rows != rows:
                raise StoreError(
                    f"{self.path} holds {footer.num_rows:,} rows of {rows:,}; the disk lost some"
                )
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            return self.path.stat().st_size, f"sha256:{digest}"

    def abandon(self) -> None:
        """Remove the file, where the disk lets it be removed: the caller knows worse of it already, and the folder for
        unfinished files goes in the end."""
        with self._at_work:
            self._is_given_up = True
            if self._writer is not None:
                # Closing writes a footer, which fails again on a full disk and would hide why.
                with contextlib.suppress(OSError, pa.ArrowException):
                    self._writer.close()
                self._writer.is_open = False  # Or it tries that once more when it is collected.
            with contextlib.suppress(OSError, pa.ArrowException):
                self._sink.close()
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        """Arrow's writer is not to be closed under one who writes: an interrupted caller may not know of work that it
        had just handed to the encoder."""
        with self._at_work, writing(self.path):
            if self._is_given_up:
                raise StoreError(f"{self.path} was given up")
            yield

    def _opened(self, first: pa.Table) -> pq.ParquetWriter:
        if self._writer is None:
            columns = column_settings(first)
            self._writer = pq.ParquetWriter(
                self._sink,
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=columns.dictionary,
                write_statistics=columns.statistics,
                write_batch_size=_batch_rows(first),
                version="2.6",
            )
        return self._writer


def _batch_rows(first: pa.Table) -> int:
    """Fewer where rows are long: a page ends only between two batches, and is in memory twice when it does."""
    fitting: int = _PAGE_BYTES * first.num_rows // max(1, table_bytes(first))
    return max(1, min(_BATCH_ROWS, fitting)) if first.num_rows else _BATCH_ROWS


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the disk refuses, as one StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free disk space is needed there"
        ) from error


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
