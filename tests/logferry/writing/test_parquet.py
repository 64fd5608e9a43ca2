"""Slice files: groups of bounded size, a typed file even without rows, and no file after an error."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logferry.errors import StoreError
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.writing.encoder import Encoder
from logferry.writing.parquet import (
    GROUP_BYTES,
    GROUP_ROWS,
    ROW_HASH_KEY,
    FileFacts,
    GroupFile,
    SliceFile,
    joined,
)

SCHEMA = pa.schema([("value", pa.string()), ("tags", pa.list_(pa.string()))])


def rows(values: list[str | None], first_tick: int = 0) -> pa.Table:
    count = len(values)
    return pa.table(
        {
            "value": pa.array(values, pa.string()),
            "tags": pa.array([["a"]] * count, pa.list_(pa.string())),
            TICK_COLUMN: pa.array(range(first_tick, first_tick + count), pa.int64()),
            ID_COLUMN: pa.nulls(count, pa.string()),
        }
    )


def written(path: Path, *tables: pa.Table, **options: Any) -> FileFacts:
    with Encoder() as encoder, SliceFile(path, SCHEMA, encoder=encoder, **options) as file:
        for table in tables:
            file.write(table)
        return file.close().result()


def test_an_empty_slice_is_a_typed_file_without_rows(tmp_path: Path) -> None:
    facts = written(tmp_path / "part", rows([]))
    table = pq.read_table(tmp_path / "part")
    assert table.schema.equals(SCHEMA)
    assert (facts.rows, facts.first_tick, facts.last_tick) == (0, None, None)


def test_the_facts_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "part"
    facts = written(path, rows(["a", None], 5), rows(["b"], 7), metadata={"logferry.export": "web"})
    assert (facts.rows, facts.first_tick, facts.last_tick) == (3, 5, 7)
    assert facts.bytes == path.stat().st_size
    assert facts.sha256 == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    footer = pq.read_metadata(path).metadata
    assert footer[ROW_HASH_KEY.encode()].decode() == facts.row_hash
    assert footer[b"logferry.export"] == b"web"
    assert pq.read_table(path)["value"].to_pylist() == ["a", None, "b"]


def test_the_engines_own_columns_are_not_written(tmp_path: Path) -> None:
    written(tmp_path / "part", rows(["a"]))
    assert pq.read_schema(tmp_path / "part").names == ["value", "tags"]


def test_a_row_group_ends_at_its_rows(tmp_path: Path) -> None:
    written(tmp_path / "part", rows(["x"] * (GROUP_ROWS + 10)), rows(["y"] * GROUP_ROWS, 10**9))
    metadata = pq.read_metadata(tmp_path / "part")
    groups = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    assert groups == [GROUP_ROWS, GROUP_ROWS, 10]


def test_huge_messages_end_a_row_group_by_size_even_within_one_table(tmp_path: Path) -> None:
    huge: list[str | None] = [f"{number:04d}" + "x" * (1 << 20) for number in range(100)]
    written(tmp_path / "part", rows(huge))
    metadata = pq.read_metadata(tmp_path / "part")
    sizes = [metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups)]
    assert max(sizes) <= GROUP_BYTES * 1.2
    assert metadata.num_row_groups <= 5
    assert pq.read_table(tmp_path / "part")["value"].to_pylist() == huge


def test_one_row_beyond_a_groups_size_is_still_written(tmp_path: Path) -> None:
    giant = "x" * (GROUP_BYTES + 1)
    assert written(tmp_path / "part", rows(["a", giant, "b"])).rows == 3
    assert pq.read_table(tmp_path / "part")["value"].to_pylist() == ["a", giant, "b"]


def test_how_rows_were_batched_does_not_change_their_hash(tmp_path: Path) -> None:
    values: list[str | None] = [str(number) for number in range(100)]
    one = written(tmp_path / "one", rows(values))
    many = written(tmp_path / "many", *(rows([value], at) for at, value in enumerate(values)))
    assert one.row_hash == many.row_hash


def test_answers_share_a_row_group_and_their_long_texts_are_not_copied_for_that(tmp_path: Path) -> None:
    pages = [
        rows([f"{page}-{row}-" + "x" * 2_000 for row in range(2_000)], page * 10_000) for page in range(7)
    ]
    before = pa.total_allocated_bytes()
    group = joined([page.drop_columns([TICK_COLUMN, ID_COLUMN]) for page in pages])
    assert pa.total_allocated_bytes() - before < pages[0]["value"].nbytes
    # Short ones are: each piece costs time of its own.
    assert (group["value"].num_chunks, group["tags"].num_chunks) == (7, 1)
    facts = written(tmp_path / "part", *pages)
    metadata = pq.read_metadata(tmp_path / "part")
    assert (metadata.num_row_groups, facts.rows) == (1, 14_000)
    assert pq.read_table(tmp_path / "part")["value"].equals(group["value"])


def test_a_large_row_does_not_hide_in_its_share_of_an_answer(tmp_path: Path) -> None:
    answer = rows([*["a"] * 10, "x" * (GROUP_BYTES * 3 // 4), *["b"] * 189])
    written(tmp_path / "part", answer.slice(0, 20), rows(["y" * (1 << 20)] * 20, 200))
    metadata = pq.read_metadata(tmp_path / "part")
    sizes = [metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups)]
    assert max(sizes) <= GROUP_BYTES * 1.2


def test_rows_out_of_order_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="out of order"):
        written(tmp_path / "part", rows(["a"], 9), rows(["b"], 8))
    assert not (tmp_path / "part").exists()


def test_an_error_in_the_middle_leaves_no_file(tmp_path: Path) -> None:
    with (  # noqa: PT012
        pytest.raises(RuntimeError, match="fetch broke"),
        Encoder() as encoder,
        SliceFile(tmp_path / "part", SCHEMA, encoder=encoder) as file,
    ):
        file.write(rows(["a"]))
        raise RuntimeError("fetch broke")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_given_up_waits_for_nothing_that_has_not_begun(tmp_path: Path) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work_of_another_file() -> bool:
        begun.set()
        return may_end.wait(30)

    with Encoder() as encoder:
        other = encoder.submit(work_of_another_file)
        assert begun.wait(30)
        with (  # noqa: PT012
            pytest.raises(KeyboardInterrupt),
            SliceFile(tmp_path / "part", SCHEMA, encoder=encoder) as file,
        ):
            file.write(rows(["a"] * (GROUP_ROWS * 2 + 1)))
            end = file.close()
            raise KeyboardInterrupt
        assert not other.done(), "it was not waited for"
        assert end.cancelled()
        assert list(tmp_path.iterdir()) == []
        may_end.set()
        assert other.result(), "another file's work goes on"
        with SliceFile(tmp_path / "next", SCHEMA, encoder=encoder) as file:
            file.write(rows(["b"]))
            assert file.close().result().rows == 1


def test_why_a_file_was_given_up_is_told_though_it_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", read_only)
    with (
        pytest.raises(RuntimeError, match="fetch broke"),
        Encoder() as encoder,
        SliceFile(tmp_path / "part", SCHEMA, encoder=encoder),
    ):
        raise RuntimeError("fetch broke")


def test_a_full_disk_is_a_store_error_even_when_the_footer_fails_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_close = pq.ParquetWriter.close
    footers = iter([True])

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    def full_once(writer: pq.ParquetWriter) -> None:
        if next(footers, False):
            full()
        real_close(writer)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    monkeypatch.setattr(pq.ParquetWriter, "close", full_once)
    with pytest.raises(StoreError, match="No space left"):
        written(tmp_path / "part", rows(["a"] * GROUP_ROWS))
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_a_file_that_waits_behind_a_row_group_that_fails_fails_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write, calls = pq.ParquetWriter.write_table, iter(range(10))
    closing = threading.Event()

    def full_once(writer: pq.ParquetWriter, *values: object, **options: object) -> None:
        assert closing.wait(30)
        if next(calls) == 0:
            raise OSError(28, "No space left on device")
        real_write(writer, *values, **options)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full_once)
    with Encoder() as encoder, SliceFile(tmp_path / "part", SCHEMA, encoder=encoder) as file:
        file.write(rows(["a"] * (GROUP_ROWS + 1)))
        end = file.close()
        closing.set()
        with pytest.raises(StoreError, match="No space left"):
            end.result()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write"), Encoder() as encoder:
        SliceFile(tmp_path / "missing" / "part", SCHEMA, encoder=encoder)


@pytest.mark.parametrize(
    ("row_bytes", "rows", "batch"), [(1_000_000, 20, 2), (100_000, 50, 20), (500, 2_000, 1_024)]
)
def test_long_rows_are_encoded_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row_bytes: int, rows: int, batch: int
) -> None:
    asked: list[int] = []

    class Noting(pq.ParquetWriter):
        def __init__(self, *given: Any, **options: Any) -> None:
            asked.append(options["write_batch_size"])
            super().__init__(*given, **options)

    monkeypatch.setattr(pq, "ParquetWriter", Noting)
    table = pa.table({"message": [str(at % 10) * row_bytes for at in range(rows)]})
    file = GroupFile(tmp_path / "long.parquet", table.schema, {})
    file.write(table)
    file.close(rows, None)
    assert asked == [batch]
    assert pq.read_table(tmp_path / "long.parquet").equals(table)


def test_a_file_is_not_given_up_under_whoever_writes_to_it_and_takes_no_more_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "part"
    file = GroupFile(path, SCHEMA, {})
    group = rows(["a"]).select(SCHEMA.names)
    file.write(group)
    writing, go_on, events = threading.Event(), threading.Event(), list[str]()
    write_table = pq.ParquetWriter.write_table

    def slowly(self: pq.ParquetWriter, *given: Any, **options: Any) -> None:
        writing.set()
        assert go_on.wait(60)
        write_table(self, *given, **options)
        events.append("written")

    def give_up() -> None:
        file.abandon()
        events.append("given up")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", slowly)
    threads = [threading.Thread(target=file.write, args=(group,)), threading.Thread(target=give_up)]
    threads[0].start()
    assert writing.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert events == ["written", "given up"]
    assert not path.exists()
    with pytest.raises(StoreError, match="was given up"):
        file.write(group)
