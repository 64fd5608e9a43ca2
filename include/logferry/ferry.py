"""The ferry: one window from the source to the lake, and the proof that it is all there.

plan → fetch → convert → write → prove → publish. ``Ferry.carry`` does it in one go; a scheduler calls ``plan``,
``export`` (per chunk, anywhere) and ``publish`` as tasks of their own. Between them travel small JSON values only;
rows travel through the store.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from logferry import __version__
from logferry.budget import Forecast
from logferry.clock import Clock
from logferry.crew import export_plan
from logferry.errors import DefinitionError
from logferry.exportable import check_exportable
from logferry.fetching.answer_size import AnswerSize
from logferry.fetching.fetch import Fetcher
from logferry.fetching.gate import Gate
from logferry.fetching.lanes import Lanes
from logferry.fetching.pace import Pace
from logferry.fetching.page_limit import PageRows
from logferry.fetching.pieces import finest_bin
from logferry.fetching.readers import Readers
from logferry.http import Client
from logferry.mate import Mate
from logferry.plan import Chunk, Plan, estimate_bytes, estimate_requests, eta_s, sized_count, slice_plans
from logferry.progress import OneAtATime, Progress, Silent
from logferry.proof.kept import keep_unmoved
from logferry.proof.prove import Prover
from logferry.publishing.publish import publish
from logferry.publishing.results import ChunkResult
from logferry.records.manifest import Manifest, RunEntry, Span
from logferry.sources.base import LogSource
from logferry.spec import ExportSpec, fingerprint
from logferry.staged_slices import StagedSlices
from logferry.stores.base import Store
from logferry.window import Window, format_instant
from logferry.writing.encoder import Encoder
from logferry.writing.parquet import arrow_schema
from logferry.writing.parts import PartFiles
from logferry.writing.resume import FinishedParts, ProgressStore
from logferry.writing.staging import Staging
from logferry.writing.uploads import Uploads
from logferry.writing.work_folder import work_folder


@dataclass(frozen=True, slots=True)
class Run:
    """Who does the work: ``id`` names the run (staged parts lie under it), ``attempt`` counts from 1."""

    id: str
    attempt: int = 1


class Ferry:
    """One export between one source and one store. Use as a context manager; see ``opening.open_ferry``.

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
        self.progress = OneAtATime(progress or Silent())
        self._in_flight = source.most_in_flight
        if in_flight is not None and source.most_in_flight > 1:
            self._in_flight = in_flight
        self._size = AnswerSize(source)
        self._pace = Pace()
        self._page_rows = PageRows(source.page_rows)
        self._gate = Gate(Readers())

    @property
    def most_in_flight(self) -> int:
        """The most searches that are under way at once."""
        return self._in_flight

    def forecast(self) -> Forecast | None:
        """How searches will be let go from now on, as far as the answers of this credential told until now."""
        return self.client.budget.forecast(self.source.search_bucket)

    def __enter__(self) -> Ferry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.close()
        self.client.close()

    def plan(self, window: Window, *, only_moved: bool = False) -> Plan:
        """Count the window at the source and lay out its slices. Nothing is fetched.

        ``only_moved``: proven slices in place whose published rows equal the count are to be counted, not fetched.
        """
        check_exportable(self.spec, window, self._clock.now())
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
        among: int = 1,
    ) -> ChunkResult:
        """Fetch, write, prove and stage a chunk's slices. Short slices are reported, not raised.

        With a ``progress_store`` finished parts are staged as they come and named there; after a failure they stay
        for the next attempt, which fetches only the rest and counts everything. Without one nothing stays.
        ``before_slice`` is called, in any thread, before a slice is fetched; raising there is how a caller breaks off
        between two slices. What it raises may come much later: when all that was asked for before is written.
        ``among``: processes of this machine that export chunks of this window at the same time, this one included;
        each takes its part of the searches in flight, of the processors and of the memory for answers and rows.
        Raises DefinitionError when the definition is not the planned one any more.
        """
        self._check_same_definition(chunk.fingerprint)
        before = dict(self.client.stats)
        staging = Staging(self.store, self.spec.name, self.run.id)
        in_flight = max(1, self._in_flight // among)
        with (
            work_folder(self._workdir) as folder,
            Encoder(among=among) as encoder,
            Uploads(staging) as uploads,
            self._gate_among(among) as gate,
        ):
            files = self._files(chunk, folder, encoder)
            finished = FinishedParts(
                progress_store, chunk, files=files, store=self.store, staging=staging, uploads=uploads
            )
            fetcher = self._fetcher(chunk, gate, in_flight=in_flight)
            prover = Prover(
                self.client,
                self.source,
                fetcher=fetcher,
                lanes=Lanes(fetcher, most=in_flight, folder=folder, allowance=self._allowance, among=among),
                files=files,
                finished=finished,
                clock=self._clock,
                before_slice=before_slice,
            )
            slices = StagedSlices(self.spec, parts=finished, staging=staging, progress=self.progress)
            results = slices.collect(prover.prove(chunk.slices))
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
        mate: Mate | None = None,
    ) -> Manifest:
        """The whole way for one window, with the help of the ``mate``; ``only_moved`` as in ``plan``, unless one is
        given."""
        results = export_plan(self, plan or self.plan(window, only_moved=only_moved), mate)
        try:
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

    @contextlib.contextmanager
    def _gate_among(self, processes: int) -> Iterator[Gate]:
        if processes == 1:
            yield self._gate
            return
        gate = Gate(Readers(among=processes))
        try:
            yield gate
        finally:
            gate.close()

    def _fetcher(self, chunk: Chunk, gate: Gate, *, in_flight: int) -> Fetcher:
        fetcher = Fetcher(
            self.client,
            self.source,
            chunk.schema,
            size=self._size,
            pace=self._pace,
            gate=gate,
            page_rows=self._page_rows,
            on_page=self.progress.page,
        )
        if in_flight > 1:
            rows = sum(planned.to_fetch or 0 for planned in chunk.slices)
            sizes = [estimate_bytes([planned], self._size.row_bytes) for planned in chunk.slices]
            fetcher.expect(rows, sum(sizes), largest=max(sizes))
        return fetcher

    def _files(self, chunk: Chunk, folder: Path, encoder: Encoder) -> PartFiles:
        span = Window(chunk.slices[0].window().start, chunk.slices[-1].window().end)
        return PartFiles(
            folder,
            arrow_schema(chunk.schema),
            encoder=encoder,
            labels={"logferry.export": self.spec.name},
            bin_ticks=finest_bin(self.source, span, self.spec.slice),
            source=self.source,
        )

    def _allowance(self) -> float | None:
        """Searches per second that the budget has to give, None while that is not known."""
        return self.client.budget.requests_per_second(self.source.search_bucket)

    def _now(self) -> str:
        return format_instant(self._clock.now())


def _spent(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
