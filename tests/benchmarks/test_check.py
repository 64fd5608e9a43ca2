"""The reader of results, on real Parquet files: it finds the lost row, the doubled one, and the file that is none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.check import data_files, read_output


def write(path: Path, columns: dict[str, list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_rows_and_distinct_ids_are_counted_over_all_files(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": ["x", "y"], "timestamp": [1, 2]})
    write(tmp_path / "dt=1" / "b.parquet", {"id": ["y", "z"], "timestamp": [2, 3]})
    found = read_output("datadog", tmp_path)
    assert (found["rows"], found["ids"], found["files"]) == (4, 3, 2)
    assert found["bytes"] == sum(path.stat().st_size for path in tmp_path.rglob("*.parquet"))


def test_datadog_ids_are_digested_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": ["a", "b", "c"], "timestamp": [3, 1, 1]})
    assert read_output("datadog", tmp_path)["ids_sha256"] == hashlib.sha256(b"b\nc\na").hexdigest()


def test_azure_ids_are_digested_in_their_own_order(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"_ItemId": ["c", "a"], "Id": ["1", "2"]})
    assert read_output("azure", tmp_path)["ids_sha256"] == hashlib.sha256(b"a\nc\n").hexdigest()


def test_a_row_without_id_is_counted_as_a_row_only(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": ["a", None], "timestamp": [1, 2]})
    found = read_output("datadog", tmp_path)
    assert (found["rows"], found["ids"]) == (2, 1)


def test_no_file_is_no_row_rather_than_an_error(tmp_path: Path) -> None:
    found = read_output("azure", tmp_path)
    assert (found["rows"], found["files"]) == (0, 0)
    assert found["ids_sha256"] == hashlib.sha256().hexdigest()


def test_bookkeeping_is_not_part_of_the_result(tmp_path: Path) -> None:
    write(tmp_path / "lake" / "events" / "a.parquet", {"id": ["a"], "timestamp": [1]})
    write(tmp_path / "lake" / "_loads" / "b.parquet", {"load": ["1"]})
    assert [path.name for path in data_files(tmp_path)] == ["a.parquet"]


def test_a_result_without_ids_cannot_be_checked(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"message": ["a"]})
    with pytest.raises(ValueError, match="none of the columns"):
        read_output("datadog", tmp_path)


def test_files_in_which_time_goes_back_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"_ItemId": ["a", "b", "c"], "TimeGenerated": [1, 1, 2]})
    write(tmp_path / "b.parquet", {"_ItemId": ["d", "e"], "TimeGenerated": [2, 1]})
    found = read_output("azure", tmp_path)
    assert (found["unordered"], found["columns"]) == (1, ["_ItemId", "TimeGenerated"])
