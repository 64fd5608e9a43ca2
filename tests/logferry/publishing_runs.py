"""What the tests of publishing share: runs whose parts are staged by hand, and a look at what came of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from tests.logferry.memory_store import MemoryStore

from logferry.clock import Clock
from logferry.layout import head_key, journal_key, manifest_key, slice_key, staged_key
from logferry.publishing.publish import publish
from logferry.publishing.published_object import ROW_HASH_METADATA
from logferry.publishing.results import ChunkResult, SliceResult
from logferry.records.journal import Head
from logferry.records.ledger import Ledger, read_ledger
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
    decode_record,
)
from logferry.sources.base import SourceColumn, SourceSchema
from logferry.stores.base import Store
from logferry.window import TICK_PER_HOUR, TICK_PER_SECOND, Window, format_instant, parse_instant

EXPORT = "web"
START = parse_instant("2026-11-20T00:00:00Z")
SCHEMA = SourceSchema((SourceColumn("id", "string", "id", "json"),), has_id=True)
AT = "2026-11-22T00:00:00Z"


def hours(first: int, count: int = 1) -> Window:
    return Window(START + first * TICK_PER_HOUR, START + (first + count) * TICK_PER_HOUR)


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Rows:
    """A slice's rows: ``name`` tells them from others, ``writer`` gives equal rows other bytes."""

    name: str
    rows: int = 1
    writer: str = ""

    @property
    def data(self) -> bytes:
        return f"{self.name}:{self.rows}:{self.writer}".encode()

    @property
    def row_hash(self) -> str:
        return f"hash-of-{self.name}-{self.rows}"


A, B, C = Rows("a", 4), Rows("b", 5), Rows("c", 6)
HALF = TICK_PER_HOUR // 2
KEY = slice_key(EXPORT, hours(0))
"""Of the first hour's object."""


@dataclass
class StoreClock:
    """The time of a store in memory; it passes by sleeping."""

    store: MemoryStore

    def now(self) -> int:
        return self.store.now

    def sleep(self, seconds: float) -> None:
        self.store.now += round(seconds * TICK_PER_SECOND)


@dataclass
class Publisher:
    """One run that publishes ``slices``, adjoining pieces of ``grid`` from ``first`` on."""

    run: str
    slices: Sequence[Rows]
    first: int = 0
    status: Status = "proven"
    grid: int = TICK_PER_HOUR
    fingerprint: str = "f"
    counted: int | None = None
    unstaged: frozenset[int] = frozenset()
    allow_shrink: bool = False
    clock: Clock | None = None
    finished_at: str = AT
    attempt: int = 1

    @property
    def window(self) -> Window:
        start = START + self.first * TICK_PER_HOUR
        return Window(start, start + len(self.slices) * self.grid)

    def windows(self) -> list[Window]:
        return list(self.window.slices(self.grid))

    def stage(self, store: MemoryStore) -> None:
        """Put the parts there, except those of ``unstaged``."""
        for index, (slice_, rows) in enumerate(zip(self.windows(), self.slices, strict=True)):
            if index not in self.unstaged:
                key = staged_key(EXPORT, self.run, slice_, sha256(rows.data))
                store.seed(key, rows.data, {ROW_HASH_METADATA: rows.row_hash})

    def result(self) -> ChunkResult:
        entries = []
        for index, (slice_, rows) in enumerate(zip(self.windows(), self.slices, strict=True)):
            span = Span.of(slice_)
            entries.append(
                SliceResult(
                    start=span.start,
                    end=span.end,
                    status=self.status,
                    rows=rows.rows,
                    source_rows=rows.rows if self.counted is None else self.counted,
                    counted_at=self.finished_at,
                    file=FileEntry(
                        key=slice_key(EXPORT, slice_),
                        rows=rows.rows,
                        bytes=len(rows.data),
                        sha256=sha256(rows.data),
                        row_hash=rows.row_hash,
                        min_time=format_instant(slice_.start) if rows.rows else None,
                        max_time=format_instant(slice_.start) if rows.rows else None,
                    ),
                    staged=None
                    if index in self.unstaged
                    else staged_key(EXPORT, self.run, slice_, sha256(rows.data)),
                )
            )
        return ChunkResult(
            started_at=AT, slices=entries, schema=SCHEMA, requests={"search": 1}, fingerprint=self.fingerprint
        )

    def publish(self, store: Store) -> Manifest:
        return publish(
            store,
            EXPORT,
            self.window,
            [self.result()],
            fingerprint=self.fingerprint,
            source={"kind": "memory"},
            run=RunEntry(
                id=self.run,
                attempt=self.attempt,
                started_at=AT,
                finished_at=self.finished_at,
                engine="logferry test",
            ),
            allow_shrink=self.allow_shrink,
            clock=self.clock,
        )

    def carry(self, store: MemoryStore) -> Manifest:
        self.stage(store)
        self.clock = self.clock or StoreClock(store)
        return self.publish(store)


def differing(store: MemoryStore, ledger: Ledger | None = None) -> list[str]:
    """The slices whose object is not the last publication's, those under an open intent left out."""
    ledger = ledger or read_ledger(store.quiet(), EXPORT)
    found = []
    for slice_, published in ledger.slices.items():
        if slice_ in ledger.open_intents:
            continue
        key = published.entry.file.key
        stored = store.objects.get(key)
        if stored is None or sha256(stored.data) != published.entry.file.sha256:
            found.append(f"{slice_}: {stored and stored.data!r} is not record {published.seq}")
    return found


@dataclass
class Scribe:
    """Writes records straight into a journal, as publications would, and HEAD when asked to."""

    store: MemoryStore
    seq: int = 0
    hash: str | None = None

    def intend(self, publisher: Publisher, *, etag: str | None = None) -> None:
        slices = [
            IntendedSlice(start=entry.start, end=entry.end, old=None, new=entry.file.row_hash, etag=etag)
            for entry in publisher.result().slices
        ]
        self._write(
            Intent(
                export=EXPORT,
                seq=self.seq + 1,
                previous=self.hash,
                fingerprint=publisher.fingerprint,
                window=Span.of(publisher.window),
                slices=slices,
                run=self._run(publisher),
            )
        )

    def record(
        self, publisher: Publisher, *, intent: int | None = None, removed: Sequence[Window] = ()
    ) -> None:
        names = SliceEntry.__struct_fields__
        entries = [
            SliceEntry(**{name: getattr(entry, name) for name in names})
            for entry in publisher.result().slices
        ]
        manifest = Manifest(
            export=EXPORT,
            seq=self.seq + 1,
            previous=self.hash,
            fingerprint=publisher.fingerprint,
            source={"kind": "memory"},
            window=Span.of(publisher.window),
            status=publisher.status,
            rows=sum(entry.rows for entry in entries),
            source_rows=None,
            columns=[],
            slices=entries,
            requests={},
            run=self._run(publisher),
            intent=intent,
            removed=[Span.of(window) for window in removed],
        )
        self._write(manifest)
        self.store.seed(manifest_key(EXPORT, publisher.window), manifest.encode())

    def point(self) -> None:
        self.store.seed(head_key(EXPORT), msgspec.json.encode(Head(self.seq, self.hash)))

    def _write(self, content: Manifest | Intent) -> None:
        data = content.encode()
        self.store.seed(journal_key(EXPORT, content.seq), data)
        self.seq, self.hash = content.seq, content_hash(data)

    def _run(self, publisher: Publisher) -> RunEntry:
        return RunEntry(
            id=publisher.run, attempt=1, started_at=AT, finished_at=publisher.finished_at, engine=""
        )


def intent_of(store: MemoryStore, manifest: Manifest) -> Intent:
    assert manifest.intent is not None
    found = decode_record(store.content(journal_key(EXPORT, manifest.intent)))
    assert isinstance(found, Intent)
    return found
