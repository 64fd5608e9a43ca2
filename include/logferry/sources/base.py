"""The contract between the ferry and a log API.

A source is sans-IO: each operation is a generator that yields ``Request`` and receives ``Response`` until it
returns its result (``http.Client.run`` drives it; tests drive it by hand). So a source never sleeps, retries,
paces or opens a socket, and its tests feed bytes.

A source raises the errors of ``logferry.errors``: ``FailedAnswer`` for anything that is not whole, ``TooMuch``
when a shorter range may fit, ``CursorLost``, ``QueryRejected``, ``CredentialsError``. It never returns fewer rows.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import pyarrow as pa

from logferry.window import TICK_PER_HOUR, TICK_PER_MINUTE, TICK_PER_SECOND, Window

TICK_COLUMN = "__tick"
"""Extra int64 column of every page's batch: the row's time in ticks (never null). Dropped before writing."""
ID_COLUMN = "__id"
"""Extra string column of every page's batch: the row's identity, null where it has none. Dropped before writing."""

BINS: tuple[int, ...] = (
    *(seconds * TICK_PER_SECOND for seconds in (1, 2, 5, 10, 15, 20, 30)),
    *(minutes * TICK_PER_MINUTE for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)),
    TICK_PER_HOUR,
)
"""Lengths of bins that every source counts in one step, ascending. Each divides an hour, so that its bins start on
the clock's own marks whatever a source aligns to; another length is counted by a shorter one that divides it."""

Purpose = Literal["search", "count", "schema"]
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without credentials (the client adds them).

    ``bucket`` names the API allowance it is paid from. ``after_s``: seconds to wait before sending (polling).
    ``timeout_s``: seconds without a byte before the read is given up; ``answer_s``: seconds that the whole answer
    may take, however steadily it drips. ``most_bytes``: the most bytes of its body, decoded; more is TooMuch.
    ``narrow_on``: statuses that the source itself reads as "too much" and that the client must not retry.
    ``recycled``: its answer may be of many megabytes, and is read into the memory of such a one before (``body``).
    """

    method: str
    url: str
    purpose: Purpose
    bucket: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    after_s: float = 0.0
    timeout_s: float = 120.0
    answer_s: float = 900.0
    most_bytes: int = 4 * MIB
    narrow_on: frozenset[int] = frozenset()
    recycled: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """A complete HTTP answer; header names in lower case, body decoded of its transfer encoding."""

    status: int
    headers: Mapping[str, str]
    body: bytes | bytearray


@dataclass(frozen=True, slots=True)
class SourceColumn:
    """One output column: its name in the file, its Arrow type as text, the source's own name and type."""

    name: str
    arrow: str
    source_name: str
    source_type: str


@dataclass(frozen=True, slots=True)
class SourceSchema:
    """The output columns of one window, in order; ``has_id``: rows carry an identity of their own.

    Resolved once per window, handed to every chunk and kept in the manifest, so that all slices agree.
    """

    columns: tuple[SourceColumn, ...]
    has_id: bool


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: ``rows`` (output columns + TICK_COLUMN + ID_COLUMN), a batch or more; ``cursor`` or None at the end.

    Rows may lie outside the range asked for; the ferry drops them. ``notes`` counts what conversion had to
    record, e.g. ``{"misfit:http_status": 3, "invalid_text": 1}``. ``body_bytes`` is the answer's size.
    """

    rows: pa.Table
    cursor: str | None
    body_bytes: int
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Share:
    """One of ``of`` disjoint parts of a range's rows: those the hash of whose identity leaves ``index`` when it is
    divided by ``of``. So share 1 of 3 is shares 1 and 4 of 6 together."""

    index: int
    of: int


@dataclass(frozen=True, slots=True)
class SizedCount:
    """Rows per bin by bin start, absent bins hold none, and the bytes that a bin's rows are reckoned to make of an
    answer: an estimate, and empty where there is none."""

    rows: Mapping[int, int]
    bytes: Mapping[int, int] = field(default_factory=dict)


@runtime_checkable
class Sizing(Protocol):
    """A source whose answers have no cursor, and that can reckon how large they will be."""

    def sized_count(
        self, window: Window, bin_ticks: int, schema: SourceSchema
    ) -> Generator[Request, Response, SizedCount]:
        """``LogSource.count`` with sizes; as exact and with the same errors whether sizes can be had or not."""
        ...


class LogSource(Protocol):
    """One export's view of one log API."""

    @property
    def kind(self) -> str: ...

    @property
    def tick(self) -> int:
        """The source's time resolution in ticks; no range is split finer."""
        ...

    @property
    def answer_rows(self) -> int | None:
        """Most rows one answer can hold; None when a cursor continues an answer."""
        ...

    @property
    def page_rows(self) -> int:
        """Rows a full page brings: what a plan divides by to estimate requests."""
        ...

    @property
    def most_bins(self) -> int:
        """Bins that one count request carries; 0 when counts cost a request per slice, so finer ones are too dear."""
        ...

    @property
    def most_shares(self) -> int:
        """Into how many shares the rows of one tick can be divided when they are too much; 1: not at all."""
        ...

    @property
    def most_in_flight(self) -> int:
        """Searches that may be under way at once; 1: each waits for the one before it."""
        ...

    @property
    def search_bucket(self) -> str:
        """The allowance that searches are paid from (``Request.bucket``)."""
        ...

    @property
    def ordered(self) -> bool:
        """Pages of one cursor chain come in ascending time."""
        ...

    @property
    def unique_ids(self) -> bool:
        """The same identity twice within one slice is the same row twice (not so where a query multiplies
        rows)."""
        ...

    def identity(self) -> dict[str, Any]:
        """What decides which rows exist and how they look: endpoint, org or workspace, query, columns.

        JSON values only, no secrets; the fingerprint and the manifest's ``source`` come from it.
        """
        ...

    def schema(self, window: Window) -> Generator[Request, Response, SourceSchema]:
        """The output columns for this window. A source with fixed columns yields nothing."""
        ...

    def count(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        """Rows per bin of the window: ``{bin start tick: rows}``; absent bins hold no row.

        The window is a whole number of bins long, a bin a whole number of seconds, or of ticks where ``tick`` is 1.
        A source with ``most_bins`` above 0 takes a window on the grid of the longest of BINS that divides the
        bin. Raises ``CountUnavailable`` when this source, tier or credential cannot count.
        """
        ...

    def page(
        self,
        span: Window,
        cursor: str | None,
        schema: SourceSchema,
        *,
        limit: int | None = None,
        share: Share | None = None,
    ) -> Generator[Request, Response, Page]:
        """One page of the span's rows in the source's order, from ``cursor`` (None: the first).

        ``limit``: rows of the page, for a source with cursors whose full pages do not come through (None: as many
        as it gives). ``share``: only this part of the rows, for a source with ``most_shares`` above 1.
        """
        ...
