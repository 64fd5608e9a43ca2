"""What an index keeps of one slice: a few numbers and words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from logferry.audit.coverage import SliceCover
from logferry.audit.gaps import gap_reason
from logferry.records.ledger import Published
from logferry.view.letters import GAPS, Letter, letter
from logferry.view.plain import bounded, bounded_or_none, cut
from logferry.window import Window


class Cell(NamedTuple):
    """One slice of which something is known. ``letter`` None: nothing is published, so the clock decides.

    ``rows``, ``source_rows``, ``bytes``, ``first_rows``: None also where its rows lie in slices of another length,
    which ``elsewhere_of`` then tells. ``seq``: of the newest record it rests on, 0 without any. ``reason``: why it is a
    gap, or would be one once due.
    """

    letter: Letter | None
    rows: int | None
    source_rows: int | None
    bytes: int | None
    seq: int
    first_rows: int | None
    fingerprint: str | None
    reason: str | None
    marks: tuple[str, ...]


class Elsewhere(NamedTuple):
    """A published slice of another length."""

    window: Window
    rows: int
    bytes: int
    seq: int
    status: str


def cell_of(known: SliceCover, *, once: Callable[[str], str]) -> Cell:
    """``once``: the same text, kept once however many slices say it."""
    own = _own(known)
    told = letter(known) if known.published else None
    reason = None
    if told in GAPS:
        reason = gap_reason(known, GAPS[told])
    elif told is None:
        reason = gap_reason(known, "missing")
    rows = None if own is None else bounded(own.entry.rows)
    counted = None if own is None else bounded_or_none(own.entry.source_rows)
    first = None if own is None else _first_rows(own)
    fingerprint = known.published[0].fingerprint if known.published else None
    return Cell(
        told,
        rows,
        # Equal numbers are one object: a year of slices has thousands.
        rows if counted == rows else counted,
        None if own is None else bounded(own.entry.file.bytes),
        max((one.seq for one in known.published), default=0),
        rows if first == rows else bounded_or_none(first),
        None if fingerprint is None else once(fingerprint),
        None if reason is None else once(cut(reason)),
        tuple(map(once, _marks(known, own))),
    )


def elsewhere_of(known: SliceCover) -> tuple[Elsewhere, ...]:
    """The slices of other lengths that its rows lie in; none where it is published by itself."""
    if _own(known) is not None:
        return ()
    return tuple(
        Elsewhere(
            one.window,
            bounded(one.entry.rows),
            bounded(one.entry.file.bytes),
            one.seq,
            one.entry.status,
        )
        for one in known.published
    )


def _own(known: SliceCover) -> Published | None:
    """Its publication as a slice of the present grid."""
    return known.published[0] if known.published and known.published[0].window == known.window else None


def _marks(known: SliceCover, own: Published | None) -> Iterable[str]:
    if own is None:
        if known.published:
            yield "other_grid"
    else:
        first = _first_rows(own)
        before = own.entry.previous_rows if first is None else first
        moved = bounded(own.entry.rows - (own.entry.rows if before is None else before))
        if moved:
            yield f"late:+{moved}" if moved > 0 else f"fewer:{moved}"
        if own.entry.source_now is not None:
            yield "kept"
    if known.other_definition:
        yield "other_definition"


def _first_rows(own: Published) -> int | None:
    """Rows from which on late ones count; a slice that was never more than short has none."""
    return own.entry.rows if own.first_rows is None and own.entry.status == "short" else own.first_rows
