"""The ferry: one window from the source to the lake, and the proof that it is all there.

plan → fetch → convert → write → prove → publish. ``Ferry.carry`` does it in one process; a scheduler calls
``plan``, ``export`` (per chunk, anywhere) and ``publish`` as tasks of their own. Between them travel small JSON
values only; rows travel through the store.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from logferry import __version__
from logferry.clock import Clock, SystemClock
from logferry.connection import Connection, is_sandbox
from logferry.errors import DefinitionError, StoreError
from logferry.http import Client
from logferry.layout import slice_key, staged_key
from logferry.manifest import FileEntry, Manifest, RunEntry, Span, Status
from logferry.plan import ROW_BYTES_GUESS, Chunk, Plan, estimate_requests, slice_plans
from logferry.prove import Finished, Prover, count_rows
from logferry.publish import ChunkResult, SliceResult, publish
from logferry.published_object import ROW_HASH_METADATA, published_row_hash
from logferry.sources.base import LogSource
from logferry.sources.opening import open_source
from logferry.spec import ExportSpec, fingerprint, lake_url
from logferry.stores.base import Store
from logferry.stores.opening import open_store
from logferry.window import Window, format_instant

log = logging.getLogger(__name__)

Connect = Callable[[str, str], Connection]
"""``connect(connection id, kind)``: the connection, from wherever the caller keeps them."""


class Progress(Protocol):
    """Told of the work as it goes on."""

    def page(self, rows: int, body_bytes: int) -> None:
        """An answer came: rows in it (some may lie outside the window) and its size."""
        ...

    def slice_done(self, result: SliceResult) -> None:
        """A slice is written, proven or not, and staged."""
        ...


class Silent:
    """Progress that nobody watches."""

    def page(self, rows: int, body_bytes: int) -> None: ...

    def slice_done(self, result: SliceResult) -> None: ...


@dataclass(frozen=True, slots=True)
class Run:
    """Who does the work: ``id`` names the run (staged parts lie under it), ``attempt`` counts from 1."""

    id: str
    attempt: int = 1


class Ferry:
    """One export between one source and one store. Use as a context manager; see ``open_ferry``."""

    def __init__(
        self,
        spec: ExportSpec,
        *,
        source: LogSource,
        client: Client,
        store: Store,
        run: Run,
        clock: Clock,
        workdir: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.spec = spec
        self.source = source
        self.client = client
        self.store = store
        self.run = run
        self.fingerprint = fingerprint(source.identity(), spec)
        self._clock = clock
        self._workdir = workdir
        self._progress: Progress = progress or Silent()

    def __enter__(self) -> Ferry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def settled_at(self, window: Window) -> int:
        """The tick from which the window may be exported: its end and the settle time."""
        return window.end + self.spec.settle

    def check(self, window: Window) -> None:
        """Raise DefinitionError unless the export covers the window, on the slice grid, and it has settled."""
        grid = self.spec.slice
        if window.start < self.spec.start:
            raise DefinitionError(
                f"{window} begins before {format_instant(self.spec.start)}, the `start` of {self.spec.name}; begin "
                "there, or move `start` in the definition"
            )
        if not window.on_grid(grid):
            nearest = Window(window.start // grid * grid, -(-window.end // grid) * grid)
            raise DefinitionError(
                f"{window} does not lie on the slice grid of {self.spec.name}; the nearest is {nearest}"
            )
        now = self._clock.now()
        if now < self.settled_at(window):
            raise DefinitionError(
                f"{window} of {self.spec.name} has not settled: it can be exported from "
                f"{format_instant(self.settled_at(window))}, now is {format_instant(now)}"
            )

    def plan(self, window: Window) -> Plan:
        """Count the window at the source and lay out its slices. Nothing is fetched."""
        self.check(window)
        started_at = self._now()
        before = dict(self.client.stats)
        schema = self.client.run(lambda: self.source.schema(window))
        counts = count_rows(self.client, self.source, window, self.spec.slice)
        counted_at = self._now()
        slices = slice_plans(window, self.spec.slice, counts)
        requests = estimate_requests(self.source, slices)
        rows = None if counts is None else sum(planned.rows or 0 for planned in slices)
        per_second = self.client.budget.requests_per_second(self.source.search_bucket)
        return Plan(
            export=self.spec.name,
            window=Span.of(window),
            started_at=started_at,
            counted_at=counted_at,
            rows=rows,
            requests=requests,
            bytes=None if rows is None else rows * ROW_BYTES_GUESS,
            eta_s=None if per_second is None else round(requests / per_second, 1),
            slices=slices,
            schema=schema,
            spent=_spent(before, self.client.stats),
            fingerprint=self.fingerprint,
        )

    def export(self, chunk: Chunk) -> ChunkResult:
        """Fetch, write, prove and stage a chunk's slices. Short slices are reported, not raised.

        Raises DefinitionError when the definition is not the planned one any more.
        """
        self._check_same_definition(chunk.fingerprint)
        before = dict(self.client.stats)
        with _work_folder(self._workdir) as folder:
            prover = Prover(
                self.client,
                self.source,
                chunk.schema,
                grid=self.spec.slice,
                folder=folder,
                labels={"logferry.export": self.spec.name},
                clock=self._clock,
                on_page=self._progress.page,
            )
            results = self._stage(prover.prove(chunk.slices))
        spent = _spent(before, self.client.stats)
        for name, count in chunk.requests.items():
            spent[name] = spent.get(name, 0) + count
        return ChunkResult(
            started_at=chunk.started_at,
            slices=results,
            schema=chunk.schema,
            requests=spent,
            fingerprint=chunk.fingerprint,
        )

    def publish(self, window: Window, results: list[ChunkResult], *, allow_shrink: bool = False) -> Manifest:
        """Commit the window; a short window is published and marked, the caller decides what fails.

        Raises DefinitionError when the results were fetched by another definition.
        """
        for result in results:
            self._check_same_definition(result.fingerprint)
        run = RunEntry(
            id=self.run.id,
            attempt=self.run.attempt,
            started_at=min((result.started_at for result in results), default=self._now()),
            finished_at=self._now(),
            engine=f"logferry {__version__}",
        )
        return publish(
            self.store,
            self.spec.name,
            window,
            results,
            fingerprint=self.fingerprint,
            source=self.source.identity(),
            run=run,
            allow_shrink=allow_shrink,
        )

    def discard(self, results: list[ChunkResult]) -> None:
        """Remove the staged parts of results that will not be published."""
        self.store.delete([entry.staged for result in results for entry in result.slices if entry.staged])

    def carry(self, window: Window, *, plan: Plan | None = None, allow_shrink: bool = False) -> Manifest:
        """The whole way for one window in this process."""
        plan = plan or self.plan(window)
        results: list[ChunkResult] = []
        try:
            for chunk in plan.chunks():
                results.append(self.export(chunk))  # noqa: PERF401 - what is staged must be known if one fails
            return self.publish(window, results, allow_shrink=allow_shrink)
        except BaseException:
            with contextlib.suppress(Exception):
                self.discard(results)
            raise

    def _check_same_definition(self, planned: str) -> None:
        if planned != self.fingerprint:
            raise DefinitionError(
                f"the definition of {self.spec.name} changed after this window was planned; plan the window again"
            )

    def _stage(self, finished: list[Finished]) -> list[SliceResult]:
        """Upload the parts whose rows are not published yet; none stays behind when one fails."""
        parts: list[str] = []
        results: list[SliceResult] = []
        try:
            for slice_ in finished:
                part: str | None = None
                if (
                    published_row_hash(self.store, slice_key(self.spec.name, slice_.slice_))
                    != slice_.file.row_hash
                ):
                    part = staged_key(self.spec.name, self.run.id, slice_.slice_)
                    parts.append(part)
                    self.store.put_file(
                        part, slice_.file.path, metadata={ROW_HASH_METADATA: slice_.file.row_hash}
                    )
                slice_.file.path.unlink()
                results.append(self._result(slice_, part))
                self._progress.slice_done(results[-1])
        except BaseException:
            with contextlib.suppress(Exception):
                self.store.delete(parts)
            raise
        return results

    def _result(self, finished: Finished, part: str | None) -> SliceResult:
        span = Span.of(finished.slice_)
        facts = finished.file
        return SliceResult(
            start=span.start,
            end=span.end,
            status=self._status(finished),
            rows=facts.rows,
            source_rows=finished.counted,
            counted_at=None if finished.counted is None else format_instant(finished.counted_at),
            file=FileEntry(
                key=slice_key(self.spec.name, finished.slice_),
                rows=facts.rows,
                bytes=facts.bytes,
                sha256=facts.sha256,
                row_hash=facts.row_hash,
                min_time=None if facts.first_tick is None else format_instant(facts.first_tick),
                max_time=None if facts.last_tick is None else format_instant(facts.last_tick),
            ),
            notes=finished.notes,
            staged=part,
        )

    def _status(self, finished: Finished) -> Status:
        if finished.counted is None:
            return "unproven"
        if finished.counted != finished.file.rows:
            return "short"
        retention = self.spec.source.retention
        forgotten = retention is not None and finished.slice_.start < finished.counted_at - retention
        if forgotten or finished.counted_at < self.settled_at(finished.slice_):
            return "unproven"
        return "proven"

    def _now(self) -> str:
        return format_instant(self._clock.now())


def open_ferry(
    spec: ExportSpec,
    connect: Connect,
    *,
    run_id: str,
    attempt: int = 1,
    clock: Clock | None = None,
    workdir: Path | None = None,
    progress: Progress | None = None,
) -> Ferry:
    """The ferry of one export, its connections looked up through ``connect``.

    ``connect`` is asked for the source's connection with the source's kind, and for the destination's with
    ``aws`` when the definition names one. ``workdir``: where unfinished files lie (default: the system's).
    Raises DefinitionError and CredentialsError; nothing is sent yet.
    """
    clock = clock or SystemClock()
    connection = connect(spec.source.connection, spec.source.kind)
    opened = open_source(spec, connection)
    destination = spec.destination.connection
    store = open_store(
        lake_url(spec, sandbox=is_sandbox(connection)), connect(destination, "aws") if destination else None
    )
    client = Client(opened.auth, ca_bundle=opened.ca_bundle, clock=clock)
    return Ferry(
        spec,
        source=opened.source,
        client=client,
        store=store,
        run=Run(run_id, attempt),
        clock=clock,
        workdir=workdir,
        progress=progress,
    )


@contextlib.contextmanager
def _work_folder(parent: Path | None) -> Iterator[Path]:
    """A folder for unfinished files, gone afterwards. Raises StoreError when there is no room for one."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="logferry-", dir=parent)
    except OSError as error:
        raise StoreError(
            f"cannot make a folder for unfinished files in {parent or tempfile.gettempdir()}: "
            f"{error.strerror or error}; free space there or set TMPDIR"
        ) from error
    with folder as name:
        yield Path(name)


def _spent(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
