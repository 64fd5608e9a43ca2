"""The slices of a chunk on their way from the proof into the store: each has its result once its rows are staged."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable

from logferry.errors import StoreError
from logferry.progress import Progress
from logferry.proof.prove import Finished
from logferry.publishing.results import SliceResult
from logferry.records.manifest import FileEntry, Span
from logferry.spec import ExportSpec
from logferry.verdict import verdict
from logferry.window import format_instant
from logferry.writing.parts import Part
from logferry.writing.removal import remove_file
from logferry.writing.resume import FinishedParts
from logferry.writing.staging import Staging


class StagedSlices:
    """Of one chunk. ``progress`` is told of each slice when it is staged."""

    def __init__(
        self, spec: ExportSpec, *, parts: FinishedParts, staging: Staging, progress: Progress
    ) -> None:
        self._spec = spec
        self._parts = parts
        self._staging = staging
        self._progress = progress
        self._waiting: deque[Finished] = deque()
        self._results: list[SliceResult] = []

    def collect(self, proofs: Iterable[Finished]) -> list[SliceResult]:
        """The slices' results, in order, once those whose rows are not published yet are staged; uploads go on while
        the next are made. After a failure nothing stays staged but what the next attempt is told of."""
        try:
            for one in proofs:
                if isinstance(one.file, Part):
                    self._parts.stage(one.slice_, one.file)
                self._waiting.append(one)
                self._settle(wait=False)
            self._settle(wait=True)
            if self._waiting:
                raise AssertionError("a finished slice was waited for and is not staged")
        except BaseException:
            with contextlib.suppress(Exception):
                self._parts.abandon()
            raise
        return self._results

    def _settle(self, *, wait: bool) -> None:
        """Give results to the first slices that are staged, in their order."""
        while self._waiting and (file := self._staged(self._waiting[0], wait=wait)) is not None:
            result = self._result(self._waiting.popleft(), *file)
            self._results.append(result)
            self._progress.slice_done(result)

    def _staged(self, finished: Finished, *, wait: bool) -> tuple[FileEntry, str | None] | None:
        """The slice's file and the key that it is staged under, None where it is published already. Nothing while the
        slice is on its way to the store, unless that is to be waited for."""
        file = finished.file
        if not isinstance(file, Part):
            return file, None
        part = self._parts.staged(finished.slice_, wait=wait)
        if part is None:
            return None
        if part.file.path != file.file.path:
            raise AssertionError("what is staged of a slice is not what was finished last")
        remove_file(part.file.path)
        key = None if self._staging.is_published(finished.slice_, part) else part.key
        return self._staging.entry(finished.slice_, part), key

    def _result(self, finished: Finished, file: FileEntry, staged: str | None) -> SliceResult:
        status = verdict(self._spec, finished)
        if status == "proven" and file.rows != finished.counted:
            raise StoreError(
                f"{finished.slice_} was proven with {finished.counted:,} rows and {file.rows:,} are staged; run the "
                "window again"
            )
        span = Span.of(finished.slice_)
        return SliceResult(
            start=span.start,
            end=span.end,
            status=status,
            rows=file.rows,
            source_rows=finished.counted,
            counted_at=None if finished.counted is None else format_instant(finished.counted_at),
            file=file,
            notes=dict(finished.notes),
            staged=staged,
        )
