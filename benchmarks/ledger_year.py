"""How long coverage, gaps and verify take over a year of hourly slices: 8,760 small files on local disk.

``.venv/bin/python benchmarks/ledger_year.py [--schedule @daily|@hourly] [FOLDER]``

The archive is published by the engine itself, one publication for each window (a few minutes for ``@hourly``), and is
kept when FOLDER is given, so that a second call only measures. Prints the best of three runs of each command: seconds
on the clock, and seconds of CPU.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from logferry.layout import slice_key, staged_key
from logferry.publishing.publish import publish
from logferry.publishing.results import ChunkResult, SliceResult
from logferry.records.manifest import FileEntry, RunEntry, Span
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.sources.datadog import DatadogSource
from logferry.spec import DatadogSourceSpec, ExportSpec, fingerprint, load_export
from logferry.stores.local import LocalStore
from logferry.window import TICK_PER_MINUTE, Window, format_instant, parse_instant
from logferry.writing.parquet import SliceFile, arrow_schema

YEAR = Window(parse_instant("2025-01-01T00:00:00Z"), parse_instant("2026-01-01T00:00:00Z"))
ROWS = 6
DEFINITION = """\
name: web
source: {{kind: datadog, connection: datadog_default}}
schedule: "{schedule}"
start: 2025-01-01T00:00:00Z
destination: {{url: "{lake}"}}
"""


class Archive:
    """Publishes made rows, window by window."""

    def __init__(self, spec: ExportSpec, store: LocalStore, folder: Path) -> None:
        assert isinstance(spec.source, DatadogSourceSpec)
        self._spec = spec
        self._store = store
        self._folder = folder
        self._source = DatadogSource(spec.source, spec.columns, base_url="https://api.datadoghq.com")
        self._fingerprint = fingerprint(self._source.identity(), spec)
        exchange = self._source.schema(YEAR)
        try:
            next(exchange)
        except StopIteration as stop:
            self._schema = stop.value
        self._arrow = arrow_schema(self._schema)

    def publish(self, window: Window) -> None:
        at = format_instant(window.end + self._spec.horizon)
        run = RunEntry(id="made", attempt=1, started_at=at, finished_at=at, engine="benchmark")
        result = ChunkResult(
            started_at=at,
            slices=[self._slice(slice_, at) for slice_ in window.slices(self._spec.slice)],
            schema=self._schema,
            requests={},
            fingerprint=self._fingerprint,
        )
        publish(
            self._store,
            self._spec.name,
            window,
            [result],
            fingerprint=self._fingerprint,
            source=self._source.identity(),
            run=run,
        )

    def _slice(self, slice_: Window, at: str) -> SliceResult:
        path = self._folder / "part"
        with SliceFile(path, self._arrow) as file:
            file.write(self._rows(slice_))
            facts = file.close()
        key = staged_key(self._spec.name, "made", slice_, facts.sha256)
        self._store.put_file(key, path)
        span = Span.of(slice_)
        return SliceResult(
            start=span.start,
            end=span.end,
            status="proven",
            rows=facts.rows,
            source_rows=facts.rows,
            counted_at=at,
            file=FileEntry(
                key=slice_key(self._spec.name, slice_),
                rows=facts.rows,
                bytes=facts.bytes,
                sha256=facts.sha256,
                row_hash=facts.row_hash,
                min_time=format_instant(slice_.start),
                max_time=format_instant(slice_.start + (ROWS - 1) * TICK_PER_MINUTE),
            ),
            staged=key,
        )

    def _rows(self, slice_: Window) -> pa.Table:
        ticks = [slice_.start + index * TICK_PER_MINUTE for index in range(ROWS)]
        ids = [f"id-{tick}" for tick in ticks]
        made = {"id": ids, "timestamp": [tick // 10 for tick in ticks], "message": ["hello"] * ROWS}
        columns = [pa.array(made.get(field.name, [None] * ROWS), type=field.type) for field in self._arrow]
        table = pa.Table.from_arrays(columns, schema=self._arrow)
        return table.append_column(TICK_COLUMN, pa.array(ticks)).append_column(ID_COLUMN, pa.array(ids))


def measured(folder: Path, *arguments: str) -> tuple[float, float]:
    """Seconds on the clock and of CPU, the best of three."""
    command = [str(Path(sys.executable).parent / "logferry"), *arguments]
    environment = {**os.environ, "LOGFERRY_EXPORTS_DIR": str(folder / "exports")}
    best = (float("inf"), float("inf"))
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
        wall = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best, (wall, cpu))
    return best


def make(folder: Path, schedule: str) -> None:
    (folder / "exports").mkdir(parents=True)
    definition = folder / "exports/web.yaml"
    definition.write_text(DEFINITION.format(schedule=schedule, lake=(folder / "lake").as_uri()))
    spec = load_export(definition)
    archive = Archive(spec, LocalStore(folder / "lake"), folder)
    for window in spec.schedule_windows(YEAR):
        archive.publish(window)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("folder", nargs="?", type=Path)
    options.add_argument("--schedule", default="@daily")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="logferry-year-") as temporary:
        folder = (asked.folder or Path(temporary) / "year").absolute()
        if not folder.exists():
            began = time.monotonic()
            make(folder, asked.schedule)
            print(f"published a year, {asked.schedule}, in {time.monotonic() - began:.0f} s")
        for arguments in (["coverage"], ["gaps"], ["verify"], ["verify", "--deep"]):
            limits = ["--from", format_instant(YEAR.start), "--to", format_instant(YEAR.end)]
            wall, cpu = measured(folder, arguments[0], "web", *limits, *arguments[1:])
            print(f"{' '.join(arguments):<14} {wall:5.2f} s on the clock, {cpu:5.2f} s of CPU")


if __name__ == "__main__":
    main()
