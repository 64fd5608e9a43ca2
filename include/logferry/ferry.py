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

import pyarrow as pa

from logferry import __version__
from logferry.clock import Clock, SystemClock
from logferry.connection import Connection, is_sandbox
from logferry.errors import CountUnavailable, DefinitionError
from logferry.fetch import Restart, fetch_slice
from logferry.http import Client
from logferry.layout import slice_key, staged_key
from logferry.manifest import FileEntry, Manifest, RunEntry, Span, Status
from logferry.parquet import FileFacts, SliceFile
from logferry.plan import ROW_BYTES_GUESS, Chunk, Plan, SlicePlan, estimate_requests, slice_plans
from logferry.publish import ChunkResult, SliceResult, publish
from logferry.published_object import ROW_HASH_METADATA, published_row_hash
from logferry.sources.base import LogSource, SourceSchema
from logferry.sources.opening import open_source
from logferry.spec import ExportSpec, fingerprint, lake_url
from logferry.stores.base import Store
from logferry.stores.opening import open_store
from logferry.window import Window, format_instant, parse_instant

log = logging.getLogger(__name__)

_PROOF_ROUNDS = 4
"""The first fetch, and at most three more of slices whose proof count differs."""

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
        """Raise DefinitionError unless the window lies on the slice grid and has settled."""
        grid = self.spec.slice
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
        counts = self._count(window)
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
        with tempfile.TemporaryDirectory(prefix="logferry-", dir=self._workdir) as folder:
            finished = self._prove(chunk, Path(folder))
            results: list[SliceResult] = []
            try:
                for planned in chunk.slices:
                    results.append(self._stage(planned.window(), *finished[planned.start]))  # noqa: PERF401 - see below
            except BaseException:
                # Nobody will be told of the parts that are already staged.
                with contextlib.suppress(Exception):
                    self.store.delete([entry.staged for entry in results if entry.staged])
                raise
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

    def _prove(
        self, chunk: Chunk, folder: Path
    ) -> dict[str, tuple[FileFacts, int | None, str, dict[str, int]]]:
        """Write every slice and count it afterwards; fetch again those whose count differs.

        ``{slice start: (file, rows at the source or None, counted at, notes)}``.
        """
        written: dict[str, tuple[FileFacts, dict[str, int]]] = {}
        proven: dict[str, tuple[FileFacts, int | None, str, dict[str, int]]] = {}
        pending = chunk.slices
        for attempt in range(_PROOF_ROUNDS):
            for planned in pending:
                rows = planned.rows if attempt == 0 else None
                written[planned.start] = self._write(planned.window(), rows, chunk.schema, folder)
            counts = self._count(Window(pending[0].window().start, pending[-1].window().end))
            counted_at = self._now()
            differing: list[SlicePlan] = []
            for planned in pending:
                facts, notes = written[planned.start]
                counted = None if counts is None else counts.get(planned.window().start, 0)
                proven[planned.start] = (facts, counted, counted_at, notes)
                if counted is not None and counted != facts.rows:
                    differing.append(planned)
            if not differing:
                break
            log.warning(
                "%d of %d slices differ from the count taken after the fetch%s",
                len(differing),
                len(pending),
                "; fetching them again" if attempt + 1 < _PROOF_ROUNDS else ", after three more fetches",
            )
            # A count that was wrong once is not believed when it calls a slice empty.
            skipped = [planned for planned in pending if planned.rows == 0] if attempt == 0 else []
            pending = sorted({*differing, *skipped}, key=lambda planned: planned.start)
        return proven

    def _write(
        self, slice_: Window, planned: int | None, schema: SourceSchema, folder: Path
    ) -> tuple[FileFacts, dict[str, int]]:
        """One slice to a local file. A slice that was counted empty is not searched; its proof count decides."""
        try:
            return self._write_once(slice_, planned, schema, folder, held=False)
        except Restart:
            return self._write_once(slice_, planned, schema, folder, held=True)

    def _write_once(
        self, slice_: Window, planned: int | None, schema: SourceSchema, folder: Path, *, held: bool
    ) -> tuple[FileFacts, dict[str, int]]:
        notes: dict[str, int] = {}
        arrow = arrow_schema(schema)
        path = folder / f"{slice_.start}.part"
        with SliceFile(path, arrow, metadata={"logferry.export": self.spec.name}) as file:
            for table in self._rows(slice_, planned, schema, notes, held=held):
                file.write(table)
            return file.close(), notes

    def _rows(
        self, slice_: Window, planned: int | None, schema: SourceSchema, notes: dict[str, int], *, held: bool
    ) -> Iterator[pa.Table]:
        if planned == 0:
            return iter(())
        return fetch_slice(
            self.client,
            self.source,
            slice_,
            schema,
            planned=planned,
            held=held,
            notes=notes,
            on_page=self._progress.page,
        )

    def _stage(
        self, slice_: Window, facts: FileFacts, counted: int | None, counted_at: str, notes: dict[str, int]
    ) -> SliceResult:
        key = slice_key(self.spec.name, slice_)
        staged: str | None = None
        if published_row_hash(self.store, key) != facts.row_hash:
            staged = staged_key(self.spec.name, self.run.id, slice_)
            self.store.put_file(staged, facts.path, metadata={ROW_HASH_METADATA: facts.row_hash})
        facts.path.unlink()
        span = Span.of(slice_)
        result = SliceResult(
            start=span.start,
            end=span.end,
            status=self._status(slice_, facts.rows, counted, counted_at),
            rows=facts.rows,
            source_rows=counted,
            counted_at=counted_at if counted is not None else None,
            file=FileEntry(
                key=key,
                rows=facts.rows,
                bytes=facts.bytes,
                sha256=facts.sha256,
                row_hash=facts.row_hash,
                min_time=None if facts.first_tick is None else format_instant(facts.first_tick),
                max_time=None if facts.last_tick is None else format_instant(facts.last_tick),
            ),
            notes=notes,
            staged=staged,
        )
        self._progress.slice_done(result)
        return result

    def _status(self, slice_: Window, rows: int, counted: int | None, counted_at: str) -> Status:
        if counted is None:
            return "unproven"
        if counted != rows:
            return "short"
        at = parse_instant(counted_at)
        retention = self.spec.source.retention
        if at < self.settled_at(slice_) or (retention is not None and slice_.start < at - retention):
            return "unproven"
        return "proven"

    def _count(self, window: Window) -> dict[int, int] | None:
        """Rows per slice of the window by slice start, None when the source cannot count."""
        try:
            return self.client.run(lambda: self.source.count(window, self.spec.slice))
        except CountUnavailable as error:
            log.warning("%s: the window can only be unproven", error)
            return None

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


def arrow_schema(schema: SourceSchema) -> pa.Schema:
    """The Arrow schema of a window's files."""
    return pa.schema([pa.field(column.name, _arrow_type(column.arrow)) for column in schema.columns])


_ARROW_TYPES = {
    str(kind): kind
    for kind in (
        pa.string(),
        pa.int64(),
        pa.int32(),
        pa.float64(),
        pa.bool_(),
        pa.timestamp("us", tz="UTC"),
        pa.list_(pa.string()),
    )
}


def _arrow_type(text: str) -> pa.DataType:
    return _ARROW_TYPES[text]


def _spent(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
