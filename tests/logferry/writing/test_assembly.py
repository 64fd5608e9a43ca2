"""Assembly: the bytes of several files under one footer are, to every reader, one file with all their rows."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logferry.errors import StoreError
from logferry.writing.assembly import assemble_files, row_groups

SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", tz="UTC")),
        ("number", pa.int64()),
        ("small", pa.int32()),
        ("share", pa.float64()),
        ("flag", pa.bool_()),
        ("text", pa.string()),
        ("name", pa.string()),
        ("tags", pa.list_(pa.string())),
    ]
)


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


rows = st.fixed_dictionaries(
    {
        "time": nullable(st.integers(0, 2**50)),
        "number": nullable(st.integers(-(2**63), 2**63 - 1)),
        "small": nullable(st.integers(-(2**31), 2**31 - 1)),
        "share": nullable(st.floats(allow_nan=False, allow_subnormal=False)),
        "flag": nullable(st.booleans()),
        "text": nullable(st.text(st.characters(exclude_categories=["Cs"]), max_size=30)),
        "name": nullable(st.sampled_from(["", "web", "db", "größe"])),
        "tags": nullable(st.lists(nullable(st.sampled_from(["env:prod", "a", ""])), max_size=3)),
    }
)
tables = st.lists(rows, max_size=12).map(lambda found: pa.Table.from_pylist(found, SCHEMA))
options = st.fixed_dictionaries(
    {
        "compression": st.sampled_from(["zstd", "snappy", "none"]),
        "use_dictionary": st.sampled_from([True, False, ["name"]]),
        "write_statistics": st.sampled_from([True, False, ["number"]]),
        "row_group_size": st.integers(1, 7),
        "write_page_index": st.booleans(),
        "data_page_version": st.sampled_from(["1.0", "2.0"]),
    }
)


def write(path: Path, table: pa.Table, **how: Any) -> Path:
    pq.write_table(table, path, **how)
    return path


@functools.cache
def duck() -> duckdb.DuckDBPyConnection:
    """One for all examples, as each start costs more than a question; it keeps nothing of a file."""
    return duckdb.connect(config={"threads": 1, "enable_external_file_cache": False})


def by_duckdb(path: Path, where: str = "true") -> list[tuple[Any, ...]]:
    columns = "epoch_us(time), number, small, share, flag, text, name, tags"
    return duck().execute(f"SELECT {columns} FROM '{path}' WHERE {where}").fetchall()


def as_duckdb_gives(table: pa.Table) -> list[tuple[Any, ...]]:
    times = table["time"].cast(pa.int64())
    return [tuple(row.values()) for row in table.set_column(0, "time", times).to_pylist()]


@given(st.lists(st.tuples(tables, options), min_size=1, max_size=5), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_reader_finds_the_rows_of_all_parts_in_order(
    parts: list[tuple[pa.Table, dict[str, Any]]], cut: int
) -> None:
    together = pa.concat_tables([table for table, _ in parts])
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = [write(folder / f"{at}.parquet", table, **how) for at, (table, how) in enumerate(parts)]
        size, sha256 = assemble_files(folder / "all.parquet", paths, {"label": "x"})
        if paths[:cut]:
            # What was assembled before is a part like any other.
            assemble_files(folder / "some.parquet", paths[:cut], {"label": "y"})
            paths = [folder / "some.parquet", *paths[cut:]]
            assemble_files(folder / "again.parquet", paths, {"label": "x"})
            assert pq.read_table(folder / "again.parquet").equals(together)
        data = (folder / "all.parquet").read_bytes()
        assert (size, sha256) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
        found = pq.read_table(folder / "all.parquet")
        assert found.schema.equals(SCHEMA)
        assert found.equals(together)
        assert by_duckdb(folder / "all.parquet") == as_duckdb_gives(together)
        assert pa.concat_tables([SCHEMA.empty_table(), *row_groups(folder / "all.parquet")]).equals(together)


@given(st.lists(tables, min_size=2, max_size=4), st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=20, deadline=None)
def test_row_groups_that_readers_skip_are_those_without_such_rows(parts: list[pa.Table], limit: int) -> None:
    together = pa.concat_tables(parts)
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = [
            write(folder / f"{at}.parquet", table, row_group_size=3, write_page_index=at % 2 == 0)
            for at, table in enumerate(parts)
        ]
        whole = folder / "all.parquet"
        assemble_files(whole, paths, {})
        wanted = [row for row in as_duckdb_gives(together) if row[1] is not None and row[1] > limit]
        assert by_duckdb(whole, f"number > {limit}") == wanted
        found = pq.read_table(whole, filters=[("number", ">", limit)])
        assert as_duckdb_gives(found) == wanted
        named = [row for row in as_duckdb_gives(together) if row[6] == "web"]
        assert by_duckdb(whole, "name = 'web'") == named


def test_the_footer_says_where_each_row_group_lies_and_counts_them(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(10)), "s": ["a", "b"] * 5})
    paths = [write(tmp_path / str(at), table, row_group_size=4) for at in range(3)]
    assemble_files(tmp_path / "all", paths, {"one": "1", "two": "zwei"})
    footer = pq.read_metadata(tmp_path / "all")
    assert (footer.num_rows, footer.num_row_groups) == (30, 9)
    assert [footer.row_group(at).num_rows for at in range(9)] == [4, 4, 2] * 3
    assert footer.metadata[b"two"] == b"zwei"
    starts = [footer.row_group(at).column(0).dictionary_page_offset for at in range(9)]
    assert starts == sorted(set(starts))
    assert footer.row_group(8).column(0).statistics.max == 9
    assert footer.created_by == pq.read_metadata(paths[0]).created_by


def test_bloom_filters_go_along(tmp_path: Path) -> None:
    schema = pa.schema([("s", pa.string())])
    paths = [
        write(
            tmp_path / str(at),
            pa.table({"s": [f"{at}-{number}" for number in range(500)]}, schema),
            use_dictionary=False,
            bloom_filter_options={"s": {"ndv": 500, "fpp": 0.01}},
        )
        for at in range(3)
    ]
    assemble_files(tmp_path / "all", paths, {})
    probe = duckdb.connect().execute(
        f"SELECT row_group_id, bloom_filter_excludes FROM parquet_bloom_probe('{tmp_path / 'all'}', 's', '2-7')"
    )
    assert probe.fetchall() == [(0, True), (1, True), (2, False)]


def test_labels_of_the_parts_are_replaced(tmp_path: Path) -> None:
    table = pa.table({"n": [1]})
    labelled = table.replace_schema_metadata({"label": "part", "other": "stays"})
    assemble_files(tmp_path / "all", [write(tmp_path / "a", labelled)] * 2, {"label": "whole"})
    metadata = pq.read_metadata(tmp_path / "all").metadata
    assert (metadata[b"label"], metadata[b"other"]) == (b"whole", b"stays")
    assert b"ARROW:schema" in metadata


def cut(data: bytes) -> bytes:
    return data[:-20]


def headless(data: bytes) -> bytes:
    return b"????" + data[4:]


def hollow(data: bytes) -> bytes:
    """The footer of a file whose rows are gone."""
    length = int.from_bytes(data[-8:-4], "little")
    return b"PAR1" + data[-8 - length :]


def flipped(data: bytes) -> bytes:
    length = int.from_bytes(data[-8:-4], "little")
    at = len(data) - 8 - length
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def long_footer(data: bytes) -> bytes:
    return data[:-8] + (1 << 31).to_bytes(4, "little") + data[-4:]


@pytest.mark.parametrize(
    "harm", [cut, headless, hollow, flipped, long_footer, lambda _: b"", lambda _: b"PAR1PAR1"]
)
def test_a_part_that_is_not_whole_is_one_sentence_and_no_file(
    tmp_path: Path, harm: Callable[[bytes], bytes]
) -> None:
    good = write(tmp_path / "good", pa.table({"n": list(range(1_000))}))
    bad = tmp_path / "bad"
    bad.write_bytes(harm(good.read_bytes()))
    with pytest.raises(StoreError, match=r"cannot read .* back") as raised:
        assemble_files(tmp_path / "all", [good, bad, good], {})
    assert "\n" not in str(raised.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "good"]


def test_a_part_that_is_gone_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        assemble_files(tmp_path / "all", [tmp_path / "gone"], {})


def test_parts_of_other_columns_are_never_joined(tmp_path: Path) -> None:
    one = write(tmp_path / "one", pa.table({"n": [1]}))
    two = write(tmp_path / "two", pa.table({"n": ["1"]}))
    with pytest.raises(AssertionError, match="other columns"):
        assemble_files(tmp_path / "all", [one, two], {})
    assert not (tmp_path / "all").exists()


def test_a_full_disk_is_a_store_error_and_leaves_no_file(tmp_path: Path) -> None:
    one = write(tmp_path / "one", pa.table({"n": [1]}))
    with pytest.raises(StoreError, match="free disk space"):
        assemble_files(tmp_path / "missing" / "all", [one], {})
