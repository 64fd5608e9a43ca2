"""A long archive made in seconds: journal, checkpoint and HEAD of made-up publications, without sources or objects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import pairwise

from logferry.audit.findings import Finding, remember
from logferry.connection import Connection
from logferry.layout import journal_key, manifest_key, slice_key
from logferry.records.checkpoint import write_checkpoint
from logferry.records.fold import Ledger
from logferry.records.forward import write_head
from logferry.records.journal import Record
from logferry.records.manifest import (
    FileEntry,
    Manifest,
    RunEntry,
    SliceEntry,
    Span,
    Status,
    content_hash,
    worst,
)
from logferry.sources.datadog import DatadogSource
from logferry.spec import DatadogSourceSpec, ExportSpec, export_from, fingerprint
from logferry.stores.base import Store
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    TICK_PER_SECOND,
    Window,
    format_instant,
    parse_instant,
)

YEAR_START = parse_instant("2025-11-20T00:00:00Z")
SITE = "https://api.datadoghq.eu"


def year_spec(
    name: str = "web",
    *,
    url: str | None = None,
    schedule: str = "@daily",
    start: int = YEAR_START,
    slice_: str = "1h",
    retention: str | None = None,
) -> ExportSpec:
    """A Datadog export whose archive ``make_year`` makes."""
    source = {"kind": "datadog", "connection": "datadog_default", "query": f"service:{name}"}
    if retention is not None:
        source["retention"] = retention
    definition = {
        "name": name,
        "source": source,
        "schedule": schedule,
        "start": format_instant(start),
        "slice": slice_,
        "destination": {} if url is None else {"url": url},
    }
    return export_from(definition, where=name, written=True)


def connect(conn_id: str, kind: str) -> Connection:
    """The connection that the made archive was exported through."""
    return Connection(
        conn_id, "datadog_logs", extra={"api_key": "k" * 32, "app_key": "a" * 40, "site": "datadoghq.eu"}
    )


def year_fingerprint(spec: ExportSpec) -> str:
    """Of the definition, as asked through ``connect``."""
    return fingerprint(year_source(spec).identity(), spec)


def year_source(spec: ExportSpec) -> DatadogSource:
    assert isinstance(spec.source, DatadogSourceSpec)
    return DatadogSource(spec.source, spec.columns, base_url=SITE)


def usual_rows(number: int) -> int:
    """More by day than by night, less at the weekend."""
    hour, day = number % 24, number // 24
    return (400 + 150 * min(hour, 24 - hour)) * (1 if day % 7 < 5 else 2) // 2


def make_year(
    store: Store,
    spec: ExportSpec,
    *,
    slices: int = 365 * 24,
    per_window: int = 24,
    rows: Callable[[int], int] = usual_rows,
    missing: Collection[int] = (),
    short: Collection[int] = (),
    unproven: Collection[int] = (),
    late: Mapping[int, int] | None = None,
    damaged: Collection[int] = (),
    recorded: int | None = None,
) -> Ledger:
    """Publish the first ``slices`` slices from the start of the export, ``per_window`` of them at once.

    Slices are named by their number from the start. ``missing`` ones are left out; ``short`` lack one row; ``late``
    ones got so many rows more when their window was exported again; ``damaged`` ones are in findings.json.
    ``recorded``: of how many publications, from the newest back, the records are written too (None: all): the
    checkpoint tells what the others said.
    """
    ledger = Ledger()
    publications = [
        _manifest(spec, numbers, rows, set(short), set(unproven), {})
        for numbers in _windows(slices, per_window, set(missing))
    ]
    again = dict(late or {})
    publications.extend(
        _manifest(spec, numbers, rows, set(short), set(unproven), again)
        for numbers in _windows(slices, per_window, set(missing))
        if again.keys() & set(numbers)
    )
    first_written = 0 if recorded is None else max(0, len(publications) - recorded)
    for number, manifest in enumerate(publications):
        # The number in the chain is known only now.
        chained = _chained(manifest, ledger)
        data = chained.encode()
        record = Record.of(data)
        ledger.apply(record)
        if number >= min(first_written, len(publications) - 1):
            store.put_bytes(journal_key(spec.name, record.seq), data)
            store.put_bytes(manifest_key(spec.name, record.window), data)
    if publications:
        ledger.head = write_checkpoint(store, spec.name, ledger)
        write_head(store, spec.name, ledger.head)
    if damaged:
        _damage(store, spec, ledger, damaged)
    return ledger


def _windows(slices: int, per_window: int, missing: set[int]) -> Iterator[list[int]]:
    """Adjoining slices of one publication."""
    for first in range(0, slices, per_window):
        there = [number for number in range(first, min(first + per_window, slices)) if number not in missing]
        run: list[int] = []
        for number in there:
            if run and number != run[-1] + 1:
                yield run
                run = []
            run.append(number)
        if run:
            yield run


def _manifest(
    spec: ExportSpec,
    numbers: list[int],
    rows: Callable[[int], int],
    short: set[int],
    unproven: set[int],
    late: Mapping[int, int],
) -> Manifest:
    assert all(after == before + 1 for before, after in pairwise(numbers))
    window = Window(spec.start + numbers[0] * spec.slice, spec.start + (numbers[-1] + 1) * spec.slice)
    finished = window.end + (3 * TICK_PER_DAY if late else 45 * TICK_PER_MINUTE)
    entries = []
    for number, slice_ in zip(numbers, window.slices(spec.slice), strict=True):
        status: Status = "short" if number in short else "unproven" if number in unproven else "proven"
        entries.append(_entry(spec, slice_, status, rows(number), late.get(number, 0), finished))
    size = sum(entry.rows for entry in entries)
    return Manifest(
        export=spec.name,
        seq=0,
        previous=None,
        fingerprint=year_fingerprint(spec),
        source=year_source(spec).identity(),
        window=Span.of(window),
        status=worst([entry.status for entry in entries]),
        rows=size,
        source_rows=None if "unproven" in {entry.status for entry in entries} else size,
        columns=[{"name": "id", "type": "string", "source_name": "id", "source_type": "json"}],
        slices=entries,
        requests={
            "search": -(-size // 1000),
            "count": len(entries),
            "retried": numbers[0] % 3,
            "throttled": 0,
        },
        run=RunEntry(
            id=f"scheduled__{format_instant(window.end)}",
            attempt=1,
            started_at=format_instant(finished - 3 * TICK_PER_MINUTE),
            finished_at=format_instant(finished),
            engine="logferry 0.1.0",
        ),
    )


def _chained(manifest: Manifest, ledger: Ledger) -> Manifest:
    fields = {name: getattr(manifest, name) for name in Manifest.__struct_fields__}
    return Manifest(**fields | {"seq": ledger.head.seq + 1, "previous": ledger.head.hash})


def _entry(
    spec: ExportSpec, slice_: Window, status: Status, rows: int, more: int, finished: int
) -> SliceEntry:
    span = Span.of(slice_)
    now_rows = rows + more
    name = f"{spec.name} {span.start} {now_rows}".encode()
    return SliceEntry(
        start=span.start,
        end=span.end,
        status=status,
        rows=now_rows,
        source_rows=None if status == "unproven" else now_rows + (status == "short"),
        counted_at=None if status == "unproven" else format_instant(finished - 7 * TICK_PER_SECOND),
        file=FileEntry(
            key=slice_key(spec.name, slice_),
            rows=now_rows,
            bytes=900 + 211 * now_rows,
            sha256=content_hash(name),
            row_hash=content_hash(b"rows " + name),
            min_time=format_instant(slice_.start + 1_230_000) if now_rows else None,
            max_time=format_instant(slice_.end - 4_560_000) if now_rows else None,
        ),
        previous_rows=rows if more else None,
        previous_counted_at=format_instant(slice_.end + TICK_PER_HOUR) if more else None,
    )


def _damage(store: Store, spec: ExportSpec, ledger: Ledger, damaged: Collection[int]) -> None:
    found = []
    for number in damaged:
        slice_ = Window(spec.start + number * spec.slice, spec.start + (number + 1) * spec.slice)
        found.append(
            Finding(
                kind="object_sha256",
                window=Span.of(slice_),
                key=slice_key(spec.name, slice_),
                detail="its bytes are not those that were published",
                remedy="export its window again",
            )
        )
    remember(
        store,
        spec.name,
        found,
        verified=None,
        deep=True,
        newest={slice_: one.seq for slice_, one in ledger.slices.items()},
        seq=ledger.head.seq,
        found_at=format_instant(spec.start + 400 * TICK_PER_DAY),
    )
