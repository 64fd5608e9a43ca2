"""Parts: finished stretches of a slice as files of their own, and their assembly into the slice's file.

A part holds every row of its span. A slice of one part needs no assembly: the part is its file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, pairwise
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from logferry.errors import CredentialsError, SourceError
from logferry.fetching.answer_size import PIECE_ROWS
from logferry.fetching.fetch import Account, Final
from logferry.proof.twins import Twins, TwinWatch
from logferry.sources.base import TICK_COLUMN, LogSource
from logferry.window import Window
from logferry.writing.assembly import assemble_files, row_groups
from logferry.writing.encoder import Encoder
from logferry.writing.parquet import ROW_HASH_KEY, FileFacts, GroupFile, RowGroups, SliceFile, joined
from logferry.writing.removal import remove_file
from logferry.writing.row_hash import RowHash

_LOOK_ROWS = 10_000
"""Rows that are binned and looked at for twins at once: page by page that costs many times as much."""
_LEAST_ROWS = 2_048
_LEAST_BYTES = 256 * 1024
"""Of the mean part whose row groups are taken as they are; smaller ones would make a file that is slow to read."""

_MOST_ANSWERS = 16
"""Whole answers that a part may hold: how many are asked for again when a run is stopped before the part is staged, or
when rows of it have to be. With so many, what a file costs by itself is little beside them."""

K = TypeVar("K", int, str)


@dataclass(frozen=True, slots=True)
class Part:
    """A finished part; its ``file`` may still be on its way to the disk. ``bins``: its rows per bin of the proof, by
    bin start, without empty ones.

    ``to_end``: the source itself said that there are no more rows. ``key``: the object
    that holds the same bytes, None when there is none.
    """

    span: Window
    written: Future[FileFacts]
    bins: Mapping[int, int]
    twins: Sequence[Twins] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    to_end: bool = True
    key: str | None = None

    @property
    def file(self) -> FileFacts:
        """The file, waited for. Raises what went wrong while it was written."""
        return self.written.result()

    @property
    def rows(self) -> int:
        """Known without waiting."""
        return sum(self.bins.values())


@dataclass(frozen=True, slots=True)
class _Run:
    """Parts that were written one after another: all rows of the slice before tick ``at`` that they hold."""

    slice_: Window
    at: int
    rows: RowHash


class PartFiles:
    """Writes parts of one source's rows into ``folder``, in the background (``encoder``). For one thread.

    ``labels`` go into each file's metadata. ``bin_ticks``: the bins in which the proof compares rows and counts.
    No two files ever have one path.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        *,
        encoder: Encoder,
        labels: Mapping[str, str],
        bin_ticks: int,
        source: LogSource,
    ) -> None:
        self.bin_ticks = bin_ticks
        self._folder = folder
        self._schema = schema
        self._encoder = encoder
        self._labels = labels
        self._source = source
        self._numbers = count(1)
        self._run: _Run | None = None

    def write(
        self,
        slice_: Window,
        span: Window,
        finals: Iterable[Final],
        account: Account,
        *,
        planned: int | None,
    ) -> Iterator[Part]:
        """The span's rows, which are some of the slice's, as one part, or more: one ends at a final tick when it has
        PIECE_ROWS rows; and, where the source is asked for whole answers, with the answer by which a row group is full,
        as the rest of that would be kept in memory whole, or with the last of _MOST_ANSWERS.

        It does not end at PIECE_ROWS when so few of the ``planned`` rows are left that they go along. What goes wrong
        at the source is raised behind a part of the rows that came before.
        """
        rest = iter(finals)
        start, left = span.start, planned
        while start < span.end:
            failed: SourceError | CredentialsError | None = None
            with self._open(slice_, start) as file:
                try:
                    end = file.fill(rest, span.end, left)
                except (SourceError, CredentialsError) as error:
                    if file.reached <= start:
                        raise
                    failed, end = error, file.reached
                part = file.close(Window(start, end))
            self._run = _Run(slice_, end, file.running)
            left = None if left is None else left - part.rows
            # Rows go on behind a part that is not the last, but a chain of a convoy may have stopped within it.
            stopped = any(start < at <= end for at in account.stopped_at)
            yield replace(part, to_end=account.to_end if end == span.end else not stopped)
            start = end
            if failed is not None:
                raise failed

    def empty(self, span: Window) -> Part:
        """A slice that was counted empty and is not searched for that."""
        with self._open(span, span.start) as file:
            return replace(file.close(span), to_end=False)

    def assemble(self, span: Window, parts: Sequence[Part]) -> Part:
        """The parts, which tile the span in order, as one; their files stay.

        The file's facts are a StoreError when a part cannot be read back.
        """
        path = self.new_path()
        bins: dict[int, int] = {}
        notes: dict[str, int] = {}
        for part in parts:
            _add(bins, part.bins)
            _add(notes, part.notes)
        return Part(
            span=span,
            written=self._encoder.submit(partial(self._assembled, path, [part.written for part in parts])),
            bins=bins,
            twins=[twins for part in parts for twins in part.twins],
            notes=notes,
            to_end=all(part.to_end for part in parts),
        )

    def remove(self, parts: Sequence[Part]) -> None:
        """Remove the parts' files, after what was asked for before is done."""

        def remove() -> None:
            for part in parts:
                remove_file(part.file.path)

        self._encoder.submit(remove)

    def new_path(self) -> Path:
        """Where another file may lie."""
        return self._folder / f"{next(self._numbers)}.part"

    def _assembled(self, path: Path, written: Sequence[Future[FileFacts]]) -> FileFacts:
        parts = [one.result() for one in written]
        filled = [part for part in parts if part.first_tick is not None]
        for one, two in pairwise(filled):
            if one.last_tick is None or two.first_tick is None or two.first_tick < one.last_tick:
                raise AssertionError("parts reached the file out of order")
        rows = sum(part.rows for part in parts)
        row_hash = self._row_hash(parts)
        small = rows < _LEAST_ROWS * len(parts) and sum(part.bytes for part in parts) < _LEAST_BYTES * len(
            parts
        )
        if small:
            size, sha256 = self._encoded_again(path, parts, rows, row_hash)
        else:
            labels = {**self._labels, ROW_HASH_KEY: row_hash}
            size, sha256 = assemble_files(path, [part.path for part in parts], labels)
        return FileFacts(
            path,
            rows,
            size,
            sha256,
            row_hash,
            filled[0].first_tick if filled else None,
            filled[-1].last_tick if filled else None,
        )

    def _row_hash(self, parts: Sequence[FileFacts]) -> str:
        """Of all rows. Where a part does not go on from the one before it, as its own is of another attempt or was
        fetched once more, all rows are read back."""
        if parts[0].follows is None and all(two.follows == one.row_hash for one, two in pairwise(parts)):
            return parts[-1].row_hash
        rows = RowHash(self._schema)
        for part in parts:
            for table in row_groups(part.path):
                rows.update(table.cast(self._schema))
        return rows.digest()

    def _encoded_again(
        self, path: Path, parts: Sequence[FileFacts], rows: int, row_hash: str
    ) -> tuple[int, str]:
        """The parts' rows in row groups that are worth reading."""
        groups, file = RowGroups(), GroupFile(path, self._schema, self._labels)
        try:
            for part in parts:
                for table in row_groups(part.path):
                    for group in groups.add(table.cast(self._schema)):
                        file.write(joined(group.tables))
            if rest := groups.rest().tables:
                file.write(joined(rest))
            return file.close(rows, row_hash)
        except BaseException:
            file.abandon()
            raise

    def _open(self, slice_: Window, start: int) -> _PartFile:
        run, self._run = self._run, None
        goes_on = run is not None and (run.slice_, run.at) == (slice_, start)
        file = SliceFile(
            self.new_path(),
            self._schema,
            encoder=self._encoder,
            metadata=self._labels,
            rows=run.rows if run is not None and goes_on else None,
        )
        watch = TwinWatch(self._source.tick, self._source.page_rows)
        return _PartFile(
            file, start, self.bin_ticks, watch, whole_answers=self._source.answer_rows is not None
        )


class _PartFile:
    """One part that is being written."""

    def __init__(
        self, file: SliceFile, start: int, bin_ticks: int, watch: TwinWatch, *, whole_answers: bool
    ) -> None:
        self._file = file
        self._whole_answers = whole_answers
        self.reached = start
        """The tick before which it has all rows of its span."""
        self._bin_ticks = bin_ticks
        self._bins: dict[int, int] = {}
        self._notes: dict[str, int] = {}
        self._watch = watch
        self._unlooked: list[pa.Table] = []
        self._unlooked_rows = 0
        self._answers = 0

    def __enter__(self) -> _PartFile:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    @property
    def running(self) -> RowHash:
        return self._file.running

    def fill(self, finals: Iterator[Final], end: int, planned: int | None) -> int:
        """Take rows until the part is full or there are no more; the tick before which it has all of them."""
        # No name here keeps rows in memory while the next are waited for: those of one answer may be 64 MB. A
        # StopIteration of what is mapped would be taken for the end of the rows; nothing there raises one.
        for group_ended in map(self._take, finals):
            rows = self._file.rows
            few_left = planned is not None and 0 <= planned - rows < PIECE_ROWS // 2
            enough = self._whole_answers and (group_ended or self._answers >= _MOST_ANSWERS)
            full = enough or (rows >= PIECE_ROWS and not few_left)
            if full and self.reached < end:
                return self.reached
        return end

    def _take(self, final: Final) -> bool:
        """Whether a row group ended with these rows."""
        _add(self._notes, final.notes)
        group_ended = False
        if final.table is not None:
            self._unlooked.append(final.table)
            self._unlooked_rows += final.table.num_rows
            group_ended = self._file.write(final.table)
            if group_ended or self._unlooked_rows >= _LOOK_ROWS:
                self._look()
        self.reached = final.before
        self._answers += 1
        return group_ended

    def close(self, span: Window) -> Part:
        self._look()
        return Part(
            span=span,
            written=self._file.close(),
            bins=self._bins,
            twins=self._watch.twins,
            notes=self._notes,
        )

    def _look(self) -> None:
        if self._unlooked:
            table = pa.concat_tables(self._unlooked)
            _count_bins(table, self._bin_ticks, self._bins)
            self._watch.look(table)
        self._unlooked, self._unlooked_rows = [], 0


def _count_bins(table: pa.Table, bin_ticks: int, bins: dict[int, int]) -> None:
    """Add the rows per bin of rows that are sorted by time."""
    runs = pc.run_end_encode(
        pc.divide(table[TICK_COLUMN].combine_chunks(), bin_ticks), run_end_type=pa.int64()
    )
    before = 0
    for number, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
        start = number * bin_ticks
        bins[start] = bins.get(start, 0) + end - before
        before = end


def _add(total: dict[K, int], more: Mapping[K, int]) -> None:
    for name, rows in more.items():
        total[name] = total.get(name, 0) + rows
