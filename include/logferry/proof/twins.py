"""Twins: rows of one tick that agree in everything but their identity.

Real ones are common (a line logged twice within a millisecond). But a source that loses one row and gives another
a second time under a new identity leaves every count equal, and twins behind. So a tick with twins is asked for
again, and its identities must be those that were written.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from logferry.sources.base import ID_COLUMN, TICK_COLUMN

MOST_CHECKED = 10
"""Ticks with twins that are asked for again, per slice."""
DIFFER_NOTE = "twins_differ"
"""Note of a slice: ticks that came with other identities each time they were asked for."""
UNCHECKED_NOTE = "twins_unchecked"
"""Note of a slice: ticks with twins beyond MOST_CHECKED."""
_CONTENT = "__content_"


class Twin(msgspec.Struct, frozen=True, array_like=True):
    """A tick with twins and the digest of all identities that were written for it."""

    tick: int
    ids: str


class TwinWatch:
    """Finds the twins of one part. Feed it the tables in order; rows of one tick lie in one table."""

    def __init__(self, seed: int) -> None:
        self.found = 0
        self.sample: list[Twin] = []
        # Which ones are looked at must not depend on the run, or a retry would prove something else.
        self._dice = random.Random(seed)

    def look(self, table: pa.Table) -> None:
        for tick in twin_ticks(table):
            self.found += 1
            if len(self.sample) < MOST_CHECKED:
                self.sample.append(Twin(tick, ids_digest(table, tick)))
            elif (at := self._dice.randrange(self.found)) < MOST_CHECKED:
                self.sample[at] = Twin(tick, ids_digest(table, tick))


def twin_ticks(table: pa.Table) -> list[int]:
    """The ticks with twins, ascending. ``table`` is sorted by time."""
    tied = _tied(table)
    if tied.num_rows < 2:
        return []
    ids = tied[ID_COLUMN].combine_chunks()
    keys = {TICK_COLUMN: tied[TICK_COLUMN].combine_chunks()}
    for name in tied.column_names:
        if name not in (TICK_COLUMN, ID_COLUMN):
            column = tied[name].combine_chunks()
            # The column that holds the identity itself is the one thing in which twins differ.
            if not (pa.types.is_string(column.type) and column.equals(ids)):
                keys[_CONTENT + name] = _comparable(column)
    columns = pa.table({**keys, "id": ids})
    groups = columns.group_by(list(keys), use_threads=False).aggregate(
        [
            ("id", "count_distinct", pc.CountOptions(mode="only_valid")),
            ("id", "count", pc.CountOptions(mode="only_valid")),
            ([], "count_all"),
        ]
    )
    # Rows of one identity are one row that a query has multiplied; rows without any cannot be told apart.
    several = pc.greater(groups["count_all"], 1)
    one_identity = pc.and_(
        pc.equal(groups["id_count_distinct"], 1), pc.equal(groups["id_count"], groups["count_all"])
    )
    differ = pc.invert(one_identity)
    found: list[int] = pc.unique(groups.filter(pc.and_(several, differ))[TICK_COLUMN]).to_pylist()
    return sorted(found)


def ids_digest(table: pa.Table | None, tick: int) -> str:
    """Of the identities of all rows at ``tick``, in whatever order."""
    if table is None:
        return digest_of(())
    at_tick = table.filter(pc.equal(table[TICK_COLUMN], tick))
    return digest_of(at_tick[ID_COLUMN].to_pylist())


def digest_of(ids: Iterable[str | None]) -> str:
    known = sorted("-" if id_ is None else f"+{id_}" for id_ in ids)
    return hashlib.sha256("\0".join(known).encode()).hexdigest()[:32]


def chosen(samples: Iterable[Twin], seed: int) -> list[Twin]:
    """At most MOST_CHECKED of them, the same ones every time."""
    twins = sorted(samples, key=lambda twin: twin.tick)
    if len(twins) <= MOST_CHECKED:
        return twins
    picked = random.Random(seed).sample(twins, MOST_CHECKED)
    return sorted(picked, key=lambda twin: twin.tick)


def _tied(table: pa.Table) -> pa.Table:
    """The rows that share their tick with a neighbour."""
    if table.num_rows < 2:
        return table.slice(0, 0)
    ticks = table[TICK_COLUMN].combine_chunks()
    same = pc.equal(ticks[1:], ticks[:-1])
    if not pc.any(same).as_py():
        return table.slice(0, 0)
    none = pa.array([False])
    return table.filter(pc.or_(pa.concat_arrays([none, same]), pa.concat_arrays([same, none])))


def _comparable(column: pa.Array) -> pa.Array:
    """The column as one that can be grouped by and in which equal values, NaN included, are equal."""
    if pa.types.is_list(column.type):
        # The lengths keep ["a", "b"] and ["a\x1fb"] apart.
        joined = pc.binary_join(pc.fill_null(column, pa.scalar([], column.type)), "\x1f")
        lengths = pc.list_value_length(column).cast(pa.string())
        return pc.binary_join_element_wise(
            pc.fill_null(lengths, "-"), pc.fill_null(joined, "\x1e"), "\x1f", null_handling="replace"
        )
    if pa.types.is_floating(column.type):
        return column.view(pa.int64())
    return column
