"""All rows of one span, in order, through whatever the source puts in the way.

What is still to fetch always starts at the last final tick. A chain of pages that breaks (a lost cursor) goes on
there. An answer that is too much, or that stays partial after its retries, is asked for with fewer rows to a page
where a cursor continues it, then as two halves, and rows of a single tick in shares.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from logferry.errors import CursorLost, FailedAnswer, SourceError, TooMuch
from logferry.fetching.answer_size import AnswerSize
from logferry.fetching.page_limit import PageLimit
from logferry.fetching.pages import pages_of
from logferry.fetching.rows import OutOfOrder, SliceRows
from logferry.http import Client
from logferry.sources.base import LogSource, Page, Share, SourceSchema
from logferry.window import Window, format_instant

log = logging.getLogger(__name__)

_MOST_RESTARTS = 3
_MOST_FAILED_HALVINGS = 4


class Restart(Exception):
    """The rows handed on so far are void: the span must be fetched again, held until complete."""


@dataclass(frozen=True, slots=True)
class Final:
    """Sorted rows, and the tick before which every row of the span has now been handed on."""

    table: pa.Table | None
    before: int


@dataclass(slots=True)
class Account:
    """What a fetch notes of itself: ``notes`` of conversion, pages read again included, and whether the source
    itself said that the end was reached (``to_end``) or the planned number of rows did."""

    notes: dict[str, int] = field(default_factory=dict)
    to_end: bool = True

    def add(self, page: Page) -> None:
        for name, count in page.notes.items():
            self.notes[name] = self.notes.get(name, 0) + count


class Fetcher:
    """Asks one source for spans, and remembers between them how much to ask for.

    ``on_page(rows, body_bytes)`` is told of every answer.
    """

    def __init__(
        self,
        client: Client,
        source: LogSource,
        schema: SourceSchema,
        *,
        size: AnswerSize | None = None,
        on_page: Callable[[int, int], None],
    ) -> None:
        self._client = client
        self._source = source
        self._schema = schema
        self._on_page = on_page
        self.size = size or AnswerSize(source)
        self._limit = PageLimit(source.page_rows)

    def fetch(
        self,
        span: Window,
        *,
        planned: int | None,
        held: bool = False,
        account: Account,
        halves: Callable[[Window], list[Window]] | None = None,
    ) -> Iterator[Final]:
        """The span's rows, each once.

        ``planned``: its exact number of rows by a count, None when unknown; reaching it ends the fetch. ``held``
        keeps rows until a chain is complete, for a source whose pages turned out not to be in order; until then
        such a source raises Restart. ``halves`` cuts what is too much in two (by default at the middle of its
        time), or gives it back when it cannot be cut.
        """
        return _Span(
            self._client, self._source, self._schema, self.size, self._limit, self._on_page,
            span, planned, held, account, halves or self._by_time,
        ).finals()  # fmt: skip

    def _by_time(self, span: Window) -> list[Window]:
        return span.pieces(2, self._source.tick)


@dataclass(slots=True)
class _Span:
    """One fetch of one span."""

    client: Client
    source: LogSource
    schema: SourceSchema
    size: AnswerSize
    limit: PageLimit
    on_page: Callable[[int, int], None]
    span: Window
    planned: int | None
    held: bool
    account: Account
    halves: Callable[[Window], list[Window]]
    failed: list[tuple[int, int, int]] = field(default_factory=list)
    """Ranges that were too much: their ends, and the rows and bytes that had come before them."""
    came_rows: int = 0
    came_bytes: int = 0

    def finals(self) -> Iterator[Final]:
        rows = SliceRows(self.span, unique_ids=self.source.unique_ids)
        streaming = self.source.ordered and not self.held
        waiting = [self.span]
        restarts = failures = 0
        while waiting:
            span = waiting.pop()
            before = rows.final_before
            try:
                for page in self._pages(span, rows, None):
                    self._take(page, span, rows, streaming)
                    newest = rows.newest()
                    if streaming and newest is not None:
                        # The source's order says nothing about times within one tick of its clock.
                        yield from self._finish(rows, newest // self.source.tick * self.source.tick)
            except CursorLost as error:
                rest = _rest(span, rows)
                restarts = 0 if rows.final_before > before else restarts + 1
                if restarts >= _MOST_RESTARTS:
                    raise SourceError(
                        f"the cursor of {rest} was lost {restarts} times without a whole tick gained: {error}"
                    ) from error
                log.warning("%s; going on at %s", error, format_instant(rest.start))
                waiting.append(rest)
            except (TooMuch, FailedAnswer) as error:
                rest = _rest(span, rows)
                if self.source.answer_rows is None and self.limit.halve():
                    log.warning("%s; going on with %s rows to a page", error, self.limit.limit)
                    waiting.append(rest)
                    continue
                halves = self.halves(rest)
                failures = failures + 1 if isinstance(error, FailedAnswer) else 0
                if len(halves) < 2 and isinstance(error, TooMuch):
                    self._take_shares(rest, rows, error)
                    yield from self._finish(rows, rest.end)
                elif len(halves) < 2 or failures > _MOST_FAILED_HALVINGS:
                    raise
                else:
                    if isinstance(error, TooMuch):
                        self.failed.append((rest.end, self.came_rows, self.came_bytes))
                    log.warning("%s; asking for %s as two halves", error, rest)
                    waiting.extend(reversed(halves))
            else:
                failures = 0
                yield from self._finish(rows, span.end)

    def _pages(self, span: Window, rows: SliceRows, share: Share | None) -> Iterator[Page]:
        def enough() -> bool:
            # More than planned: the count was too low, and only the source knows where the end is.
            reached = share is None and self.planned is not None and rows.rows() == self.planned
            if reached:
                self.account.to_end = False
            return reached

        for page in pages_of(self.client, self.source, span, self.schema, self.limit, share, enough):
            self.on_page(page.batch.num_rows, page.body_bytes)
            self.account.add(page)
            self.size.came(page.batch.num_rows, page.body_bytes)
            self.came_rows += page.batch.num_rows
            self.came_bytes += page.body_bytes
            yield page

    def _finish(self, rows: SliceRows, before: int) -> Iterator[Final]:
        while self.failed and self.failed[-1][0] <= before:
            _, rows_before, bytes_before = self.failed.pop()
            self.size.was_too_much(self.came_rows - rows_before, self.came_bytes - bytes_before)
        tables = list(rows.finish_before(before))
        yield Final(tables[0] if tables else None, before)

    def _take_shares(self, span: Window, rows: SliceRows, error: TooMuch) -> None:
        """The rows of a span that cannot be cut, in as few shares as fit."""
        of = 2
        while of <= self.source.most_shares:
            log.warning("%s; asking for %s in %d shares", error, span, of)
            try:
                for index in range(of):
                    for page in self._pages(span, rows, Share(index, of)):
                        self._take(page, span, rows, streaming=False)
            except TooMuch as again:
                error = again
                rows.drop_held()
                of *= 2
            else:
                return
        raise TooMuch(
            f"{span} holds more than one answer can carry and cannot be cut further; narrow the query, or leave "
            f"out its largest columns: {error}"
        ) from error

    def _take(self, page: Page, span: Window, rows: SliceRows, streaming: bool) -> None:
        try:
            rows.add(page.batch, span)
        except OutOfOrder:
            if not streaming:
                raise
            log.warning("the pages of %s are not in order of time; fetching it again, held", span)
            raise Restart from None


def fetch_slice(
    client: Client,
    source: LogSource,
    slice_: Window,
    schema: SourceSchema,
    *,
    planned: int | None,
    held: bool = False,
    notes: dict[str, int],
    on_page: Callable[[int, int], None],
) -> Iterator[pa.Table]:
    """Sorted tables whose rows together are the slice's rows, each once; see ``Fetcher.fetch``."""
    fetcher = Fetcher(client, source, schema, on_page=on_page)
    for final in fetcher.fetch(slice_, planned=planned, held=held, account=Account(notes)):
        if final.table is not None:
            yield final.table


def _rest(span: Window, rows: SliceRows) -> Window:
    """What is left of a span whose chain broke: from the first tick that is not final."""
    rows.drop_held()
    return Window(max(span.start, rows.final_before), span.end)
