"""The reader of results, on real Parquet files: it finds the lost row, the doubled one, and the file that is none."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.check import data_files, read_output
from benchmarks.contents import PLACES, ROWS

TIMES = ("timestamp", "TimeGenerated")


def write(path: Path, columns: dict[str, list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        name: pa.array(values, pa.timestamp("us", "UTC") if name in TIMES else None)
        for name, values in columns.items()
    }
    pq.write_table(pa.table(arrays), path)


def read(api: str, folder: Path, *, is_product: bool = False) -> dict[str, Any]:
    """Without a truth about contents, which has tests of its own."""
    truth = folder / "_truth"
    truth.mkdir()
    pq.write_table(pa.table({"place": pa.array([], pa.int32())}), truth / PLACES)
    kinds = {"id": pa.uint64(), "time_us": pa.int64(), "ticks": pa.int64(), "place": pa.int32()}
    pq.write_table(pa.schema(kinds).empty_table(), truth / ROWS)
    return read_output(api, folder, truth, is_product=is_product)


def test_rows_and_distinct_ids_are_counted_over_all_files(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": ["x", "y"], "timestamp": [1, 2]})
    write(tmp_path / "dt=1" / "b.parquet", {"id": ["y", "z"], "timestamp": [2, 3]})
    found = read("datadog", tmp_path)
    assert (found["rows"], found["ids"], found["files"]) == (4, 3, 2)
    assert found["bytes"] == sum(path.stat().st_size for path in data_files(tmp_path))


def test_datadog_ids_are_digested_in_the_order_of_time(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": ["a", "b", "c"], "timestamp": [3, 1, 1]})
    assert read("datadog", tmp_path)["ids_sha256"] == hashlib.sha256(b"b\nc\na").hexdigest()


def test_azure_ids_are_digested_in_their_own_order(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"_ItemId": ["c", "a"], "Id": ["1", "2"], "TimeGenerated": [1, 2]})
    assert read("azure", tmp_path)["ids_sha256"] == hashlib.sha256(b"a\nc\n").hexdigest()


def test_a_row_without_id_is_counted_as_a_row_only(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"id": ["a", None], "timestamp": [1, 2]})
    found = read("datadog", tmp_path)
    assert (found["rows"], found["ids"]) == (2, 1)


def test_no_file_is_no_row_rather_than_an_error(tmp_path: Path) -> None:
    found = read("azure", tmp_path)
    assert (found["rows"], found["files"]) == (0, 0)
    assert found["ids_sha256"] == hashlib.sha256().hexdigest()


def test_bookkeeping_is_not_part_of_the_result(tmp_path: Path) -> None:
    write(tmp_path / "lake" / "events" / "a.parquet", {"id": ["a"], "timestamp": [1]})
    write(tmp_path / "lake" / "_loads" / "b.parquet", {"load": ["1"]})
    assert [path.name for path in data_files(tmp_path)] == ["a.parquet"]


def test_a_result_without_ids_cannot_be_checked(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"message": ["a"]})
    with pytest.raises(ValueError, match="none of the columns"):
        read("datadog", tmp_path)


def test_files_in_which_time_goes_back_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"_ItemId": ["a", "b", "c"], "TimeGenerated": [1, 1, 2]})
    write(tmp_path / "b.parquet", {"_ItemId": ["d", "e"], "TimeGenerated": [2, 1]})
    found = read("azure", tmp_path)
    assert found["unordered"] == 1
