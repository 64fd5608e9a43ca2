"""Pages of Datadog events to columns: nothing an event holds is lost, and both decoders mean the same."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.convert.datadog import output_schema, read_events
from logferry.errors import FailedAnswer
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.spec import ColumnSpec
from logferry.window import parse_instant

AT = "2026-11-20T03:00:00.123Z"
COLUMNS = {"code": ColumnSpec(path="http.code", type="int64")}


def page(*events: str) -> bytes:
    return ("[" + ",".join(events) + "]").encode()


def event(inner: str = "", outer: str = "", *, id_: str | None = '"a"', at: str = f'"{AT}"') -> str:
    """An event as JSON text; ``inner`` and ``outer`` are further members, with their leading comma."""
    named = "" if id_ is None else f'"id":{id_},'
    return f'{{{named}"type":"log","attributes":{{"timestamp":{at}{inner}}}{outer}}}'


def row(data: bytes, columns: dict[str, ColumnSpec] | None = None) -> dict[str, Any]:
    batch, _ = read_events(data, columns or {})
    (only,) = batch.to_pylist()
    return dict(only)


ODD = '{"id":"odd","type":"log","odd":1,"attributes":{"timestamp":"2026-11-20T03:00:00Z"}}'


def carefully(data: bytes, columns: dict[str, ColumnSpec] | None = None) -> pa.RecordBatch:
    """What the careful decoder makes of the page: an odd neighbour at the end keeps the plain one out."""
    joined = data[:-1] + b"," + ODD.encode() + b"]" if data != b"[]" else page(ODD)
    batch, _ = read_events(joined, columns or {})
    assert batch["extra"][len(batch) - 1].as_py() == '{"odd":1}'
    return batch.slice(0, len(batch) - 1)


def test_a_usual_event_fills_the_fixed_columns() -> None:
    found = row(
        page(
            event(
                ',"status":"info","service":"web","host":"h1","message":"hé","tags":["a:1","b"],'
                '"attributes":{"http": {"code": 200}, "n":1.0}'
            )
        ),
        COLUMNS,
    )
    found.pop("timestamp")
    assert found == {
        "id": "a",
        "status": "info",
        "service": "web",
        "host": "h1",
        "message": "hé",
        "tags": ["a:1", "b"],
        "attributes": '{"http": {"code": 200}, "n":1.0}',
        "extra": None,
        "code": 200,
        TICK_COLUMN: parse_instant(AT),
        ID_COLUMN: "a",
    }


def test_missing_null_and_empty_stay_apart() -> None:
    batch, _ = read_events(
        page(
            event(),
            event(',"message":null,"tags":null,"attributes":null'),
            event(',"message":"","tags":[],"attributes":{}'),
        ),
        {},
    )
    assert batch["message"].to_pylist() == [None, None, ""]
    assert batch["tags"].to_pylist() == [None, None, []]
    assert batch["attributes"].to_pylist() == [None, None, "{}"]
    assert batch["extra"].to_pylist() == [None, None, None]


@pytest.mark.parametrize(
    "document",
    [
        '{ "a" :  1 ,\n\t"b":[ ] }',
        '{"n":9007199254740993,"d":0.10000000000000000555,"e":1e400,"f":-0.0,"g":1E+2,"h":100000000000000000000}',
        '{"k":"\\u00e9\\/\\n","😀":"\\ud83d\\ude00"}',
        '{"half":"\\ud83d","other":"\\udE00x"}',
        '{"\\ud83d":1}',
        '{"a":1,"a":2}',
        "[1,2]",
        '"text"',
        "5",
        "false",
        '{"long":"' + "x" * 1_000_000 + '"}',
        '{"big":' + "9" * 5_000 + "}",
    ],
)
def test_free_form_attributes_stay_byte_for_byte(document: str) -> None:
    data = page(event(f',"attributes":{document}'))
    assert row(data)["attributes"] == document
    assert carefully(data)["attributes"].to_pylist() == [document]


def test_a_message_of_a_megabyte_with_newlines_survives() -> None:
    message = "é\n\0" * 350_000
    assert row(page(event(f',"message":{json.dumps(message)}')))["message"] == message


def test_unknown_members_of_both_levels_go_to_extra_as_received() -> None:
    data = page(event(',"new": {"x" : 1.50}', ',"relationships":[ ],"links":null'))
    assert row(data)["extra"] == '{"relationships":[ ],"links":null,"attributes":{"new":{"x" : 1.50}}}'


@pytest.mark.parametrize("name", ["status", "service", "host", "message"])
@pytest.mark.parametrize("value", ["5", "1.50", "true", '{"a": 1}', '["x"]'])
def test_a_text_that_is_none_is_null_and_goes_to_extra(name: str, value: str) -> None:
    found = row(page(event(f',"{name}":{value}')))
    assert found[name] is None
    assert found["extra"] == f'{{"attributes":{{"{name}":{value}}}}}'


@pytest.mark.parametrize("tags", ['"a,b"', '{"a":1}', '["a",1]', '["a",null]', "7", f"[{'9' * 5_000}]"])
def test_tags_that_are_no_list_of_texts_are_null_and_go_to_extra(tags: str) -> None:
    found = row(page(event(f',"tags":{tags}')))
    assert found["tags"] is None
    assert found["extra"] == f'{{"attributes":{{"tags":{tags}}}}}'


def test_half_a_surrogate_is_replaced_in_the_column_kept_in_extra_and_counted() -> None:
    batch, notes = read_events(
        page(event(r',"message":"a\ud83d","tags":["t\ude00"],"service":"😀"', id_=r'"i\ud800"')), {}
    )
    found = batch.to_pylist()[0]
    assert (found["message"], found["tags"], found["service"], found["id"]) == (
        "a\ufffd",
        ["t\ufffd"],
        "😀",
        "i\ufffd",
    )
    extra = r'{"id":"i\ud800","attributes":{"message":"a\ud83d","tags":["t\ude00"]}}'
    assert found["extra"] == extra
    assert notes == {"invalid_text": 3}


def test_half_a_surrogate_in_a_key_is_kept_as_received() -> None:
    extra = row(page(event(r',"k\ud83d":1', r',"o\udfff":"\ud800"')))["extra"]
    assert extra == r'{"o\udfff":"\ud800","attributes":{"k\ud83d":1}}'


@pytest.mark.parametrize("inner", [b',"message":"\xff"', b',"attributes":{"a":"\xff"}', b',"tags":["\xc3("]'])
def test_bytes_that_are_no_utf8_are_replaced_and_counted(inner: bytes) -> None:
    data = page(event("#", id_='"x"')).replace(b"#", inner)
    batch, notes = read_events(data, COLUMNS)
    assert batch.num_rows == 1
    assert "\ufffd" in str(batch.to_pylist()[0])
    assert notes == {"invalid_text": 1}


@pytest.mark.parametrize("id_", ["null", None])
def test_an_event_without_an_id_has_none_in_either_decoder(id_: str | None) -> None:
    data = page(event(id_=id_))
    for batch in (read_events(data, {})[0], carefully(data)):
        assert batch["id"].to_pylist() == [None]
        assert batch["extra"].to_pylist() == [None]


def test_an_id_that_is_no_text_goes_to_extra() -> None:
    found = row(page(event(id_="17")))
    assert (found["id"], found["extra"]) == (None, '{"id":17}')


def test_repeated_ids_are_both_read() -> None:
    assert read_events(page(event(), event()), {})[0].num_rows == 2


@pytest.mark.parametrize(
    ("at", "instant"),
    [
        ('"2026-11-20T03:00:00Z"', "2026-11-20T03:00:00Z"),
        ('"2026-11-20T03:00:00.1Z"', "2026-11-20T03:00:00.1Z"),
        ('"2026-11-20T04:30:00.123+01:30"', "2026-11-20T03:00:00.123Z"),
        ('"2026-11-20T03:00:00.123456Z"', "2026-11-20T03:00:00.123456Z"),
        ('"2026-11-20T03:00:00.1234567Z"', "2026-11-20T03:00:00.1234567Z"),
        ("1795143600123", "2026-11-20T03:00:00.123Z"),
    ],
)
def test_every_form_of_a_time_is_read_to_its_last_digit(at: str, instant: str) -> None:
    data = page(event(at=at))
    for batch in (read_events(data, {})[0], carefully(data)):
        assert batch[TICK_COLUMN].to_pylist() == [parse_instant(instant)]


@pytest.mark.parametrize(
    "data",
    [
        page(event(at='"soon"')),
        page(event(at='"2026-11-20T03:00:00"')),
        page(event(at="null")),
        page(event(at="1.5")),
        page(event(at="9" * 30)),
        page(event(at="9" * 5_000)),
        page('{"id":"a"}'),
        page('{"id":"a","attributes":null}'),
        page('{"id":"a","attributes":[]}'),
        page('{"id":"a","attributes":{}}'),
        page("null"),
        page("5"),
        page("[]"),
        b"{}",
        b"[",
        page(event(',"message":NaN')),
        page(event(',"attributes":{"x":NaN}')),
        page(event(',"attributes":' + "[" * 100_000 + "]" * 100_000)),
    ],
)
def test_a_page_with_an_event_that_belongs_nowhere_is_no_page(data: bytes) -> None:
    with pytest.raises(FailedAnswer):
        read_events(data, {})


def test_an_empty_page_has_the_schema() -> None:
    batch, notes = read_events(b"[]", COLUMNS)
    expected = [*output_schema(COLUMNS), pa.field(TICK_COLUMN, pa.int64()), pa.field(ID_COLUMN, pa.string())]
    assert list(batch.schema) == expected
    assert (batch.num_rows, notes) == (0, {})


texts = st.none() | st.text(max_size=8)
attributes = st.none() | st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
plain_events = st.lists(
    st.fixed_dictionaries(
        {
            "attributes": st.fixed_dictionaries(
                {"timestamp": st.sampled_from([AT, "2026-11-20T03:00:00Z", "2026-11-20T05:00:00.5+02:00"])},
                optional={
                    "status": texts,
                    "service": texts,
                    "host": texts,
                    "message": texts,
                    "tags": st.none() | st.lists(st.text(max_size=4), max_size=3),
                    "attributes": attributes,
                },
            )
        },
        optional={"id": texts, "type": st.just("log")},
    ),
    max_size=5,
)


@given(plain_events, st.booleans(), st.sampled_from([None, 1]))
def test_the_plain_and_the_careful_decoder_give_the_same_columns(
    events: list[dict[str, Any]], ascii_only: bool, indent: int | None
) -> None:
    data = json.dumps(events, ensure_ascii=ascii_only, indent=indent).encode().strip()
    plain, notes = read_events(data, COLUMNS)
    assert carefully(data, COLUMNS).to_pylist() == plain.to_pylist()
    assert set(notes) <= {"misfit:code"}


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.one_of(st.characters(), st.characters(categories=["Cs"])), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
names = st.sampled_from(["status", "service", "host", "message", "tags", "attributes", "new", "naïve"])


@given(
    st.lists(
        st.tuples(st.dictionaries(names, anything, max_size=4), st.dictionaries(names, anything, max_size=2))
    )
)
def test_whatever_an_event_holds_can_be_found_again(
    shapes: list[tuple[dict[str, Any], dict[str, Any]]],
) -> None:
    events = [
        {**{name: value for name, value in outer.items() if name != "attributes"},
         "id": str(number), "type": "log", "attributes": {**inner, "timestamp": AT}}
        for number, (inner, outer) in enumerate(shapes)
    ]  # fmt: skip
    rows = read_events(json.dumps(events).encode(), {})[0].to_pylist()
    assert [found["id"] for found in rows] == [str(number) for number in range(len(shapes))]
    for found, (inner, outer) in zip(rows, shapes, strict=True):
        extra = json.loads(found["extra"] or "{}")
        inner_extra = extra.pop("attributes", {})
        for name, value in json.loads(json.dumps(inner)).items():
            column = (
                json.loads(found["attributes"]) if name == "attributes" and found[name] else found.get(name)
            )
            assert value in (inner_extra.get(name), column)
        assert extra == json.loads(json.dumps({n: v for n, v in outer.items() if n != "attributes"}))
