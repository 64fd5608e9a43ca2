"""Where each object goes: a pure function of export, window and slice.

Data lies under ``<name>/dt=…[/hr=…]/``; manifests and staged parts lie outside, because readers that glob a table
read everything below it (polars and DuckDB even read ``.tmp-x.parquet``).
"""

from __future__ import annotations

import hashlib
import re

from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window, format_compact, parse_instant, to_datetime

_PART = re.compile(r"/part-(\d{8}T\d{6})Z-(\d{8}T\d{6})Z\.parquet$")
_STAGED = re.compile(r"/part-(\d{8}T\d{6})Z-(\d{8}T\d{6})Z-[0-9a-f]{12}\.staged$")
_PIECE = re.compile(r"/piece-(\d{1,19})-(\d{1,19})-[0-9a-f]{12}\.staged$")
_NUMBERED = re.compile(r"/(\d{12})\.json(?:\.gz)?$")

_LONGEST_RUN = 200
"""A local disk takes names of 255 bytes, Airflow run ids of 250 characters."""

LAYOUT_VERSION = 1
"""Part of every fingerprint: a change of keys, columns or order is another archive."""


def table_prefix(export: str) -> str:
    """What the keys of all slices begin with."""
    return f"{export}/"


def slice_key(export: str, slice_: Window) -> str:
    """The object of one slice. Slices over one hour are partitioned by date alone."""
    start = format_compact(slice_.start)
    partition = f"dt={start[:4]}-{start[4:6]}-{start[6:8]}"
    if slice_.ticks <= TICK_PER_HOUR:
        partition += f"/hr={start[9:11]}"
    name = f"part-{start}-{format_compact(slice_.end)}.parquet"
    return f"{export}/{partition}/{name}"


def day_prefixes(export: str, window: Window) -> list[str]:
    """What the keys of every slice that touches the window begin with, on any grid of up to a day."""
    first = window.start // TICK_PER_DAY - 1
    return [
        f"{export}/dt={to_datetime(day * TICK_PER_DAY):%Y-%m-%d}/"
        for day in range(first, -(-window.end // TICK_PER_DAY))
    ]


def slice_of(key: str) -> Window | None:
    """The slice whose object lies under ``key``; None for a key of another form."""
    return _span_of(_PART.search(key))


def _span_of(found: re.Match[str] | None) -> Window | None:
    if found is None:
        return None
    start, end = (
        f"{text[:4]}-{text[4:6]}-{text[6:11]}:{text[11:13]}:{text[13:15]}Z" for text in found.groups()
    )
    try:
        return Window(parse_instant(start), parse_instant(end))
    except ValueError:
        return None


def staging_prefix(export: str, run_id: str | None = None) -> str:
    """What the keys of unpublished parts begin with: of one run, or of every run of the export."""
    if run_id is None:
        return f"_staging/{export}/"
    run = re.sub(r"[^A-Za-z0-9_-]", "-", run_id)[:_LONGEST_RUN]
    if run != run_id or not run:
        # Two run ids that differ only in such characters, or at their end, must not share their parts.
        run += f"-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"
    return f"_staging/{export}/{run}/"


def staged_key(export: str, run_id: str, slice_: Window, sha256: str) -> str:
    """Where a run keeps a finished slice until it is published; never ends in ``.parquet``.

    ``sha256`` of its bytes (``sha256:…``) is part of the name, so that no other attempt of the run can replace them.
    """
    name = f"part-{format_compact(slice_.start)}-{format_compact(slice_.end)}-{_short(sha256)}.staged"
    return staging_prefix(export, run_id) + name


def piece_key(export: str, run_id: str, start_tick: int, end_tick: int, sha256: str) -> str:
    """Where a run keeps a finished sub-slice; its bounds are any ticks, so the name holds the numbers.

    ``sha256`` as in ``staged_key``.
    """
    return f"{staging_prefix(export, run_id)}piece-{start_tick}-{end_tick}-{_short(sha256)}.staged"


def _short(sha256: str) -> str:
    return sha256.removeprefix("sha256:")[:12]


def staged_span(key: str) -> Window | None:
    """The ticks of the rows in a staged part; None for a key of another form."""
    piece = _PIECE.search(key)
    if piece is not None:
        start, end = int(piece[1]), int(piece[2])
        return Window(start, end) if start < end else None
    return _span_of(_STAGED.search(key))


def manifests_prefix(export: str) -> str:
    return f"_manifests/{export}/"


def manifest_key(export: str, window: Window) -> str:
    """The latest manifest of a window, for people and tools."""
    return f"{manifests_prefix(export)}{format_compact(window.start)}-{format_compact(window.end)}.json"


def journal_prefix(export: str) -> str:
    return f"_manifests/{export}/journal/"


def journal_key(export: str, seq: int) -> str:
    """One record of the append-only journal; ``seq`` starts at 1."""
    return f"{journal_prefix(export)}{seq:012d}.json"


def head_key(export: str) -> str:
    return f"_manifests/{export}/HEAD.json"


def checkpoint_prefix(export: str) -> str:
    return f"_manifests/{export}/checkpoints/"


def checkpoint_key(export: str, seq: int) -> str:
    """The ledger as it was after the record ``seq``."""
    return f"{checkpoint_prefix(export)}{seq:012d}.json.gz"


def number_of(key: str) -> int | None:
    """The sequence number in the key of a record or a checkpoint; None for a key of another form."""
    found = _NUMBERED.search(key)
    return None if found is None else int(found[1])


def lease_key(export: str) -> str:
    """Who may write, in a store that enforces no conditions."""
    return f"_manifests/{export}/lease.json"


def findings_key(export: str) -> str:
    """What ``verify`` found and is not healed yet."""
    return f"_manifests/{export}/findings.json"


def notices_key(export: str) -> str:
    """What people were told lately, so that they are not told again."""
    return f"_manifests/{export}/notices.json"
