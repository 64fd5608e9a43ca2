"""Lists of tags as Arrow columns. What runs in one place has the same tags, so each combination is decoded once.

A combination is kept as the bytes that it adds to a column; a page's column is those bytes, joined.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

TAGS = pa.list_(pa.string())
_MOST_KEPT = 2_048
"""Combinations that are remembered from page to page."""
_MOST_KEPT_BYTES = 4_096
"""A combination of more JSON than that is decoded anew in every page."""
_decode = msgspec.json.Decoder(list[str] | None).decode
_FIRST_OFFSET = bytes(4)


class NoTags(Exception):
    """The JSON is no list of strings, nor null."""


@dataclass(frozen=True, slots=True)
class _Combination:
    """``count`` tags (None: null), their UTF-8 bytes one after the other, and the length of each as an int32."""

    count: int | None
    text: bytes
    lengths: bytes


class TagLists:
    """Remembers combinations by their JSON; safe for many threads, of which one may forget what another needs soon."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Combination] = {}

    def column(self, raws: Sequence[bytes]) -> pa.Array:
        """The rows' tags. Raises NoTags when one of them holds none (``refused`` tells which)."""
        known = self._known
        try:
            rows = [known[raw] for raw in raws]
        except KeyError:
            here = {raw: known.get(raw) or self._learn(raw) for raw in dict.fromkeys(raws)}
            rows = [here[raw] for raw in raws]
        counts = [row.count for row in rows]
        valid = None
        if None in counts:
            valid = pa.array([count is not None for count in counts], pa.bool_()).buffers()[1]
        edges = pa.array(accumulate([count or 0 for count in counts], initial=0), pa.int32()).buffers()[1]
        lengths = pa.py_buffer(b"".join([_FIRST_OFFSET, *[row.lengths for row in rows]]))
        texts = lengths.size // 4 - 1
        offsets = pc.cumulative_sum(pa.Array.from_buffers(pa.int32(), texts + 1, [None, lengths]))
        data = pa.py_buffer(b"".join([row.text for row in rows]))
        strings = pa.Array.from_buffers(pa.string(), texts, [None, offsets.buffers()[1], data])
        return pa.Array.from_buffers(TAGS, len(rows), [valid, edges], children=[strings])

    def refused(self, raws: Sequence[bytes]) -> set[bytes]:
        """Those of the JSONs that are no tags."""
        refused = set()
        for raw in dict.fromkeys(raws):
            try:
                self._learn(raw)
            except NoTags:
                refused.add(raw)
        return refused

    def _learn(self, raw: bytes) -> _Combination:
        try:
            tags = _decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NoTags from error
        texts = [tag.encode() for tag in tags or ()]
        combination = _Combination(
            None if tags is None else len(texts), b"".join(texts), array("i", map(len, texts)).tobytes()
        )
        if len(raw) <= _MOST_KEPT_BYTES:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            self._known[raw] = combination
        return combination
