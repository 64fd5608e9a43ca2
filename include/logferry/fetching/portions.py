"""How many of the cells ahead make the next piece."""

from __future__ import annotations

from collections.abc import Sequence

_THRIFT = 0.015
"""Rows that the pages of a piece may be short of full ones, as a share of its rows."""
_MARGIN_ROWS = 2
"""Rows of a neighbouring tick that come along with a piece."""


def equal_portion(rows: Sequence[int], most: int) -> int:
    """How many cells the first of the pieces takes: as few pieces as possible, of as equal rows as possible."""
    fewest = _pieces(rows, most)
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if _pieces(rows, middle) <= fewest:
            high = middle
        else:
            low = middle + 1
    return _filled(rows, 0, low)


def thrifty_portion(rows: Sequence[int], least: int, most: int, page: int) -> int:
    """How many cells the first piece takes that is of ``least`` to ``most`` rows and whose last page is so full that
    the piece costs hardly more pages of ``page`` rows than its rows must. The fullest pages where none is so thrifty.

    Many pieces may then be fetched at the same time for the price of a few.
    """
    total = best = best_pages = 0
    best_waste = 0.0
    for cells, more in enumerate(rows, start=1):
        total += more
        if total > most and cells > 1:
            return best or cells - 1
        if total < least and total <= most:
            continue
        pages = -(-(total + _MARGIN_ROWS) // page)
        if best and best_waste <= _THRIFT and pages > best_pages:
            return best
        waste = (pages * page - total - _MARGIN_ROWS) / max(total, 1)
        if not best or waste < best_waste:
            best, best_pages, best_waste = cells, pages, waste
    # The rest costs its last page wherever it is cut.
    return best if best_waste <= _THRIFT and best else len(rows)


def short_chains(rows: Sequence[int], page: int) -> list[int]:
    """How many of the cells each chain of a piece takes, so that the chains are short: they can be fetched at the same
    time, and together they cost hardly more pages of ``page`` rows than the piece as one chain."""
    before = [0]
    for more in rows:
        before.append(before[-1] + more)
    one = -(-before[-1] // page)
    most = one + int(one * _THRIFT)
    # The least sum of squares of pages: by cells taken and pages spent, and the cells taken before the last chain.
    best: list[dict[int, tuple[int, int]]] = [{0: (0, 0)}]
    for end in range(1, len(rows) + 1):
        reached: dict[int, tuple[int, int]] = {}
        for start in range(end):
            pages = _pages(before[end] - before[start], page)
            for spent, (squares, _) in best[start].items():
                total, found = spent + pages, squares + pages * pages
                if total <= most and (total not in reached or found < reached[total][0]):
                    reached[total] = (found, start)
        best.append(reached)
    chains: list[int] = []
    end = len(rows)
    if not best[end]:
        return [end]
    spent = min(best[end], key=lambda total: best[end][total][0])
    while end:
        start = best[end][spent][1]
        spent -= _pages(before[end] - before[start], page)
        chains.append(end - start)
        end = start
    return chains[::-1]


def _pages(rows: int, page: int) -> int:
    return -(-(rows + _MARGIN_ROWS) // page)


def _pieces(rows: Sequence[int], most: int) -> int:
    count = at = 0
    while at < len(rows):
        at += _filled(rows, at, most)
        count += 1
    return count


def _filled(rows: Sequence[int], start: int, most: int) -> int:
    """Cells from ``start`` that fit ``most`` together; at least one, however full it is."""
    total = 0
    for at in range(start, len(rows)):
        total += rows[at]
        if total > most and at > start:
            return at - start
    return len(rows) - start
