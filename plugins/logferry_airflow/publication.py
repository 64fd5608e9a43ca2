"""What Airflow is told of a publication: the task's result, the Asset event, and whether the run may succeed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from logferry.layout import manifest_key
from logferry.records.manifest import Manifest, content_hash
from logferry.schedule import Schedule
from logferry.window import Window, to_datetime

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from logferry.spec import ExportSpec


@dataclass(frozen=True, slots=True)
class Publication:
    """What a task published. ``lake``: the URL of the store; ``endpoint``: where that sends its requests, None for a
    local folder; ``summary``: see ``summarize``."""

    spec: ExportSpec
    manifest: Manifest
    lake: str
    endpoint: str | None
    summary: dict[str, Any]


def announce(
    manifest: Manifest,
    windows: Sequence[Window],
    *,
    lake: str,
    outlets: Iterable[Asset],
    context: Mapping[str, Any],
) -> dict[str, Any]:
    """Attach the publication to the event of each outlet, and return its summary (a small JSON object).

    ``lake``: the URL of the store that it went to. Each of ``windows`` is a partition: its key is the window's start
    as ``2026-11-20T00:00:00``, the form of Airflow's own partition mappers. Airflow makes one event of each key, with
    the whole publication's summary, and sends them only when the task succeeds.
    """
    summary = summarize(manifest, lake)
    extra = {key: value for key, value in summary.items() if key != "export"}
    keys = [to_datetime(window.start).strftime("%Y-%m-%dT%H:%M:%S") for window in windows]
    for outlet in outlets:
        event = context["outlet_events"][outlet]
        event.extra.update(extra)
        event.add_partitions(keys)
    return summary


def scheduled_windows(spec: ExportSpec, window: Window) -> list[Window]:
    """The windows of the export's schedule that lie whole in this one; this one itself where none does."""
    # The end is a boundary too when the last of them ends there.
    boundaries = Schedule(spec.schedule).boundaries(Window(window.start, window.end + 1))
    return [Window(start, end) for start, end in pairwise(boundaries)] or [window]


def summarize(manifest: Manifest, lake: str) -> dict[str, Any]:
    """The publication in numbers and keys: ``hash`` is the manifest's, ``manifest`` its key in the lake.

    ``seq`` and ``hash`` are the witness that an audit compares with the journal of that ``lake``.
    """
    return {
        "export": manifest.export,
        "window": {"from": manifest.window.start, "to": manifest.window.end},
        "status": manifest.status,
        "rows": manifest.rows,
        "source_rows": manifest.source_rows,
        "bytes": sum(file.bytes for file in manifest.files),
        "seq": manifest.seq,
        "hash": content_hash(manifest.encode()),
        "manifest": manifest_key(manifest.export, manifest.window.window()),
        "lake": lake,
    }


WAY_ON = (
    "clear all tasks of this run to export the window again (archive_upkeep does so when the source's count moves, and "
    "after the horizon)"
)


def fail_if_short(manifest: Manifest) -> None:
    """Raise AirflowFailException when the window is short: both numbers, the likely cause, and what to do.

    The window is published and marked already.
    """
    if manifest.status != "short":
        return
    # Here, because a DAG file is parsed every few seconds and this brings pyarrow.
    from logferry.notices.short import short_sentence

    raise AirflowFailException(short_sentence(manifest, WAY_ON))
