"""A small world to survey: slices, rows that come late, and exports that publish them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from logferry.audit.survey import Visit, survey
from logferry.records.ledger import Ledger, Published
from logferry.records.manifest import FileEntry, SliceEntry, Status
from logferry.spec import ExportSpec, export_from
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window, format_instant, parse_instant

HOUR = TICK_PER_HOUR


DAY = TICK_PER_DAY


START = parse_instant("2026-03-01T00:00:00Z")


PRESENT = "sha256:present"


@cache
def spec_of(schedule: str, slice_: str, settle: str, horizon: str) -> ExportSpec:
    """Checking a definition takes longer than a survey."""
    return make_spec(schedule=schedule, slice=slice_, settle=settle, horizon=horizon)


def make_spec(**keys: Any) -> ExportSpec:
    source = {"kind": "datadog", "connection": "dd", "query": "*", **keys.pop("source", {})}
    definition = {
        "name": "shop",
        "source": source,
        "schedule": "0 */6 * * *",
        "start": format_instant(START),
        "settle": "30m",
        "horizon": "24h",
        **keys,
    }
    return export_from(definition, where="test", written=True)


def hours(first: int, last: int) -> Window:
    return Window(START + first * HOUR, START + last * HOUR)


@dataclass
class World:
    """A source, a ledger, and exports that publish what the source holds at the time."""

    spec: ExportSpec
    rows: Counter[int] = field(default_factory=Counter)
    ledger: Ledger = field(default_factory=Ledger)
    asked: list[Window] = field(default_factory=list)
    countable: bool = True
    seq: int = 0

    def count(self, window: Window) -> Mapping[int, int] | None:
        self.asked.append(window)
        if not self.countable:
            return None
        return {tick: self.rows[tick] for tick in self.rows if tick in window}

    def publish(self, window: Window, now: int, *, fingerprint: str = PRESENT, **entry: Any) -> None:
        self.seq += 2
        if self.ledger.first_published_at is None:
            self.ledger.first_published_at = now
        for slice_ in window.slices(self.spec.slice):
            rows = self.rows[slice_.start]
            values: dict[str, Any] = {
                "status": "proven" if self.countable else "unproven",
                "rows": rows,
                "source_rows": rows if self.countable else None,
                "counted_at": format_instant(now) if self.countable else None,
                **entry,
            }
            self.ledger.slices[slice_] = published(slice_, self.seq, fingerprint, **values)

    def visits(self, now: int) -> list[Visit]:
        return survey(self.spec, self.ledger, self.count, now, fingerprint=PRESENT).visits

    def windows(self, now: int) -> list[Window]:
        return [visit.window for visit in self.visits(now)]


def published(
    slice_: Window,
    seq: int,
    fingerprint: str,
    *,
    status: Status,
    rows: int,
    source_rows: int | None,
    counted_at: str | None,
    source_now: int | None = None,
    source_now_at: str | None = None,
) -> Published:
    file = FileEntry(key="k", rows=rows, bytes=rows, sha256="", row_hash="", min_time=None, max_time=None)
    entry = SliceEntry(
        start=format_instant(slice_.start),
        end=format_instant(slice_.end),
        status=status,
        rows=rows,
        source_rows=source_rows,
        counted_at=counted_at,
        file=file,
        source_now=source_now,
        source_now_at=source_now_at,
    )
    return Published(slice_, entry, fingerprint, seq, entry if status == "proven" else None)
