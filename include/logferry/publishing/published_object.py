"""What a published object says of its rows, and whether it really is what a record says."""

from __future__ import annotations

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from logferry.records.manifest import FileEntry
from logferry.stores.base import NotFound, ObjectInfo, Store
from logferry.writing.parquet import ROW_HASH_KEY
from logferry.writing.row_hash import RowHash

ROW_HASH_METADATA = "row-hash"
"""The object metadata that carries the row hash, in stores that keep metadata."""

READ_BYTES = 16 * 1024 * 1024
"""Of an object that is read in parts: what lies in memory at a time."""


def published_row_hash(store: Store, key: str) -> str | None:
    """The row hash of the object under ``key``, from its metadata or its footer; None without a readable one."""
    return row_hash_of(store, store.head(key))


def row_hash_of(store: Store, info: ObjectInfo | None) -> str | None:
    """``published_row_hash`` of an object that was looked at already; None when there is none."""
    if info is None:
        return None
    if ROW_HASH_METADATA in info.metadata:
        return info.metadata[ROW_HASH_METADATA]
    footer = _footer(store, info)
    found = None if footer is None else (footer.metadata or {}).get(ROW_HASH_KEY.encode())
    return found.decode() if found else None


def rows_in(store: Store, info: ObjectInfo) -> int | None:
    """The number of rows by the object's footer; None without a readable one."""
    footer = _footer(store, info)
    return None if footer is None else int(footer.num_rows)


def _footer(store: Store, info: ObjectInfo) -> pq.FileMetaData | None:
    try:
        return pq.read_metadata(pa.PythonFile(_RemoteFile(store, info.key, info.size), mode="r"))
    except (pa.ArrowException, OSError, NotFound):  # OSError: a footer that is no Thrift
        return None


def sha256_of(store: Store, info: ObjectInfo) -> str | None:
    """``sha256:…`` of the object's bytes, read in parts; None when it is gone.

    A footer alone would not show a flipped byte, nor two objects that were swapped.
    """
    digest = hashlib.sha256()
    try:
        for start in range(0, info.size, READ_BYTES):
            digest.update(store.read_range(info.key, start, READ_BYTES))
    except NotFound:
        return None
    return f"sha256:{digest.hexdigest()}"


def intact(store: Store, file: FileEntry) -> bool:
    """Whether the object is, byte for byte, the one that was published."""
    info = store.head(file.key)
    return info is not None and info.size == file.bytes and sha256_of(store, info) == file.sha256


def has_rows_of(store: Store, info: ObjectInfo, row_hash: str) -> tuple[int, str] | None:
    """Size and SHA-256 of an object whose rows, read and hashed anew, have this row hash; None when they do not.

    For an object that no record vouches for: what it says of itself may be older than its bytes.
    """
    try:
        data = store.read(info.key)
        file = pq.ParquetFile(pa.BufferReader(data))
        digest = RowHash(file.schema_arrow)
        for batch in file.iter_batches():
            digest.update(pa.Table.from_batches([batch]))
    except (pa.ArrowException, OSError, NotFound):
        return None
    if digest.digest() != row_hash:
        return None
    return len(data), f"sha256:{hashlib.sha256(data).hexdigest()}"


class _RemoteFile(io.RawIOBase):
    """A seekable view of an object, so that a footer costs one range request and not the whole object."""

    def __init__(self, store: Store, key: str, size: int) -> None:
        self._store, self._key, self._size, self._at = store, key, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        length = self._size - self._at if size < 0 else min(size, self._size - self._at)
        data = self._store.read_range(self._key, self._at, length) if length > 0 else b""
        self._at += len(data)
        return data
