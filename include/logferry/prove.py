"""Proof: every slice of a chunk written, then counted at the source, and fetched again where the two differ."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from logferry.clock import Clock
from logferry.errors import CountUnavailable
from logferry.fetch import Restart, fetch_slice
from logferry.http import Client
from logferry.parquet import FileFacts, SliceFile, arrow_schema
from logferry.plan import SlicePlan
from logferry.sources.base import LogSource, SourceSchema
from logferry.window import Window

log = logging.getLogger(__name__)

_ROUNDS = 4
"""The first fetch, and at most three more of slices whose proof count differs."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A written slice: ``counted`` rows at the source by a count at tick ``counted_at``, after the fetch; None
    when it could not be counted. ``notes``: see ``Page.notes``."""

    slice_: Window
    file: FileFacts
    counted: int | None
    counted_at: int
    notes: dict[str, int]


def count_rows(client: Client, source: LogSource, window: Window, grid: int) -> dict[int, int] | None:
    """Rows per slice of the window by slice start, None when the source cannot count."""
    try:
        return client.run(lambda: source.count(window, grid))
    except CountUnavailable as error:
        log.warning("%s: the window can only be unproven", error)
        return None


class Prover:
    """Writes and proves slices into ``folder``. ``labels`` go into each file's metadata."""

    def __init__(
        self,
        client: Client,
        source: LogSource,
        schema: SourceSchema,
        *,
        grid: int,
        folder: Path,
        labels: dict[str, str],
        clock: Clock,
        on_page: Callable[[int, int], None],
    ) -> None:
        self._client = client
        self._source = source
        self._schema = schema
        self._arrow = arrow_schema(schema)
        self._grid = grid
        self._folder = folder
        self._labels = labels
        self._clock = clock
        self._on_page = on_page

    def prove(self, slices: Sequence[SlicePlan]) -> list[Finished]:
        """All slices (contiguous), in order. Those that differ at the end keep both numbers."""
        finished: dict[Window, Finished] = {}
        pending = [(planned.window(), planned.rows) for planned in slices]
        for attempt in range(_ROUNDS):
            written = {slice_: self._write(slice_, rows) for slice_, rows in pending}
            counts = count_rows(
                self._client, self._source, Window(pending[0][0].start, pending[-1][0].end), self._grid
            )
            counted_at = self._clock.now()
            if counts is None and any(rows is not None for _, rows in pending):
                # The fetch stopped at the planned numbers; without a count to confirm them it must go to the end.
                written = {slice_: self._write(slice_, None) for slice_, _ in pending}
            for slice_, (file, notes) in written.items():
                counted = None if counts is None else counts.get(slice_.start, 0)
                finished[slice_] = Finished(slice_, file, counted, counted_at, notes)
            differing = {slice_ for slice_ in written if _differs(finished[slice_])}
            if not differing:
                break
            log.warning(
                "%d of %d slices differ from the count taken after the fetch%s",
                len(differing),
                len(written),
                "; fetching them again" if attempt + 1 < _ROUNDS else ", after three more fetches",
            )
            # A count that was wrong once is not believed when it calls a slice empty.
            believed_empty = {slice_ for slice_, rows in pending if rows == 0}
            pending = [(slice_, None) for slice_ in sorted(differing | believed_empty)]
        return [finished[slice_] for slice_ in sorted(finished)]

    def _write(self, slice_: Window, planned: int | None) -> tuple[FileFacts, dict[str, int]]:
        """One slice to a local file. A slice that was counted empty is not searched; its proof count decides."""
        try:
            return self._write_once(slice_, planned, held=False)
        except Restart:
            return self._write_once(slice_, planned, held=True)

    def _write_once(
        self, slice_: Window, planned: int | None, *, held: bool
    ) -> tuple[FileFacts, dict[str, int]]:
        notes: dict[str, int] = {}
        path = self._folder / f"{slice_.start}.part"
        with SliceFile(path, self._arrow, metadata=self._labels) as file:
            for table in self._rows(slice_, planned, notes, held=held):
                file.write(table)
            return file.close(), notes

    def _rows(
        self, slice_: Window, planned: int | None, notes: dict[str, int], *, held: bool
    ) -> Iterator[pa.Table]:
        if planned == 0:
            return iter(())
        return fetch_slice(
            self._client,
            self._source,
            slice_,
            self._schema,
            planned=planned,
            held=held,
            notes=notes,
            on_page=self._on_page,
        )


def _differs(finished: Finished) -> bool:
    return finished.counted is not None and finished.counted != finished.file.rows
