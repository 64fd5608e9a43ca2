"""Never shrink: when a slice stays as it was published, although a run fetched it again."""

from __future__ import annotations

import msgspec

from logferry.records.fold import Published
from logferry.records.manifest import FileEntry, SliceEntry


def would_lower(before: Published, entry: SliceEntry, fingerprint: str) -> bool:
    """Whether publishing ``entry`` would replace rows by none, or proven ones by fewer or by less certain ones.

    Where nothing proved the published rows, and under another definition, fewer proven rows are right, and so are
    other rows; none at all, or fewer without a proof, are not (``would_lose``).
    """
    if would_lose(before, entry):
        return True
    proof = before.proof
    if proof is None or before.fingerprint != fingerprint:
        return False
    fewer = entry.rows < proof.rows
    weaker = entry.status != "proven" and entry.rows <= proof.rows
    # More rows than the source counts are no better than the ones that it confirms again.
    doubled = entry.status == "short" and entry.source_rows == proof.rows
    return fewer or weaker or doubled


def would_lose(before: Published, entry: SliceEntry) -> bool:
    """Whether rows, proven or not, would give way to no rows, or to fewer that nothing proves."""
    rows = before.entry.rows
    return rows > 0 and (entry.rows == 0 or (entry.rows < rows and entry.status != "proven"))


def kept(before: Published, entry: SliceEntry, fingerprint: str, file: FileEntry) -> SliceEntry:
    """The published slice with what the source now holds; ``file``: the facts of its object.

    A count above its rows makes it short. One that does not says nothing against what was proven: an earlier
    count that was higher was a passing one, or the source has forgotten rows since.
    """
    now = entry.rows if entry.source_rows is None else entry.source_rows
    proof = before.proof or before.entry
    if now <= proof.rows:
        stays = msgspec.structs.replace(proof, file=file, source_now=now, source_now_at=entry.counted_at)
    else:
        stays = msgspec.structs.replace(
            before.entry,
            file=file,
            status="short",
            source_rows=now,
            counted_at=entry.counted_at,
            source_now=now,
            source_now_at=entry.counted_at,
        )
    return msgspec.structs.replace(
        stays,
        fingerprint=None if before.fingerprint == fingerprint else before.fingerprint,
        previous_rows=None,
        previous_counted_at=None,
    )


def with_history(entry: SliceEntry, before: Published | None) -> SliceEntry:
    """The entry with the number of rows and the time of the count before, where the number moved."""
    if before is None or before.entry.rows == entry.rows:
        return entry
    return msgspec.structs.replace(
        entry, previous_rows=before.entry.rows, previous_counted_at=before.entry.counted_at
    )
