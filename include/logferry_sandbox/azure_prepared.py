"""A table of any size in which no row is made when it is asked for: the answers of a benchmark.

Row number n is a closed form: its time, its ``_ItemId`` and its cells follow from n alone. One block of rows is held
as columns, and once a set of columns is asked for, as JSON that only needs each row's second and block filled in.
"""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from logferry_sandbox.azure_data import HourSeeds, TableDefinition
from logferry_sandbox.kql_expressions import Binder
from logferry_sandbox.kql_frame import Batch, Column, Vector
from logferry_sandbox.kql_syntax import Call, Name
from logferry_sandbox.kql_values import TICKS_PER_SECOND, UNIX_EPOCH_TICKS, dump_dynamic
from logferry_sandbox.prepared_rows import Spread, Template, padding, rows_of_block

LEAST_ROW_BYTES = 700
_TIME, _ITEM = "TimeGenerated", "_ItemId"
_BLOCK_HEX = 8
_PLAIN_ROW_BYTES = 485
"""What a row holds beside its ``Properties``."""
_TEMPLATES_KEPT = 4
_WORDS = (
    *("cart", "payment", "retry", "largest", "größe", "shipped"),
    *("queue", "支払い", "upstream", "timeout", "token", "café"),
)


class PreparedTable:
    """``rows`` rows of ``definition`` over ``seconds`` from ``start_s``: a NumberedTable (see ``kql_shortcuts``).

    ``Properties`` bring a row to about ``row_bytes`` of JSON; one row in ``odd_every`` holds a NaN, a null and
    characters that need escapes (0: none). The last digit of a time is never 0, so that all times print alike.
    Rows neither arrive late nor gain a column. Safe for many threads.
    """

    time_column = _TIME
    has_item_id = True

    def __init__(
        self,
        definition: TableDefinition,
        rows: int,
        *,
        start_s: int,
        seconds: int,
        row_bytes: int = 1000,
        odd_every: int = 1000,
        seed: int = 0,
        block_rows: int | None = None,
    ) -> None:
        if row_bytes < LEAST_ROW_BYTES:
            raise ValueError(f"a prepared row takes at least {LEAST_ROW_BYTES:,} bytes, not {row_bytes:,}")
        if odd_every < 0:
            raise ValueError(f"odd_every is 0 or more, not {odd_every}")
        self.name = definition.name
        self.schema: tuple[Column, ...] = tuple(column for column, _ in definition.columns)
        self._kinds = {column.name: column.kind for column in self.schema}
        self._spread = Spread(
            rows,
            start_s,
            seconds,
            per_second=TICKS_PER_SECOND,
            seed=seed,
            block_rows=block_rows or rows_of_block(row_bytes),
            never_round=True,
        )
        size = self._spread.block_rows
        choose = random.Random(f"prepared:{seed}")
        self._item_tails = [_item_tail(place, choose) for place in range(size)]
        self._block = _block(definition, size, row_bytes, odd_every, choose)
        self._templates: OrderedDict[tuple[str, ...], Template] = OrderedDict()
        self._sizes: dict[tuple[str, ...], list[int]] = {}
        self._lock = threading.Lock()
        for vector in self._block.values():
            vector.cells()  # made now, so that the first answers are as quick as all others
        self._column_sizes = {name: self._data_sizes(name) for name in self._kinds}

    @property
    def rows(self) -> int:
        return self._spread.rows

    @property
    def block_rows(self) -> int:
        """After so many rows the same ones follow, but for their ids and times."""
        return self._spread.block_rows

    def row(self, number: int) -> tuple[str, int]:
        """``_ItemId`` and time (ticks since 1970) of a row."""
        block, place = divmod(number, self._spread.block_rows)
        return f"{block:0{_BLOCK_HEX}x}{self._item_tails[place]}", self._spread.time_of(number)

    def rows_between(self, start: int, stop: int) -> int:
        """See Table."""
        return max(0, self.rows_before(stop) - self.rows_before(start))

    def rows_before(self, tick: int) -> int:
        """See NumberedTable."""
        return self._spread.rows_before(tick - UNIX_EPOCH_TICKS)

    def time_of(self, row: int) -> int:
        """See NumberedTable."""
        return self._spread.time_of(row) + UNIX_EPOCH_TICKS

    def item_ids(self, start: int, stop: int) -> Iterator[list[str]]:
        """The ids of the time range in ascending order, a block at a time."""
        for block, first, end in self._spread.runs(self.rows_before(start), self.rows_before(stop)):
            yield self._items(block, first, end)

    def scan(self, start: int, stop: int) -> Iterator[Batch]:
        """See Table: a block at a time."""
        row = self.rows_before(start)
        for block, first, end in self._spread.runs(row, self.rows_before(stop)):
            columns = {name: vector.cut(first, end) for name, vector in self._block.items()}
            columns[_TIME] = Vector("datetime", [self.time_of(row + ahead) for ahead in range(end - first)])
            columns[_ITEM] = Vector("string", self._items(block, first, end))
            yield Batch(end - first, columns)
            row += end - first

    def data_size_before(self, columns: Sequence[str], row: int) -> int:
        """See NumberedTable."""
        key = tuple(columns)
        with self._lock:
            sums = self._sizes.get(key)
            if sums is None:
                sums = self._sizes[key] = [
                    0,
                    *accumulate(map(sum, zip(*(self._column_sizes[name] for name in key), strict=True))),
                ]
        blocks, place = divmod(row, self._spread.block_rows)
        return blocks * sums[-1] + sums[place]

    def written(self, columns: Sequence[str]) -> WrittenRows:
        """See NumberedTable. A set of columns not seen before takes a moment."""
        key = tuple(columns)
        with self._lock:
            template = self._templates.pop(key, None) or self._template(key)
            self._templates[key] = template
            while len(self._templates) > _TEMPLATES_KEPT:
                self._templates.popitem(last=False)
        return WrittenRows(template, self._spread)

    def _items(self, block: int, first: int, end: int) -> list[str]:
        head = f"{block:0{_BLOCK_HEX}x}"
        return [head + tail for tail in self._item_tails[first:end]]

    def _data_sizes(self, column: str) -> list[int]:
        """``estimate_data_size`` at each place of a block: times and ids are as wide in all blocks."""
        size = self._spread.block_rows
        known = {_TIME: Vector("datetime", [0] * size), _ITEM: Vector("string", self._items(0, 0, size))}
        call = Call("estimate_data_size", (Name(column),))
        estimate = Binder(self._kinds, "summarize").bind(call)
        sizes: list[int] = estimate.evaluate(Batch(size, self._block | known))
        return sizes

    def _template(self, columns: tuple[str, ...]) -> Template:
        parts: list[list[bytes]] = []
        gaps: dict[str, list[int]] = {_TIME: [], _ITEM: []}
        size = self._spread.block_rows
        after = {
            _TIME: [f'{fraction:07d}Z"' for fraction in self._spread.fractions()],
            _ITEM: [f'{tail}"' for tail in self._item_tails],
        }
        pending: list[Sequence[str]] = []
        separator = "["
        for column in columns:
            if column in after:
                pending.append([f'{separator}"'] * size)
                parts += [_merged(pending), [b""] * size]
                gaps[column].append(len(parts) - 1)
                pending = [after[column]]
            else:
                pending += [[separator] * size, self._block[column].cells()]
            separator = ","
        parts.append(_merged([*pending, ["],"] * size]))
        return Template(
            list(zip(*parts, strict=True)),
            block_gaps=gaps[_ITEM],
            second_gaps=gaps[_TIME],
            block_width=_BLOCK_HEX,
        )


class WrittenRows:
    """See Written in ``kql_shortcuts``."""

    def __init__(self, template: Template, spread: Spread) -> None:
        self._template = template
        self._spread = spread

    def bytes_before(self, row: int) -> int:
        """See Written."""
        return self._template.bytes_before(row)

    def text(self, start: int, stop: int) -> bytes:
        """See Written."""
        filled = [
            self._template.fill(
                first, end, b"%0*x" % (_BLOCK_HEX, block), self._spread.seconds(block, first, end)
            )
            for block, first, end in self._spread.runs(start, stop)
        ]
        return filled[0] if len(filled) == 1 else b"".join(filled)


def _merged(columns: Sequence[Sequence[str]]) -> list[bytes]:
    return ["".join(cells).encode("utf-8", "surrogatepass") for cells in zip(*columns, strict=True)]


def _item_tail(place: int, choose: random.Random) -> str:
    bits = choose.getrandbits(72)
    return f"-{place:04x}-4{bits & 0xFFF:03x}-8{bits >> 12 & 0xFFF:03x}-{bits >> 24:012x}"


def _block(
    definition: TableDefinition, size: int, row_bytes: int, odd_every: int, choose: random.Random
) -> dict[str, Vector]:
    """The columns of a block whose cells do not tell when or in which block a row is."""
    seeds = HourSeeds(0, 0, [0] * size, [choose.getrandbits(64) for _ in range(size)])
    block = {
        column.name: make(seeds) for column, make in definition.columns if column.name not in (_TIME, _ITEM)
    }
    odd = range(odd_every // 2, size, odd_every) if odd_every else range(0)
    properties: list[dict[str, Any] | None] = [
        _properties(choose, row_bytes - _PLAIN_ROW_BYTES) for _ in range(size)
    ]
    durations = list(block["DurationMs"].values())
    for place in odd:
        durations[place] = float("nan")
        properties[place] = None if place % 2 else {"note": 'He said "no"\nand left\u2028 🚢 \\ \x01'}
    block["DurationMs"] = Vector("real", durations)
    block["Properties"] = Vector("dynamic", properties)
    return block


def _properties(choose: random.Random, length: int) -> dict[str, Any]:
    """A property bag of about ``length`` bytes of JSON, types flipping from row to row."""
    bag: dict[str, Any] = {
        "region": choose.choice(["westeurope", "northeurope", "eastus"]),
        "retry": choose.choice([0, 1, "0", None]),
        "cart": {"items": choose.randrange(20), "total": f"{choose.randrange(10**5) / 100:.2f}"},
        "trace": choose.getrandbits(60),
        "session": f"{choose.getrandbits(64):016x}",
    }
    missing = int(length * choose.uniform(0.8, 1.2)) - len(dump_dynamic(bag)) - 30
    return {**bag, "note": padding(choose, _WORDS, missing)}
