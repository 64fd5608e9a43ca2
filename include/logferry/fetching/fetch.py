"""All rows of one span, in order, through whatever the source puts in the way.

What is still to fetch always starts at the last final tick. A chain of pages that breaks (a lost cursor) goes on
there. An answer that is too much, or that stays partial after its retries, is asked for with fewer rows to a page
where a cursor continues it, then in parts, and rows of a single tick in shares. Each failed answer in a row halves once
more often than the one before, so a whole day without a cursor comes down to single ticks and to their last shares, or
is given up, in some twenty requests.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from logferry.clock import check_stop
from logferry.errors import CursorLost, FailedAnswer, SourceError, TooMuch
from logferry.fetching.answer_size import AnswerSize, StretchSize
from logferry.fetching.endless import Endless
from logferry.fetching.gate import Gate
from logferry.fetching.memory_pool import give_back_large_pieces, keep_blocks
from logferry.fetching.pace import Pace
from logferry.fetching.page_limit import PageLimit, PageRows, fewer
from logferry.fetching.pages import pages_of
from logferry.fetching.pieces import Cutter
from logferry.fetching.rows import OutOfOrder, SliceRows
from logferry.http import Client
from logferry.sources.base import LogSource, Page, Share, SourceSchema
from logferry.window import Window, format_instant

log = logging.getLogger(__name__)

_MOST_RESTARTS = 3
_MOST_FAILED_HALVINGS = 4
"""Failed answers in a row of which a source with cursors is asked for half as much; its pages are of one row then."""
_UNCOUNTED_FILL = 0.8
"""Share of an answer's rows that a span without a count aims for: rows are denser here and there."""
_LARGE_ANSWER_BYTES = 8 * 1024 * 1024
"""Of an answer without a cursor, which is in memory several times while it becomes rows."""
_MOST_GROWTH = 4
"""Times the length of the last answer's span that the next may be, where nothing is counted."""


class Restart(Exception):
    """The rows handed on so far are void: the span must be fetched again, held until complete."""


@dataclass(frozen=True, slots=True)
class Final:
    """Sorted rows, and the tick before which every row of the span has now been handed on.

    ``notes``: what was noted of conversion on the pages read since the last one, pages read again included.
    """

    table: pa.Table | None
    before: int
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Account:
    """Whether the source itself said that the end was reached (``to_end``) or the planned number of rows did.

    ``stopped_at``: of several chains handed on as one, the ends of those that the planned number stopped, each told
    before the last rows of its chain are handed on.
    """

    to_end: bool = True
    stopped_at: set[int] = field(default_factory=set)


class Fetcher:
    """Asks one source for spans, and remembers between them how much to ask for, and how long it took.

    ``on_page(rows, body_bytes)`` is told of every answer. Several threads may fetch at once: what one learns the
    others know from their next span on.
    """

    def __init__(
        self,
        client: Client,
        source: LogSource,
        schema: SourceSchema,
        *,
        size: AnswerSize | None = None,
        pace: Pace | None = None,
        gate: Gate | None = None,
        page_rows: PageRows | None = None,
        on_page: Callable[[int, int], None],
    ) -> None:
        self.client = client
        self.source = source
        self.schema = schema
        self.on_page = on_page
        self.size = size or AnswerSize(source)
        self.pace = pace or Pace()
        self.gate = gate or Gate()
        self.page_rows = page_rows or PageRows(source.page_rows)
        self._lock = threading.Lock()
        self._limit = PageLimit(source.page_rows)

    def expect(self, rows: int, size: int, *, largest: int) -> None:
        """So many ``rows`` will come, in answers of about ``size`` bytes together, the largest of ``largest``."""
        if self.source.answer_rows is not None:
            # A source that is asked for whole answers reckons their sizes: what is long is known before the first.
            self.page_rows.came(rows, size)
            self.pace.expect(largest)
        if self.page_rows.long:
            give_back_large_pieces()
        else:
            if self.source.answer_rows is not None and largest >= _LARGE_ANSWER_BYTES:
                keep_blocks()
            self.gate.expect(size)

    def fetch(
        self,
        span: Window,
        *,
        planned: int | None,
        held: bool = False,
        account: Account,
        cutter: Cutter | None = None,
        size: StretchSize | None = None,
    ) -> Iterator[Final]:
        """The span's rows, each once.

        ``planned``: its exact number of rows by a count, None when unknown; reaching it ends the fetch. ``held``
        keeps rows until a chain is complete, for a source whose pages turned out not to be in order; until then
        such a source raises Restart. ``cutter`` knows where the rows lie; without one the span is cut by its time.
        ``size`` is the stretch's of which the span is a piece.
        """
        with self._lock:
            limit, before = self._limit.copy(), self._limit.copy()
        try:
            yield from _Span(
                self, size or self.size.stretch(), limit, span, planned, held, account, cutter
            ).finals()
        finally:
            with self._lock:
                self._limit.learn(before, limit)


@dataclass(slots=True)
class _Span:
    """One fetch of one span."""

    fetcher: Fetcher
    size: StretchSize
    limit: PageLimit
    span: Window
    planned: int | None
    held: bool
    account: Account
    cutter: Cutter | None
    failed: list[tuple[int, int, int]] = field(default_factory=list)
    """Ranges that were too much: their ends, and the rows and bytes that had come before them."""
    came_rows: int = 0
    came_bytes: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    """Of the pages read since the last Final."""
    asked: int | None = None
    """The limit of the newest page."""
    endless: Endless = field(init=False)
    length: int | None = None
    """Ticks to ask for at once where nothing is counted, after the rows that lay in the last answer's."""

    @property
    def source(self) -> LogSource:
        return self.fetcher.source

    def finals(self) -> Iterator[Final]:
        self.endless = Endless(self.span, self.planned)
        rows = SliceRows(self.span, unique_ids=self.source.unique_ids)
        streaming = self.source.ordered and not self.held
        waiting = [self.span]
        restarts = failures = 0
        while waiting:
            span = self._fitting(waiting.pop(), waiting)
            before = rows.final_before
            try:
                if self._needs_shares(span):
                    self._take_shares(span, rows)
                    ended = True
                else:
                    ended = yield from self._chain(span, rows, streaming)
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
                if self.source.answer_rows is None and self._ask_for_less(error, rows):
                    log.warning("%s; going on with %s rows to a page", error, self.limit.limit)
                    waiting.append(rest)
                    continue
                failures = failures + 1 if isinstance(error, FailedAnswer) else failures
                parts = self._narrowed(rest, max(failures, 1))
                if self.source.answer_rows is None and failures > _MOST_FAILED_HALVINGS:
                    raise
                if len(parts) < 2 and self.source.most_shares < 2:
                    raise _undividable(rest, error) from error
                if len(parts) < 2:
                    log.warning("%s; asking for %s in shares", error, rest)
                    self._take_shares(rest, rows)
                    yield from self._finish(rows, rest.end)
                    continue
                if isinstance(error, TooMuch):
                    self.failed.append((rest.end, self.came_rows, self.came_bytes))
                log.warning("%s; asking for %s in %d parts", error, rest, len(parts))
                waiting.extend(reversed(parts))
                if self.source.answer_rows is not None and self.cutter is None:
                    # What was cut by the clock is no better a measure for the rest than the answers that will come.
                    waiting = [Window(parts[0].end, self.span.end), parts[0]]
            else:
                failures = 0
                if ended:
                    yield from self._finish(rows, span.end)
                else:
                    waiting.append(_rest(span, rows))

    def _chain(self, span: Window, rows: SliceRows, streaming: bool) -> Generator[Final, None, bool]:
        """The span's pages until their end (True), or until the next are to be of another length: that takes a new
        chain."""
        first = self.asked = self._limit_now()
        came_before, final_before = self.came_rows, rows.final_before
        changed_at: int | None = None
        for page in self._pages(span, None, self._same_limit if streaming else self._newest_limit, rows):
            self._take(page, span, rows, streaming)
            if page.cursor is not None:
                kept = None if self.planned is None else rows.rows()
                self.endless.page(page.rows.num_rows, kept, rows.final_before)
            self.limit.came(self.asked)
            newest = rows.newest()
            limit = self._limit_now()
            if limit == first:
                changed_at = None
            elif fewer(limit, first) == limit:
                # Rows are longer than was thought: none of them is kept from coming by a page that is shorter.
                changed_at = final_before
            elif changed_at is None:
                changed_at = newest
            if streaming and newest is not None:
                # The source's order says nothing about times within one tick of its clock.
                yield from self._finish(rows, newest // self.source.tick * self.source.tick)
            # Past the page after which it grew: the row that larger pages fail of is not asked for again.
            past = streaming and changed_at is not None and rows.final_before > changed_at
            if past and page.cursor is not None and not self._enough(rows):
                return False
        self._learn_length(span, self.came_rows - came_before)
        return True

    def _pages(
        self, span: Window, share: Share | None, limit: Callable[[], int | None], rows: SliceRows
    ) -> Iterator[Page]:
        def enough() -> bool:
            if share is not None or not self._enough(rows):
                return False
            self.account.to_end = False
            return True

        fetcher = self.fetcher
        pages = pages_of(
            fetcher.client,
            fetcher.source,
            span,
            fetcher.schema,
            limit,
            share,
            enough,
            fetcher.gate,
            fetcher.pace,
            lambda: fetcher.page_rows.long,
        )
        for page in pages:
            # A lane that was left behind has nothing more to tell.
            check_stop()
            fetcher.on_page(page.rows.num_rows, page.body_bytes)
            for name, count in page.notes.items():
                self.notes[name] = self.notes.get(name, 0) + count
            self.size.came(page.rows.num_rows, page.body_bytes)
            fetcher.page_rows.came(page.rows.num_rows, page.body_bytes)
            if fetcher.page_rows.long:
                give_back_large_pieces()
            self.came_rows += page.rows.num_rows
            self.came_bytes += page.body_bytes
            yield page

    def _same_limit(self) -> int | None:
        return self.asked

    def _newest_limit(self) -> int | None:
        self.asked = self._limit_now()
        return self.asked

    def _limit_now(self) -> int | None:
        return fewer(self.limit.limit, self.fetcher.page_rows.limit)

    def _ask_for_less(self, error: TooMuch | FailedAnswer, rows: SliceRows) -> bool:
        """Shorten the next pages after one that failed; False when it was of one row."""
        if isinstance(error, FailedAnswer):
            return self.limit.halve(self.asked)
        # An answer beyond every bound is far from the size that is wanted.
        left = None if self.planned is None else self.planned - rows.rows()
        return self.limit.halve(self.asked, left=left, times=2)

    def _enough(self, rows: SliceRows) -> bool:
        # More than planned: the count was too low, and only the source knows where the end is.
        return self.planned is not None and rows.rows() == self.planned

    def _finish(self, rows: SliceRows, before: int) -> Iterator[Final]:
        while self.failed and self.failed[-1][0] <= before:
            _, rows_before, bytes_before = self.failed.pop()
            self.size.was_too_much(self.came_rows - rows_before, self.came_bytes - bytes_before)
        noted, self.notes = self.notes, {}
        if rows.in_order:
            table = rows.finish_before(before)
        else:
            with self.fetcher.gate.turn(self.span.start, here=True):
                table = rows.finish_before(before)
        yield Final(table, before, noted)

    def _fitting(self, span: Window, waiting: list[Window]) -> Window:
        """The beginning of the span that one answer should hold by all that is known now; the rest waits."""
        first = span
        if self.source.answer_rows is not None and self.cutter is not None:
            first = self.cutter.fitting(span, self.size.piece_rows)
        elif self.length is not None:
            first = Window(span.start, min(span.start + self.length, span.end))
        if first.end < span.end:
            waiting.append(Window(first.end, span.end))
        return first

    def _learn_length(self, span: Window, rows: int) -> None:
        if self.source.answer_rows is None or self.cutter is not None:
            return
        wanted = _MOST_GROWTH * span.ticks
        if rows:
            wanted = min(wanted, int(self.size.piece_rows * _UNCOUNTED_FILL) * span.ticks // rows)
        self.length = max(1, wanted // self.source.tick) * self.source.tick

    def _narrowed(self, span: Window, times: int) -> list[Window]:
        """The span in parts, its first halved ``times`` times; one part when it is a single tick."""
        parts = [span]
        for _ in range(times):
            first = self.cutter.halves(parts[0]) if self.cutter else parts[0].pieces(2, self.source.tick)
            parts = [*first, *parts[1:]]
        return parts

    def _needs_shares(self, span: Window) -> bool:
        """Whether the span is a single tick that was counted and holds more than one answer."""
        return (
            self.source.most_shares > 1
            and span.ticks <= self.source.tick
            and self.cutter is not None
            and self.cutter.rows(span) > self.size.piece_rows
        )

    def _take_shares(self, span: Window, rows: SliceRows) -> None:
        """The rows of a span that cannot be cut. A share that is too much is divided into two of twice as many.

        That holds because a share is a remainder: what is ``i`` of ``n`` is ``i`` or ``i + n`` of ``2n``.
        """
        expected = self.cutter.rows(span) if self.cutter else 0
        of = min(max(2, -(-expected // self.size.piece_rows)), self.source.most_shares)
        waiting = [Share(index, of) for index in reversed(range(of))]
        while waiting:
            share = waiting.pop()
            try:
                pages = list(self._pages(span, share, self._newest_limit, rows))
            except (TooMuch, FailedAnswer) as error:
                of = 2 * share.of
                if of > self.source.most_shares:
                    raise _undividable(span, error) from error
                log.warning("%s; asking for share %d of %d of %s in two", error, share.index, share.of, span)
                waiting += [Share(share.index + share.of, of), Share(share.index, of)]
            else:
                for page in pages:
                    self._take(page, span, rows, streaming=False)

    def _take(self, page: Page, span: Window, rows: SliceRows, streaming: bool) -> None:
        try:
            for batch in page.rows.to_batches():
                rows.add(batch, span)
        except OutOfOrder:
            if not streaming:
                raise
            log.warning("the pages of %s are not in order of time; fetching it again, held", span)
            raise Restart from None


def _undividable(span: Window, error: TooMuch | FailedAnswer) -> SourceError:
    if isinstance(error, FailedAnswer):
        return error
    return TooMuch(
        f"{span} holds more than one answer can carry and cannot be cut further; narrow the query, or leave "
        f"out its largest columns: {error}"
    )


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
    for final in fetcher.fetch(slice_, planned=planned, held=held, account=Account()):
        for name, count in final.notes.items():
            notes[name] = notes.get(name, 0) + count
        if final.table is not None:
            yield final.table


def _rest(span: Window, rows: SliceRows) -> Window:
    """What is left of a span whose chain broke: from the first tick that is not final."""
    rows.drop_held()
    return Window(max(span.start, rows.final_before), span.end)
