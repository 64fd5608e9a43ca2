"""One record of the journal as the page shows it, and the list of publications."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from logferry.errors import CredentialsError, DefinitionError, StoreError
from logferry.layout import journal_key, manifest_key
from logferry.records.journal import Record
from logferry.records.ledger import Requests
from logferry.records.manifest import FileEntry, Intent, Manifest, RunEntry, SliceEntry
from logferry.view.archive_state import ArchiveState
from logferry.view.plain import (
    MOST_ENTRIES,
    bounded,
    bounded_or_none,
    counts,
    cut,
    first,
    instant,
    more,
    plain,
    span,
    text_or_none,
    time_or_none,
)
from logferry.view.publications import Publication
from logferry.view.stored_records import Stored
from logferry.window import TICK_PER_SECOND, Window, instant_or_none

MOST_RAW = 200_000
"""Characters of a record that are shown as they are stored."""
_MOST_LISTED = 100


class NoSuchRecord(DefinitionError):
    """The journal has no record of that number."""


def record_view(state: ArchiveState, seq: int) -> dict[str, Any]:
    """The body of ``…/records/<seq>``: a publication, an intent, or what lies there instead (``broken``).

    Raises NoSuchRecord, LakeUnread, StoreError and CredentialsError.
    """
    name = state.spec.name
    if not 0 < seq < 10**12:
        raise NoSuchRecord(f"A journal's records are numbered from 1: {name} has no record {seq}.")
    stored = state.record(seq)
    if stored is None:
        raise NoSuchRecord(f"The journal of {name} has no record {seq}: it ends at {state.have().seq}.")
    answer: dict[str, Any] = {
        "seq": seq,
        "record": "broken",
        "broken": None if stored.broken is None else cut(stored.broken),
        "journal_key": journal_key(name, seq),
        "hash": stored.hash,
        "raw": cut(stored.data[: 4 * MOST_RAW + 4].decode("utf-8", "replace"), MOST_RAW),
        "raw_bytes": len(stored.data),
    }
    if stored.record is None:
        return answer
    content = stored.record.content
    answer |= {
        "record": "intent" if isinstance(content, Intent) else "publication",
        "window": span(stored.record.window),
        "fingerprint": cut(content.fingerprint),
        "run": _run(content.run),
        "chain": _chain(state, stored, content, seq),
        "manifest_key": manifest_key(name, stored.record.window) if _has_key(stored.record.window) else None,
    }
    return answer | (
        _intent(content) if isinstance(content, Intent) else _publication(state, stored.record, content)
    )


def records(state: ArchiveState, *, before: int | None = None, limit: int = 25) -> dict[str, Any]:
    """The body of ``…/records``: of every window the newest publication, the newest first.

    ``before``: only those of a smaller number. Raises LakeUnread.
    """
    index = state.index
    limit = max(1, min(limit, _MOST_LISTED))
    seqs = index.seqs
    end = len(seqs) if before is None else bisect_left(seqs, before)
    listed = seqs[max(0, end - limit) : end][::-1]
    return {
        "records": [_listed(state, index.of_seq[seq]) for seq in listed],
        "next": listed[-1] if end > limit else None,
    }


def file_view(state: ArchiveState, file: FileEntry) -> dict[str, Any]:
    return {
        "key": cut(file.key),
        "url": None if state.url is None else cut(f"{state.url}/{file.key}"),
        "rows": bounded(file.rows),
        "bytes": bounded(file.bytes),
        "sha256": cut(file.sha256, 200),
        "row_hash": cut(file.row_hash, 200),
        "min_time": time_or_none(file.min_time),
        "max_time": time_or_none(file.max_time),
    }


def run_view(record: Record | None, known: Publication | None) -> dict[str, Any] | None:
    """The run of a publication, from its record or else from what is known without it."""
    if record is not None:
        return _run(record.content.run)
    if known is None:
        return None
    return {
        "id": known.run,
        "attempt": known.attempt,
        "started_at": instant(known.started_at),
        "finished_at": instant(known.finished_at),
        "seconds": _seconds(known.started_at, known.finished_at),
        "engine": None,
    }


def _run(run: RunEntry) -> dict[str, Any]:
    return {
        "id": cut(run.id),
        "attempt": bounded(run.attempt),
        "started_at": time_or_none(run.started_at),
        "finished_at": time_or_none(run.finished_at),
        "seconds": _seconds(instant_or_none(run.started_at), instant_or_none(run.finished_at)),
        "engine": cut(run.engine),
    }


def _seconds(started_at: int | None, finished_at: int | None) -> float | None:
    if started_at is None or finished_at is None:
        return None
    return round((finished_at - started_at) / TICK_PER_SECOND, 3)


def _listed(state: ArchiveState, one: Publication) -> dict[str, Any]:
    """A line of the list; what an older checkpoint does not tell is read from the record, where that can be read."""
    rows, run = one.rows, run_view(None, one)
    if rows is None:
        try:
            stored = state.record(one.seq)
        except (StoreError, CredentialsError):
            stored = None
        if stored is not None and stored.record is not None and stored.record.publication is not None:
            rows, run = bounded(stored.record.publication.rows), _run(stored.record.content.run)
    return {
        "seq": one.seq,
        "window": span(one.window),
        "status": one.status,
        "rows": rows,
        "finished_at": None if run is None else run["finished_at"],
        "run": run,
    }


def _publication(state: ArchiveState, record: Record, manifest: Manifest) -> dict[str, Any]:
    index = state.index
    by: set[int] = set()
    lost = 0
    current = []
    for slice_ in record.slices:
        number = slice_.start // index.grid
        cell = index.cell(number)
        newest = None
        if index.window(number) == slice_ and cell is not None and cell.rows is not None:
            newest = cell.seq
        elif index.window(number) != slice_:
            newest = next((one.seq for one in index.others_of(number) if one.window == slice_), None)
        current.append(newest == record.seq)
        if newest != record.seq:
            lost += 1
            if newest is not None:
                by.add(newest)
    requests = Requests.told(manifest.requests)
    return {
        "status": manifest.status,
        "rows": bounded(manifest.rows),
        "source_rows": bounded_or_none(manifest.source_rows),
        "bytes": bounded(sum(one.file.bytes for one in manifest.slices)),
        "source": plain(manifest.source),
        "columns": [plain(one) for one in first(manifest.columns)],
        "columns_more": more(manifest.columns),
        "slices": [
            _slice(state, one, is_current)
            for one, is_current in zip(first(manifest.slices), first(current), strict=True)
        ],
        "slices_more": more(manifest.slices),
        "requests": counts(manifest.requests) | {"sent": bounded(requests.sent)},
        "intent": bounded_or_none(manifest.intent),
        "removed": [span(one) for one in first(record.removed)],
        "mends": [
            {
                "seq": bounded(one.seq),
                "found": text_or_none(one.found),
                "expected": text_or_none(one.expected),
            }
            for one in first(manifest.mends)
        ],
        "superseded": {"slices": lost, "by": sorted(by)[-MOST_ENTRIES:]},
    }


def _slice(state: ArchiveState, entry: SliceEntry, is_current: bool) -> dict[str, Any]:
    return {
        "from": cut(entry.start),
        "to": cut(entry.end),
        "status": entry.status,
        "rows": bounded(entry.rows),
        "source_rows": bounded_or_none(entry.source_rows),
        "counted_at": time_or_none(entry.counted_at),
        "file": file_view(state, entry.file),
        "notes": counts(entry.notes),
        "source_now": bounded_or_none(entry.source_now),
        "source_now_at": time_or_none(entry.source_now_at),
        "fingerprint": text_or_none(entry.fingerprint),
        "previous_rows": bounded_or_none(entry.previous_rows),
        "previous_counted_at": time_or_none(entry.previous_counted_at),
        "current": is_current,
    }


def _intent(intent: Intent) -> dict[str, Any]:
    return {
        "slices": [
            {
                "from": cut(one.start),
                "to": cut(one.end),
                "old": text_or_none(one.old),
                "new": text_or_none(one.new),
                "etag": text_or_none(one.etag),
            }
            for one in first(intent.slices)
        ],
        "slices_more": more(intent.slices),
    }


def _chain(state: ArchiveState, stored: Stored, content: Manifest | Intent, seq: int) -> dict[str, Any]:
    """Whether the neighbours agree with this record: each names the hash of the one before it."""
    before = state.record(seq - 1) if seq > 1 else None
    after = state.record(seq + 1)
    following = None
    if after is not None:
        agrees = after.record is not None and after.record.content.previous == stored.hash
        following = {"seq": seq + 1, "agrees": agrees}
    return {
        "previous": {
            "seq": seq - 1,
            "hash": text_or_none(content.previous),
            "agrees": (None if before is None else before.hash) == content.previous,
        },
        "hash": stored.hash,
        "next": following,
    }


def _has_key(window: Window) -> bool:
    """Whether a window's own copy can have a name; one of broken seconds cannot."""
    return window.on_grid(TICK_PER_SECOND)
