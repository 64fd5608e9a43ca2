"""Members of many documents by their paths: the typed way finds what a look at each document finds."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.convert.members import find_members
from logferry.errors import FailedAnswer

leaves = st.sampled_from([None, 0, -1, 2**63, 2**70, 1.5, 1e300, True, "x", "", "é", "\ud800", [], {}, [1]])
inner = st.dictionaries(st.sampled_from(["b", "c"]), leaves, max_size=2)
documents = st.none() | leaves | st.dictionaries(
    st.sampled_from(["a", "a.b", "b", "a.b.c", "z"]),
    leaves | inner | st.fixed_dictionaries({"b": inner}),
    max_size=4,
)  # fmt: skip
paths = st.lists(st.sampled_from(["a", "b", "a.b", "a.c", "a.b.c", "a.", 'q"', "\\"]), max_size=3)


def looked_up(document: Any, path: str) -> Any:
    here = document
    for key in path.split("."):
        if not isinstance(here, dict) or key not in here:
            return document.get(path) if isinstance(document, dict) else None
        here = here[key]
    return here


@given(st.lists(documents, max_size=30), paths)
def test_each_path_gives_what_a_look_at_each_document_gives(found: list[Any], wanted: list[str]) -> None:
    raw = [None if document is None else json.dumps(document).encode() for document in found]
    expected = [[looked_up(document, path) for document in found] for path in wanted]
    # As text: 1 and True are equal, but not the same value.
    assert repr(find_members(raw, wanted)) == repr(expected)


def test_a_number_beyond_a_double_is_infinite_wherever_it_lies() -> None:
    found = find_members([b'{"a":1e400,"b":1}', b'{"a":1,"b":' + b"9" * 5_000 + b"}"], ["a", "b"])
    assert found == [[float("inf"), 1], [1, float("inf")]]


def test_of_a_member_that_comes_twice_the_last_counts() -> None:
    twice = [
        b'{"a":{"b":1},"a":{"b":2}}',
        b'{"a":{"b":1},"a":5}',
        b'{"a":5,"a":{"b":1}}',
        b'{"a":{"b":[],"b":3}}',
    ]
    assert find_members(twice, ["a.b"]) == [[2, None, 1, 3]]


@pytest.mark.parametrize("path", ["a", "a.b"])
def test_nesting_without_end_is_one_failed_answer(path: str) -> None:
    with pytest.raises(FailedAnswer, match="too deeply"):
        find_members([b'{"a":1}', b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"], [path])
