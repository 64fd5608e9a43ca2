"""What a worker hands on to be published: finished slices, and what they cost."""

from __future__ import annotations

from logferry.plan import Handed
from logferry.records.manifest import SliceEntry
from logferry.sources.base import SourceSchema


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


def add_requests(parts: list[dict[str, int]]) -> dict[str, int]:
    """Sum of request counters; the four names of the manifest are always there."""
    total = {"search": 0, "count": 0, "retried": 0, "throttled": 0}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total
