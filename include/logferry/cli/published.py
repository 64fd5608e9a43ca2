"""What an export shows at its end: a line for each window, and what it took."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from logferry.cli.calendar import styled
from logferry.cli.output import console, lasting, number, size
from logferry.layout import manifest_key
from logferry.records.manifest import Manifest, Span, worst
from logferry.window import TICK_PER_SECOND, format_duration, parse_instant
from logferry.wording import counted

_WIDE = 110
"""Columns from which on a terminal shows what a pipe gets."""
_PURPOSES = ("search", "count", "schema")


def show_published(manifests: Sequence[Manifest], lake: str | None, *, failed: int) -> None:
    """The windows as a table, then the summary.

    ``lake``: the URL that manifests lie below, None: not told. ``failed``: windows that were not published.
    """
    out = console()
    out.print(windows_table(manifests, out.width))
    for line in summary_lines(manifests, lake):
        out.print(line, soft_wrap=True)
    if failed:
        out.print(f"not published: {counted(failed, 'window')}, for the reasons above")


def windows_table(manifests: Sequence[Manifest], width: int) -> Table:
    """One line for each publication; below 110 columns without what the summary says as well."""
    wide = width >= _WIDE
    table = Table(box=None, pad_edge=False)
    for title in ("from", "to") if wide else ("window",):
        table.add_column(title, no_wrap=True)
    table.add_column("status", no_wrap=True)
    for title in (
        "at source",
        "written",
        *(["files"] if wide else []),
        "size",
        *(["requests"] if wide else []),
        "seq",
    ):
        table.add_column(title, justify="right", no_wrap=True)
    kept = [sum(entry.source_now is not None for entry in one.slices) for one in manifests]
    if any(kept):
        table.add_column("")
    for one, stayed in zip(manifests, kept, strict=True):
        files = one.files
        table.add_row(
            *((one.window.start, one.window.end) if wide else (compact(one.window),)),
            styled(one.status),
            number(_at_source(one)),
            number(one.rows),
            *([number(len(files))] if wide else []),
            size(sum(file.bytes for file in files)),
            *([number(_asked(one))] if wide else []),
            str(one.seq),
            *([f"{counted(stayed, 'slice')} kept" if stayed else ""] if any(kept) else []),
        )
    return table


def summary_lines(manifests: Sequence[Manifest], lake: str | None) -> Iterator[Text]:
    """What all windows of one command came to: rows against the source, requests, time, where the proof lies."""
    first = manifests[0]
    status = worst([one.status for one in manifests])
    known = [_at_source(one) for one in manifests]
    counts = [count for count in known if count is not None]
    at_source = (
        f"{number(sum(counts))} at the source" if len(counts) == len(known) else "not countable at the source"
    )
    files = [file for one in manifests for file in one.files]
    yield Text.assemble(
        styled(status),
        f": {counted(sum(one.rows for one in manifests), 'row')} written, {at_source}; "
        f"{counted(len(files), 'file')}, {size(sum(file.bytes for file in files))}",
    )
    took = sum(parse_instant(one.run.finished_at) - parse_instant(one.run.started_at) for one in manifests)
    kinds = ", ".join(
        f"{number(sent)} {purpose}"
        for purpose in _PURPOSES
        if (sent := sum(one.requests.get(purpose, 0) for one in manifests))
    )
    again = [
        f"{number(sum(one.requests.get(what, 0) for one in manifests))} {what}"
        for what in ("retried", "throttled")
    ]
    yield Text(f"requests: {kinds or 'none'}; {', '.join(again)}; time {lasting(took / TICK_PER_SECOND)}")
    if lake is not None:
        of_all = manifest_key(first.export, first.window.window()).rpartition("/")[0] + "/"
        key = manifest_key(first.export, first.window.window()) if len(manifests) == 1 else of_all
        yield Text(f"{'manifest' if len(manifests) == 1 else 'manifests'}: {lake}/{key}")


def compact(span: Span) -> str:
    """``2026-11-20T00:00:00Z +1d``: a window in half the columns."""
    return f"{span.start} +{format_duration(span.window().ticks)}"


def _at_source(manifest: Manifest) -> int | None:
    """What the source held when it was last asked: of a kept slice less, or more, than was written."""
    counts = [one.source_rows if one.source_now is None else one.source_now for one in manifest.slices]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _asked(manifest: Manifest) -> int:
    return sum(manifest.requests.get(purpose, 0) for purpose in _PURPOSES)
