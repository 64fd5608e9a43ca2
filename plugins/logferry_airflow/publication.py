"""What Airflow is told of a publication: the task's result, the Asset event, and whether the run may succeed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from logferry.layout import manifest_key
from logferry.records.manifest import Manifest, SliceEntry, content_hash
from logferry.schedule import Schedule
from logferry.window import Window, to_datetime
from logferry.wording import counted

if TYPE_CHECKING:
    from airflow.sdk import Asset

    from logferry.spec import ExportSpec

_MOST_NAMED = 5


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


def fail_if_short(manifest: Manifest) -> None:
    """Raise AirflowFailException when the window is short: both numbers, the likely cause, and what to do.

    The window is published and marked already.
    """
    if manifest.status != "short":
        return
    short = [entry for entry in manifest.slices if entry.status == "short"]
    named = ", ".join(f"{entry.start} ({_wrong(entry)})" for entry in short[:_MOST_NAMED])
    more = f" and {len(short) - _MOST_NAMED} more" if len(short) > _MOST_NAMED else ""
    raise AirflowFailException(
        f"the window {manifest.window.start} to {manifest.window.end} of {manifest.export} is short: "
        f"{manifest.rows:,} rows are written, the source counts {_count(manifest.source_rows)}; slices {named}{more}; "
        f"likely {'; '.join(_causes(short))}; it is published and marked `short`; clear all tasks of this run to "
        "export the window again (archive_upkeep does so when the source's count moves, and after the horizon)"
    )


def _wrong(entry: SliceEntry) -> str:
    """The numbers of a short slice, and what differs where they do not."""
    from logferry.proof.prove import BINS_DIFFER_NOTE
    from logferry.proof.twins import DIFFER_NOTE

    if _of_equal_numbers(entry, DIFFER_NOTE):
        return f"{entry.rows:,} as counted, other ids in {counted(entry.notes[DIFFER_NOTE], 'instant')}"
    if _of_equal_numbers(entry, BINS_DIFFER_NOTE):
        return f"{entry.rows:,} as counted, other times in {counted(entry.notes[BINS_DIFFER_NOTE], 'bin')}"
    return f"{entry.rows:,} of {_count(entry.source_rows)}"


def _of_equal_numbers(entry: SliceEntry, note: str) -> bool:
    return entry.rows == entry.source_rows and bool(entry.notes.get(note))


def _causes(short: Sequence[SliceEntry]) -> list[str]:
    """What lies behind differences that three more fetches did not settle."""
    # Here, because a DAG file is parsed every few seconds and these bring pyarrow.
    from logferry.proof.prove import BINS_DIFFER_NOTE
    from logferry.proof.twins import DIFFER_NOTE

    causes = []
    if any(entry.rows < (entry.source_rows or 0) for entry in short):
        causes.append(
            "the source counts rows that its searches leave out, or rows are still coming in (`settle`)"
        )
    if any(entry.source_rows is not None and entry.rows > entry.source_rows for entry in short):
        causes.append(
            "the source gives rows that it does not count, or removes rows at this very time (`retention`)"
        )
    if bins := [entry for entry in short if _of_equal_numbers(entry, BINS_DIFFER_NOTE)]:
        causes.append(
            f"in {counted(len(bins), 'slice')} from {bins[0].start} on rows lie at other times than the source counts "
            "them, although the numbers agree"
        )
    if twins := [entry for entry in short if entry.notes.get(DIFFER_NOTE)]:
        causes.append(
            f"in {counted(len(twins), 'slice')} from {twins[0].start} on rows of one instant came with other ids each "
            "time they were asked for, so one may be lost and another doubled although the counts agree"
        )
    return causes or ["the source contradicts itself"]


def _count(rows: int | None) -> str:
    return "an unknown number" if rows is None else f"{rows:,}"
