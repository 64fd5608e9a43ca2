"""A job: one chain of pages to fetch, which is a piece or a part of one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from logferry.fetching.answer_size import StretchSize
from logferry.fetching.fetch import Account, Fetcher, Final
from logferry.fetching.pieces import Cutter, Piece
from logferry.window import Window


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A ``span`` of ``slice_``, with what ``Fetcher.fetch`` wants to know of it. Spans of later jobs are later.

    ``piece``: what the jobs of adjoining spans make together, where that is more than this one.
    """

    slice_: Window
    span: Window
    size: StretchSize
    planned: int | None = None
    cutter: Cutter | None = None
    held: bool = False
    piece: Piece | None = None

    @property
    def ends_piece(self) -> bool:
        return self.piece is None or self.span.end == self.piece.window.end

    def fetch(self, fetcher: Fetcher, account: Account) -> Iterator[Final]:
        return fetcher.fetch(
            self.span,
            planned=self.planned,
            held=self.held,
            account=account,
            cutter=self.cutter,
            size=self.size,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Fetched:
    """A job and its rows, as they come or waited. ``account`` is whole when ``finals`` ended.

    ``finals`` raises what ``Fetcher.fetch`` raises, in the same place.
    """

    job: Job
    account: Account
    finals: Iterator[Final]

    @classmethod
    def here(cls, job: Job, fetcher: Fetcher) -> Fetched:
        """Fetched by the thread that takes the rows, while it takes them."""
        account = Account()
        return cls(job, account, job.fetch(fetcher, account))
