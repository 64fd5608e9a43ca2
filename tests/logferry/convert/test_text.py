"""JSON strings to text that a file can hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.convert.text import read_text, valid_text

any_text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30)
with_halves = st.text(alphabet=st.one_of(st.characters(), st.characters(categories=["Cs"])), max_size=20)


@given(any_text, st.booleans())
def test_valid_text_is_read_unchanged_however_it_was_escaped(text: str, ascii_only: bool) -> None:
    assert read_text(json.dumps(text, ensure_ascii=ascii_only).encode()) == (text, False)


@given(with_halves)
def test_only_halves_that_stand_alone_are_replaced(text: str) -> None:
    token = json.dumps(text).encode()
    whole = json.loads(token)  # joins the halves that belong together
    expected = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in whole)
    assert read_text(token) == (expected, expected != whole)
    expected.encode()


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("a\ud83d", "a\ufffd"),
        ("\ude00a", "\ufffda"),
        ("\ud83dx\ude00", "\ufffdx\ufffd"),
        ("\ud83d\ud83d\ude00", "\ufffd😀"),
    ],
)
def test_a_half_costs_none_of_its_neighbours(text: str, valid: str) -> None:
    assert valid_text(text) == valid


@pytest.mark.parametrize("token", [b"5", b"null", b"{}", b"[]", b"true", b"x", b'"open'])
def test_what_is_no_string_is_refused(token: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_text(token)
