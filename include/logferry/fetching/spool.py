"""Rows that wait on disk, because memory is used up by rows that come before them."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from logferry.errors import StoreError


@dataclass(frozen=True, slots=True)
class Spooled:
    """Where a table lies, and how many rows it has."""

    start: int
    bytes: int
    rows: int


class Spool:
    """Tables in a file without a name in ``folder``: it is gone with the process, however that ends.

    One thread appends while another reads. Not compressed: it is read back at once.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise self._no_room(error) from error

    def append(self, table: pa.Table) -> Spooled:
        """Raises StoreError when the disk is full."""
        with self._lock:
            try:
                start = self._file.tell()
                with pa.ipc.new_stream(self._file, table.schema) as stream:
                    stream.write_table(table)
                self._file.flush()
                return Spooled(start, self._file.tell() - start, table.num_rows)
            except OSError as error:
                raise self._no_room(error) from error

    def read(self, at: Spooled) -> pa.Table:
        """Raises StoreError when the disk does not give back what was written."""
        # Into Arrow's own memory: as a bytes object it would lie in the C library's heaps for as long as its rows live,
        # and megabytes that come and go there leave holes as large as all that waits.
        found = pa.allocate_buffer(at.bytes)
        try:
            _read_into(memoryview(found), self._file.fileno(), at.start)
            with pa.ipc.open_stream(found) as stream:
                table = stream.read_all()
        except (pa.ArrowException, OSError) as error:
            raise self._lost(str(error)) from error
        if table.num_rows != at.rows:
            raise self._lost(f"{table.num_rows:,} rows of {at.rows:,}")
        return table

    def close(self) -> None:
        # What a full disk did not take is written once more here, and nobody wants it.
        with self._lock, contextlib.suppress(OSError):
            self._file.close()

    def _no_room(self, error: OSError) -> StoreError:
        return StoreError(
            f"cannot write an unfinished file in {self._folder}: {error.strerror or error}; free disk space is "
            "needed there"
        )

    def _lost(self, why: str) -> StoreError:
        return StoreError(
            f"cannot read an unfinished file in {self._folder} back ({why}); check the disk it lies on, and run again"
        )


def _read_into(room: memoryview, descriptor: int, start: int) -> None:
    """Raises OSError when the file ends before the room is full."""
    while room:
        came = os.preadv(descriptor, [room], start)
        if came == 0:
            raise OSError("it ends early")
        room, start = room[came:], start + came
