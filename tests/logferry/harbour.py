"""One lake and one source, both small, with a new ferry for every run."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logferry.ferry import Ferry, Run
from logferry.http import Client
from logferry.layout import slice_key
from logferry.publishing.results import ChunkResult
from logferry.records.manifest import Manifest, Status
from logferry.sources.base import (
    ID_COLUMN,
    TICK_COLUMN,
    LogSource,
    Page,
    Request,
    Response,
    Share,
    SourceColumn,
    SourceSchema,
)
from logferry.spec import ExportSpec, export_from
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_HOUR, TICK_PER_MS, Window, parse_instant

START = parse_instant("2026-11-20T00:00:00Z")


WINDOW = Window(START, START + 4 * TICK_PER_HOUR)


class MemorySource:
    """Rows in memory. ``count_hook`` and ``page_hook`` may change what is counted or given, or raise."""

    kind = "datadog"
    tick = TICK_PER_MS
    answer_rows = None
    page_rows = 1000
    most_bins = 100
    most_shares = 1
    most_in_flight = 1
    search_bucket = "search"
    ordered = True
    unique_ids = True

    def __init__(self, rows: dict[int, int]) -> None:
        self.rows = {hour: [f"{hour}-{number}" for number in range(count)] for hour, count in rows.items()}
        self.query = "*"
        self.searched: list[Window] = []
        self.counts = 0
        self.count_hook: Callable[[dict[int, int]], dict[int, int]] = dict
        self.page_hook: Callable[[Window, list[tuple[int, str]]], list[tuple[int, str]]] = lambda span, rows: (
            rows
        )

    def identity(self) -> dict[str, Any]:
        return {"kind": self.kind, "query": self.query}

    def schema(self, window: Window) -> Generator[Request, Response, SourceSchema]:
        yield from ()
        return SourceSchema((SourceColumn("id", "string", "id", "string"),), has_id=True)

    def count(self, window: Window, bin_ticks: int) -> Generator[Request, Response, dict[int, int]]:
        yield from ()
        self.counts += 1
        found: dict[int, int] = {}
        for hour, ids in self.rows.items():
            for number in range(len(ids)):
                start = (START + hour * TICK_PER_HOUR + number * TICK_PER_MS) // bin_ticks * bin_ticks
                if start in window:
                    found[start] = found.get(start, 0) + 1
        return self.count_hook(found)

    def page(
        self,
        span: Window,
        cursor: str | None,
        schema: SourceSchema,
        *,
        limit: int | None = None,
        share: Share | None = None,
    ) -> Generator[Request, Response, Page]:
        yield from ()
        self.searched.append(span)
        rows = [
            (START + hour * TICK_PER_HOUR + number * TICK_PER_MS, id_)
            for hour, ids in sorted(self.rows.items())
            for number, id_ in enumerate(ids)
        ]
        given = self.page_hook(span, [row for row in rows if row[0] in span])
        ids = pa.array([row[1] for row in given], pa.string())
        ticks = pa.array([row[0] for row in given], pa.int64())
        return Page(pa.Table.from_arrays([ids, ticks, ids], names=["id", TICK_COLUMN, ID_COLUMN]), None, 1)


class DirectClient:
    """Runs exchanges that send nothing."""

    def __init__(self) -> None:
        self.stats = {"search": 0, "count": 0}
        self.budget = self

    def run(self, make_exchange: Callable[[], Generator[Request, Response, Any]]) -> Any:
        try:
            next(make_exchange())
        except StopIteration as stop:
            return stop.value
        raise AssertionError("a source in memory sends nothing")

    def requests_per_second(self, bucket: str) -> float | None:
        return None

    def forecast(self, bucket: str) -> None:
        return None

    def close(self) -> None: ...


def spec_of(**changes: Any) -> ExportSpec:
    source = {"kind": "datadog", "connection": "dd", "query": "*", **changes.pop("source", {})}
    document = {
        "name": "web",
        "source": source,
        "schedule": "@daily",
        "start": "2026-01-01T00:00:00Z",
        **changes,
    }
    return export_from(document, where="test")


class Harbour:
    """One lake and one source, with a new ferry for every run."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.store = LocalStore(folder / "lake")
        self.lake = folder / "lake"
        self.source = MemorySource({0: 3, 1: 2, 3: 5})
        self.clock = clock
        self.workdir = folder / "work"
        self.workdir.mkdir()
        self.runs = 0
        self.spec = spec_of()

    def ferry(self) -> Ferry:
        self.runs += 1
        return Ferry(
            self.spec,
            source=cast(LogSource, self.source),
            client=cast(Client, DirectClient()),
            store=self.store,
            run=Run(f"run-{self.runs}"),
            clock=self.clock,
            workdir=self.workdir,
        )

    def carry(self, window: Window = WINDOW, **options: Any) -> Manifest:
        return self.ferry().carry(window, **options)

    def ids(self, hour: int) -> list[str]:
        slice_ = Window(START + hour * TICK_PER_HOUR, START + (hour + 1) * TICK_PER_HOUR)
        found: list[str] = pq.read_table(self.lake / slice_key("web", slice_))["id"].to_pylist()
        return found

    def keys(self, prefix: str = "") -> list[str]:
        return [info.key for info in self.store.list(prefix)]

    def states(self) -> dict[str, str]:
        return {info.key: info.etag for info in self.store.list("web/")}


def statuses(manifest: Manifest) -> list[Status]:
    return [entry.status for entry in manifest.slices]


def results_of(harbour: Harbour) -> list[ChunkResult]:
    return [harbour.ferry().export(chunk) for chunk in harbour.ferry().plan(WINDOW).chunks(4, 2)]


def dies_before_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next publication puts its files in place and is killed when it commits."""
    put_bytes = LocalStore.put_bytes

    def killed(store: LocalStore, key: str, data: bytes, **options: Any) -> None:
        if "/journal/" in key and b'"publication"' in data:
            raise KeyboardInterrupt
        put_bytes(store, key, data, **options)

    monkeypatch.setattr(LocalStore, "put_bytes", killed)
