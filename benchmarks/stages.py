"""What each stage of an export costs by itself: CPU microseconds per row, on one core, without a server.

``.venv/bin/python benchmarks/stages.py [--rows N] [--rounds N]`` prints a table each for Datadog and Azure.

The answers are the sandbox's prepared histories and, as ``awkward``, its everyday one, where nearly every page holds
odd events. All answers lie in memory; the best of the rounds counts. CPU time suffers from what else runs on the
machine, though less than time on the clock does: compare figures of one run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from logferry.convert import datadog, datadog_events
from logferry.convert.azure_monitor import read_rows
from logferry.convert.kql_types import output_schema, query_columns
from logferry.fetching.rows import SliceRows
from logferry.sources.azure_query import read_answer
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.spec import ColumnSpec
from logferry.window import TICK_PER_MS, Window, from_datetime
from logferry.writing.parquet import GroupFile
from logferry.writing.row_hash import RowHash
from logferry_sandbox.datadog_data import GeneratedDays
from logferry_sandbox.prepared import PreparedHistory

START, END = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
DAY = Window(from_datetime(START), from_datetime(END))
PAGE_ROWS = 1_000
AZURE_ROWS = 50_000
"""Rows of one answer: with 1.2 KB each near the most that the service gives, 64 MB."""
SMALL_COLUMNS = ("Name", "DurationMs", "Success")
PROMOTED = {
    "http_status": ColumnSpec(path="http.status_code", type="int64"),
    "trace": ColumnSpec(path="trace_id", type="string"),
    "duration": ColumnSpec(path="duration", type="float64"),
}
_T = TypeVar("_T")


class Stages:
    """Times stages of ``rows`` rows each and prints a line for each."""

    def __init__(self, title: str, rows: int, size: int, rounds: int) -> None:
        self._rows, self._rounds = rows, rounds
        print(f"\n{title}: {rows:,} rows of {size / rows:,.0f} bytes\n  {'stage':<44}us/row        rows/s")

    def time(self, name: str, stage: Callable[[], _T]) -> _T:
        best = float("inf")
        for _ in range(self._rounds):
            begun = time.process_time()
            result = stage()
            best = min(best, time.process_time() - begun)
        each = best / self._rows
        print(f"  {name:<44}{each * 1e6:6.2f}{1 / each:14,.0f}", flush=True)
        return result


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rows", type=int, default=100_000, help="Datadog events (%(default)s)")
    options.add_argument("--rounds", type=int, default=3, help="the best of these counts (%(default)s)")
    given = options.parse_args()
    prepared = PreparedHistory(given.rows, START, END).datadog()
    runs = [(at, min(at + PAGE_ROWS, given.rows)) for at in range(0, given.rows, PAGE_ROWS)]
    _datadog("Datadog", [_page(bytes(prepared.joined(*run))) for run in runs], given.rows, given.rounds)
    events = _everyday(given.rows)
    bodies = [_page(b",".join(events[at : at + PAGE_ROWS])) for at in range(0, len(events), PAGE_ROWS)]
    _datadog("Datadog, awkward", bodies, len(events), given.rounds)
    _azure("Azure, 64 MB", AZURE_ROWS, 1_250, (), given.rounds)
    _azure("Azure, small rows", 10 * AZURE_ROWS, 1_250, SMALL_COLUMNS, given.rounds)


def _everyday(rows: int) -> list[bytes]:
    days = GeneratedDays(events_per_day=rows)
    first = DAY.start // TICK_PER_MS
    last = DAY.end // TICK_PER_MS
    return [body for hour in days.hours(first, last) for body in days.chunk(hour).bodies()]


def _page(events: bytes) -> bytes:
    meta = b'{"elapsed":12,"page":{"after":"eyJhZnRlciI6IkF3QUFBWiJ9"},"request_id":"pddv1","status":"done"}'
    return b'{"data":[' + events + b'],"meta":' + meta + b"}"


def _datadog(title: str, bodies: Sequence[bytes], rows: int, rounds: int) -> None:
    stages = Stages(title, rows, sum(map(len, bodies)), rounds)

    def read(columns: dict[str, ColumnSpec]) -> list[pa.RecordBatch]:
        batches, odd = [], False
        for body in bodies:
            answer = datadog_events.read_answer(body, expect_odd=odd)
            if answer is None:
                raise SystemExit("stages: the sandbox gave a page that is no answer")
            odd = bool(answer.events.odd)
            batches.append(datadog.to_batch(answer.events, columns)[0])
        return batches

    stages.time(
        "decode", lambda: [datadog_events.read_answer(body, expect_odd=False) for body in bodies].clear()
    )
    batches = stages.time("decode, and Arrow of it", lambda: read({}))
    stages.time("the same with three promoted columns", lambda: read(PROMOTED))
    _onwards(stages, batches)


def _azure(title: str, rows: int, row_bytes: int, only: Sequence[str], rounds: int) -> None:
    table = PreparedHistory(rows, START, END, row_bytes=row_bytes).azure()
    own = [(c.name, c.kind) for c in table.schema if not c.hidden and (not only or c.name in only)]
    schema = output_schema(own, has_id=True)
    names = [name for name, _ in own]
    text = bytes(table.written([*names, table.time_column, "_ItemId"]).text(0, rows))
    columns = [{"name": name, "type": kind} for name, kind in query_columns(schema)]
    head = json.dumps({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": []}]}).encode()
    body = head.replace(b'"rows": []', b'"rows": [' + text.removesuffix(b",") + b"]")
    del text
    stages = Stages(title, rows, len(body), rounds)
    _reset_peak()
    before = _status("VmRSS")
    stages.time("envelope", lambda: bool(read_answer(body)))
    rows_read = stages.time(
        "envelope, and Arrow of the rows", lambda: read_rows(read_answer(body).rows, schema, DAY)[0]
    )
    print(
        f"  peak memory above the answer's own {len(body) / 1e6:,.0f} MB: {(_status('VmHWM') - before) / 1e3:,.0f} MB"
    )
    _onwards(stages, rows_read.to_batches())


def _onwards(stages: Stages, batches: Sequence[pa.RecordBatch]) -> None:
    """From the batches of answers to a file."""

    def sort() -> list[pa.Table]:
        rows = SliceRows(DAY, unique_ids=True)
        tables = []
        for batch in batches:
            rows.add(batch, DAY)
            newest = rows.newest()
            if newest is not None and (table := rows.finish_before(newest)) is not None:
                tables.append(table)
        last = rows.finish_before(DAY.end)
        return tables if last is None else [*tables, last]

    tables = stages.time("sorted, each row once", sort)
    whole = pa.concat_tables(tables).drop_columns([TICK_COLUMN, ID_COLUMN])
    group = stages.time("one row group of them", lambda: whole.combine_chunks())

    def hashed() -> RowHash:
        rows = RowHash(group.schema)
        rows.update(group)
        return rows

    stages.time("row hash", hashed)
    with tempfile.TemporaryDirectory(prefix="logferry-stages-") as folder:

        def write() -> int:
            file = GroupFile(Path(folder) / "rows.parquet", group.schema, {})
            file.write(group)
            return file.close(group.num_rows, None)[0]

        size = stages.time("Parquet, and its checksum", write)
    print(f"  {size / group.num_rows:,.0f} bytes of Parquet a row")


def _status(name: str) -> int:
    """KB of this process, by https://man7.org/linux/man-pages/man5/proc_pid_status.5.html; 0 where there is none."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _reset_peak() -> None:
    """Let VmHWM count from now: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html."""
    switch = Path("/proc/self/clear_refs")
    if switch.exists():
        switch.write_text("5")


if __name__ == "__main__":
    main()
