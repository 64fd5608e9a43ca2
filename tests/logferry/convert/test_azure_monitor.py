"""Rows of the query API to record batches: every value exact, whatever form it comes in."""

import json
import math
import random
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.convert.azure_monitor import read_blocks, read_rows
from logferry.convert.instants import read_instants
from logferry.convert.kql_types import output_schema
from logferry.convert.repair import repair_surrogates
from logferry.errors import FailedAnswer
from logferry.fetching.rows import SliceRows
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.window import TICK_PER_SECOND, Window, parse_instant, to_datetime

SPAN = Window(parse_instant("2026-11-20T00:00:00Z"), parse_instant("2026-11-21T00:00:00Z"))
T = "2026-11-20T07:39:09.5776558Z"


def read(
    kind: str, *cells: str, span: Window = SPAN, has_id: bool = True
) -> tuple[list[Any], dict[str, int]]:
    """One column of ``kind``; each cell is JSON text. The column's values, and the notes."""
    schema = output_schema([("value", kind)], has_id=has_id)
    tail = f', "{T}", "id-1"]' if has_id else f', "{T}"]'
    rows = [msgspec.Raw(f"[{cell}{tail}".encode()) for cell in cells]
    batch, notes = read_rows(rows, schema, span)
    return batch.column("value").to_pylist(), notes


def written(tick: int) -> str:
    fraction = tick % TICK_PER_SECOND
    return f"{to_datetime(tick - fraction).replace(tzinfo=None).isoformat()}.{fraction:07d}Z"


def test_every_kql_type_has_its_column_type() -> None:
    kinds = ["string", "guid", "dynamic", "datetime", "long", "int", "real", "bool", "decimal", "timespan"]
    schema = output_schema([(kind, kind) for kind in kinds], has_id=True)
    cells = [
        "s",
        "g",
        '{"a":1}',
        T,
        2**63 - 1,
        2**31 - 1,
        1.5,
        True,
        "79228162514264337593543950335",
        "00:00:00.1",
    ]
    batch, notes = read_rows([msgspec.Raw(json.dumps([*cells, T, "id-1"]).encode())], schema, SPAN)
    assert [str(field.type) for field in batch.schema] == [
        "string", "string", "string", "timestamp[us, tz=UTC]", "int64", "int32", "double", "bool", "string",
        "string", "string", "int64", "int64", "string",
    ]  # fmt: skip
    assert batch.schema.names == [*kinds, "_ItemId", "_ticks", "__tick", "__id"]
    row = batch.to_pylist()[0]
    moment = datetime(2026, 11, 20, 7, 39, 9, 577655, tzinfo=UTC)
    assert list(row.values())[:10] == [*cells[:3], moment, *cells[4:]]
    assert row["_ticks"] == row["__tick"] == parse_instant(T)
    assert row["_ItemId"] == row["__id"] == "id-1"
    assert notes == {}


def test_a_table_without_item_ids_has_null_identities() -> None:
    schema = output_schema([("value", "string")], has_id=False)
    batch, _ = read_rows([msgspec.Raw(f'["x", "{T}"]'.encode())], schema, SPAN)
    assert batch.schema.names == ["value", "_ticks", "__tick", "__id"]
    assert batch.column("__id").to_pylist() == [None]


def test_no_rows_are_a_batch_with_the_same_types() -> None:
    schema = output_schema([("value", "long")], has_id=True)
    empty, _ = read_rows([], schema, SPAN)
    filled, _ = read_rows([msgspec.Raw(f'[1, "{T}", "i"]'.encode())], schema, SPAN)
    assert empty.num_rows == 0
    assert empty.schema == filled.schema


@pytest.mark.parametrize("blocks", [1, 7])
@pytest.mark.parametrize("has_id", [True, False])
def test_rows_in_any_order_are_given_in_order_of_time_and_item(has_id: bool, blocks: int) -> None:
    schema = output_schema([("value", "string"), ("odd", "bool")], has_id=has_id)
    times = [f"2026-11-20T00:00:{number // 2 % 60:02d}.{number // 120:07d}Z" for number in range(5_000)]
    rows = [
        f'["v{number}", {"true" if number % 2 else "null"}, "{time}", "i{number:04d}"]'
        for number, time in enumerate(times)
    ]
    if not has_id:
        rows = [f"{row.rsplit(',', 1)[0]}]" for row in rows]
    mixed = random.Random(7).sample(rows, len(rows))
    raws = [msgspec.Raw(row.encode()) for row in mixed]
    table, _ = read_blocks([raws[at::blocks] for at in range(blocks)], schema, SPAN)
    assert len(table.to_batches()) == blocks
    ticks = table.column(TICK_COLUMN).to_pylist()
    assert ticks == sorted(ticks)
    by_time = sorted(range(5_000), key=lambda number: (times[number], number))
    if has_id:
        assert table.column(ID_COLUMN).to_pylist() == [f"i{number:04d}" for number in by_time]
        assert table.column("value").to_pylist() == [f"v{number}" for number in by_time]
        collected = SliceRows(SPAN, unique_ids=False)
        for batch in table.to_batches():
            collected.add(batch, SPAN)
        assert collected.in_order
    for value, odd, tick in zip(
        *(table.column(name).to_pylist() for name in ("value", "odd", TICK_COLUMN)), strict=True
    ):
        number = int(value[1:])
        assert (odd, tick) == (True if number % 2 else None, parse_instant(times[number]))


def test_many_blocks_of_rows_become_one_batch_in_the_order_received() -> None:
    schema = output_schema([("value", "long")], has_id=True)
    rows = [msgspec.Raw(f'[{n}, "{T}", "{n}"]'.encode()) for n in range(5000)]
    rows[3000] = msgspec.Raw(f'["3000", "{T}", "3000"]'.encode())
    batch, _ = read_rows(rows, schema, SPAN)
    assert batch.column("value").to_pylist() == list(range(5000))


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("long", "9223372036854775807", 2**63 - 1),
        ("long", "-9223372036854775808", -(2**63)),
        ("long", '"9007199254740993"', 2**53 + 1),
        ("long", "5.0", 5),
        ("long", "null", None),
        ("int", "-2147483648", -(2**31)),
        ("real", '"Infinity"', math.inf),
        ("real", '"-Infinity"', -math.inf),
        ("real", "0.1", 0.1),
        ("real", "3", 3.0),
        ("real", '"2.5"', 2.5),
        ("real", "null", None),
        ("bool", "false", False),
        ("bool", "1", True),
        ("bool", '"False"', False),
        ("decimal", '"79228162514264337593543950335"', "79228162514264337593543950335"),
        ("decimal", "0.10000000000000000000000000001", "0.10000000000000000000000000001"),
        ("decimal", "null", None),
        ("dynamic", r'"{\"a\": 123}"', '{"a": 123}'),
        ("dynamic", '"boundedElastic-1"', "boundedElastic-1"),
        ("dynamic", '{"a": 1.10, "b": [1,  2]}', '{"a": 1.10, "b": [1,  2]}'),
        ("dynamic", "[9007199254740993]", "[9007199254740993]"),
        ("dynamic", "12.50", "12.50"),
        ("dynamic", "null", None),
        ("timespan", '"-1.02:03:04.0000001"', "-1.02:03:04.0000001"),
        ("string", '""', ""),
        ("string", '"line\\nline \\u00e9\\ud83d\\ude00"', "line\nline é😀"),
        ("string", "12", "12"),
        ("string", "true", "true"),
        ("vector", "[1, 2.50]", "[1, 2.50]"),
    ],
)  # fmt: skip
def test_a_value_survives_in_whatever_form_it_comes(kind: str, cell: str, value: Any) -> None:
    assert read(kind, cell) == ([value], {})


def test_not_a_number_is_a_value_and_not_a_null() -> None:
    values, _ = read("real", '"NaN"', "null")
    assert math.isnan(values[0])
    assert values[1] is None


@pytest.mark.parametrize(
    ("kind", "cell", "what"),
    [
        ("long", '"many"', "text"),
        ("long", "9223372036854775808", "a number"),
        ("long", "1.5", "a number"),
        ("long", "1e999999999", "a number"),
        ("long", "true", "a bool"),
        ("int", "2147483648", "a number"),
        ("real", "1e999", "a number"),
        ("real", "[1]", "a list"),
        ("bool", "2", "a number"),
        ("datetime", '"yesterday"', "text"),
        ("datetime", "20261120", "a number"),
        ("datetime", '{"a": 1}', "an object"),
    ],
)
def test_a_value_that_contradicts_its_declared_type_is_refused_by_name_without_quoting_it(
    kind: str, cell: str, what: str
) -> None:
    with pytest.raises(FailedAnswer, match=f"sent {what} in the column 'value' that is no {kind}") as caught:
        read(kind, cell)
    assert "many" not in str(caught.value)


@pytest.mark.parametrize("row", [f'["x", "{T}"]', f'["x", "y", "{T}", "i"]', '{"value": "x"}', "7"])
def test_a_row_of_another_shape_is_refused(row: Any) -> None:
    schema = output_schema([("value", "string")], has_id=True)
    with pytest.raises(FailedAnswer, match=r"row of \d values for 3 columns|rows are not lists"):
        read_rows([msgspec.Raw(row.encode())], schema, SPAN)


@pytest.mark.parametrize("time", ["null", '"2026-11-21T00:00:00Z"', '"2026-11-19T23:59:59.9999999Z"'])
def test_a_row_without_a_time_in_the_range_asked_for_makes_the_answer_wrong(time: str) -> None:
    schema = output_schema([("value", "string")], has_id=True)
    rows = [msgspec.Raw(f'["x", "{T}", "i"]'.encode()), msgspec.Raw(f'["x", {time}, "i"]'.encode())]
    with pytest.raises(FailedAnswer, match=r"without a time|outside the range"):
        read_rows(rows, schema, SPAN)


def test_the_edges_of_the_range_are_half_open_to_the_tick() -> None:
    tick = Window(parse_instant(T), parse_instant(T) + 1)
    assert read("string", '"x"', span=tick)[0] == ["x"]


def test_bytes_that_are_no_text_are_replaced_and_counted() -> None:
    schema = output_schema([("value", "string")], has_id=True)
    batch, notes = read_rows([msgspec.Raw(b'["a\xed\xa0\x80b", "' + T.encode() + b'", "i"]')], schema, SPAN)
    assert batch.column("value").to_pylist() == ["a\ufffd\ufffd\ufffdb"]
    assert notes == {"invalid_text": 1}


def test_only_the_halves_of_surrogate_pairs_are_replaced() -> None:
    document = rb'["\ud800", "\ud83d\ude00", "\\ud800", "\\\udc00x", "\udc00\ud83d\ude00\ud800"]'
    repaired, halves = repair_surrogates(document)
    assert json.loads(repaired) == ["\ufffd", "😀", "\\ud800", "\\\ufffdx", "\ufffd😀\ufffd"]
    assert halves == 4
    assert len(repaired) == len(document)


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "micros"),
        [
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
            ("9999-12-31T23:59:59.9999999Z", 253_402_300_799_999_999),
            ("1969-12-31T23:59:59.9999999Z", -1),
            ("1970-01-01T00:00:00.1Z", 100_000),
            ("2024-02-29T00:00:00.12345Z", 1_709_164_800_123_450),
        ],
    )
    def test_zero_to_seven_decimals_from_year_1_to_9999(self, text: str, micros: int) -> None:
        times, ticks = read_instants([text])
        assert times.cast(pa.int64()).to_pylist() == [micros]
        assert ticks.to_pylist() == [parse_instant(text)]

    @given(st.lists(st.integers(-62_135_596_800 * TICK_PER_SECOND, 253_402_300_800 * TICK_PER_SECOND - 1)))
    def test_every_tick_survives_the_way_through_text(self, wanted: list[int]) -> None:
        times, ticks = read_instants([written(tick) for tick in wanted])
        assert ticks.to_pylist() == wanted
        assert times.cast(pa.int64()).to_pylist() == [tick // 10 for tick in wanted]

    def test_nulls_stay_and_other_forms_are_read_one_by_one(self) -> None:
        _, ticks = read_instants(
            [None, "2026-11-20T01:00:00+01:00", "2026-11-20T00:00:00", "2026-11-20T00:00:00Z"]
        )
        assert ticks.to_pylist() == [None, SPAN.start, SPAN.start, SPAN.start]

    @pytest.mark.parametrize(
        "text", ["2026-02-30T00:00:00Z", "2026-11-20T24:00:00Z", "", "2026-11-20T00:00:00.12345678Z"]
    )
    def test_a_text_that_is_no_time_is_a_value_error(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            read_instants([text])
