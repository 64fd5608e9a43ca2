"""Blocks of rows by their columns' types: repeated texts are no different from others."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry.convert import azure_monitor
from logferry.convert.kql_cells import read_cell
from logferry.convert.kql_rows import RowDecoder
from logferry.convert.kql_types import output_schema
from logferry.errors import FailedAnswer
from logferry.window import Window, parse_instant

T = "2026-11-20T07:39:09.5776558Z"
SPAN = Window(parse_instant("2026-11-20T00:00:00Z"), parse_instant("2026-11-21T00:00:00Z"))

few = st.sampled_from([None, "", "prod", "é😀", 'quote " \\ \u2028'])
many = st.integers(0, 10**6).map(str)
rows = st.lists(st.tuples(few, many, st.none() | st.integers(-5, 5), few | many), min_size=1, max_size=90)


@given(st.lists(rows, min_size=1, max_size=8), st.booleans())
def test_what_repeats_and_what_is_new_come_out_as_they_came(
    blocks: list[list[tuple[Any, ...]]], ascii_only: bool
) -> None:
    decoder = RowDecoder(["string", "dynamic", "long", "string"])
    for block in [blocks[0] * 64, *blocks]:
        found = decoder.columns(json.dumps(block, ensure_ascii=ascii_only).encode())
        assert [tuple(column) for column in found] == list(zip(*block, strict=True))


@pytest.mark.parametrize("cell", ["5", '"late"', "[1]", '"\\ud800"'])
def test_a_repeating_column_refuses_what_the_plain_type_refuses_and_takes_what_it_takes(cell: str) -> None:
    decoder = RowDecoder(["string"])
    decoder.columns(b"[" + b",".join([b'["prod"]'] * 100) + b"]")
    row = b"[[" + cell.encode() + b"]]"
    if cell == '"late"':
        assert [list(column) for column in decoder.columns(row)] == [["late"]]
    else:
        with pytest.raises(msgspec.DecodeError):
            decoder.columns(row)


def test_an_odd_cell_costs_its_own_row_only(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = 0

    def counted(raw: bytes, kind: str) -> tuple[Any, int]:
        nonlocal cells
        cells += 1
        return read_cell(raw, kind)

    monkeypatch.setattr(azure_monitor, "read_cell", counted)
    schema = output_schema([("value", "long")], has_id=True)
    raws = [msgspec.Raw(f'[{n}, "{T}", "{n}"]'.encode()) for n in range(5_000)]
    raws[3_000] = msgspec.Raw(f'["3000", "{T}", "3000"]'.encode())
    batch, _ = azure_monitor.read_rows(raws, schema, SPAN)
    assert batch.column("value").to_pylist() == list(range(5_000))
    assert cells == 3


odd_cells = st.sampled_from(['"7"', "7", "7.0", '"7.0"', "null"])


@given(st.lists(odd_cells, max_size=40))
def test_odd_cells_anywhere_give_the_values_of_their_column(cells: list[str]) -> None:
    schema = output_schema([("value", "long")], has_id=False)
    raws = [msgspec.Raw(f'[{cell}, "{T}"]'.encode()) for cell in cells]
    batch, notes = azure_monitor.read_rows(raws, schema, SPAN)
    assert batch.column("value").to_pylist() == [None if cell == "null" else 7 for cell in cells]
    assert notes == {}


@pytest.mark.parametrize("kind", ["dynamic", "long", "datetime"])
def test_nesting_without_end_is_one_failed_answer(kind: str) -> None:
    schema = output_schema([("value", kind)], has_id=False)
    deep = msgspec.Raw(b"[" + b"[" * 100_000 + b"]" * 100_000 + f', "{T}"]'.encode())
    with pytest.raises(FailedAnswer):
        azure_monitor.read_rows([deep], schema, SPAN)
