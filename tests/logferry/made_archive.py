"""An archive on disk with real files and a real journal, made without a source."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import pyarrow as pa

from logferry.convert.datadog import output_schema
from logferry.layout import checkpoint_key, head_key, journal_key, manifest_key, slice_key
from logferry.records.checkpoint import encode_checkpoint
from logferry.records.fold import Ledger
from logferry.records.journal import Head, Record
from logferry.records.manifest import (
    FileEntry,
    IntendedSlice,
    Intent,
    Manifest,
    RunEntry,
    SliceEntry,
    Span,
    Status,
    content_hash,
    worst,
)
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.stores.local import LocalStore
from logferry.window import (
    TICK_PER_DAY,
    TICK_PER_HOUR,
    TICK_PER_MINUTE,
    Window,
    format_instant,
    parse_instant,
)
from logferry.writing.encoder import Encoder
from logferry.writing.parquet import SliceFile

START = parse_instant("2026-11-10T00:00:00Z")
EXPORT = "web"
SOURCE = {
    "kind": "datadog",
    "endpoint": "https://api.datadoghq.eu",
    "org": None,
    "query": "*",
    "indexes": ["*"],
    "storage_tier": "indexes",
}


def hours(first: int, count: int = 1) -> Window:
    return Window(START + first * TICK_PER_HOUR, START + (first + count) * TICK_PER_HOUR)


class MadeArchive:
    """Publishes windows as a run does; the journal's state stays in memory between publications."""

    def __init__(self, root: Path, *, fingerprint: str = "sha256:one") -> None:
        self.root = root
        self.store = LocalStore(root)
        self.fingerprint = fingerprint
        self.ledger = Ledger()
        self.slice = TICK_PER_HOUR
        self._checkpoint: tuple[int, str] | None = None

    def publish(
        self,
        window: Window,
        *,
        rows: int = 3,
        status: Status = "proven",
        counted_at: int | None = None,
        files: bool = True,
        source: dict[str, object] | None = None,
        removed: list[Window] | None = None,
    ) -> Record:
        """Intent, files, record, window copy, HEAD. ``counted_at``: default three days after each slice."""
        entries = [
            self._entry(slice_, rows, status, counted_at, files=files) for slice_ in window.slices(self.slice)
        ]
        intent = self.begin(window, {entry.file.key: entry.file.row_hash for entry in entries})
        manifest = Manifest(
            export=EXPORT,
            seq=intent.seq + 1,
            previous=intent.hash,
            fingerprint=self.fingerprint,
            source=SOURCE if source is None else source,
            window=Span.of(window),
            status=worst([entry.status for entry in entries]),
            rows=sum(entry.rows for entry in entries),
            source_rows=sum(entry.source_rows or 0 for entry in entries),
            columns=[],
            slices=entries,
            requests={},
            run=run(intent.seq),
            intent=intent.seq,
            removed=[Span.of(one) for one in removed or ()],
        )
        return self.append(manifest)

    def begin(self, window: Window, new: dict[str, str] | None = None) -> Record:
        """An intent; without a publication after it its run has died."""
        slices = []
        for slice_ in window.slices(self.slice):
            before = self.ledger.slices.get(slice_)
            old = None if before is None else before.entry.file.row_hash
            span = Span.of(slice_)
            key = slice_key(EXPORT, slice_)
            slices.append(
                IntendedSlice(start=span.start, end=span.end, old=old, new=(new or {}).get(key, "sha256:new"))
            )
        return self.append(
            Intent(
                export=EXPORT,
                seq=self.ledger.head.seq + 1,
                previous=self.ledger.head.hash,
                fingerprint=self.fingerprint,
                window=Span.of(window),
                slices=slices,
                run=run(self.ledger.head.seq + 1),
            )
        )

    def append(self, content: Manifest | Intent) -> Record:
        data = content.encode()
        record = Record.of(data)
        self.store.put_bytes(journal_key(EXPORT, record.seq), data)
        self.ledger.apply(record)
        if record.publication is not None:
            self.store.put_bytes(manifest_key(EXPORT, record.window), data)
            self.point_head()
        return record

    def point_head(self) -> None:
        head = self.ledger.head
        named = Head(head.seq, head.hash, *(self._checkpoint or (None, None)))
        self.store.put_bytes(head_key(EXPORT), msgspec.json.encode(named))

    def checkpoint(self) -> None:
        data = encode_checkpoint(EXPORT, self.ledger)
        self.store.put_bytes(checkpoint_key(EXPORT, self.ledger.head.seq), data)
        self._checkpoint = (self.ledger.head.seq, content_hash(data))
        self.point_head()

    def path(self, key: str) -> Path:
        return self.root / key

    def object(self, slice_: Window) -> Path:
        return self.root / slice_key(EXPORT, slice_)

    def record(self, seq: int) -> Path:
        return self.root / journal_key(EXPORT, seq)

    def _entry(
        self, slice_: Window, rows: int, status: Status, counted_at: int | None, *, files: bool
    ) -> SliceEntry:
        span = Span.of(slice_)
        key = slice_key(EXPORT, slice_)
        file = FileEntry(
            key=key, rows=rows, bytes=100, sha256=f"sha256:{span.start}", row_hash=f"sha256:{rows}",
            min_time=None, max_time=None,
        )  # fmt: skip
        if files:
            file = write_file(self.store, slice_, times(slice_, rows))
        return SliceEntry(
            start=span.start,
            end=span.end,
            status=status,
            rows=rows,
            source_rows=rows + (1 if status == "short" else 0),
            counted_at=format_instant(slice_.end + 3 * TICK_PER_DAY if counted_at is None else counted_at),
            file=file,
        )


def times(slice_: Window, rows: int) -> list[int]:
    return [slice_.start + number * TICK_PER_MINUTE for number in range(rows)]


def write_file(
    store: LocalStore, slice_: Window, ticks: list[int], *, ids: list[str] | None = None
) -> FileEntry:
    """A Datadog file with rows at these ticks, in this order, under the slice's key."""
    key = slice_key(EXPORT, slice_)
    names = [f"id-{tick}" for tick in ticks] if ids is None else ids
    schema = output_schema({})
    # The writer refuses rows out of order, so what it is told of the order is always right.
    order = list(range(len(ticks)))
    columns: dict[str, pa.Array] = {field.name: pa.nulls(len(ticks), field.type) for field in schema}
    columns["id"] = pa.array(names, pa.string())
    columns["timestamp"] = pa.array([tick // 10 for tick in ticks], pa.timestamp("us", tz="UTC"))
    columns[TICK_COLUMN] = pa.array(order, pa.int64())
    columns[ID_COLUMN] = pa.array(names, pa.string())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part"
        with (
            Encoder() as encoder,
            SliceFile(path, schema, encoder=encoder, metadata={"logferry.export": EXPORT}) as file,
        ):
            file.write(pa.table(columns))
            facts = file.close().result()
        store.put_bytes(key, path.read_bytes())
    return FileEntry(
        key=key,
        rows=facts.rows,
        bytes=facts.bytes,
        sha256=facts.sha256,
        row_hash=facts.row_hash,
        min_time=format_instant(min(ticks)) if ticks else None,
        max_time=format_instant(max(ticks)) if ticks else None,
    )


def run(number: int) -> RunEntry:
    at = "2026-11-20T00:00:00Z"
    return RunEntry(id=f"run-{number}", attempt=1, started_at=at, finished_at=at, engine="logferry test")
