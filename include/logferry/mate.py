"""A mate: a second process of one command, which exports chunks beside the first one.

It is forked while the first process has one thread and has not opened the source. So it costs some milliseconds, and no
memory of its own, until it has work; then it opens source and store for itself. As between the tasks of a scheduler,
small values travel between the two, and rows through the store.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from types import FrameType
from typing import Any, NoReturn, Protocol

from logferry.errors import LogferryError
from logferry.fetching.readers import spare_processors
from logferry.plan import Chunk
from logferry.progress import Progress
from logferry.publishing.results import ChunkResult, SliceResult

log = logging.getLogger(__name__)

_END_S = 10.0
"""In which a mate that is told to stop puts away what it has staged."""
_BREAKS = frozenset({signal.SIGINT, signal.SIGTERM})


class Exporter(Protocol):
    """What a mate works with: a ferry."""

    def export(self, chunk: Chunk, *, among: int) -> ChunkResult: ...


Open = Callable[[Progress], AbstractContextManager[Exporter]]
"""Called in the mate, when its first chunk comes."""


class MateLost(Exception):
    """The mate has ended in the middle of its work. What it had staged of that may still lie there."""


class Mate:
    """The first process's side of a mate, used by one thread at a time. Use as a context manager."""

    def __init__(self, open_exporter: Open) -> None:
        here, there = multiprocessing.Pipe()
        self._channel = here
        self._over = False
        self._ending = threading.Lock()
        self._process = multiprocessing.get_context("fork").Process(
            target=_Work(there, open_exporter).serve, args=(here,), name="logferry-mate", daemon=True
        )
        try:
            with _held_back(_BREAKS):
                self._process.start()
        except BaseException:
            here.close()
            raise
        finally:
            there.close()

    @property
    def can_work(self) -> bool:
        """Whether it can be asked: not when it was closed or lost."""
        return not self._over and self._process.is_alive()

    def export(self, chunk: Chunk, progress: Progress, *, among: int) -> ChunkResult:
        """``Ferry.export`` in the mate, with the errors it raises there. Raises MateLost."""
        try:
            self._send((chunk, among))
            while True:
                kind, said = self._receive()
                if kind == "page":
                    progress.page(*said)
                elif kind == "slice":
                    progress.slice_done(said)
                elif kind == "log":
                    logging.getLogger(said.name).handle(said)
                else:
                    break
        except BaseException:
            # What it still says would be taken for the answer to the next question.
            self._over = True
            self._process.terminate()
            raise
        if kind == "failed":
            raise said
        result: ChunkResult = said
        return result

    def close(self) -> None:
        """End it. What it is at is broken off, and what it has staged of that is put away; a thread that waits for it
        gets MateLost."""
        self._over = True
        self._process.terminate()
        self._exit_status()

    def _send(self, asked: object) -> None:
        try:
            self._channel.send(asked)
        except OSError as error:
            raise self._lost() from error

    def _receive(self) -> Any:
        try:
            return self._channel.recv()
        except Exception as error:  # also what cannot be read: half a message of one that was broken off
            raise self._lost() from error

    def _lost(self) -> MateLost:
        self._process.terminate()
        return MateLost(f"exit status {self._exit_status()}")

    def _exit_status(self) -> int | None:
        """When it has ended, by itself or by force."""
        with self._ending:
            self._process.join(_END_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            return self._process.exitcode

    def __enter__(self) -> Mate:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
        self._channel.close()


def spare_mate(open_exporter: Open) -> Mate | None:
    """A mate, where there is a processor for it and this process can go on as two."""
    can_be_two = (
        sys.platform == "linux"
        and threading.active_count() == 1
        # https://docs.python.org/3/library/multiprocessing.html#multiprocessing.Process.daemon
        and not multiprocessing.current_process().daemon
    )
    if not can_be_two or spare_processors() < 1:
        return None
    try:
        return Mate(open_exporter)
    except OSError as error:  # no memory or no processes left: that is no reason to fail
        log.warning("cannot start a second process (%s); going on with one", error)
        return None


class _Work(logging.Handler):
    """The mate's side. As a handler of log messages and as a ``Progress`` it passes on what it is told."""

    def __init__(self, channel: Connection, open_exporter: Open) -> None:
        super().__init__()
        self._channel = channel
        self._open = open_exporter
        self._saying = threading.Lock()
        self._asked: SimpleQueue[tuple[Chunk, int]] = SimpleQueue()

    def serve(self, other_end: Connection) -> None:
        other_end.close()
        signal.signal(signal.SIGTERM, _break_off)
        # Ctrl-C is meant for the first process, which then ends this one.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with suppress(KeyboardInterrupt):
            with suppress(EOFError, OSError):
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _BREAKS)
                self._asked.put(self._channel.recv())
                logging.getLogger().handlers = [self]
                threading.Thread(target=self._listen, name="mate-listener", daemon=True).start()
                self._work()
            # There is nothing left to break off.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _listen(self) -> None:
        """Queue what is asked; when the first process is gone, end this one."""
        with suppress(EOFError, OSError):
            while True:
                self._asked.put(self._channel.recv())
        os.kill(os.getpid(), signal.SIGTERM)

    def _work(self) -> None:
        try:
            with self._open(self) as exporter:
                while True:
                    chunk, among = self._asked.get()
                    try:
                        result = exporter.export(chunk, among=among)
                    except Exception as error:
                        self._say("failed", _portable(error))
                    else:
                        self._say("done", result)
        except Exception as error:
            self._say("failed", _portable(error))

    def page(self, rows: int, body_bytes: int) -> None:
        self._say("page", (rows, body_bytes))

    def slice_done(self, result: SliceResult) -> None:
        self._say("slice", result)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        told = logging.LogRecord(
            record.name, record.levelno, record.pathname, record.lineno, text, None, None
        )
        self._say("log", told)

    def _say(self, kind: str, said: object) -> None:
        packed = pickle.dumps((kind, said))
        with self._saying:
            self._channel.send_bytes(packed)


def _break_off(number: int, frame: FrameType | None) -> NoReturn:
    # Once: what is put away then is not to be interrupted.
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _portable(error: Exception) -> Exception:
    """The error, or one that says the same, where it cannot be sent to another process."""
    if not isinstance(error, LogferryError):
        error.add_note(f"in the second process:\n{''.join(traceback.format_exception(error)).rstrip()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        portable = RuntimeError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            portable.add_note(note)
        return portable
    return error


@contextmanager
def _held_back(signals: frozenset[signal.Signals]) -> Iterator[None]:
    """The signals wait, for this process and one that is forked meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
