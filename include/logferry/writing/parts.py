"""Parts: finished stretches of a slice as files of their own, and their assembly into the slice's file.

A part holds every row of its span. A slice of one part needs no assembly: the part is its file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from logferry.fetching.answer_size import PIECE_ROWS
from logferry.fetching.fetch import Account, Final
from logferry.proof.twins import Twins, TwinWatch
from logferry.sources.base import TICK_COLUMN, LogSource
from logferry.window import Window
from logferry.writing.parquet import FileFacts, SliceFile

K = TypeVar("K", int, str)


@dataclass(frozen=True, slots=True)
class Part:
    """A finished part. ``bins``: its rows per bin of the proof, by bin start, without empty ones.

    ``to_end``: the source itself said that there are no more rows. ``key``: the object
    that holds the same bytes, None when there is none.
    """

    span: Window
    file: FileFacts
    bins: Mapping[int, int]
    twins: Sequence[Twins] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    to_end: bool = True
    key: str | None = None


class PartFiles:
    """Writes parts of one source's rows into ``folder``.

    ``labels`` go into each file's metadata. ``bin_ticks``: the bins in which the proof compares rows and counts.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        *,
        labels: Mapping[str, str],
        bin_ticks: int,
        source: LogSource,
    ) -> None:
        self.bin_ticks = bin_ticks
        self._folder = folder
        self._schema = schema
        self._labels = labels
        self._source = source

    def write(
        self, span: Window, finals: Iterable[Final], account: Account, *, planned: int | None
    ) -> Iterator[Part]:
        """The span's rows as one part, or more: one ends at a final tick when it has PIECE_ROWS rows.

        It does not end there when so few of the ``planned`` rows are left that they go along.
        """
        rest = iter(finals)
        start, left = span.start, planned
        while start < span.end:
            with self._open(start) as file:
                end = file.fill(rest, span.end, left)
                part = file.close(Window(start, end))
            left = None if left is None else left - part.file.rows
            last = end == span.end
            yield replace(part, notes=dict(account.notes), to_end=account.to_end if last else True)
            account.notes.clear()
            start = end

    def empty(self, span: Window) -> Part:
        """A span that was counted empty and is not searched for that."""
        with self._open(span.start) as file:
            return replace(file.close(span), to_end=False)

    def assemble(self, span: Window, parts: Sequence[Part]) -> Part:
        """The parts, which tile the span in order, as one; their files are removed."""
        path = self._folder / f"{span.start}-{span.end}.whole"
        with SliceFile(path, self._schema, metadata=self._labels) as file:
            for part in parts:
                file.extend(part.file)
            facts = file.close()
        bins: dict[int, int] = {}
        notes: dict[str, int] = {}
        for part in parts:
            _add(bins, part.bins)
            _add(notes, part.notes)
            part.file.path.unlink(missing_ok=True)
        return Part(
            span=span,
            file=facts,
            bins=bins,
            twins=[twins for part in parts for twins in part.twins],
            notes=notes,
            to_end=all(part.to_end for part in parts),
        )

    def path(self, span: Window) -> Path:
        """Where the finished part of a span lies."""
        return self._folder / f"{span.start}-{span.end}.part"

    def _open(self, start: int) -> _PartFile:
        file = SliceFile(self._folder / f"{start}.unfinished", self._schema, metadata=self._labels)
        return _PartFile(file, self, TwinWatch(self._source.tick, self._source.page_rows))


class _PartFile:
    """One part that is being written."""

    def __init__(self, file: SliceFile, files: PartFiles, watch: TwinWatch) -> None:
        self._file = file
        self._files = files
        self._bins: dict[int, int] = {}
        self._watch = watch

    def __enter__(self) -> _PartFile:
        self._file.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def fill(self, finals: Iterator[Final], end: int, planned: int | None) -> int:
        """Take rows until the part is full or there are no more; the tick before which it has all of them."""
        rows = 0
        for final in finals:
            if final.table is not None:
                rows += final.table.num_rows
                self._file.write(final.table)
                _add(self._bins, _binned(final.table, self._files.bin_ticks))
                self._watch.look(final.table)
            few_left = planned is not None and 0 <= planned - rows < PIECE_ROWS // 2
            if rows >= PIECE_ROWS and final.before < end and not few_left:
                return final.before
        return end

    def close(self, span: Window) -> Part:
        facts = self._file.close()
        path = self._files.path(span)
        facts.path.replace(path)
        return Part(
            span=span,
            file=replace(facts, path=path),
            bins=self._bins,
            twins=self._watch.twins,
        )


def _binned(table: pa.Table, bin_ticks: int) -> dict[int, int]:
    numbers = pc.divide(table[TICK_COLUMN].combine_chunks(), bin_ticks)
    return {entry["values"] * bin_ticks: entry["counts"] for entry in pc.value_counts(numbers).to_pylist()}


def _add(total: dict[K, int], more: Mapping[K, int]) -> None:
    for name, count in more.items():
        total[name] = total.get(name, 0) + count
