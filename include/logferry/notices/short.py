"""What is said of a short window: both numbers, where they differ, and what lies behind it."""

from __future__ import annotations

from collections.abc import Sequence

from logferry.notices.notice import Notice, compose, key_of, range_command, said_of
from logferry.proof.prove import BINS_DIFFER_NOTE
from logferry.proof.twins import DIFFER_NOTE
from logferry.records.manifest import Manifest, SliceEntry
from logferry.wording import counted

_MOST_NAMED = 5


def short_sentence(manifest: Manifest, way_on: str) -> str:
    """Why a run of a short window fails, in one sentence; ``way_on``: what to do about it."""
    short = _short(manifest)
    return (
        f"the window {said_of(manifest.window)} of {manifest.export} is short: "
        f"{manifest.rows:,} rows are written, the source counts {_count(manifest.source_rows)}; "
        f"slices {_named(short)}; likely {'; '.join(_causes(short))}; it is published and marked `short`; {way_on}"
    )


def short_notice(manifest: Manifest, *, page: str | None, way_on: str | None = None) -> Notice:
    """The notice of a short window. ``page``: where it is shown. ``way_on``: what to do instead of the command."""
    short = _short(manifest)
    command = range_command("export", manifest.export, manifest.window)
    return Notice(
        kind="short",
        export=manifest.export,
        window=manifest.window,
        subject=f"{manifest.export} is short: {manifest.rows:,} of {_count(manifest.source_rows)} rows, "
        f"window {said_of(manifest.window)}",
        text=compose(
            f"{manifest.export} is short: {manifest.rows:,} rows are written, the source counts "
            f"{_count(manifest.source_rows)}, in the window {said_of(manifest.window)}.",
            numbers=f"{counted(len(short), 'slice')} of {len(manifest.slices):,} short: {_named(short)}. "
            "It is published and marked `short`.",
            likely="; ".join(_causes(short)),
            next_step=way_on or command,
            page=page,
        ),
        keys=(
            key_of(
                "short",
                manifest.window.start,
                manifest.window.end,
                *((entry.start, entry.rows, entry.source_rows) for entry in short),
            ),
        ),
    )


def _short(manifest: Manifest) -> list[SliceEntry]:
    return [entry for entry in manifest.slices if entry.status == "short"]


def _named(short: Sequence[SliceEntry]) -> str:
    named = ", ".join(f"{entry.start} ({_wrong(entry)})" for entry in short[:_MOST_NAMED])
    return f"{named} and {len(short) - _MOST_NAMED} more" if len(short) > _MOST_NAMED else named


def _wrong(entry: SliceEntry) -> str:
    """The numbers of a short slice, and what differs where they do not."""
    if _of_equal_numbers(entry, DIFFER_NOTE):
        return f"{entry.rows:,} as counted, other ids in {counted(entry.notes[DIFFER_NOTE], 'instant')}"
    if _of_equal_numbers(entry, BINS_DIFFER_NOTE):
        return f"{entry.rows:,} as counted, other times in {counted(entry.notes[BINS_DIFFER_NOTE], 'bin')}"
    return f"{entry.rows:,} of {_count(entry.source_rows)}"


def _of_equal_numbers(entry: SliceEntry, note: str) -> bool:
    return entry.rows == entry.source_rows and bool(entry.notes.get(note))


def _causes(short: Sequence[SliceEntry]) -> list[str]:
    """What lies behind differences that three more fetches did not settle."""
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
