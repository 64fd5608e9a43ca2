"""A process with one thread that has a mate, for tests whose own process has several: ``python … SCENARIO``.

What it prints is what the test looks at. Its exporters stand where a ferry would.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from logferry.errors import CredentialsError, Unavailable
from logferry.mate import Exporter, Mate, Open
from logferry.plan import Chunk, SlicePlan
from logferry.progress import Progress, Silent
from logferry.publishing.results import ChunkResult, SliceResult
from logferry.records.manifest import FileEntry, Span
from logferry.sources.base import SourceSchema

SPAN = {"start": "2026-11-20T00:00:00Z", "end": "2026-11-20T01:00:00Z"}


def chunk(label: str) -> Chunk:
    """``label`` is what the exporter below is to do."""
    return Chunk(
        window=Span(**SPAN),
        started_at=SPAN["start"],
        slices=[SlicePlan(**SPAN, rows=3)],
        schema=SourceSchema(columns=(), has_id=True),
        requests={},
        fingerprint=label,
    )


class Local(Exception):
    """An error that no other process can make."""

    def __init__(self, number: int, *, why: str) -> None:
        super().__init__(f"{why} {number}")


class Acting:
    """Does what the chunk is called."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def export(self, chunk: Chunk, *, among: int) -> ChunkResult:
        getattr(self, chunk.fingerprint)()
        return ChunkResult(
            started_at=chunk.started_at,
            slices=[],
            schema=chunk.schema,
            requests={"search": among, "process": os.getpid()},
            fingerprint=chunk.fingerprint,
        )

    def work(self) -> None:
        logging.getLogger("logferry.test").warning("half of %s", "it")
        self._progress.page(3, 100)
        file = FileEntry(key="k", rows=3, bytes=1, sha256="s", row_hash="r", min_time=None, max_time=None)
        self._progress.slice_done(
            SliceResult(**SPAN, status="proven", rows=3, source_rows=3, counted_at=None, file=file)
        )

    def nothing(self) -> None: ...

    def unavailable(self) -> None:
        raise Unavailable("later", wait_s=2.5)

    def unexpected(self) -> None:
        raise KeyError("nobody thought of this")

    def local(self) -> None:
        raise Local(7, why="seven")

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def hang(self) -> None:
        try:
            print("hanging", flush=True)
            threading.Event().wait()
        finally:
            print("put away", flush=True)

    def hang_without_end(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            self.hang()
        threading.Event().wait()


class Told(Silent):
    """Says what it is told."""

    def page(self, rows: int, body_bytes: int) -> None:
        print("page", rows, body_bytes)

    def slice_done(self, result: SliceResult) -> None:
        print("slice", result.start, result.rows)


@contextlib.contextmanager
def acting(progress: Progress) -> Iterator[Exporter]:
    yield Acting(progress)


@contextlib.contextmanager
def refused(progress: Progress) -> Iterator[Exporter]:
    raise CredentialsError("no key")
    yield


def ask(mate: Mate, label: str) -> None:
    try:
        result = mate.export(chunk(label), Told(), among=2)
    except Exception as error:
        notes = " ".join(getattr(error, "__notes__", ()))
        print(
            type(error).__name__, error, getattr(error, "wait_s", ""), "with its traceback" if notes else ""
        )
        assert not notes or "mating.py" in notes
    else:
        print(
            "done", result.fingerprint, result.requests["search"], result.requests["process"] != os.getpid()
        )


def asking(*labels: str, opening: Open = acting) -> Callable[[], None]:
    def scenario() -> None:
        with Mate(opening) as mate:
            for label in labels:
                if not mate.can_work:
                    print("cannot work")
                    break
                ask(mate, label)

    return scenario


class Deaf(Silent):
    """Fails when it is told of a page."""

    def page(self, rows: int, body_bytes: int) -> None:
        raise BrokenPipeError("nobody listens")


def told_to_the_deaf() -> None:
    with Mate(acting) as mate:
        try:
            mate.export(chunk("work"), Deaf(), among=2)
        except BrokenPipeError as error:
            print(error, "can work" if mate.can_work else "cannot work")


def closed_at_work(label: str) -> Callable[[], None]:
    def scenario() -> None:
        with Mate(acting) as mate:
            thread = threading.Thread(target=ask, args=(mate, label))
            thread.start()
            assert sys.stdin.readline()
            mate.close()
            thread.join()
            print("can work" if mate.can_work else "cannot work")

    return scenario


def killed_beside() -> None:
    with Mate(acting) as mate:
        threading.Thread(target=ask, args=(mate, "hang"), daemon=True).start()
        assert sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGKILL)


def interrupted_at_once() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for _ in range(50):
        Mate(acting).close()
    print("all closed")


SCENARIOS: dict[str, Callable[[], None]] = {
    "works": asking("work", "nothing"),
    "fails": asking("unavailable", "unexpected", "local", "nothing"),
    "refused": asking("nothing", "nothing", opening=refused),
    "dies": asking("nothing", "die", "nothing"),
    "deaf": told_to_the_deaf,
    "closed": closed_at_work("hang"),
    "stubborn": closed_at_work("hang_without_end"),
    "killed": killed_beside,
    "unused": asking(),
    "at once": interrupted_at_once,
}

if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
    if len(sys.argv) > 2:
        from logferry import mate as module

        module._END_S = float(sys.argv[2])
    SCENARIOS[sys.argv[1]]()
