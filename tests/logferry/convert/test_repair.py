"""Documents with escaped halves of surrogate pairs."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.convert.repair import MarkedDocument, readable_text, repair_surrogates

pieces = st.lists(
    st.sampled_from(
        [
            r"\ud83d",
            r"\uDE00",
            r"\ud83d\ude00",
            r"\\",
            r"\n",
            r"\"",
            r"\u0041",
            "ud83d",
            "surrogate-half-d83d",
            "-surrogate-half-",
            "surrogate-half-0-",
            "surrogate-half-1-",
            "d83d",
            "é",
        ]
    ),
    max_size=12,
)


@given(pieces)
def test_a_marked_document_is_readable_and_restores_to_the_same_bytes(parts: list[str]) -> None:
    document = ('{"a":"' + "".join(parts) + '","b":["x"]}').encode()
    json.loads(document)
    marked = MarkedDocument(document)
    msgspec.json.decode(marked.document)
    assert marked.restore(marked.document) == document


@given(pieces)
def test_a_repaired_document_reads_like_the_original_with_its_halves_replaced(parts: list[str]) -> None:
    document = ('"' + "".join(parts) + '"').encode()
    original = json.loads(document)
    repaired, halves = repair_surrogates(document)
    assert len(repaired) == len(document)
    assert msgspec.json.decode(repaired) == "".join(
        "\ufffd" if "\ud800" <= char <= "\udfff" else char for char in original
    )
    assert halves == sum("\ud800" <= char <= "\udfff" for char in original)


def test_an_escaped_backslash_before_u_is_no_escape() -> None:
    assert repair_surrogates(rb'"C:\\ud83d"') == (rb'"C:\\ud83d"', 0)


def test_bytes_that_are_no_text_are_counted_once() -> None:
    assert readable_text(b"a\xffb\xfe") == ("a\ufffdb\ufffd", 1)
    assert readable_text("é".encode()) == ("é", 0)


@pytest.mark.parametrize("mark", [b"surrogate-half-", b"-surrogate-half-"])
def test_a_document_that_contains_the_mark_gets_another(mark: bytes) -> None:
    document = b'"' + mark + b"d83d " + rb'\ud83d"'
    marked = MarkedDocument(document)
    assert marked.restore(marked.document) == document


def test_a_message_of_dashes_costs_no_more_than_any_other() -> None:
    document = b'"' + b"-" * 2_000_000 + b"surrogate-half-\\ud800" + b'"'
    marked = MarkedDocument(document)
    assert len(marked.document) < len(document) + 100
    assert marked.restore(marked.document) == document
