"""Plain-text tables for task logs, and the definition as Markdown for a DAG's documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from logferry.spec import ExportSpec
from logferry.window import format_duration, format_instant
from logferry.wording import counted

if TYPE_CHECKING:
    from logferry.plan import Chunk, Plan
    from logferry.records.manifest import Manifest


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
        ("promoted columns", ", ".join(f"`{name}`" for name in spec.columns) or "none"),
    ]
    lines = ["| setting | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join([f"### Export `{spec.name}`", "", *lines])


def _setting(key: str, value: Any) -> str:
    if key == "retention":
        return format_duration(value)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _markdown(text: str) -> str:
    """As code inside a table cell: a pipe would end the cell, a backtick the code, a line break the row."""
    flat = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{flat}`"


def plan_table(plan: Plan, chunks: Sequence[Chunk]) -> str:
    """The plan for the task log: every slice with its count, then the totals and the chunks."""
    counts = [(slice_.start, _count(slice_.rows, "unknown")) for slice_ in plan.slices]
    rows = "an unknown number of rows" if plan.rows is None else counted(plan.rows, "row")
    size = "unknown size" if plan.bytes is None else f"about {plan.bytes / 1e6:,.1f} MB"
    eta = "unknown time" if plan.eta_s is None else f"about {plan.eta_s:,.0f} s at the learned request rate"
    return (
        f"plan of {plan.export} for [{plan.window.start}, {plan.window.end})\n"
        f"{text_table(('slice', 'rows at the source'), counts)}\n"
        f"{counted(len(counts), 'slice')} in {counted(len(chunks), 'chunk')}: {rows}, "
        f"{counted(plan.requests, 'search request')}, {size}, {eta}"
    )


def publication_table(manifest: Manifest) -> str:
    """The publication for the task log: every slice with both counts, then the totals."""
    rows = [
        (
            entry.start,
            entry.status,
            f"{entry.rows:,}",
            _count(entry.source_rows, "not counted"),
            f"{entry.file.bytes:,}",
        )
        for entry in manifest.slices
    ]
    table = text_table(("slice", "status", "rows", "at the source", "bytes"), rows)
    counted = _count(manifest.source_rows, "not counted")
    return (
        f"published {manifest.export} [{manifest.window.start}, {manifest.window.end}) as number {manifest.seq}\n"
        f"{table}\n{manifest.status}: {manifest.rows:,} rows written, {counted} at the source"
    )


def _count(rows: int | None, absent: str) -> str:
    return absent if rows is None else f"{rows:,}"
