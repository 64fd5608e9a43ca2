"""All rows of one slice, in order, through whatever the source puts in the way.

The span still to fetch always starts at the last final tick. A chain of pages that breaks (a lost cursor) goes on
there; an answer that is too much, or that stays partial after its retries, is asked again as two halves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa

from logferry.errors import CursorLost, FailedAnswer, SourceError, TooMuch
from logferry.http import Client
from logferry.rows import OutOfOrder, SliceRows
from logferry.sources.base import ID_COLUMN, LogSource, Page, SourceSchema
from logferry.window import Window, format_instant

log = logging.getLogger(__name__)

_MOST_RESTARTS = 3
_MOST_FAILED_HALVINGS = 4
_ANSWER_FILL = 0.8
"""Share of an answer's row limit that planned pieces aim for: rows are never spread quite evenly."""


class Restart(Exception):
    """The rows handed on so far are void: the slice must be fetched again, held until complete."""


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
    """Sorted tables whose rows together are the slice's rows, each once.

    ``planned`` is the planned number of rows, None when unknown. ``held`` keeps the rows of a span until its
    chain is complete, for a source whose pages turned out not to be in order; until then such a source raises
    Restart. ``on_page(rows, body_bytes)`` is told of every answer; ``notes`` collects what conversion recorded.
    """
    rows = SliceRows(slice_, unique_ids=source.unique_ids)
    streaming = source.ordered and not held
    waiting = list(reversed(_planned_pieces(source, slice_, planned)))
    restarts = failures = 0
    while waiting:
        span = waiting.pop()
        before = rows.final_before
        try:
            for page in _pages(client, source, span, schema, rows, planned):
                on_page(page.batch.num_rows, page.body_bytes)
                _take(page, span, rows, streaming)
                _add_notes(notes, page)
                newest = rows.newest()
                if streaming and newest is not None:
                    # The source's order says nothing about times within one tick of its clock.
                    yield from rows.finish_before(newest // source.tick * source.tick)
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
            halves = rest.pieces(2, source.tick)
            failures = failures + 1 if isinstance(error, FailedAnswer) else 0
            if len(halves) < 2 or failures > _MOST_FAILED_HALVINGS:
                if isinstance(error, TooMuch):
                    raise TooMuch(
                        f"{rest} holds more than one answer can carry and cannot be cut further: {error}"
                    ) from error
                raise
            log.warning("%s; asking for %s as two halves", error, rest)
            waiting.extend(reversed(halves))
        else:
            failures = 0
            yield from rows.finish_before(span.end)


def _planned_pieces(source: LogSource, slice_: Window, planned: int | None) -> list[Window]:
    if source.answer_rows is None or not planned:
        return [slice_]
    fitting = max(1, int(source.answer_rows * _ANSWER_FILL))
    return slice_.pieces(-(-planned // fitting), source.tick)


def _pages(
    client: Client,
    source: LogSource,
    span: Window,
    schema: SourceSchema,
    rows: SliceRows,
    planned: int | None,
) -> Iterator[Page]:
    """The pages of one cursor chain. The end is no cursor, two empty pages, or the planned rows.

    A short page is not the end (https://docs.datadoghq.com/logs/guide/collect-multiple-logs-with-pagination/),
    and neither are the planned rows when they end on a full page: the count may have been too low.
    Raises CursorLost when a cursor or a page comes twice.
    """
    cursor: str | None = None
    seen: set[str] = set()
    seen_pages: set[tuple[str, str, int]] = set()
    empty = 0
    while True:
        page = client.run(partial(source.page, span, cursor, schema))
        yield page
        empty = empty + 1 if page.batch.num_rows == 0 else 0
        if page.cursor is None or empty == 2:
            return
        if planned and page.batch.num_rows < source.page_rows and rows.rows() >= planned:
            return
        edges = _edges(page)
        if edges in seen_pages:
            raise CursorLost(f"the source gave the same page twice for {span}")
        if edges is not None:
            seen_pages.add(edges)
        # An empty page may repeat the cursor it was asked with: that is one of the recorded ends.
        if page.cursor in seen and page.batch.num_rows:
            raise CursorLost(f"the source gave the same cursor twice for {span}")
        seen.add(page.cursor)
        cursor = page.cursor


def _edges(page: Page) -> tuple[str, str, int] | None:
    """What tells a page from every other of its chain: its first and last identity and its length."""
    ids = page.batch[ID_COLUMN]
    if len(ids) == 0 or not (ids[0].is_valid and ids[-1].is_valid):
        return None
    return ids[0].as_py(), ids[-1].as_py(), len(ids)


def _take(page: Page, span: Window, rows: SliceRows, streaming: bool) -> None:
    try:
        rows.add(page.batch, span)
    except OutOfOrder:
        if not streaming:
            raise
        log.warning("the pages of %s are not in order of time; fetching the slice again, held", span)
        raise Restart from None


def _add_notes(notes: dict[str, int], page: Page) -> None:
    for name, count in page.notes.items():
        notes[name] = notes.get(name, 0) + count


def _rest(span: Window, rows: SliceRows) -> Window:
    """What is left of a span whose chain broke: from the first tick that is not final."""
    rows.drop_held()
    return Window(max(span.start, rows.final_before), span.end)
