"""Fast and careful reading of events mean the same, and an odd event costs nobody else anything."""

from __future__ import annotations

import json
import threading
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.convert.datadog import read_events, to_batch
from logferry.convert.datadog_events import (
    MOST_EVENTS,
    Events,
    PlainEvent,
    PlainInner,
    read_answer,
    read_list,
)
from logferry.convert.repair import MarkedDocument
from logferry.errors import FailedAnswer
from logferry.spec import ColumnSpec

AT = "2026-11-20T03:00:00.123Z"
COLUMNS = {
    "code": ColumnSpec(path="http.code", type="int64"),
    "text": ColumnSpec(path="text", type="string"),
}
Read = tuple[pa.RecordBatch, dict[str, int]]


def plain(number: int, **inner: Any) -> dict[str, Any]:
    attributes = {"timestamp": AT, "message": f"m{number}", "tags": ["env:prod", f"n:{number % 3}"], **inner}
    return {"id": f"e{number}", "type": "log", "attributes": attributes}


def page(events: list[Any]) -> bytes:
    return json.dumps(events).encode()


def carefully(data: bytes) -> Read:
    """Every event of the page looked at member by member."""
    marked = MarkedDocument(data)
    raws = msgspec.json.decode(marked.document, type=list[msgspec.Raw])
    stand_ins = [PlainEvent(PlainInner("")) for _ in raws]
    return to_batch(Events(stand_ins, lambda: raws, list(range(len(raws))), marked), COLUMNS)


texts = st.none() | st.text(max_size=6)
odd_texts = st.sampled_from([5, 1.5, True, {"a": 1}, ["x"], "half \ud83d", "\udc00"])
free_form = st.sampled_from(
    [None, {}, {"http": {"code": 200}}, {"http": {"code": "200"}}, {"http.code": 7, "http": 1}, {"text": "\ud800"}, [1]]
)  # fmt: skip
events = st.fixed_dictionaries(
    {
        "attributes": st.fixed_dictionaries(
            {"timestamp": st.sampled_from([AT, "2026-11-20T03:00:00Z", "2026-11-20T03:00:00.1234567Z", 1795143600123])},
            optional={
                "status": texts,
                "service": texts | odd_texts,
                "host": texts,
                "message": texts | odd_texts,
                "tags": st.none() | st.lists(st.sampled_from(["a:1", "b", "ä"]), max_size=3) | odd_texts,
                "attributes": free_form,
                "new": st.sampled_from([None, 1, {"a": [1]}]),
            },
        )
    },
    optional={"id": texts | st.just(17), "type": st.sampled_from(["log", "other"]), "links": st.none()},
)  # fmt: skip


@given(st.lists(events, max_size=12))
def test_the_fast_and_the_careful_way_give_the_same_rows_and_notes(found: list[dict[str, Any]]) -> None:
    data = page(found)
    batch, notes = read_events(data, COLUMNS)
    expected, expected_notes = carefully(data)
    assert batch.schema == expected.schema
    assert batch.to_pylist() == expected.to_pylist()
    assert notes == expected_notes


@given(st.lists(events, max_size=12), st.booleans())
def test_an_answer_read_as_a_whole_or_in_runs_gives_what_its_list_gives(
    found: list[dict[str, Any]], expect_odd: bool
) -> None:
    data = page(found)
    answer = read_answer(b'{"meta":{"a":1},"data":' + data + b"}", expect_odd=expect_odd)
    assert answer is not None
    assert (bytes(answer.meta), bytes(answer.errors)) == (b'{"a":1}', b"")
    batch, notes = to_batch(answer.events, COLUMNS)
    expected, expected_notes = read_events(data, COLUMNS)
    assert (batch.to_pylist(), notes) == (expected.to_pylist(), expected_notes)


@given(st.sets(st.integers(0, 399), max_size=20))
def test_only_odd_events_are_looked_at_member_by_member(places: set[int]) -> None:
    found = [plain(number, **({"new": number} if number in places else {})) for number in range(400)]
    data = page(found)
    assert read_list(data).odd == sorted(places)
    batch, _ = read_events(data, {})
    assert batch["id"].to_pylist() == [f"e{number}" for number in range(400)]
    extra = [f'{{"attributes":{{"new":{number}}}}}' if number in places else None for number in range(400)]
    assert batch["extra"].to_pylist() == extra


@pytest.mark.parametrize(
    ("member", "column", "value"),
    [
        (b'"attributes":{"a":"\xff"}', "attributes", '{"a":"\ufffd"}'),
        (b'"tags":["a","\xc3("]', "tags", ["a", "\ufffd("]),
        (b'"message":"\xed\xa0\x80"', "message", "\ufffd\ufffd\ufffd"),
        (b'"n\xffw":1', "extra", '{"attributes":{"n\\ufffdw":1}}'),
    ],
)
def test_bytes_that_are_no_utf8_harm_their_own_event_only(member: bytes, column: str, value: Any) -> None:
    good = plain(0, attributes={"a": "é"}) | {"id": "good"}
    bad = b'{"id":"bad","attributes":{"timestamp":"' + AT.encode() + b'",' + member + b"}}"
    text = json.dumps(good, ensure_ascii=False).encode()
    batch, notes = read_events(b"[" + b",".join([text, bad, text, bad]) + b"]", {})
    rows = batch.to_pylist()
    assert [row["id"] for row in rows] == ["good", "bad", "good", "bad"]
    assert rows[0] == rows[2] == read_events(b"[" + text + b"]", {})[0].to_pylist()[0]
    assert rows[1][column] == rows[3][column] == value
    assert notes == {"invalid_text": 2}


@pytest.mark.parametrize(
    ("first", "last", "column", "value"),
    [
        ('"message":"one"', '"message":"two"', "message", "two"),
        ('"message":5', '"message":"two"', "message", "two"),
        ('"tags":["one"]', '"tags":["two"]', "tags", ["two"]),
        ('"tags":7', '"tags":["two"]', "tags", ["two"]),
        ('"attributes":{"a":1}', '"attributes":{"a":2}', "attributes", '{"a":2}'),
        ('"new":1', '"new":2', "extra", '{"attributes":{"new":2}}'),
    ],
)
def test_of_a_member_that_comes_twice_the_last_counts_in_either_way(
    first: str, last: str, column: str, value: Any
) -> None:
    data = f'[{{"id":"a","attributes":{{"timestamp":"{AT}",{first},{last}}}}}]'.encode()
    assert read_events(data, COLUMNS)[0][column].to_pylist() == [value]
    assert carefully(data)[0][column].to_pylist() == [value]


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("depth", [100_000, 1_000_000])
@pytest.mark.parametrize("name", ["attributes", "tags", "new", "message", "timestamp"])
def test_nesting_without_end_is_one_failed_answer(name: str, depth: int) -> None:
    data = f'[{{"attributes":{{"timestamp":"{AT}","{name}":{nested(depth)}}}}}]'.encode()
    with pytest.raises(FailedAnswer):
        read_events(data, COLUMNS)
    assert read_answer(b'{"data":' + data + b"}", expect_odd=False) is None


@pytest.mark.parametrize("depth", [100, 500, 800])
def test_deep_nesting_is_kept_as_text(depth: int) -> None:
    event = plain(0, attributes="#", tags="%")
    data = (
        page([event, event]).replace(b'"#"', nested(depth).encode()).replace(b'"%"', nested(depth).encode())
    )
    rows = read_events(data, COLUMNS)[0].to_pylist()
    assert [row["attributes"] for row in rows] == [nested(depth)] * 2
    assert [row["extra"] for row in rows] == [f'{{"attributes":{{"tags":{nested(depth)}}}}}'] * 2


def test_threads_read_side_by_side_without_taking_each_others_events() -> None:
    def numbered(lane: int) -> bytes:
        return page([plain(n, lane=lane) if n % 7 == 0 else plain(n, host=f"h{lane}") for n in range(300)])

    found: dict[int, list[Any]] = {}

    def read(lane: int) -> None:
        for _ in range(5):
            found[lane] = read_events(numbered(lane), COLUMNS)[0].to_pylist()

    threads = [threading.Thread(target=read, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for lane in range(4):
        assert found[lane] == read_events(numbered(lane), COLUMNS)[0].to_pylist()


SMALL = b'{"attributes":{"timestamp":"2026-11-20T00:00:00Z"}}'
LONG = SMALL[:-2] + b',"message":"' + b"m" * 1000 + b'"}}'
"""So many of them as are allowed make a large answer."""


@pytest.mark.parametrize("event", [b"0", b"{}", SMALL, LONG, b'{"attributes":{"timestamp":1}}'])
@pytest.mark.parametrize("expect_odd", [False, True])
def test_a_page_of_more_events_than_could_be_asked_for_is_refused_before_they_are_read(
    event: bytes, expect_odd: bool
) -> None:
    data = b"[" + b",".join([event] * (MOST_EVENTS + 1)) + b"]"

    def read() -> None:
        assert read_answer(b'{"data":' + data + b"}", expect_odd=expect_odd) is None
        read_events(data, {})

    with pytest.raises(FailedAnswer, match="more than 10,000 events"):
        read()


def test_as_many_events_as_are_allowed_are_read() -> None:
    data = b"[" + b",".join([SMALL] * (MOST_EVENTS - 1) + [SMALL[:-1] + b',"new":1}']) + b"]"
    batch, _ = read_events(data, {})
    assert batch.num_rows == MOST_EVENTS
    assert batch["extra"].to_pylist()[-2:] == [None, '{"new":1}']


@pytest.mark.parametrize("event", [SMALL, LONG])
def test_an_answer_of_as_many_events_as_are_allowed_is_read(event: bytes) -> None:
    body = b'{"data":[' + b",".join([event] * MOST_EVENTS) + b"]}"
    for _ in range(2):
        answer = read_answer(body, expect_odd=False)
        assert answer is not None
        assert (len(answer.events.plain), answer.events.odd) == (MOST_EVENTS, [])


def test_a_large_answer_is_refused_at_the_event_that_is_too_many() -> None:
    body = b'{"data":[' + b",".join([LONG] * (MOST_EVENTS + 1)) + b",broken"
    with pytest.raises(FailedAnswer, match="more than 10,000 events"):
        read_answer(body, expect_odd=False)


def test_an_odd_event_of_millions_of_members_is_refused_before_they_are_looked_at() -> None:
    members = b",".join([b'"a":0'] * 1_000_002)
    with pytest.raises(FailedAnswer, match="more than 1,000,000 values"):
        read_events(b'[{"attributes":{"timestamp":"2026-11-20T00:00:00Z"},' + members + b"}]", {})


def test_what_is_no_list_is_not_called_a_long_one() -> None:
    with pytest.raises(FailedAnswer, match="not a list"):
        read_events(b'{"a":1}', {})
