"""What a chunk has finished, so that its next attempt goes on from there.

Progress names finished parts whose objects are staged, with everything that is known of them. A part counts only
while its object holds the same bytes. No cursor is ever kept: the rows before it may have died with the worker.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any, Protocol

import msgspec

from logferry.errors import StoreError
from logferry.plan import Chunk
from logferry.proof.twins import Twins
from logferry.publishing.published_object import READ_BYTES
from logferry.stores.base import NotFound, Store
from logferry.window import Window
from logferry.writing.parquet import FileFacts
from logferry.writing.parts import Part, PartFiles
from logferry.writing.staging import Staging

log = logging.getLogger(__name__)

_VERSION = 2


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


class _SavedPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``bins``: the number of the first bin that holds rows since ``start``'s own, and the rows of each from there."""

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


class _Saved(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    fingerprint: str
    label: str
    schema: str
    bin_ticks: int
    parts: list[_SavedPart]


class FinishedParts:
    """The finished parts of one chunk. Without a ProgressStore nothing is staged before the end."""

    def __init__(
        self,
        progress: ProgressStore | None,
        chunk: Chunk,
        *,
        files: PartFiles,
        store: Store,
        staging: Staging,
    ) -> None:
        self._progress = progress
        self._files = files
        self._store = store
        self._staging = staging
        self._parts: dict[Window, Part] = {}
        self._identity = {
            "version": _VERSION,
            "fingerprint": chunk.fingerprint,
            "label": chunk.label,
            "schema": hashlib.sha256(msgspec.json.encode(chunk.schema)).hexdigest(),
            "bin_ticks": files.bin_ticks,
        }

    def load(self) -> list[Part]:
        """The parts that an earlier attempt finished and that are still whole, in order of time, disjoint.

        Their bytes are copied beside the new parts, which also is how they are checked.
        """
        saved = self._saved()
        for entry in sorted(saved, key=lambda part: (part.start, part.end)):
            span = Window(entry.start, entry.end)
            if any(other.end > span.start for other in self._parts):
                continue
            path = self._files.path(span)
            key = self._staging.full(entry.key)
            if _fetch_object(self._store, key, entry, path):
                self._parts[span] = _part(entry, key, path, self._files.bin_ticks)
            else:
                log.warning("%s is not what was staged; %s is fetched again", key, span)
        if self._parts:
            log.info("%d finished parts of an earlier attempt are used", len(self._parts))
        return list(self._parts.values())

    def add(self, slice_: Window, part: Part) -> Part:
        """A part is finished: stage it and remember it in place of those that it replaces."""
        if self._progress is None:
            return part
        part = self._staging.stage(slice_, part)
        replaced = self._without(part.span)
        self._parts[part.span] = part
        self._save()
        self._remove(replaced)
        return part

    def forget(self, span: Window) -> None:
        """What was finished in the span is void."""
        replaced = self._without(span)
        if self._progress is not None and replaced:
            self._save()
            self._remove(replaced)

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
        return saved.parts

    def _without(self, span: Window) -> list[Part]:
        replaced = [
            part for other, part in self._parts.items() if other.start < span.end and span.start < other.end
        ]
        for part in replaced:
            del self._parts[part.span]
        return replaced

    def _remove(self, replaced: list[Part]) -> None:
        used = {part.key for part in self._parts.values()}
        self._staging.discard([part.key for part in replaced if part.key and part.key not in used])

    def _save(self) -> None:
        if self._progress is not None:
            entries = [self._entry(self._parts[span]) for span in sorted(self._parts)]
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
            first_tick=part.file.first_tick,
            last_tick=part.file.last_tick,
            bins=_packed_bins(part, self._files.bin_ticks),
            twins=list(part.twins),
            notes=dict(part.notes),
            to_end=part.to_end,
        )


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
        file=FileFacts(
            path,
            entry.rows,
            entry.bytes,
            entry.sha256,
            entry.row_hash,
            entry.first_tick,
            entry.last_tick,
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
        path.unlink(missing_ok=True)
        return False
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; free disk space is needed there"
        ) from error
    if f"sha256:{digest.hexdigest()}" == entry.sha256:
        return True
    path.unlink()
    return False
