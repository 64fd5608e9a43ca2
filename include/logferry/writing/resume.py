"""What a chunk has finished, so that its next attempt goes on from there.

Progress names finished parts whose objects are staged, with everything that is known of them. A part counts only
while its object holds the same bytes. No cursor is ever kept: the rows before it may have died with the worker.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import msgspec

from logferry.errors import StoreError
from logferry.plan import Chunk
from logferry.proof.twins import Twins
from logferry.publishing.published_object import READ_BYTES
from logferry.stores.base import NotFound, Store
from logferry.window import Window
from logferry.writing.encoder import finished
from logferry.writing.parquet import FileFacts
from logferry.writing.parts import Part, PartFiles
from logferry.writing.removal import remove_file
from logferry.writing.staging import Staging
from logferry.writing.uploads import Uploads

log = logging.getLogger(__name__)

_VERSION = 3


class ProgressStore(Protocol):
    """Where a scheduler keeps one chunk's progress between its attempts (JSON values)."""

    def load(self) -> dict[str, Any] | None:
        """What was saved last, None when there is nothing."""
        ...

    def save(self, progress: dict[str, Any]) -> None:
        """Replaces what was saved."""
        ...

    def clear(self) -> None:
        """Forgets it: the last step of a chunk's success."""
        ...


class _SavedPart(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``bins``: the number of the first bin that holds rows since ``start``'s own, and the rows of each from there.

    ``goes_on``: the file follows the row hash of the entry before it, which is not said twice then (``follows``).
    """

    start: int
    end: int
    key: str
    rows: int
    bytes: int
    sha256: str
    row_hash: str
    first_tick: int | None
    last_tick: int | None
    bins: list[int] = []
    twins: list[Twins] = []
    notes: dict[str, int] = {}
    to_end: bool = True
    follows: str | None = None
    goes_on: bool = False


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    fingerprint: str
    label: str
    schema: str
    bin_ticks: int
    parts: list[_SavedPart]


class FinishedParts:
    """The finished parts of one chunk, on their way to the store or there. For one thread.

    With a ProgressStore every part is staged as it comes, and named there once it really is. Without one only whole
    slices are staged, each as soon as its rows are written, proven or not.
    """

    def __init__(
        self,
        progress: ProgressStore | None,
        chunk: Chunk,
        *,
        files: PartFiles,
        store: Store,
        staging: Staging,
        uploads: Uploads,
    ) -> None:
        self._progress = progress
        self._files = files
        self._store = store
        self._staging = staging
        self._uploads = uploads
        self._begun: dict[Window, Future[Part]] = {}
        self._staged: dict[Window, Part] = {}
        self._written: dict[Window, list[Part]] = {}
        """By slice, where the slice's file is begun once these cover it."""
        self._wholes: dict[Window, Part] = {}
        self._identity = {
            "version": _VERSION,
            "fingerprint": chunk.fingerprint,
            "label": chunk.label,
            "schema": hashlib.sha256(msgspec.json.encode(chunk.schema)).hexdigest(),
            "bin_ticks": files.bin_ticks,
        }

    @property
    def serves_next_attempt(self) -> bool:
        """Whether what is added now is of use if the chunk fails."""
        return self._progress is not None

    def load(self) -> list[Part]:
        """The parts that an earlier attempt finished and that are still whole, in order of time, disjoint.

        Their bytes are copied beside the new parts, which also is how they are checked.
        """
        saved = self._saved()
        for before, entry in pairwise(saved):
            if entry.goes_on:
                entry.follows = before.row_hash
        for entry in saved:
            span = Window(entry.start, entry.end)
            if any(other.end > span.start for other in self._staged):
                continue
            path = self._files.new_path()
            key = self._staging.full(entry.key)
            if _fetch_object(self._store, key, entry, path):
                self._staged[span] = _part(entry, key, path, self._files.bin_ticks)
            else:
                log.warning("%s is not what was staged; %s is fetched again", key, span)
        if self._staged:
            log.info("%d finished parts of an earlier attempt are used", len(self._staged))
        return list(self._staged.values())

    def add(self, slice_: Window, part: Part) -> Part:
        """A part of the slice is finished, and stands for those before it in its span.

        Raises what went wrong with an upload since.
        """
        self._void(part.span)
        if self._progress is None:
            self._discard_staged(part.span)
        if self._progress is not None or part.span == slice_:
            self._begun[part.span] = self._uploads.start(slice_, part)
        else:
            self._note(slice_, part)
        self._collect()
        return part

    def whole(self, slice_: Window, parts: Sequence[Part]) -> Part:
        """The slice's parts, which cover it, as one; with several, their files are gone."""
        if len(parts) == 1:
            return parts[0]
        whole = self._wholes.get(slice_)
        if whole is None:
            whole = self.add(slice_, self._files.assemble(slice_, parts))
        self._files.remove(parts)
        return whole

    def stage(self, slice_: Window, part: Part) -> None:
        """Begin to stage a whole slice, unless that was begun before."""
        if slice_ not in self._begun and slice_ not in self._staged:
            self._begun[slice_] = self._uploads.start(slice_, part)

    def staged(self, slice_: Window, *, wait: bool) -> Part | None:
        """The whole slice with its ``key``, None when it is not staged yet. Raises what went wrong.

        What was staged before it was fetched again does not stand for it, though it stays named until then.
        """
        if wait and slice_ in self._begun:
            self._begun[slice_].result()
        self._collect()
        if slice_ in self._begun:
            return None
        return self._staged.get(slice_)

    def forget(self, span: Window) -> None:
        """What was finished in the span is void."""
        self._void(span)
        self._discard_staged(span)

    def abandon(self) -> None:
        """The chunk has failed: nothing stays staged but what the next attempt will be told of.

        What was to be staged for that still is, while the store takes it: to fetch it again costs more.
        """
        if self._progress is None:
            self._uploads.stop()
            self._staging.discard_all()
            return
        good = []
        for span, upload in self._begun.items():
            if not upload.done():  # Of one that was given up, wait() would never hear.
                wait_for([upload])
            if upload.cancelled() or upload.exception() is not None:
                self._uploads.stop()
            else:
                good.append(span)
        if good:
            self._take(good)

    def clear(self) -> None:
        """The chunk is done."""
        if self._progress is not None:
            self._progress.clear()

    def _saved(self) -> list[_SavedPart]:
        found = self._progress.load() if self._progress is not None else None
        if found is None:
            return []
        try:
            saved = msgspec.convert(found, _Saved)
        except msgspec.ValidationError as error:
            log.warning("the progress of an earlier attempt is not readable, so all is fetched: %s", error)
            return []
        if {name: getattr(saved, name) for name in self._identity} != self._identity:
            log.info("the progress of an earlier attempt is of another plan; all is fetched")
            return []
        return sorted(saved.parts, key=lambda part: (part.start, part.end))

    def _void(self, span: Window) -> None:
        """Uploads that are under way for parts of the span are for nothing, and so is a slice's file with rows of it.

        What is staged there stays named until something stands for it: the next attempt counts it anyway.
        """
        for other in _overlapping(self._begun, span):
            self._uploads.withdraw(self._begun.pop(other))
        for slice_ in _overlapping(self._wholes, span):
            del self._wholes[slice_]
        for slice_ in _overlapping(self._written, span):
            self._written[slice_] = [part for part in self._written[slice_] if not part.span.overlaps(span)]

    def _note(self, slice_: Window, part: Part) -> None:
        """Begin to assemble and to stage the slice if this part was the last that it lacked."""
        parts = self._written[slice_] = sorted(
            [*self._written.get(slice_, ()), part], key=lambda part: part.span
        )
        if sum(part.span.ticks for part in parts) == slice_.ticks:
            whole = self._wholes[slice_] = self._files.assemble(slice_, parts)
            self._begun[slice_] = self._uploads.start(slice_, whole)

    def _collect(self) -> None:
        """Take note of the uploads that are done. Raises what went wrong with one, when the others are noted."""
        done = [span for span, upload in self._begun.items() if upload.done()]
        if good := [span for span in done if self._begun[span].exception() is None]:
            self._take(good)
        for span in done:
            if span in self._begun:
                self._begun[span].result()

    def _take(self, done: Iterable[Window]) -> None:
        replaced: list[Part] = []
        for span in done:
            part = self._begun[span].result()
            del self._begun[span]
            replaced += self._without(span)
            self._staged[span] = part
        self._save()
        self._remove(replaced)

    def _discard_staged(self, span: Window) -> None:
        if replaced := self._without(span):
            self._save()
            self._remove(replaced)

    def _without(self, span: Window) -> list[Part]:
        return [self._staged.pop(other) for other in _overlapping(self._staged, span)]

    def _remove(self, replaced: list[Part]) -> None:
        used = {part.key for part in self._staged.values()}
        self._staging.discard([part.key for part in replaced if part.key and part.key not in used])

    def _save(self) -> None:
        if self._progress is not None:
            entries = [self._entry(self._staged[span]) for span in sorted(self._staged)]
            for before, entry in pairwise(entries):
                if entry.follows == before.row_hash:
                    entry.follows, entry.goes_on = None, True
            self._progress.save({**self._identity, "parts": msgspec.to_builtins(entries)})

    def _entry(self, part: Part) -> _SavedPart:
        if part.key is None:
            raise AssertionError("only staged parts are remembered")
        return _SavedPart(
            start=part.span.start,
            end=part.span.end,
            key=self._staging.short(part.key),
            rows=part.file.rows,
            bytes=part.file.bytes,
            sha256=part.file.sha256,
            row_hash=part.file.row_hash,
            follows=part.file.follows,
            first_tick=part.file.first_tick,
            last_tick=part.file.last_tick,
            bins=_packed_bins(part, self._files.bin_ticks),
            twins=list(part.twins),
            notes=dict(part.notes),
            to_end=part.to_end,
        )


def _overlapping(spans: Iterable[Window], span: Window) -> list[Window]:
    return [other for other in spans if other.overlaps(span)]


def _packed_bins(part: Part, bin_ticks: int) -> list[int]:
    if not part.bins:
        return []
    first, last = min(part.bins), max(part.bins)
    rows = [part.bins.get(start, 0) for start in range(first, last + 1, bin_ticks)]
    return [first // bin_ticks - part.span.start // bin_ticks, *rows]


def _unpacked_bins(entry: _SavedPart, bin_ticks: int) -> dict[int, int]:
    if not entry.bins:
        return {}
    first = entry.start // bin_ticks + entry.bins[0]
    return {(first + at) * bin_ticks: rows for at, rows in enumerate(entry.bins[1:]) if rows}


def _part(entry: _SavedPart, key: str, path: Path, bin_ticks: int) -> Part:
    return Part(
        span=Window(entry.start, entry.end),
        written=finished(
            FileFacts(
                path,
                entry.rows,
                entry.bytes,
                entry.sha256,
                entry.row_hash,
                entry.first_tick,
                entry.last_tick,
                entry.follows,
            )
        ),
        bins=_unpacked_bins(entry, bin_ticks),
        twins=entry.twins,
        notes=entry.notes,
        to_end=entry.to_end,
        key=key,
    )


def _fetch_object(store: Store, key: str, entry: _SavedPart, path: Path) -> bool:
    """Copy a staged part to the disk; False, and no file, when it is not the one that was staged."""
    info = store.head(key)
    if info is None or info.size != entry.bytes:
        return False
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            for start in range(0, entry.bytes, READ_BYTES):
                data = store.read_range(key, start, min(READ_BYTES, entry.bytes - start))
                digest.update(data)
                file.write(data)
    except NotFound:
        remove_file(path)
        return False
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free disk space is needed there"
        ) from error
    if f"sha256:{digest.hexdigest()}" == entry.sha256:
        return True
    remove_file(path)
    return False
