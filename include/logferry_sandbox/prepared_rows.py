"""Rows by number: where each lies in time, and their JSON filled from a block that is made once.

A prepared history repeats one block of rows. A row's text differs from that of the same place in another block in
two spots only: the block's number within its id, and its second. Both have a fixed width, so the size of any run of
rows is known before a byte of it is made, and filling a run is a handful of list operations and one join.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, TypeVar, overload

BLOCK_ROWS = 20_000
"""Rows of a whole block, where a row is small."""
_BLOCK_BYTES = 64_000_000
"""About the most text in a block: the server of 1 MB messages must neither make nor hold gigabytes."""
SECOND_WIDTH = 20
"""Bytes of ``2026-11-20T03:00:00.``."""
_BLOCKS_KEPT = 64
"""Blocks whose texts of seconds are remembered: as many as cursors may be under way."""
_RUN = 1_000
_T = TypeVar("_T")


class Spread:
    """``rows`` row numbers over ``seconds`` whole seconds from ``start_s`` (since 1970), ascending in time.

    Times are integers of which ``per_second`` make a second. The first row of each block lies on the block's first
    unit, its last row on the block's last. ``never_round``: the last digit of a time is never 0, nor is the row on
    the first unit (it is one later). Raises ValueError where a block would last less than a second.
    """

    def __init__(
        self,
        rows: int,
        start_s: int,
        seconds: int,
        *,
        per_second: int,
        seed: int,
        block_rows: int = BLOCK_ROWS,
        never_round: bool = False,
    ) -> None:
        if rows < 1:
            raise ValueError(f"a prepared history has at least one row, not {rows:,}")
        self.rows = rows
        self.start_s = start_s
        self.block_rows = min(block_rows, rows)
        self.block_s = seconds * self.block_rows // rows
        if self.block_s < 1:
            most = seconds * block_rows
            raise ValueError(f"{rows:,} rows are too many for {seconds:,} s; at most {most:,} find room")
        self._unit = per_second
        length = self.block_s * per_second
        self._start, self._length = start_s * per_second, length
        choose = random.Random(f"spread:{seed}")
        last = self.block_rows - 1
        offsets = [
            (place * length + choose.randrange(length)) // self.block_rows for place in range(last + 1)
        ]
        offsets[-1], offsets[0] = length - 1, 0
        if never_round:
            offsets = sorted(offset // 10 * 10 + 1 + place % 9 for place, offset in enumerate(offsets))
        self._offsets = offsets
        self._rows_per_second = sorted(Counter(offset // per_second for offset in offsets).items())
        self._seconds_of = lru_cache(maxsize=_BLOCKS_KEPT)(self._block_seconds)

    def fractions(self) -> list[int]:
        """Units into its second of each place of a block: the same in every block."""
        return [offset % self._unit for offset in self._offsets]

    def time_of(self, row: int) -> int:
        """The row's time since 1970."""
        block, place = divmod(row, self.block_rows)
        return self._start + block * self._length + self._offsets[place]

    def rows_before(self, at: int) -> int:
        """How many rows are earlier than ``at``: the number of the first that is not."""
        if at <= self._start:
            return 0
        block, into = divmod(at - self._start, self._length)
        return min(self.rows, block * self.block_rows + bisect_left(self._offsets, into))

    def runs(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Rows ``[start, stop)`` as ``(block, first place, last place + 1)``."""
        while start < stop:
            block, place = divmod(start, self.block_rows)
            end = min(self.block_rows, place + stop - start)
            yield block, place, end
            start += end - place

    def seconds(self, block: int, first: int, end: int) -> list[bytes]:
        """``2026-11-20T03:00:00.`` of each place of ``[first, end)`` in a block."""
        return self._seconds_of(block)[first:end]

    def _block_seconds(self, block: int) -> list[bytes]:
        base = self.start_s + block * self.block_s
        texts: list[bytes] = []
        minute, head = -1, b""
        for second, rows in self._rows_per_second:
            now, into = divmod(base + second, 60)
            if now != minute:
                minute = now
                head = time.strftime("%Y-%m-%dT%H:%M:", time.gmtime(60 * minute)).encode()
            texts += [b"%b%02d." % (head, into)] * rows
        return texts


def rows_of_block(row_bytes: int) -> int:
    """How many rows of about so many bytes a block has."""
    return max(1, min(BLOCK_ROWS, _BLOCK_BYTES // row_bytes))


class Template:
    """The JSON of a block's rows, each followed by a comma, with two kinds of gaps at the same parts of every row.

    ``rows``: the parts of each row, as many in every row; those at ``block_gaps`` and ``second_gaps`` are left empty
    here, and ``block_width`` bytes or SECOND_WIDTH bytes wide once filled.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[bytes]],
        *,
        block_gaps: Sequence[int],
        second_gaps: Sequence[int],
        block_width: int,
    ) -> None:
        self._stride = len(rows[0])
        # Copied one after the other: joining parts that lie in order in memory takes half the time.
        self._parts = [bytes(memoryview(part)) for row in rows for part in row]
        self._block_gaps = tuple(block_gaps)
        self._second_gaps = tuple(second_gaps)
        gaps = block_width * len(self._block_gaps) + SECOND_WIDTH * len(self._second_gaps)
        self._ends = [0, *accumulate(sum(map(len, row)) + gaps for row in rows)]

    def bytes_before(self, row: int) -> int:
        """Bytes of all rows before row number ``row`` of the history, a comma after each."""
        blocks, place = divmod(row, len(self._ends) - 1)
        return blocks * self._ends[-1] + self._ends[place]

    def fill(self, first: int, end: int, block: bytes, seconds: Sequence[bytes]) -> bytes:
        """The rows of places ``[first, end)``, each followed by a comma."""
        return b"".join(self._filled(first, end, block, seconds))

    def fill_each(self, first: int, end: int, block: bytes, seconds: Sequence[bytes]) -> list[bytes]:
        """The rows of places ``[first, end)`` one by one, without commas."""
        parts, stride = self._filled(first, end, block, seconds), self._stride
        return [b"".join(parts[at : at + stride])[:-1] for at in range(0, len(parts), stride)]

    def _filled(self, first: int, end: int, block: bytes, seconds: Sequence[bytes]) -> list[bytes]:
        stride = self._stride
        parts = self._parts[first * stride : end * stride]
        for gap in self._block_gaps:
            parts[gap::stride] = [block] * (end - first)
        for gap in self._second_gaps:
            parts[gap::stride] = seconds
        return parts


class Computed(Sequence[_T]):
    """A sequence whose members are made when asked for, a run at a time, and never kept."""

    def __init__(self, size: int, run: Callable[[int, int], Sequence[_T]]) -> None:
        self._size = size
        self._run = run

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, index: int) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> list[_T]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._size)
            return (
                [self[row] for row in range(start, stop, step)] if step != 1 else list(self._run(start, stop))
            )
        row = index + self._size if index < 0 else index
        if not 0 <= row < self._size:
            raise IndexError(index)
        return self._run(row, row + 1)[0]

    def __iter__(self) -> Iterator[_T]:
        for start in range(0, self._size, _RUN):
            yield from self._run(start, min(start + _RUN, self._size))


def padding(choose: random.Random, words: Sequence[str], length: int) -> str:
    """A text of random ``words`` that takes about ``length`` bytes, none below 1."""
    text = " ".join(choose.choices(words, k=max(0, length) // 4))
    return text.encode()[: max(0, length)].decode(errors="ignore")
