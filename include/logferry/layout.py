"""Where each object goes: a pure function of export, window and slice.

Data lies under ``<name>/dt=…[/hr=…]/``; manifests and staged parts lie outside, because readers that glob a table
read everything below it (polars and DuckDB even read ``.tmp-x.parquet``).
"""

from __future__ import annotations

import hashlib
import re

from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, Window, format_compact, parse_instant, to_datetime

_PART = re.compile(r"/part-(\d{8}T\d{6})Z-(\d{8}T\d{6})Z\.parquet$")

LAYOUT_VERSION = 1
"""Part of every fingerprint: a change of keys, columns or order is another archive."""


def slice_key(export: str, slice_: Window) -> str:
    """The object of one slice. Slices over one hour are partitioned by date alone."""
    moment = to_datetime(slice_.start)
    partition = f"dt={moment:%Y-%m-%d}"
    if slice_.ticks <= TICK_PER_HOUR:
        partition += f"/hr={moment:%H}"
    name = f"part-{format_compact(slice_.start)}-{format_compact(slice_.end)}.parquet"
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
    found = _PART.search(key)
    if found is None:
        return None
    start, end = (
        f"{text[:4]}-{text[4:6]}-{text[6:11]}:{text[11:13]}:{text[13:15]}Z" for text in found.groups()
    )
    try:
        return Window(parse_instant(start), parse_instant(end))
    except ValueError:
        return None


def staged_key(export: str, run_id: str, slice_: Window) -> str:
    """Where a run keeps a finished part until it is published; never ends in ``.parquet``."""
    run = re.sub(r"[^A-Za-z0-9_-]", "-", run_id)
    if run != run_id or not run:
        # Two run ids that differ only in such characters must not share their parts.
        run += f"-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"
    return f"_staging/{export}/{run}/part-{format_compact(slice_.start)}-{format_compact(slice_.end)}.staged"


def manifest_key(export: str, window: Window) -> str:
    """The latest manifest of a window, for people and tools."""
    return f"_manifests/{export}/{format_compact(window.start)}-{format_compact(window.end)}.json"


def journal_prefix(export: str) -> str:
    return f"_manifests/{export}/journal/"


def journal_key(export: str, seq: int) -> str:
    """One record of the append-only journal; ``seq`` starts at 1."""
    return f"{journal_prefix(export)}{seq:012d}.json"


def head_key(export: str) -> str:
    return f"_manifests/{export}/HEAD.json"
