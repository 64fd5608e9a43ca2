"""What a published object says of its rows, without reading them."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from logferry.parquet import ROW_HASH_KEY
from logferry.stores.base import Store

ROW_HASH_METADATA = "row-hash"
"""The object metadata that carries the row hash, in stores that keep metadata."""


def published_row_hash(store: Store, key: str) -> str | None:
    """The row hash of the object under ``key``, from its metadata or its footer; None without a readable one."""
    info = store.head(key)
    if info is None:
        return None
    if ROW_HASH_METADATA in info.metadata:
        return info.metadata[ROW_HASH_METADATA]
    try:
        footer = pq.read_metadata(pa.PythonFile(_RemoteFile(store, key, info.size), mode="r"))
    except (pa.ArrowException, OSError):  # OSError: a footer that is no Thrift
        return None
    found = (footer.metadata or {}).get(ROW_HASH_KEY.encode())
    return found.decode() if found else None


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
