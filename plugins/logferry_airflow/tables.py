"""Plain-text tables for task logs, and the definition as Markdown for a DAG's documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from logferry.spec import ExportSpec, NotifySpec
from logferry.window import format_duration, format_instant
from logferry.wording import counted
from logferry_airflow.progress import said_time

if TYPE_CHECKING:
    from logferry.plan import Chunk, Plan
    from logferry.records.manifest import Manifest, SliceEntry

MOST_LINES = 96
"""Slices of a table; of more than these it has a line for each day."""


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns padded to their widest cell, the first one to the left, the others to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def definition_table(spec: ExportSpec) -> str:
    """The definition as a Markdown table: what is exported, when, where to. It holds no secrets."""
    source = spec.source.model_dump(exclude_none=True)
    rows = [
        ("kind", source.pop("kind")),
        *((key, _markdown(_setting(key, value))) for key, value in source.items()),
        ("schedule", f"`{spec.schedule}` (UTC)"),
        ("start", format_instant(spec.start)),
        *((name, format_duration(getattr(spec, name))) for name in ("slice", "settle", "horizon")),
        ("destination", _markdown(spec.destination.url or "the project's lake folder")),
        ("told", _markdown(", ".join(_channel(one) for one in spec.notify)) if spec.notify else "nobody"),
        ("promoted columns", ", ".join(f"`{name}`" for name in spec.columns) or "none"),
    ]
    lines = ["| setting | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join([f"### Export `{spec.name}`", "", *lines])


def _setting(key: str, value: Any) -> str:
    if key == "retention":
        return format_duration(value)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _channel(channel: NotifySpec) -> str:
    return f"{channel.connection} ({', '.join(channel.on)})"


def _markdown(text: str) -> str:
    """As code inside a table cell: a pipe would end the cell, a backtick the code, a line break the row."""
    flat = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{flat}`"


def plan_table(plan: Plan, chunks: Sequence[Chunk]) -> str:
    """The plan for the task log: every slice (of a long window: every day) with its count, the totals, the chunks."""
    counts = _counts(plan)
    rows = "an unknown number of rows" if plan.rows is None else counted(plan.rows, "row")
    size = "unknown size" if plan.bytes is None else f"about {plan.bytes / 1e6:,.1f} MB"
    eta = (
        "unknown time" if plan.eta_s is None else f"about {said_time(plan.eta_s)} at the learned request rate"
    )
    return (
        f"plan of {plan.export} for [{plan.window.start}, {plan.window.end})\n"
        f"{text_table(('slice', 'rows at the source'), counts)}\n"
        f"{counted(len(plan.slices), 'slice')} in {counted(len(chunks), 'chunk')}: {rows}, "
        f"{counted(plan.requests, 'search request')}, {size}, {eta}"
    )


def _counts(plan: Plan) -> list[tuple[str, str]]:
    if len(plan.slices) <= MOST_LINES:
        return [(slice_.start, _count(slice_.rows, "unknown")) for slice_ in plan.slices]
    days: dict[str, list[int | None]] = {}
    for slice_ in plan.slices:
        days.setdefault(slice_.start[:10], []).append(slice_.rows)
    return [
        (f"{day} ({counted(len(rows), 'slice')})", _count(_sum(rows), "unknown"))
        for day, rows in days.items()
    ]


def _sum(counts: Iterable[int | None]) -> int | None:
    """None where one of them is not known."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def publication_table(manifest: Manifest) -> str:
    """The publication for the task log: every slice (of a long window, every day) with both counts, then the totals."""
    if len(manifest.slices) <= MOST_LINES:
        rows = [_line(entry.start, [entry]) for entry in manifest.slices]
    else:
        # What is not proven stands by itself: that is what somebody will look for.
        rows = []
        for day, entries in groupby(manifest.slices, key=lambda entry: entry.start[:10]):
            of_day = list(entries)
            rows.append(_line(f"{day} ({counted(len(of_day), 'slice')})", of_day))
            rows += [_line(f"  {entry.start}", [entry]) for entry in of_day if entry.status == "short"]
    table = text_table(("slice", "status", "rows", "at the source", "bytes"), rows)
    at_source = _count(manifest.source_rows, "not counted")
    return (
        f"published {manifest.export} [{manifest.window.start}, {manifest.window.end}) as number {manifest.seq}\n"
        f"{table}\n{manifest.status}: {counted(manifest.rows, 'row')} written, {at_source} at the source"
    )


def _line(name: str, entries: Sequence[SliceEntry]) -> tuple[str, str, str, str, str]:
    from logferry.records.manifest import worst

    return (
        name,
        worst([entry.status for entry in entries]),
        f"{sum(entry.rows for entry in entries):,}",
        _count(_sum(entry.source_rows for entry in entries), "not counted"),
        f"{sum(entry.file.bytes for entry in entries):,}",
    )


def _count(rows: int | None, absent: str) -> str:
    return absent if rows is None else f"{rows:,}"
