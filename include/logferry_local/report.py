"""What the lake holds after the run: a table of the windows, and rows of each export read back from Parquet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from logferry.layout import manifest_key
from logferry.records.manifest import Manifest, decode_manifest
from logferry.spec import ExportSpec
from logferry.stores.base import NotFound, Store
from logferry.window import Window

SAMPLE_ROWS = 3
_MOST_COLUMNS = 6
_CELL = 40
_LAST = 24
_PADDING = 3
_LONG = ("message", "row")
"""Columns whose texts may be longer than all others together: they come last."""
_LONGEST = 400
_TELLING = {
    "datadog": ("timestamp", "status", "service", "message"),
    "azure_monitor": (),
    "azure_log_search": ("time", "type", "row"),
}
"""The columns a sample begins with; ids tell a reader nothing and are left out."""
_IDS = {"id", "tenantid", "_itemid", "_resourceid", "_ticks", "operationid", "parentid"}
_COLOURS = {"proven": "green", "unproven": "yellow", "short": "red"}


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of one window: ``manifest`` is the lake's latest of it, None when it was never published;
    ``failed`` says that this run did not publish it, so that a manifest is an earlier run's."""

    spec: ExportSpec
    window: Window
    store: Store
    manifest: Manifest | None
    failed: bool = False


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


def print_windows(console: Console, found: Sequence[Exported]) -> None:
    """One line per export: what the source counted against what was written; then where the proofs are."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title="Exported windows: rows at the source, rows written",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("export", no_wrap=True)
    table.add_column("window", overflow="fold")
    for name in ("at source", "written"):
        table.add_column(name, justify="right")
    table.add_column("status", no_wrap=True)
    table.add_column("files", justify="right")
    for export in found:
        table.add_row(export.spec.name, str(export.window), *_numbers(export))
    console.print(table)
    for export in found:
        if export.manifest is not None:
            key = manifest_key(export.spec.name, export.window)
            console.print(
                f"  manifest  {shown_url(f'{export.store.url}/{key}')}", highlight=False, soft_wrap=True
            )
    console.print()


def _numbers(export: Exported) -> tuple[str, str, str, str]:
    manifest = export.manifest
    if export.failed and manifest is not None:
        return "-", "-", f"[red]failed[/red], {manifest.status} before", "-"
    if manifest is None:
        return "-", "-", "[red]failed[/red]", "-"
    counted = "not countable" if manifest.source_rows is None else f"{manifest.source_rows:,}"
    colour = _COLOURS[manifest.status]
    return (
        counted,
        f"{manifest.rows:,}",
        f"[{colour}]{manifest.status}[/{colour}]",
        str(len(manifest.slices)),
    )


def print_samples(console: Console, spec: ExportSpec, rows: list[dict[str, Any]]) -> None:
    """The most telling columns of a few rows, each cell on one line."""
    if not rows:
        console.print(f"{spec.name}: no rows in this window", highlight=False)
        return
    title = f"{spec.name}: {len(rows)} rows read back from Parquet"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left", title_style="bold")
    columns: list[tuple[str, list[Text]]] = []
    cells = {name: [_cell(row[name]) for row in rows] for name in _columns(spec, list(rows[0]))}
    room = console.width - 2 - _LAST
    for name in sorted(filter(lambda name: any(cells[name]), cells), key=lambda name: name in _LONG):
        texts = [Text(text) for text in cells[name]]
        width = min(_CELL, max(text.cell_len for text in (Text(name), *texts)))
        if name in _LONG:
            width = max(_LAST, room + _LAST - _PADDING)
        elif room < width + _PADDING:
            continue
        room -= width + _PADDING
        # Cut here: a table that is too wide takes from every column alike, from the times as well.
        for text in texts:
            text.truncate(width, overflow="ellipsis")
        columns.append((name, texts))
    for name, _ in columns:
        table.add_column(name, no_wrap=True)
    for values in zip(*(texts for _, texts in columns), strict=True):
        table.add_row(*values)
    console.print(table)


def _columns(spec: ExportSpec, present: Sequence[str]) -> list[str]:
    """Up to six: the telling ones of the kind, then those of the definition, then the others in their order."""
    first = [*_TELLING[spec.source.kind], *spec.columns]
    if spec.source.kind == "azure_monitor":
        first.insert(0, spec.source.time_column)
    others = [] if spec.source.kind == "datadog" else [name for name in present if name.lower() not in _IDS]
    return [name for name in dict.fromkeys([*first, *others]) if name in present][:_MOST_COLUMNS]


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"
    if value is None:
        return ""
    line = " ".join(str(value)[:_LONGEST].split())
    # What a log says may be addressed to the terminal: an escape sequence must not reach it.
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def shown_url(url: str) -> str:
    """A local file as a path a shell understands, from the current folder where it lies below it."""
    if not url.startswith("file://"):
        return url
    path = Path(unquote(url.removeprefix("file://")))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
