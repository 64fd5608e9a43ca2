"""What the lake holds after the run: a table of the windows, and rows of each export read back from Parquet."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from logferry.layout import manifest_key
from logferry.manifest import Manifest, decode_manifest
from logferry.spec import ExportSpec
from logferry.stores.base import NotFound, Store
from logferry.window import Window

SAMPLE_ROWS = 3
_CELL = 60
_MOST_COLUMNS = 6


def read_manifest(store: Store, export: str, window: Window) -> Manifest | None:
    """The latest manifest of the window, None when it was never published."""
    try:
        return decode_manifest(store.read(manifest_key(export, window)))
    except NotFound:
        return None


def sample_rows(store: Store, manifest: Manifest) -> list[dict[str, Any]]:
    """Up to three rows, read back from the first files that hold any."""
    rows: list[dict[str, Any]] = []
    for entry in manifest.files:
        if entry.rows and len(rows) < SAMPLE_ROWS:
            table = pq.read_table(io.BytesIO(store.read(entry.key)))
            rows.extend(table.slice(0, SAMPLE_ROWS - len(rows)).to_pylist())
    return rows


def print_windows(console: Console, found: list[tuple[ExportSpec, Window, Store, Manifest | None]]) -> None:
    """One line per export: what the source counted against what was written."""
    table = Table(box=box.SIMPLE_HEAD, title="Exported windows", title_justify="left")
    table.add_column("export", no_wrap=True)
    table.add_column("window", overflow="fold")
    for name in ("rows at source", "rows written"):
        table.add_column(name, justify="right")
    table.add_column("status")
    table.add_column("files", justify="right")
    table.add_column("manifest", overflow="fold")
    for spec, window, store, manifest in found:
        if manifest is None:
            table.add_row(spec.name, str(window), "-", "-", "failed", "0", "-")
            continue
        counted = "not countable" if manifest.source_rows is None else f"{manifest.source_rows:,}"
        colour = {"proven": "green", "unproven": "yellow", "short": "red"}[manifest.status]
        table.add_row(
            spec.name,
            str(window),
            counted,
            f"{manifest.rows:,}",
            f"[{colour}]{manifest.status}[/{colour}]",
            str(len(manifest.slices)),
            _shown(f"{store.url}/{manifest_key(spec.name, window)}"),
        )
    console.print(table)


def print_samples(console: Console, spec: ExportSpec, rows: list[dict[str, Any]]) -> None:
    """The first columns of a few rows, each cell on one line."""
    if not rows:
        console.print(f"{spec.name}: no rows in this window")
        return
    table = Table(box=box.SIMPLE_HEAD, title=f"{spec.name}: {len(rows)} rows read back", title_justify="left")
    names = list(rows[0])[:_MOST_COLUMNS]
    for name in names:
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=_CELL)
    for row in rows:
        table.add_row(*(" ".join(str(row[name]).split())[:_CELL] for name in names))
    console.print(table)


def _shown(url: str) -> str:
    """A local file as a path a shell understands, from the current folder where it lies below it."""
    if not url.startswith("file://"):
        return url
    path = Path(unquote(url.removeprefix("file://")))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
