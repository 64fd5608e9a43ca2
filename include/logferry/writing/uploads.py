"""Uploads: finished parts on their way to the store while the next rows are fetched."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from logferry.window import Window
from logferry.writing.parts import Part
from logferry.writing.removal import remove_file
from logferry.writing.staging import Staging

_AT_ONCE = 4
_WAITING = 8
"""Finished files that may wait for their turn: then fetching waits. They lie on the disk, not in memory."""


class Uploads:
    """Stages parts, a few at once. For one thread; leaving the context gives up what has not begun and waits for the
    rest."""

    def __init__(self, staging: Staging) -> None:
        self._staging = staging
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="logferry-upload")
        self._pending: set[Future[Part]] = set()

    def __enter__(self) -> Uploads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, slice_: Window, part: Part) -> Future[Part]:
        """Begin to stage the part; the result is the part with its ``key``. Waits while too many are waiting.

        The file of a whole slice is removed as soon as its object is there.
        """
        self._pending = {one for one in self._pending if not one.done()}
        while len(self._pending) >= _AT_ONCE + _WAITING:
            self._pending = wait(self._pending, return_when=FIRST_COMPLETED).not_done
        upload = self._threads.submit(self._stage, slice_, part)
        self._pending.add(upload)
        return upload

    def withdraw(self, upload: Future[Part]) -> None:
        """Give the upload up, or wait for it; what it staged is removed, and what went wrong with it is forgotten."""
        if not upload.cancel():
            wait([upload])
            if upload.exception() is None and (key := upload.result().key) is not None:
                self._staging.discard([key])

    def stop(self) -> None:
        """Give up what has not begun, and wait for the rest."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _stage(self, slice_: Window, part: Part) -> Part:
        path = part.file.path
        staged = self._staging.stage(slice_, part)
        if part.span == slice_:
            remove_file(path)
        return staged
