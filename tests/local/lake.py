"""A lake with one published window, made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from logferry.layout import manifest_key
from logferry.records.manifest import FileEntry, Manifest, RunEntry, SliceEntry, Span, Status
from logferry.stores.base import Store
from logferry.window import Window, parse_instant

DAY = Window(parse_instant("2026-11-21T00:00:00Z"), parse_instant("2026-11-22T00:00:00Z"))


def put_window(
    store: Store,
    folder: Path,
    export: str,
    files: list[list[dict[str, Any]]],
    *,
    schema: pa.Schema,
    status: Status = "proven",
    source_rows: int | None = 0,
    run_id: str = "r1",
) -> Manifest:
    """One file per list of rows, and the manifest that names them."""
    entries = []
    for number, rows in enumerate(files):
        key = f"{export}/part-{number}.parquet"
        path = folder / f"{number}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
        store.put_file(key, path)
        file = FileEntry(
            key=key,
            rows=len(rows),
            bytes=path.stat().st_size,
            sha256="",
            row_hash="",
            min_time=None,
            max_time=None,
        )
        entries.append(
            SliceEntry(
                start="2026-11-21T00:00:00Z",
                end="2026-11-22T00:00:00Z",
                status=status,
                rows=len(rows),
                source_rows=source_rows,
                counted_at=None,
                file=file,
            )
        )
    manifest = Manifest(
        export=export,
        seq=1,
        previous=None,
        fingerprint="sha256:f",
        source={"kind": "datadog"},
        window=Span.of(DAY),
        status=status,
        rows=sum(map(len, files)),
        source_rows=source_rows,
        columns=[],
        slices=entries,
        requests={},
        run=RunEntry(id=run_id, attempt=1, started_at="a", finished_at="b", engine="logferry"),
    )
    store.put_bytes(manifest_key(export, DAY), manifest.encode())
    return manifest
