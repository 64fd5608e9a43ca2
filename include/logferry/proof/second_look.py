"""The second look: what the source says of some rows when it is asked for them again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from logferry.fetching.fetch import Account, Fetcher, Restart
from logferry.fetching.job import Fetched, Job
from logferry.fetching.lanes import Lanes
from logferry.proof.slice_work import SliceWork
from logferry.proof.twins import IdentityDigest, Twins
from logferry.window import Window

log = logging.getLogger(__name__)


def look_at_twins(
    lanes: Lanes, fetcher: Fetcher, works: Sequence[SliceWork]
) -> dict[SliceWork, list[Window]]:
    """Ask for the twins of the slices again, unless they were confirmed before; per slice the parts where the rows
    now have other times or identities."""
    todo = [
        (work, part.span, twins)
        for work in works
        for part in work.parts
        for twins in part.twins
        if twins not in work.same_twins
    ]
    doubtful: dict[SliceWork, list[Window]] = {work: [] for work in works}
    for work in works:
        work.other_twins = []
    with lanes.fetched(_jobs(fetcher, [(work, twins) for work, _, twins in todo])) as fetched:
        for work, span, twins in todo:
            if _digest_now(fetched, twins) == twins.digest:
                work.same_twins.add(twins)
                continue
            log.warning("rows of %s came otherwise when they were asked for again", span)
            work.other_twins.append(twins)
            if span not in doubtful[work]:
                doubtful[work].append(span)
    return doubtful


def holds_rows(fetcher: Fetcher, span: Window) -> bool:
    """Whether a search finds anything in a span that was counted empty."""
    try:
        # Not held: the first page with a row in it is enough.
        finals = fetcher.fetch(span, planned=None, account=Account())
        return any(final.table is not None for final in finals)
    except Restart:
        return True  # Only rows can be out of order.


def _jobs(fetcher: Fetcher, looks: Sequence[tuple[SliceWork, Twins]]) -> Iterator[Job]:
    size = fetcher.size.stretch()
    for work, twins in looks:
        for span in twins.spans:
            # Held: whether the source's pages are in order is not the question here.
            yield Job(work.window, span.window(), size, planned=span.rows, held=True)


def _digest_now(fetched: Iterator[Fetched], twins: Twins) -> str:
    digest = IdentityDigest()
    for _ in twins.spans:
        for final in next(fetched).finals:
            if final.table is not None:
                digest.add(final.table)
    return digest.digest()
