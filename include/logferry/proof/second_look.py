"""The second look: what the source says of some rows when it is asked for them again."""

from __future__ import annotations

import logging

from logferry.fetching.fetch import Account, Fetcher
from logferry.proof.slice_work import SliceWork
from logferry.proof.twins import IdentityDigest, Twins
from logferry.window import Window

log = logging.getLogger(__name__)


def look_at_twins(fetcher: Fetcher, work: SliceWork) -> list[Window]:
    """Ask for the twins of the slice again, unless they were confirmed before; the parts where the rows now have
    other times or identities."""
    doubtful = []
    work.other_twins = []
    for part in work.parts:
        for twins in part.twins:
            if twins in work.same_twins:
                continue
            if _digest_now(fetcher, twins) == twins.digest:
                work.same_twins.add(twins)
                continue
            log.warning("rows of %s came otherwise when they were asked for again", part.span)
            work.other_twins.append(twins)
            doubtful.append(part.span)
    return sorted(set(doubtful))


def holds_rows(fetcher: Fetcher, span: Window) -> bool:
    """Whether a search finds anything in a span that was counted empty."""
    finals = fetcher.fetch(span, planned=None, held=True, account=Account())
    return any(final.table is not None for final in finals)


def _digest_now(fetcher: Fetcher, twins: Twins) -> str:
    digest = IdentityDigest()
    for span in twins.spans:
        # Held: whether the source's pages are in order is not the question here.
        for final in fetcher.fetch(span.window(), planned=span.rows, held=True, account=Account()):
            if final.table is not None:
                digest.add(final.table)
    return digest.digest()
