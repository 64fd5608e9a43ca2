"""Rows that wait on disk come back as they went, and leave nothing there."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logferry.errors import StoreError
from logferry.fetching.spool import Spool

values = st.lists(st.one_of(st.none(), st.text(max_size=20)), max_size=12)


def table_of(texts: list[str | None]) -> pa.Table:
    tags = pa.array([[text, text] if text else None for text in texts], pa.list_(pa.string()))
    return pa.table({"text": pa.array(texts, pa.string()), "tags": tags})


@given(st.lists(st.tuples(values, st.integers(0, 12)), max_size=6))
@settings(max_examples=20)
def test_every_table_and_every_piece_of_a_table_comes_back(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[list[str | None], int]]
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = Spool(folder)
    tables = [table_of(texts).slice(start) for texts, start in written]
    places = [spool.append(table) for table in tables]
    assert list(folder.iterdir()) == []
    for place, table in reversed(list(zip(places, tables, strict=True))):
        assert spool.read(place).equals(table)
    spool.close()


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, spool._file.fileno())
    os.close(full)
    with pytest.raises(StoreError, match="No space left on device; free disk space is needed there"):
        spool.append(table_of(["a"] * 1_000))
    spool.close()
    assert spool._file.closed


def test_no_folder_to_write_to_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write an unfinished file in .*gone"):
        Spool(tmp_path / "gone")


@pytest.mark.parametrize("left", [0, 40])
def test_what_the_disk_lost_is_an_error_and_no_shorter_table(tmp_path: Path, left: int) -> None:
    spool = Spool(tmp_path)
    place = spool.append(table_of(["a", "b", "c"]))
    os.ftruncate(spool._file.fileno(), left)
    with pytest.raises(StoreError, match="cannot read an unfinished file"):
        spool.read(place)


def test_a_disk_that_gives_other_rows_is_an_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first = spool.append(table_of(["a", "b", "c"]))
    second = spool.append(table_of(["a"]))
    os.pwrite(spool._file.fileno(), os.pread(spool._file.fileno(), second.bytes, second.start), first.start)
    with pytest.raises(StoreError, match="1 rows of 3"):
        spool.read(first)


def test_a_read_error_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    place = spool.append(table_of(["a"]))

    def broken(*_: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(StoreError, match="check the disk"):
        spool.read(place)


def test_a_disk_that_gives_little_at_a_time_is_asked_until_all_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    table = table_of(["a", None, "ccc"])
    place = spool.append(table)
    whole = os.preadv

    def little(descriptor: int, rooms: list[memoryview], start: int) -> int:
        return whole(descriptor, [rooms[0][:7]], start)

    monkeypatch.setattr(os, "preadv", little)
    assert spool.read(place).equals(table)


def test_rows_read_back_lie_in_arrows_memory_and_not_in_the_c_librarys_heaps(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    place = spool.append(table_of(["x" * 1_000] * 100))
    before = pa.total_allocated_bytes()
    table = spool.read(place)
    assert pa.total_allocated_bytes() - before >= table.nbytes
