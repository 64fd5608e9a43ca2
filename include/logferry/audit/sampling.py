"""Which part of an archive an audit looks over: another one each time, so that all of it has its turn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from zlib import crc32

from logferry.window import Window

if TYPE_CHECKING:
    from logferry.records.ledger import Published

AUDIT_SLICES = 24
"""Slices that one audit reads, at most."""
AUDIT_BYTES = 2 * 2**30
"""Their bytes, at most."""
AUDIT_RECORDS = 96
"""Records at the end of the journal that an audit looks at, at most, where it does not look at all."""
AUDIT_WHOLE = 25
"""Every so many audits the whole journal is read: with one an hour a little less than once a day, and each time an
hour later in the day, so that it is never put off for good where the scheduler sleeps at night."""
_GOLDEN = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: its multiples, modulo 2**64, fall evenly, however many they are."""


def audit_sample(published: Iterable[Published], turn: int) -> Window | None:
    """The range that audit number ``turn`` looks over; None when nothing is published.

    At most AUDIT_SLICES published slices and, but for the last one, AUDIT_BYTES. Turns go round by the golden ratio:
    at any length of the archive, and when some turns are left out, they soon come to every part of it, and nothing
    has to be remembered.
    """
    ordered = sorted(published, key=lambda one: one.window)
    if not ordered:
        return None
    # It may begin before the first slice and end after the last, so that those two come as often as any other.
    places = len(ordered) + AUDIT_SLICES - 1
    end = ((turn * _GOLDEN % 2**64) * places >> 64) + 1
    latest, *earlier = reversed(ordered[max(end - AUDIT_SLICES, 0) : end])
    sample = [latest.window]
    left = AUDIT_BYTES - latest.entry.file.bytes
    for one in earlier:
        left -= one.entry.file.bytes
        if left < 0:
            break
        sample.append(one.window)
    return Window(sample[-1].start, max(slice_.end for slice_ in sample))


def audit_from(export: str, newest: int, witnessed: Iterable[int], turn: int) -> int | None:
    """The first record that audit number ``turn`` looks at; None: it looks at all of them.

    ``newest``: number of the last record. ``witnessed``: those of the records whose hashes are known from elsewhere;
    the chain from the oldest of them on needs no record before it. Exports take their whole journals in turns.
    """
    if (turn + crc32(export.encode())) % AUDIT_WHOLE == 0:
        return None
    earliest = max(newest - AUDIT_RECORDS + 1, 1)
    return min((seq for seq in witnessed if earliest <= seq <= newest), default=earliest)
