"""Rows by Arrow's parser of CSV: what the careful way reads of each cell, or a refusal."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logferry.convert import azure_monitor, kql_csv
from logferry.convert.cheaper import Cheaper
from logferry.convert.kql_cells import read_cell
from logferry.convert.kql_csv import CsvRows, Unusual
from logferry.convert.kql_rows import RowDecoder
from logferry.convert.kql_types import output_schema
from logferry.errors import FailedAnswer
from logferry.window import Window, parse_instant

T = "2026-11-20T07:39:09.5776558Z"
SPAN = Window(parse_instant("2026-11-20T00:00:00Z"), parse_instant("2026-11-21T00:00:00Z"))
KINDS = ["string", "long", "real", "bool", "dynamic", "int"]

LONG = "some words of a long message " * 8

texts = st.text(st.sampled_from(list('a,[]{}"\\/ \n\t\r\b\f\x01\x02\0é支😀:0x1nulltrue')), max_size=12)
NASTY = (

        "null", "true", "false", "0", "-0", "-0.0", "7", "7.0", "1e3", "1e400", "-1e400", "1e-400", "0.1", "2.5E-3",
        "9223372036854775807", "9223372036854775808", "2147483648", "-2147483648", "123456789012345678901234567890",
        '"null"', '"true"', '"NaN"', '"nan"', '"Infinity"', '"-Infinity"', '"inf"', '"+1"', '".5"', '"5."', '"0x10"',
        '" 0x10"', '"\\t0x10"', '"\\u0030x10"', '"0\\u007810"', '"\\u0020\\u00090\\u00581F"',
        '"1_0"', '" 12 "', '"\\t12"', '"12\\n"', '" true"', '"-nan"', '"1"', '"007"', '""', '" "', '" a "',
        '"\\u0022,\\u005c"', '"\\u0001"', '"\\u0002"', '"\\ud83d\\ude00"', '"\\\\n"', '"\\\\\\n"', '"\\\\"', '"\\""',
        "[]", "{}", "[1]", "[1,2]", '{"a":1,"b":[2]}', '["a,"]', '[ "a" , 1]', '{"a": "b\\"c,"}', '"],["', '",["',
        '", \\"x\\", 12, "', '"a , b"', '"{\\"a\\":[{\\"b\\":1},{\\"c\\":\\"\\\\n\\"}]}"', '"a\\/b"',
)  # fmt: skip
nasty = st.sampled_from(NASTY)
encoded = st.builds(lambda text, plain: json.dumps(text, ensure_ascii=plain), texts, st.booleans())
gaps = st.sampled_from([""] * 12 + [" ", "  ", "\n", "\t", "\r"])
cell = st.one_of(nasty, encoded, st.just("null"))


@st.composite
def row(draw: st.DrawFn, count: int = len(KINDS)) -> bytes:
    cells = draw(st.lists(cell, min_size=max(0, count - 1), max_size=count + 1))
    between = [f"{draw(gaps)}{one}{draw(gaps)}" for one in cells]
    return f"[{','.join(between)}]".encode()


def bits(value: Any) -> Any:
    """Values as they are stored: a zero's sign counts, and NaN equals NaN."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else struct.pack("<d", value)
    return (type(value).__name__, value)


def carefully(rows: Sequence[bytes], kinds: Sequence[str]) -> list[list[Any]]:
    """By today's types, row by row, and cell by cell what these refuse. Raises ValueError."""
    decoder = RowDecoder(kinds)
    columns: list[list[Any]] = [[] for _ in kinds]
    for one in rows:
        cells = msgspec.json.decode(one, type=list[msgspec.Raw])
        if len(cells) != len(kinds):
            raise ValueError("cells")
        try:
            values: Any = [column[0] for column in decoder.columns(b"[" + one + b"]")]
            reals = [value for kind, value in zip(kinds, values, strict=True) if kind == "real"]
            if any(isinstance(value, str) or value == 0 for value in reals):
                raise ValueError("text, or a zero that may have a sign")
            if any(
                kind == "int" and v not in range(-(2**31), 2**31)
                for kind, v in zip(kinds, values, strict=True)
                if v is not None
            ):
                raise ValueError("range")
        except (msgspec.DecodeError, ValueError):
            values = [read_cell(bytes(raw), kind)[0] for raw, kind in zip(cells, kinds, strict=True)]
        for column, kind, value in zip(columns, kinds, values, strict=True):
            column.append(float(value) if kind == "real" and value is not None else value)
    return columns


def agree(rows: Sequence[bytes], kinds: Sequence[str]) -> bool:
    """Whether CSV read the rows; fails where it read anything else than the careful way, or what that refuses."""
    try:
        found = CsvRows(kinds).columns([msgspec.Raw(one) for one in rows])
    except ValueError:
        return False
    try:
        wanted = carefully(rows, kinds)
    except ValueError as error:
        raise AssertionError(f"read what is refused: {rows!r}") from error
    for array, values in zip(found, wanted, strict=True):
        assert [bits(v) for v in array.to_pylist()] == [bits(v) for v in values], rows
    return True


@given(st.lists(row(), min_size=1, max_size=4))
@example([b'["a",[1,2],null,true,"b"]'])
@example([b'[["a,"],1,1,true,"],["]'])
@example([b'["a" ,1,1,true,"b",1]'])
@example([b'["a",1,1,true,"b",1]', b'[ "a,",1,1,true,"b",1]'])
@example([b'["a",1,1,true,null,1,\n"b",2,2,false,null]'])
@example([b'{"a":1}', b'["a",1,1,true,"b",1]'])
@example([b'[{"a":"x\\"y"},1,1,true,"b",1]'])
@example([b'[12 ,1,1,true,"b",1]'])
@example([b'["a","0x10",1,true,"b","0X1f"]'])
@example([b'["a","\\u0030x10",1,true,"b","\\t0\\u007810"]'])
@example([b'["a","\\u00200\\u0058F",1,true,"b",7]'])
@example([b'["\\u0001\\\\n",1,1,true,"\\u0002\\n",1]'])
def test_any_rows_are_read_as_the_careful_way_reads_them_or_refused(rows: list[bytes]) -> None:
    agree(rows, KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("one", NASTY)
def test_each_nasty_cell_is_read_as_the_careful_way_reads_it_or_refused(one: str, kind: str) -> None:
    agree([f"[{one}]".encode()], [kind])
    agree([b"[null]", f"[{one}]".encode()], [kind])


@given(st.sampled_from(KINDS), st.lists(cell, min_size=1, max_size=6), gaps, gaps)
def test_any_single_column_is_read_as_the_careful_way_reads_it_or_refused(
    kind: str, cells: list[str], before: str, behind: str
) -> None:
    agree([f"[{before}{one}{behind}]".encode() for one in cells], [kind])


@given(st.lists(st.lists(texts, min_size=2, max_size=2), min_size=1, max_size=6), st.booleans())
def test_plain_texts_are_read_whatever_is_in_them(rows: list[list[str]], ascii_only: bool) -> None:
    raws = [json.dumps(one, ensure_ascii=ascii_only, separators=(",", ":")).encode() for one in rows]
    marked = ascii_only and any(mark in text for one in rows for text in one for mark in "\0\x01\x02")
    assert agree(raws, ["string", "dynamic"]) or marked or any("\\u000" in raw.decode() for raw in raws)


ORDINARY = [
    '["a\\nb\\tc\\r\\"quoted\\", and \\\\n \\/ ",1,2.5,true,"{\\"a\\":[{\\"b\\":1},{\\"c\\":2}]}",7]',
    '[" é, [x], {y}, 12, \\u0027\\ud83d\\ude00",-5,"NaN",false,"[[1],[2]]",null]',
    '["null",null,null,null,null,-2147483648]',
    '["",0,-1e-7,true,"",0]',
    '["0x80070005",0,"-Infinity",true,"0x1",0]',
]


@pytest.mark.parametrize("one", ORDINARY)
def test_ordinary_rows_are_read_and_not_refused(one: str) -> None:
    kinds = ["string", "long", "real", "bool", "dynamic", "int"]
    assert agree([one.encode()] * 3, kinds)
    assert agree([ORDINARY[3].encode(), one.encode(), ORDINARY[3].encode()], kinds)


@pytest.mark.parametrize(
    "one",
    [
        "[]",
        "[ ]",
        "7",
        '"x"',
        "{}",
        "[[]]",
        '["\xff"]',
        '[{"a":1}]',
        '["a","b"]',
        '["a"\n]',
        "[ null]",
    ],
)
def test_rows_of_another_shape_are_refused(one: str) -> None:
    with pytest.raises((Unusual, pa.ArrowInvalid)):
        CsvRows(["string"]).columns([msgspec.Raw(one.encode("latin-1"))])


def test_escapes_are_spelt_out_in_far_parts_of_a_block_and_nowhere_else() -> None:
    rows = [json.dumps([f'{n} \\ " ' + "x" * 900], separators=(",", ":")).encode() for n in range(2400)]
    for at in (0, 1, 1199, 1200, 2399):
        rows[at] = json.dumps([f"{at}\n\t\\t\u0001é"], separators=(",", ":")).encode()
    assert not agree(rows, ["string"]), "a control character that stands for something else is refused"
    rows = [one.replace(b"\\u0001", b"\\u0007") for one in rows]
    assert agree(rows, ["string"])


def test_only_rows_with_escapes_and_those_near_them_are_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(text: bytes) -> bytes:
        seen.append(len(text))
        return in_plain(text)

    in_plain = kql_csv._in_plain
    monkeypatch.setattr(kql_csv, "_in_plain", counted)
    rows = [json.dumps([f"{n}" + "x" * 900], separators=(",", ":")).encode() for n in range(2400)]
    for at in range(0, 2400, 8):
        rows[at] = rows[at].replace(b"x", rb"\n", 1)
    assert agree(rows, ["string"])
    assert len(seen) == 300
    assert sum(seen) < 300 * 1_000
    seen.clear()
    # One row between two is gone through as well: that costs less than to begin anew.
    rows[2] = rows[2].replace(b"x", rb"\t", 1)
    assert agree(rows, ["string"])
    assert len(seen) == 300


def test_rows_of_which_most_have_escapes_are_left_to_who_reads_those_faster() -> None:
    rows = [json.dumps([f"{n}\n" + "x" * 900], separators=(",", ":")).encode() for n in range(600)]
    with pytest.raises(Unusual):
        CsvRows(["string"]).columns([msgspec.Raw(one) for one in rows])
    assert agree(rows[:100], ["string"])


def test_a_cell_longer_than_a_block_is_read() -> None:
    long = 'x," ' * 600_000
    assert agree([json.dumps([long, 1], separators=(",", ":")).encode(), b'["",2]'], ["string", "long"])


class _Refused:
    """Counts the blocks that CSV is tried with and those that it refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tried = self.refused = 0
        own = CsvRows.columns

        def counted(rows: CsvRows, block: Sequence[msgspec.Raw]) -> Any:
            self.tried += 1
            try:
                return own(rows, block)
            except ValueError:
                self.refused += 1
                raise

        monkeypatch.setattr(kql_csv.CsvRows, "columns", counted)


def _answer(cells: Sequence[str]) -> list[Any]:
    schema = output_schema([("value", "string")], has_id=True)
    raws = [msgspec.Raw(f'[{one},"{T}","{n}"]'.encode()) for n, one in enumerate(cells)]
    batch, _ = azure_monitor.read_rows(raws, schema, SPAN)
    assert batch.column("_ItemId").to_pylist() == [str(n) for n in range(len(cells))]
    return batch.column("value").to_pylist()


class _OneWay(Cheaper):
    """Always chooses the same way."""

    def __init__(self, way: int) -> None:
        super().__init__()
        self.way = way

    def choose(self) -> tuple[int, bool]:
        return self.way, False


@pytest.fixture
def by_csv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_monitor, "_ways", lambda _: _OneWay(1))


@pytest.mark.usefixtures("by_csv")
def test_an_ordinary_answer_goes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_monitor, "BLOCK_BYTES", 150_000)
    monkeypatch.setattr(azure_monitor, "_LEAST_CSV_BYTES", 5_000)
    seen = _Refused(monkeypatch)
    one, read = f'"line of \\"it\\", [é] {LONG}"', f'line of "it", [é] {LONG}'
    assert _answer([one, "null"] * 500) == [read, None] * 500
    assert seen.tried > 1
    assert seen.refused == 0


@pytest.mark.usefixtures("by_csv")
def test_a_small_answer_does_not_load_the_parser_that_saves_little_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(azure_monitor, "CsvRows", lambda kinds: made.append(kinds) or CsvRows(kinds))
    assert _answer([f'"{LONG}"'] * 400) == [LONG] * 400
    assert made == []
    assert _answer([f'"{LONG}"'] * 500) == [LONG] * 500
    assert len(made) == 1


@pytest.mark.usefixtures("by_csv")
def test_rows_of_which_a_sample_says_little_are_still_read_a_few_megabytes_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    own = CsvRows.columns

    def measured(rows: CsvRows, block: Sequence[msgspec.Raw]) -> Any:
        sizes.append(sum(map(len, block)))
        return own(rows, block)

    monkeypatch.setattr(CsvRows, "columns", measured)
    texts = ["" if n % 4 == 0 else LONG * 200 for n in range(300)]
    texts[101] = LONG * 40_000
    assert _answer([f'"{text}"' for text in texts]) == texts
    assert len(sizes) > 1
    assert max(sizes) <= 2 * azure_monitor.BLOCK_BYTES


class _Costs:
    """A clock of which a byte takes more time by CSV, or by types."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, by_type: int, by_csv: int) -> None:
        self.now = 0
        self.read = {"csv": 0, "type": 0}
        for name, cost, key in [("_by_csv", by_csv, "csv"), ("_by_type_in_turn", by_type, "type")]:
            monkeypatch.setattr(azure_monitor._Reader, name, self.counted(name, cost, key))
        monkeypatch.setattr(azure_monitor.time, "thread_time", lambda: self.now)
        monkeypatch.setattr(azure_monitor, "_ways", lru_cache(azure_monitor._ways.__wrapped__))

    def counted(self, name: str, cost: int, key: str) -> Callable[..., None]:
        own = getattr(azure_monitor._Reader, name)

        def read(reader: Any, *arguments: Any) -> None:
            size = sum(map(len, arguments[-1]))
            self.now += cost * size
            self.read[key] += size
            own(reader, *arguments)

        return read


@pytest.mark.parametrize(("by_type", "by_csv", "way"), [(2, 3, "type"), (3, 2, "csv")])
def test_the_way_that_takes_less_is_gone_after_a_trial_of_both(
    monkeypatch: pytest.MonkeyPatch, by_type: int, by_csv: int, way: str
) -> None:
    costs = _Costs(monkeypatch, by_type=by_type, by_csv=by_csv)
    cells = [f'"{n} {LONG}"' for n in range(1_000)]
    for _ in range(20):
        assert _answer(cells) == [json.loads(one) for one in cells]
    other = "csv" if way == "type" else "type"
    assert costs.read[way] > 8 * costs.read[other] > 0


def test_rows_that_csv_refuses_throughout_are_soon_not_tried_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_monitor, "BLOCK_BYTES", 10_000)
    monkeypatch.setattr(azure_monitor, "_LEAST_CSV_BYTES", 5_000)
    # What is refused is read by types then, in time that counts for CSV.
    _Costs(monkeypatch, by_type=1, by_csv=1)
    seen = _Refused(monkeypatch)
    assert _answer(["[1,2]"] * 6_000) == ["[1,2]"] * 6_000
    assert 0 < seen.tried == seen.refused <= 2 * 9


@pytest.mark.parametrize("zero", ["-0", "-0.0", "-0e1", '"-0"', "-0 ", "0", "0.0", "null"])
@pytest.mark.parametrize("way", [0, 1])
def test_a_zero_keeps_its_sign_whatever_way_it_goes(
    monkeypatch: pytest.MonkeyPatch, way: int, zero: str
) -> None:
    monkeypatch.setattr(azure_monitor, "_ways", lambda _: _OneWay(way))
    monkeypatch.setattr(azure_monitor, "_LEAST_CSV_BYTES", 1)
    schema = output_schema([("value", "real"), ("text", "string")], has_id=True)
    raws = [msgspec.Raw(f'[{one},"-0,","{T}","i"]'.encode()) for one in ["0", zero, "1.5", "0.0"]]
    batch, _ = azure_monitor.read_rows(raws, schema, SPAN)
    wanted = None if zero == "null" else "-0.0" if "-" in zero else "0.0"
    found = [None if value is None else str(value) for value in batch.column("value").to_pylist()]
    assert found == ["0.0", wanted, "1.5", "0.0"]


@pytest.mark.usefixtures("by_csv")
def test_one_odd_row_sends_its_own_piece_the_slower_way_only(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = _Refused(monkeypatch)
    cells = [f'"{LONG}"'] * 1_000
    cells[700] = "[1,2]"
    assert _answer(cells)[699:702] == [LONG, "[1,2]", LONG]
    assert (seen.tried, seen.refused) == (9, 2)


def test_a_wrong_row_after_right_ones_is_told_by_its_column() -> None:
    schema = output_schema([("value", "long")], has_id=True)
    raws = [msgspec.Raw(f'[1,"{T}","i"]'.encode())] * 500 + [msgspec.Raw(f'["0x10","{T}","i"]'.encode())]
    with pytest.raises(FailedAnswer, match="sent text in the column 'value' that is no long"):
        azure_monitor.read_rows(raws, schema, SPAN)
