"""Thrift's compact protocol: whatever a footer holds, known here or not, comes back as the same bytes."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.writing.compact_thrift import (
    BINARY,
    BYTE,
    DOUBLE,
    FALSE,
    I16,
    I32,
    I64,
    LIST,
    MAP,
    SET,
    STRUCT,
    TRUE,
    Items,
    NotThrift,
    Pairs,
    Struct,
    read_struct,
    struct_bytes,
)

LEAVES: dict[int, st.SearchStrategy[Any]] = {
    BYTE: st.binary(min_size=1, max_size=1),
    I16: st.integers(-(2**15), 2**15 - 1),
    I32: st.integers(-(2**31), 2**31 - 1),
    I64: st.integers(-(2**63), 2**63 - 1),
    DOUBLE: st.floats(allow_nan=False).map(lambda number: struct.pack("<d", number)),
    BINARY: st.binary(max_size=40),
}
leaves = st.one_of(
    [st.tuples(st.just(kind), values) for kind, values in LEAVES.items()]
    + [st.just((TRUE, True)), st.just((FALSE, False))]
)
plain_items = st.one_of(
    [st.lists(values, max_size=20).map(lambda v, k=kind: Items(k, v)) for kind, values in LEAVES.items()]
    + [st.lists(st.sampled_from([1, 2]), max_size=20).map(lambda values: Items(TRUE, values))]
)
maps = st.dictionaries(LEAVES[BINARY], LEAVES[I64], max_size=4).map(
    lambda found: Pairs(BINARY, I64, list(found.items())) if found else Pairs(0, 0, [])
)


def structs(fields: st.SearchStrategy[tuple[int, Any]]) -> st.SearchStrategy[Struct]:
    return st.dictionaries(st.integers(1, 300), fields, max_size=6).map(Struct)


trees = st.recursive(
    structs(leaves),
    lambda inner: structs(
        st.one_of(
            leaves,
            st.tuples(st.just(STRUCT), inner),
            st.tuples(st.sampled_from([LIST, SET]), plain_items),
            st.tuples(st.just(LIST), st.lists(inner, max_size=17).map(lambda found: Items(STRUCT, found))),
            st.tuples(st.just(MAP), maps),
        )
    ),
    max_leaves=12,
)


@given(trees, st.binary(max_size=9))
def test_every_tree_comes_back_as_it_was(tree: Struct, behind: bytes) -> None:
    data = struct_bytes(tree)
    again, taken = read_struct(data + behind)
    assert again == tree
    assert taken == len(data)


def test_the_bytes_are_those_of_the_specification() -> None:
    # Field 1: i32 of 1 (zigzag 2); field 2: true; field 20: a long step, so its id follows; then the end.
    tree = Struct({1: (I32, 1), 2: (TRUE, True), 20: (BINARY, b"ab")})
    assert struct_bytes(tree) == bytes([0x15, 2, 0x11, 0x08, 40, 2]) + b"ab" + b"\0"
    assert struct_bytes(Struct({1: (LIST, Items(I32, [1] * 15))}))[:3] == bytes([0x19, 0xF5, 15])


@given(trees, st.data())
def test_a_struct_that_is_cut_off_is_no_struct(tree: Struct, data: st.DataObject) -> None:
    whole = struct_bytes(tree)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(NotThrift):
        read_struct(cut)


@given(st.binary(max_size=60))
def test_other_bytes_are_a_struct_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(NotThrift):
        read_struct(data)


def test_nesting_without_end_and_numbers_without_end_are_refused() -> None:
    with pytest.raises(NotThrift, match="deeper"):
        read_struct(b"\x1c" * 10_000)
    with pytest.raises(NotThrift, match="64 bits"):
        read_struct(b"\x16" + b"\xff" * 100)
    with pytest.raises(NotThrift, match="no type 13"):
        read_struct(b"\x1d")
