"""The pages of one cursor chain, and its ends."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from logferry.errors import CursorLost
from logferry.fetching.gate import Gate, guarded
from logferry.fetching.pace import Pace
from logferry.http import Client
from logferry.sources.base import ID_COLUMN, LogSource, Page, Request, Response, Share, SourceSchema
from logferry.window import Window


def pages_of(
    client: Client,
    source: LogSource,
    span: Window,
    schema: SourceSchema,
    limit: Callable[[], int | None],
    share: Share | None,
    enough: Callable[[], bool],
    gate: Gate,
    pace: Pace,
    long_rows: Callable[[], bool],
) -> Iterator[Page]:
    """Every page of the span. The end is no cursor, two empty pages, or ``enough()`` after a page was taken.

    A short page is not the end (https://docs.datadoghq.com/logs/guide/collect-multiple-logs-with-pagination/).
    Raises CursorLost when a cursor or a page comes twice.
    """
    cursor: str | None = None
    seen: set[str] = set()
    seen_pages: set[tuple[str, str, int]] = set()
    empty = 0
    while True:
        page = client.run(_exchange(source, span, cursor, schema, limit(), share, gate, pace, long_rows()))
        yield page
        empty = empty + 1 if page.rows.num_rows == 0 else 0
        if page.cursor is None or empty == 2 or enough():
            return
        edges = _edges(page)
        if edges in seen_pages:
            raise CursorLost(f"the source gave the same page twice for {span}")
        if edges is not None:
            seen_pages.add(edges)
        # An empty page may repeat the cursor it was asked with: that is one of the recorded ends.
        if page.cursor in seen and page.rows.num_rows:
            raise CursorLost(f"the source gave the same cursor twice for {span}")
        seen.add(page.cursor)
        cursor = page.cursor


def _exchange(
    source: LogSource,
    span: Window,
    cursor: str | None,
    schema: SourceSchema,
    limit: int | None,
    share: Share | None,
    gate: Gate,
    pace: Pace,
    long_rows: bool,
) -> Callable[[], Generator[Request, Response, Page]]:
    return lambda: guarded(
        source.page(span, cursor, schema, limit=limit, share=share), gate, pace, span.start, here=long_rows
    )


def _edges(page: Page) -> tuple[str, str, int] | None:
    """What tells a page from every other of its chain: its first and last identity and its length."""
    ids = page.rows[ID_COLUMN]
    if len(ids) == 0 or not (ids[0].is_valid and ids[-1].is_valid):
        return None
    return ids[0].as_py(), ids[-1].as_py(), len(ids)
