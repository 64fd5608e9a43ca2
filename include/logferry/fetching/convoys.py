"""Convoys: the chains of one piece, fetched at the same time and handed on as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from logferry.fetching.fetch import Account, Final
from logferry.fetching.job import Fetched


def convoys(jobs: Iterator[Fetched]) -> Iterator[Fetched]:
    """The jobs, those of one piece as one; each is to be taken before the next is asked for.

    What is left of a convoy then is passed over, so whoever stops in the middle fetches the rest of it otherwise. What
    went wrong there nobody is told of here: the line raises it at its end, as it ended the line.
    """
    for first in jobs:
        if first.job.ends_piece:
            yield first
            continue
        convoy = _Convoy(first, jobs)
        yield convoy.fetched()
        convoy.pass_over()


class _Convoy:
    def __init__(self, first: Fetched, jobs: Iterator[Fetched]) -> None:
        self._newest = self._first = first
        self._jobs = jobs
        self._account = Account()

    def fetched(self) -> Fetched:
        job = self._first.job
        if job.piece is None:
            raise AssertionError("a job that is no part of a piece makes no convoy")
        whole = replace(job, span=job.piece.window, planned=job.piece.rows, piece=None)
        return Fetched(whole, self._account, self._finals())

    def pass_over(self) -> None:
        while not self._newest.job.ends_piece:
            self._advance()

    def _finals(self) -> Iterator[Final]:
        while True:
            chain = self._newest
            # No name here keeps rows in memory while the next are waited for.
            yield from map(partial(self._passed, chain), chain.finals)
            self._ended(chain)
            if self._newest.job.ends_piece:
                return
            self._advance()

    def _passed(self, chain: Fetched, final: Final) -> Final:
        if final.before >= chain.job.span.end:
            self._ended(chain)
        return final

    def _ended(self, chain: Fetched) -> None:
        self._account.to_end &= chain.account.to_end
        if not chain.account.to_end:
            self._account.stopped_at.add(chain.job.span.end)

    def _advance(self) -> None:
        newest = next(self._jobs, None)
        if newest is None:
            raise AssertionError("the lanes ended within a piece")
        self._newest = newest
