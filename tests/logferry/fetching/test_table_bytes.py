"""The size of a table: what its own rows take, however much memory they share with others."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from logferry.fetching.spool import Spool
from logferry.fetching.table_bytes import table_bytes

ROWS = 1_000
COLUMNS = {
    "id": [f"AwAAA{number:08d}" for number in range(ROWS)],
    "time": pa.array(range(ROWS), pa.timestamp("us", tz="UTC")),
    "flag": [True, False] * (ROWS // 2),
    "tags": pa.array([["env:prod", "team:web"]] * ROWS, pa.list_(pa.string())),
    "message": ["user could not be found in the directory of the company " * 5] * ROWS,
    "extra": pa.nulls(ROWS, pa.string()),
}


@pytest.mark.parametrize("first", COLUMNS)
def test_a_part_of_an_answer_takes_its_share(first: str) -> None:
    answer = pa.table({first: COLUMNS[first], **COLUMNS})
    whole = table_bytes(answer)
    assert whole == pytest.approx(answer.nbytes, rel=0.02)
    parts = [answer.slice(at, 125) for at in range(0, ROWS, 125)]
    assert sum(map(table_bytes, parts)) == pytest.approx(whole, rel=0.02)
    assert table_bytes(pa.concat_tables(parts[1:3])) == pytest.approx(whole / 4, rel=0.02)


def test_a_large_row_among_small_ones_is_not_shared_out() -> None:
    message = ["x"] * ROWS
    message[500] = "y" * 5_000_000
    answer = pa.table({"time": pa.array(range(ROWS), pa.int64()), "message": message})
    assert table_bytes(answer.slice(499, 2)) > 5_000_000
    assert table_bytes(answer.slice(0, 500)) < 20_000


def test_a_row_that_is_alone_is_never_taken_for_a_share() -> None:
    row = pa.table({"time": pa.array([1], pa.int64()), "message": ["x" * 1_000_000]})
    assert table_bytes(row) >= 1_000_000


def test_what_comes_back_from_the_disk_is_as_large_as_before(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    table = pa.table({"time": pa.array([1, 2], pa.int64()), "message": ["x" * 1_000_000] * 2})
    back = spool.read(spool.append(table.slice(1)))
    assert table_bytes(back) == pytest.approx(1_000_000, rel=0.01)
    spool.close()


def test_a_table_without_rows_takes_nothing() -> None:
    assert table_bytes(pa.table(COLUMNS).slice(0, 0)) == 0
    assert table_bytes(pa.table(COLUMNS).schema.empty_table()) == 0
