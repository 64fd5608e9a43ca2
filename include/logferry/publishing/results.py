"""What a worker hands on to be published: finished slices, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from logferry.errors import StoreError
from logferry.plan import Handed
from logferry.records.manifest import SliceEntry, Span
from logferry.sources.base import SourceSchema
from logferry.window import Window


class SliceResult(SliceEntry, frozen=True, kw_only=True, omit_defaults=True):
    """A finished slice that is not published yet. ``staged`` is its part's key, None when the published object
    already holds exactly these rows."""

    staged: str | None = None


class ChunkResult(Handed, frozen=True, kw_only=True):
    """What one worker finished: small JSON, never rows. ``fingerprint``: of the definition it was fetched by."""

    started_at: str
    slices: list[SliceResult]
    schema: SourceSchema
    requests: dict[str, int]
    fingerprint: str


def check_finished(finished: Sequence[SliceResult], window: Window) -> None:
    """Raise StoreError unless the slices, in order of time, are exactly the window's, and those that are called proven
    have the rows that were counted."""
    at = window.start
    for entry in finished:
        slice_ = entry.window()
        if slice_.start != at:
            raise StoreError(
                f"the finished slices do not cover {window}: {slice_} came where {Span.of(window).start} was due"
            )
        at = slice_.end
    if at != window.end:
        raise StoreError(f"the finished slices do not cover {window}: they end early; run the window again")
    for entry in finished:
        if entry.status == "proven" and entry.rows != entry.source_rows:
            raise StoreError(
                f"{entry.window()} is called proven with {entry.rows:,} rows, and the source counted "
                f"{entry.source_rows}; run the window again"
            )


def add_requests(parts: list[dict[str, int]]) -> dict[str, int]:
    """Sum of request counters; the four names of the manifest are always there."""
    total = {"search": 0, "count": 0, "retried": 0, "throttled": 0}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
