"""Parts: every row of a span once, in files that end at final ticks, and a slice's file out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logferry.memory_source import MemorySource

from logferry.errors import StoreError
from logferry.fetching.fetch import Account, Final
from logferry.sources.base import ID_COLUMN, TICK_COLUMN, LogSource
from logferry.window import Window
from logferry.writing import parts
from logferry.writing.parts import Part, PartFiles

SCHEMA = pa.schema([("id", pa.string())])
SPAN = Window(1_000, 2_000)
BIN = 100


@pytest.fixture(autouse=True)
def small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(parts, "PIECE_ROWS", 20)
        yield


def finals(ticks: list[int], steps: list[int]) -> Iterator[Final]:
    """The rows of the ticks, handed on up to each of ``steps``."""
    before = SPAN.start
    for end in [*sorted(set(steps)), SPAN.end]:
        inside = [(at, tick) for at, tick in enumerate(sorted(ticks)) if before <= tick < end]
        before = end
        ids = pa.array([f"e{at:04d}" for at, _ in inside], pa.string())
        rows = {"id": ids, TICK_COLUMN: pa.array([tick for _, tick in inside], pa.int64()), ID_COLUMN: ids}
        yield Final(pa.table(rows) if inside else None, end)


def files_in(folder: str | Path) -> PartFiles:
    source = cast(LogSource, MemorySource([], tick=1))
    return PartFiles(Path(folder), SCHEMA, labels={"logferry.export": "web"}, bin_ticks=BIN, source=source)


def ids_of(part: Part) -> list[str]:
    found: list[str] = pq.read_table(part.file.path)["id"].to_pylist()
    return found


ticks = st.lists(st.integers(SPAN.start, SPAN.end - 1), max_size=150)
steps = st.lists(st.integers(SPAN.start, SPAN.end - 1), max_size=30)


@given(ticks, steps, st.booleans())
@settings(max_examples=40)
def test_parts_tile_the_span_and_together_are_its_file(
    at: list[int], steps: list[int], planned: bool
) -> None:
    with TemporaryDirectory() as folder:
        files = files_in(folder)
        rows = len(at) if planned else None
        written = list(files.write(SPAN, finals(at, steps), Account(), planned=rows))
        assert written[0].span.start == SPAN.start
        assert written[-1].span.end == SPAN.end
        assert all(one.span.end == two.span.start for one, two in pairwise(written))
        for part in written:
            assert part.file.rows == sum(tick in part.span for tick in at)
            assert dict(part.bins) == Counter(tick // BIN * BIN for tick in at if tick in part.span)
        assert all(part.file.rows >= 20 for part in written[:-1])
        (whole,) = files_in(Path(folder)).write(Window(0, 5_000), finals(at, []), Account(), planned=len(at))
        together = files.assemble(SPAN, written)
        assert ids_of(together) == [f"e{number:04d}" for number in range(len(at))]
        assert together.bins == whole.bins
        facts, other = together.file, whole.file
        assert (facts.rows, facts.row_hash) == (other.rows, other.row_hash)
        assert (facts.first_tick, facts.last_tick) == (other.first_tick, other.last_tick)
        assert sorted(path.name for path in Path(folder).iterdir()) == ["0-5000.part", "1000-2000.whole"]


def test_notes_and_the_end_belong_to_the_part_they_came_with(tmp_path: Path) -> None:
    account = Account(to_end=False)

    def noting() -> Iterator[Final]:
        for number, final in enumerate(finals(list(range(1_000, 2_000, 20)), [1_500])):
            account.notes[f"page-{number}"] = 1
            yield final

    first, last = files_in(tmp_path).write(SPAN, noting(), account, planned=None)
    assert (first.notes, first.to_end) == ({"page-0": 1}, True)
    assert (last.notes, last.to_end) == ({"page-1": 1}, False)
    together = files_in(tmp_path).assemble(SPAN, [first, last])
    assert (together.notes, together.to_end) == ({"page-0": 1, "page-1": 1}, False)


def test_few_rows_that_are_left_go_along(tmp_path: Path) -> None:
    at = list(range(1_000, 1_025))
    assert len(list(files_in(tmp_path).write(SPAN, finals(at, [1_021]), Account(), planned=25))) == 1
    assert len(list(files_in(tmp_path).write(SPAN, finals(at, [1_021]), Account(), planned=None))) == 2


def test_more_rows_than_planned_still_end_a_part(tmp_path: Path) -> None:
    at = list(range(1_000, 1_100))
    written = files_in(tmp_path).write(SPAN, finals(at, list(range(1_010, 1_100, 10))), Account(), planned=5)
    assert [part.file.rows for part in written] == [20] * 5


def test_a_span_that_is_not_searched_is_an_empty_part_that_has_not_seen_the_end(tmp_path: Path) -> None:
    part = files_in(tmp_path).empty(SPAN)
    assert (part.file.rows, part.bins, part.to_end) == (0, {}, False)


def test_a_fetch_that_breaks_leaves_no_unfinished_file(tmp_path: Path) -> None:
    def breaking() -> Iterator[Final]:
        yield from list(finals([1_000, 1_001], [1_500]))[:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(files_in(tmp_path).write(SPAN, breaking(), Account(), planned=None))
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_cannot_be_read_back_is_a_store_error_and_no_file(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    written = list(files.write(SPAN, finals(list(range(1_000, 1_050)), [1_025]), Account(), planned=None))
    written[1].file.path.write_bytes(b"PAR1 no more")
    with pytest.raises(StoreError, match="cannot read"):
        files.assemble(SPAN, written)
    assert not list(tmp_path.glob("*.whole"))


def test_parts_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    files = files_in(tmp_path)
    written = list(files.write(SPAN, finals(list(range(1_000, 1_050)), [1_025]), Account(), planned=None))
    with pytest.raises(AssertionError, match="out of order"):
        files.assemble(SPAN, written[::-1])
