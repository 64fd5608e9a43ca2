"""Manifests, findings and notices to try the words and the memory on."""

from __future__ import annotations

from logferry.audit.findings import Finding
from logferry.notices.notice import Notice
from logferry.records.manifest import FileEntry, Manifest, RunEntry, SliceEntry, Span, Status
from logferry.window import Window, parse_instant

DAY = Span(start="2026-11-20T00:00:00Z", end="2026-11-21T00:00:00Z")


def at(text: str) -> int:
    """``21T06`` as a tick of November 2026."""
    return parse_instant(f"2026-11-{text}:00:00Z")


def span(first: str, last: str) -> Window:
    return Window(at(first), at(last))


def entry(hour: int, status: Status, rows: int, source_rows: int | None, **notes: int) -> SliceEntry:
    file = FileEntry(key="k", rows=rows, bytes=1, sha256="", row_hash="", min_time=None, max_time=None)
    return SliceEntry(
        start=f"2026-11-20T{hour:02}:00:00Z",
        end=f"2026-11-20T{hour + 1:02}:00:00Z",
        status=status,
        rows=rows,
        source_rows=source_rows,
        counted_at="2026-11-21T00:00:00Z",
        file=file,
        notes=notes,
    )


def short_manifest(*slices: SliceEntry, export: str = "web_errors", seq: int = 2) -> Manifest:
    known = [one.source_rows for one in slices if one.source_rows is not None]
    when = "2026-11-21T01:00:00Z"
    return Manifest(
        export=export,
        seq=seq,
        previous=None,
        fingerprint="sha256:f",
        source={},
        window=DAY,
        status="short",
        rows=sum(one.rows for one in slices),
        source_rows=sum(known) if len(known) == len(slices) else None,
        columns=[],
        slices=list(slices),
        requests={},
        run=RunEntry(id="r", attempt=1, started_at=when, finished_at=when, engine="logferry"),
    )


def finding(hour: int, kind: str = "object_sha256", *, level: str = "finding", about: str = "") -> Finding:
    return Finding(
        kind=kind,
        level="finding" if level == "finding" else "note",
        window=Span(start=f"2026-11-20T{hour:02}:00:00Z", end=f"2026-11-20T{hour + 1:02}:00:00Z"),
        key=f"web_errors/dt=2026-11-20/hr={hour:02}/part.parquet",
        detail=about or "its bytes are not those that were published",
        remedy="export the slice again",
    )


def notice(*keys: str, once: bool = False) -> Notice:
    return Notice(
        kind="short",
        export="web_errors",
        window=None,
        subject=f"subject {keys[0]}",
        text=f"text {keys[0]}",
        keys=keys,
        once=once,
    )
