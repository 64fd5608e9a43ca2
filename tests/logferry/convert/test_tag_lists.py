"""Tags by combinations give the column that decoding each row's tags gives."""

from __future__ import annotations

import json
import threading

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.convert.tag_lists import TAGS, NoTags, TagLists

MORE_THAN_KEPT = 5_000


def column_of(raws: list[bytes], lists: TagLists | None = None) -> list[list[str] | None]:
    column = (lists or TagLists()).column(raws)
    column.validate(full=True)
    assert column.type == TAGS
    found: list[list[str] | None] = column.to_pylist()
    return found


tags = st.none() | st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=4)


@given(st.lists(tags, max_size=30), st.booleans())
def test_the_column_is_the_one_of_the_decoded_lists(rows: list[list[str] | None], ascii_only: bool) -> None:
    raws = [json.dumps(row, ensure_ascii=ascii_only).encode() for row in rows]
    lists = TagLists()
    for _ in range(2):  # the second time all are known
        column = lists.column(raws)
        column.validate(full=True)
        assert column.equals(pa.array(rows, TAGS))


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"null", None),
        (b"[]", []),
        (b'[""]', [""]),
        ('["ä:ö","日本","🚢"]'.encode(), ["ä:ö", "日本", "🚢"]),
        (rb'["a\"b\\c\n","\u00e4","\ud83d\ude00"]', ['a"b\\c\n', "ä", "😀"]),
        (b' [ "a" , "b" ] ', ["a", "b"]),
    ],
)
def test_each_form_of_tags_is_read(raw: bytes, expected: list[str] | None) -> None:
    assert column_of([raw, raw, b'["x"]']) == [expected, expected, ["x"]]


def test_no_row_and_rows_without_a_tag_are_columns_too() -> None:
    assert column_of([]) == []
    assert column_of([b"null"] * 9) == [None] * 9
    assert column_of([b"[]"] * 9) == [[]] * 9


def test_more_combinations_than_are_kept_are_all_right_in_one_page_and_the_next() -> None:
    lists = TagLists()
    raws = [b'["n:%d"]' % number for number in range(MORE_THAN_KEPT)]
    expected = [[f"n:{number}"] for number in range(MORE_THAN_KEPT)]
    assert column_of(raws, lists) == expected
    assert column_of(raws[::-1], lists) == expected[::-1]


def test_a_combination_too_large_to_keep_is_right_every_time() -> None:
    lists = TagLists()
    huge = [f"tag:{number}" for number in range(20_000)]
    raws = [json.dumps(huge).encode(), b'["small"]', json.dumps(huge).encode()]
    for _ in range(2):
        assert column_of(raws, lists) == [huge, ["small"], huge]


@pytest.mark.parametrize(
    "raw", [b"7", b'"a"', b"[1]", b'["a",null]', b"{}", b'["\\ud800"]', b'["\xff"]', b"", b"[" * 5000]
)
def test_what_is_no_tags_is_refused_and_named_and_harms_no_other(raw: bytes) -> None:
    lists = TagLists()
    with pytest.raises(NoTags):
        lists.column([b'["a"]', raw])
    assert lists.refused([b'["a"]', raw, b"null", raw]) == {raw}
    assert column_of([b'["a"]', b"null"], lists) == [["a"], None]


def test_threads_that_forget_each_others_combinations_still_get_their_own() -> None:
    lists = TagLists()
    wrong: list[int] = []
    ready = threading.Barrier(4)

    def read(own: int) -> None:
        ready.wait()
        for start in range(0, 6_000, 1_000):
            numbers = range(start, start + 1_000)
            raws = [b'["t:%d","n:%d"]' % (own, number) for number in numbers] + [b'["shared"]']
            expected = [[f"t:{own}", f"n:{number}"] for number in numbers] + [["shared"]]
            if lists.column(raws).to_pylist() != expected:
                wrong.append(own)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
