"""One slice, with all that its record says of it."""

from __future__ import annotations

from typing import Any

from logferry.errors import CredentialsError, DefinitionError, StoreError
from logferry.records.journal import Record
from logferry.records.manifest import SliceEntry
from logferry.view.archive_state import ArchiveState
from logferry.view.kept_slice import Cell
from logferry.view.letters import GAPS, WORDS
from logferry.view.plain import bounded_or_none, counts, cut, instant, span, text_or_none, time_or_none
from logferry.view.record import file_view, run_view
from logferry.window import LATEST, Window, format_instant


def slice_view(state: ArchiveState, start: int, *, now: int) -> dict[str, Any]:
    """The body of ``…/slices/<from>``: the slice that holds the tick ``start``.

    What only its record tells is None where that cannot be read, and ``note`` then says why. Raises LakeUnread, and
    DefinitionError for a time before the export begins or after 2199.
    """
    spec, index = state.spec, state.index
    if not spec.start <= start < LATEST:
        raise DefinitionError(
            f"{format_instant(start)} is in no slice of {spec.name}: give a time from {format_instant(spec.start)} on."
        )
    number = start // index.grid
    window = index.window(number)
    letter = index.letter(number, index.due_before(spec, now))
    cell = index.cell(number)
    record, note = _record(state, cell)
    entry = None if record is None else _entry(record, window)
    reason = None
    if letter in GAPS:
        reason = "never published" if cell is None else cell.reason
    publication = None if cell is None else index.of_seq.get(cell.seq)
    fingerprint = None if cell is None else cell.fingerprint
    present = None
    if fingerprint is not None and state.read is not None and state.read.definition.fingerprint is not None:
        present = fingerprint == state.read.definition.fingerprint
    return {
        **span(window),
        "cell": letter,
        "state": WORDS[letter],
        "reason": reason,
        "rows": None if cell is None else cell.rows,
        "source_rows": None if cell is None else cell.source_rows,
        "first_rows": None if cell is None else cell.first_rows,
        "counted_at": None if entry is None else time_or_none(entry.counted_at),
        "file": None if entry is None else file_view(state, entry.file),
        "seq": None if cell is None or not cell.seq else cell.seq,
        "run": run_view(record, publication),
        "notes": {} if entry is None else counts(entry.notes),
        "source_now": None if entry is None else bounded_or_none(entry.source_now),
        "source_now_at": None if entry is None else time_or_none(entry.source_now_at),
        "previous_rows": None if entry is None else bounded_or_none(entry.previous_rows),
        "previous_counted_at": None if entry is None else time_or_none(entry.previous_counted_at),
        "damage": [
            {
                "detail": cut(one.finding.detail),
                "remedy": cut(one.finding.remedy),
                "found_at": time_or_none(one.found_at),
            }
            for one in index.damage_of(number)[:20]
        ],
        "definition": {"fingerprint": text_or_none(fingerprint), "present": present},
        "marks": [] if cell is None else list(cell.marks),
        "lies_in": [
            {**span(one.window), "rows": one.rows, "bytes": one.bytes, "seq": one.seq, "status": one.status}
            for one in index.others_of(number)[:100]
        ],
        "note": note,
        "now": instant(now),
    }


def _record(state: ArchiveState, cell: Cell | None) -> tuple[Record | None, str | None]:
    """The record that a slice rests on, or why it is not told."""
    if cell is None or not cell.seq:
        return None, None
    try:
        stored = state.record(cell.seq)
    except (StoreError, CredentialsError) as error:
        return None, f"Its record cannot be read now: {cut(str(error))}"
    if stored is None:
        return None, f"Record {cell.seq} is not in the journal any more."
    if stored.record is None:
        return None, f"Record {cell.seq} is damaged: {cut(stored.broken or '')}"
    return stored.record, None


def _entry(record: Record, window: Window) -> SliceEntry | None:
    if record.publication is None or window not in record.slices:
        return None
    return record.publication.slices[record.slices.index(window)]
