"""What an index keeps of one publication."""

from __future__ import annotations

from typing import NamedTuple

from logferry.records.ledger import PublishedWindow, Requests
from logferry.view.plain import bounded_or_none, cut
from logferry.window import Window, instant_or_none


class Publication(NamedTuple):
    """The newest publication of a window. Times in ticks; None where an older checkpoint does not tell."""

    window: Window
    seq: int
    hash: str
    status: str
    run: str
    rows: int | None
    attempt: int | None
    started_at: int | None
    finished_at: int | None
    requests: Requests | None

    @classmethod
    def of(cls, one: PublishedWindow) -> Publication:
        return cls(
            one.window,
            one.seq,
            one.hash,
            one.status,
            cut(one.run),
            bounded_or_none(one.rows),
            bounded_or_none(one.attempt),
            instant_or_none(one.started_at),
            instant_or_none(one.finished_at),
            one.requests,
        )
