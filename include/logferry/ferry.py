"""The ferry: one window from the source to the lake, and the proof that it is all there.

plan → fetch → convert → write → prove → publish. ``Ferry.carry`` does it in one process; a scheduler calls
``plan``, ``export`` (per chunk, anywhere) and ``publish`` as tasks of their own. Between them travel small JSON
values only; rows travel through the store.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol

from logferry import __version__
from logferry.budget import Forecast
from logferry.budget.opening import open_budget
from logferry.clock import Clock, SystemClock
from logferry.connection import Connection, is_sandbox
from logferry.errors import DefinitionError, StoreError
from logferry.fetching.answer_size import AnswerSize
from logferry.fetching.fetch import Fetcher
from logferry.fetching.gate import Gate
from logferry.fetching.lanes import Lanes
from logferry.fetching.pace import Pace
from logferry.fetching.page_limit import PageRows
from logferry.fetching.pieces import finest_bin
from logferry.fetching.readers import Readers
from logferry.http import Client
from logferry.plan import Chunk, Plan, estimate_bytes, estimate_requests, eta_s, sized_count, slice_plans
from logferry.proof.kept import keep_unmoved
from logferry.proof.prove import Finished, Prover
from logferry.publishing.publish import ChunkResult, SliceResult, publish
from logferry.records.manifest import Manifest, RunEntry, Span, Status
from logferry.sources.base import LogSource
from logferry.sources.opening import open_source
from logferry.spec import ExportSpec, fingerprint, lake_url
from logferry.stores.base import Store
from logferry.stores.opening import open_store
from logferry.window import Window, format_instant
from logferry.writing.encoder import Encoder
from logferry.writing.parquet import arrow_schema
from logferry.writing.parts import Part, PartFiles
from logferry.writing.resume import FinishedParts, ProgressStore
from logferry.writing.staging import Staging
from logferry.writing.uploads import Uploads
from logferry.writing.work_folder import work_folder

log = logging.getLogger(__name__)

_ROWS_AT_ONCE = 1_000_000
"""Rows of a chunk where one process carries them all: every chunk ends in a count, and its lanes in a standstill."""

Connect = Callable[[str, str], Connection]
"""``connect(connection id, kind)``: the connection, from wherever the caller keeps them."""


class Progress(Protocol):
    """Told of the work as it goes on, by one thread at a time."""

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
    """One export between one source and one store. Use as a context manager; see ``open_ferry``.

    ``in_flight``: the most searches that are under way at once, where the source takes several; None: as many as it
    takes. With 1 every request waits for the one before it.
    """

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
        in_flight: int | None = None,
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
        self._in_flight = source.most_in_flight
        if in_flight is not None and source.most_in_flight > 1:
            self._in_flight = in_flight
        self._telling = threading.Lock()
        self._size = AnswerSize(source)
        self._pace = Pace()
        self._page_rows = PageRows(source.page_rows)
        self._gate = Gate(Readers())

    @property
    def most_in_flight(self) -> int:
        """The most searches that are under way at once."""
        return self._in_flight

    def __enter__(self) -> Ferry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.close()
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

    def plan(self, window: Window, *, only_moved: bool = False) -> Plan:
        """Count the window at the source and lay out its slices. Nothing is fetched.

        ``only_moved``: proven slices in place whose published rows equal the count are to be counted, not fetched.
        """
        self.check(window)
        started_at = self._now()
        before = dict(self.client.stats)
        schema = self.client.run(lambda: self.source.schema(window))
        bin_ticks = finest_bin(self.source, window, self.spec.slice)
        counted_at = self._now()
        counts = sized_count(self.client, self.source, window, bin_ticks, schema)
        slices = slice_plans(window, self.spec.slice, counts, bin_ticks=bin_ticks, size=self._size)
        if only_moved:
            slices = keep_unmoved(
                slices, store=self.store, export=self.spec.name, fingerprint=self.fingerprint
            )
        requests = estimate_requests(self.source, slices)
        forecast = self.forecast()
        return Plan(
            export=self.spec.name,
            window=Span.of(window),
            started_at=started_at,
            counted_at=counted_at,
            rows=None if counts is None else sum(planned.rows or 0 for planned in slices),
            requests=requests,
            bytes=None if counts is None else estimate_bytes(slices, self._size.row_bytes),
            eta_s=eta_s(forecast, requests, at_once=self._in_flight),
            forecast=forecast,
            slices=slices,
            schema=schema,
            spent=_spent(before, self.client.stats),
            fingerprint=self.fingerprint,
        )

    def export(
        self,
        chunk: Chunk,
        progress_store: ProgressStore | None = None,
        *,
        before_slice: Callable[[], None] | None = None,
    ) -> ChunkResult:
        """Fetch, write, prove and stage a chunk's slices. Short slices are reported, not raised.

        With a ``progress_store`` finished parts are staged as they come and named there; after a failure they stay
        for the next attempt, which fetches only the rest and counts everything. Without one nothing stays.
        ``before_slice`` is called, in any thread, before a slice is fetched; raising there is how a caller breaks off
        between two slices. What it raises may come much later: when all that was asked for before is written.
        Raises DefinitionError when the definition is not the planned one any more.
        """
        self._check_same_definition(chunk.fingerprint)
        before = dict(self.client.stats)
        span = Window(chunk.slices[0].window().start, chunk.slices[-1].window().end)
        staging = Staging(self.store, self.spec.name, self.run.id)
        with work_folder(self._workdir) as folder, Encoder() as encoder, Uploads(staging) as uploads:
            files = PartFiles(
                folder,
                arrow_schema(chunk.schema),
                encoder=encoder,
                labels={"logferry.export": self.spec.name},
                bin_ticks=finest_bin(self.source, span, self.spec.slice),
                source=self.source,
            )
            finished = FinishedParts(
                progress_store, chunk, files=files, store=self.store, staging=staging, uploads=uploads
            )
            fetcher = Fetcher(
                self.client,
                self.source,
                chunk.schema,
                size=self._size,
                pace=self._pace,
                gate=self._gate,
                page_rows=self._page_rows,
                on_page=self._tell_of_page,
            )
            if self._in_flight > 1:
                rows = sum(planned.to_fetch or 0 for planned in chunk.slices)
                sizes = [estimate_bytes([planned], self._size.row_bytes) for planned in chunk.slices]
                fetcher.expect(rows, sum(sizes), largest=max(sizes))
            prover = Prover(
                self.client,
                self.source,
                fetcher=fetcher,
                lanes=Lanes(fetcher, most=self._in_flight, folder=folder, allowance=self._allowance),
                files=files,
                finished=finished,
                clock=self._clock,
                before_slice=before_slice,
            )
            proofs = prover.prove(chunk.slices)
            results = self._stage(proofs, finished, staging)
        spent = _spent(before, self.client.stats)
        for name, count in chunk.requests.items():
            spent[name] = spent.get(name, 0) + count
        result = ChunkResult(
            started_at=chunk.started_at,
            slices=results,
            schema=chunk.schema,
            requests=spent,
            fingerprint=chunk.fingerprint,
        )
        finished.clear()
        return result

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

    def carry(
        self,
        window: Window,
        *,
        plan: Plan | None = None,
        allow_shrink: bool = False,
        only_moved: bool = False,
    ) -> Manifest:
        """The whole way for one window in this process; ``only_moved`` as in ``plan``, unless one is given."""
        plan = plan or self.plan(window, only_moved=only_moved)
        results: list[ChunkResult] = []
        try:
            for chunk in plan.chunks(rows_per_chunk=_ROWS_AT_ONCE):
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

    def _stage(self, proofs: Iterable[Finished], parts: FinishedParts, staging: Staging) -> list[SliceResult]:
        """The slices' results, in order, once those whose rows are not published yet are staged; uploads go on while
        the next are made. After a failure nothing stays staged but what the next attempt is told of."""
        results: list[SliceResult] = []
        waiting: deque[Finished] = deque()

        def settle(*, wait: bool) -> None:
            while waiting and (result := self._result(waiting[0], parts, staging, wait=wait)) is not None:
                waiting.popleft()
                results.append(result)
                with self._telling:
                    self._progress.slice_done(result)

        try:
            for one in proofs:
                if isinstance(one.file, Part):
                    parts.stage(one.slice_, one.file)
                waiting.append(one)
                settle(wait=False)
            settle(wait=True)
            if waiting:
                raise AssertionError("a finished slice was waited for and is not staged")
        except BaseException:
            with contextlib.suppress(Exception):
                parts.abandon()
            raise
        return results

    def _result(
        self, finished: Finished, parts: FinishedParts, staging: Staging, *, wait: bool
    ) -> SliceResult | None:
        """None while the slice is on its way to the store, unless that is to be waited for."""
        span = Span.of(finished.slice_)
        staged: str | None = None
        file = finished.file
        if isinstance(file, Part):
            part = parts.staged(finished.slice_, wait=wait)
            if part is None:
                return None
            if part.file.path != file.file.path:
                raise AssertionError("what is staged of a slice is not what was finished last")
            part.file.path.unlink(missing_ok=True)
            staged = None if staging.is_published(finished.slice_, part) else part.key
            file = staging.entry(finished.slice_, part)
        status = self._status(finished)
        if status == "proven" and file.rows != finished.counted:
            raise StoreError(
                f"{finished.slice_} was proven with {finished.counted:,} rows and {file.rows:,} are staged; run the "
                "window again"
            )
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

    def _status(self, finished: Finished) -> Status:
        if finished.counted is None:
            return "unproven"
        retention = self.spec.source.retention
        if retention is not None and finished.slice_.start < finished.counted_at - retention:
            return "unproven"  # Neither number says what there was.
        if not finished.agrees:
            return "short"
        return "unproven" if finished.counted_at < self.settled_at(finished.slice_) else "proven"

    def _tell_of_page(self, rows: int, body_bytes: int) -> None:
        with self._telling:
            self._progress.page(rows, body_bytes)

    def forecast(self) -> Forecast | None:
        """How searches will be let go from now on, as far as the answers of this credential told until now."""
        return self.client.budget.forecast(self.source.search_bucket)

    def _allowance(self) -> float | None:
        """Searches per second that the budget has to give, None while that is not known."""
        return self.client.budget.requests_per_second(self.source.search_bucket)

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
    budget = open_budget(opened.auth.key, connection, connect, share=spec.name, clock=clock)
    client = Client(opened.auth, ca_bundle=opened.ca_bundle, budget=budget, clock=clock)
    return Ferry(
        spec,
        source=opened.source,
        client=client,
        store=store,
        run=Run(run_id, attempt),
        clock=clock,
        workdir=workdir,
        progress=progress,
        in_flight=connection.in_flight,
    )


def _spent(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
