"""Somebody who reads the table all the time, by listing it, and looks at every object that changed."""

from __future__ import annotations

import io
import re
import threading
from collections import Counter

import pyarrow.parquet as pq
from tests.chaos.figures import Figures
from tests.chaos.lakes import STORE_TROUBLE, Lake
from tests.chaos.truth import Rows, Truth, lake_rows
from tests.chaos.world import EXPORTS

from logferry.window import TICK_PER_HOUR, parse_instant

_SLICE = re.compile(r"^(\w+)/dt=([\d-]{10})/hr=(\d\d)/part-\d{8}T(\d\d)0000Z-\d{8}T\d{6}Z\.parquet$")
_PAUSE_S = 0.15


class Reader:
    """Reads from construction to ``stop``. A violation names the object."""

    def __init__(self, lake: Lake, truth: Truth, figures: Figures) -> None:
        self._lake, self._truth, self._figures = lake, truth, figures
        self._seen: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read_on, name="reader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _read_on(self) -> None:
        while not self._stopped.wait(_PAUSE_S):
            try:
                self._glance()
            except STORE_TROUBLE:
                continue

    def _glance(self) -> None:
        for export in EXPORTS:
            present = self._lake.marks(f"{export}/")
            # A listing may miss a name that is replaced meanwhile; reading the object tells.
            missing = {key: "" for key in self._seen if key.startswith(f"{export}/") and key not in present}
            for key, mark in (present | missing).items():
                if key.endswith(".parquet") and self._seen.get(key) != mark:
                    self._look_at(key)
                    self._seen[key] = mark

    def _look_at(self, key: str) -> None:
        try:
            rows = rows_of(key, self._lake.read(key))
        except FileNotFoundError:
            self._figures.violated(f"{key} was there and is gone")
            return
        except ValueError as error:
            self._figures.violated(f"{key} is not whole: {error}")
            return
        self._figures.add("objects_read")
        export, hour = slice_of(key)
        whole = self._truth.of(export, hour).whole
        if strange := [row for row, said in rows.items() if whole.get(row) != said]:
            self._figures.violated(f"{key} held {len(strange)} rows that the source never had")


def slice_of(key: str) -> tuple[str, int]:
    """``(export, hour since the epoch)`` of an object of the table. Raises ValueError for another key."""
    found = _SLICE.match(key)
    if found is None or found[3] != found[4]:
        raise ValueError(f"{key} is no key of a slice")
    return found[1], parse_instant(f"{found[2]}T{found[3]}:00:00Z") // TICK_PER_HOUR


def rows_of(key: str, data: bytes) -> Rows:
    """The rows of an object. Raises ValueError unless it is whole: Parquet, unique ids, all within its slice."""
    export, hour = slice_of(key)
    # pyarrow's errors about a broken file are ValueErrors and OSErrors.
    try:
        table = pq.read_table(io.BytesIO(data), partitioning=None)
    except OSError as error:
        raise ValueError(str(error)) from error
    try:
        rows = lake_rows(export, table)
    except KeyError as error:
        raise ValueError(f"it lacks a column: {error.args[0]}") from None
    if outside := [row for row, tick, _ in rows if tick // TICK_PER_HOUR != hour]:
        raise ValueError(f"{len(outside)} rows lie outside of the slice")
    twice = [row for row, count in Counter(row for row, _, _ in rows).items() if count > 1]
    if twice:
        raise ValueError(f"{len(twice)} ids occur more than once, first {twice[0]}")
    return {row: said for row, _, said in rows}
