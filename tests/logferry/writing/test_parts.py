"""Parts: every row of a span once, in files that end at final ticks, and a slice's file out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast
from weakref import ref

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.logferry.memory_source import MemorySource

from logferry.errors import CredentialsError, LogferryError, StoreError, Unavailable
from logferry.fetching.fetch import Account, Final
from logferry.sources.base import ID_COLUMN, TICK_COLUMN, LogSource
from logferry.window import Window
from logferry.writing import parquet, parts
from logferry.writing.encoder import Encoder
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


@contextmanager
def files_in(folder: str | Path, *, answer_rows: int | None = None) -> Iterator[PartFiles]:
    source = cast(LogSource, MemorySource([], tick=1, answer_rows=answer_rows))
    with Encoder() as encoder:
        yield PartFiles(
            Path(folder),
            SCHEMA,
            encoder=encoder,
            labels={"logferry.export": "web"},
            bin_ticks=BIN,
            source=source,
        )


def ids_of(part: Part) -> list[str]:
    found: list[str] = pq.read_table(part.file.path)["id"].to_pylist()
    return found


def test_rows_are_let_go_while_the_next_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 10)
    alive: list[list[bool]] = []

    def answers() -> Iterator[Final]:
        tables = []
        whole = list(finals(list(range(1_000, 1_300, 10)), [1_100, 1_200]))
        while whole:
            tables.append(ref(whole[0].table))
            yield whole.pop(0)
            alive.append([table() is not None for table in tables])

    with files_in(tmp_path, answer_rows=10) as files:
        for part in files.write(SPAN, SPAN, answers(), Account(), planned=None):
            assert part.file.rows == part.rows
    assert alive == [[False], [False, False], [False, False, False]]


ticks = st.lists(st.integers(SPAN.start, SPAN.end - 1), max_size=150)
steps = st.lists(st.integers(SPAN.start, SPAN.end - 1), max_size=30)


@given(ticks, steps, st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_parts_tile_the_span_and_together_are_its_file(
    at: list[int], steps: list[int], planned: bool, copied: bool
) -> None:
    with (
        TemporaryDirectory() as folder,
        files_in(folder) as files,
        pytest.MonkeyPatch.context() as patched,
    ):
        if copied:
            patched.setattr(parts, "_LEAST_ROWS", 0)
        rows = len(at) if planned else None
        written = list(files.write(SPAN, SPAN, finals(at, steps), Account(), planned=rows))
        assert written[0].span.start == SPAN.start
        assert written[-1].span.end == SPAN.end
        assert all(one.span.end == two.span.start for one, two in pairwise(written))
        for part in written:
            assert part.file.rows == sum(tick in part.span for tick in at)
            assert dict(part.bins) == Counter(tick // BIN * BIN for tick in at if tick in part.span)
        assert all(part.file.rows >= 20 for part in written[:-1])
        everything = Window(0, 5_000)
        (whole,) = files.write(everything, everything, finals(at, []), Account(), planned=len(at))
        together = files.assemble(SPAN, written)
        assert ids_of(together) == [f"e{number:04d}" for number in range(len(at))]
        assert together.bins == whole.bins
        facts, other = together.file, whole.file
        assert (facts.rows, facts.row_hash) == (other.rows, other.row_hash)
        assert (facts.first_tick, facts.last_tick) == (other.first_tick, other.last_tick)
        files.remove(written)
        files.empty(SPAN).file.path.unlink()  # There when all before it is done.
        assert set(Path(folder).iterdir()) == {facts.path, other.path}


def test_notes_and_the_end_belong_to_the_part_they_came_with(tmp_path: Path) -> None:
    account = Account(to_end=False)

    def noting() -> Iterator[Final]:
        for number, final in enumerate(finals(list(range(1_000, 2_000, 20)), [1_500])):
            yield replace(final, notes={f"page-{number}": 1})

    with files_in(tmp_path) as files:
        first, last = files.write(SPAN, SPAN, noting(), account, planned=None)
        together = files.assemble(SPAN, [first, last])
    assert (first.notes, first.to_end) == ({"page-0": 1}, True)
    assert (last.notes, last.to_end) == ({"page-1": 1}, False)
    assert (together.notes, together.to_end) == ({"page-0": 1, "page-1": 1}, False)


def test_few_rows_that_are_left_go_along(tmp_path: Path) -> None:
    at = list(range(1_000, 1_025))
    with files_in(tmp_path) as files:
        assert len(list(files.write(SPAN, SPAN, finals(at, [1_021]), Account(), planned=25))) == 1
        assert len(list(files.write(SPAN, SPAN, finals(at, [1_021]), Account(), planned=None))) == 2


def test_more_rows_than_planned_still_end_a_part(tmp_path: Path) -> None:
    at = list(range(1_000, 1_100))
    with files_in(tmp_path) as files:
        written = files.write(SPAN, SPAN, finals(at, list(range(1_010, 1_100, 10))), Account(), planned=5)
        assert [part.file.rows for part in written] == [20] * 5


def test_a_span_that_is_not_searched_is_an_empty_part_that_has_not_seen_the_end(tmp_path: Path) -> None:
    with files_in(tmp_path) as files:
        part = files.empty(SPAN)
    assert (part.file.rows, part.bins, part.to_end) == (0, {}, False)


def test_a_fetch_that_breaks_leaves_no_unfinished_file(tmp_path: Path) -> None:
    def breaking() -> Iterator[Final]:
        yield from list(finals([1_000, 1_001], [1_500]))[:1]
        raise KeyboardInterrupt

    with files_in(tmp_path) as files, pytest.raises(KeyboardInterrupt):
        list(files.write(SPAN, SPAN, breaking(), Account(), planned=None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [Unavailable, CredentialsError])
def test_rows_that_came_before_a_failure_are_a_part(
    failure: type[LogferryError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PIECE_ROWS", 1_000)

    def breaking() -> Iterator[Final]:
        yield from list(finals(list(range(1_000, 1_050)), [1_010, 1_015, 1_040]))[:3]
        raise failure("come back later")

    with files_in(tmp_path) as files:
        written = files.write(SPAN, SPAN, breaking(), Account(), planned=None)
        one = next(written)
        assert (one.span, ids_of(one)) == (Window(1_000, 1_040), [f"e{at:04d}" for at in range(40)])
        with pytest.raises(failure):
            next(written)

        written = files.write(SPAN, SPAN, islice(breaking(), 1, None), Account(), planned=60)
        one = next(written)
        assert (one.span, one.rows) == (Window(1_000, 1_040), 30)
        with pytest.raises(failure):
            next(written)
        with pytest.raises(failure):
            list(files.write(SPAN, SPAN, islice(breaking(), 3, None), Account(), planned=None))
    assert len(list(tmp_path.iterdir())) == 2


def test_small_answers_are_one_part_and_one_that_fills_a_row_group_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, edges = list(range(1_000, 1_060)), list(range(1_005, 1_060, 5))
    monkeypatch.setattr(parts, "PIECE_ROWS", 1_000)
    with files_in(tmp_path, answer_rows=5) as files:
        together = list(files.write(SPAN, SPAN, finals(rows, edges), Account(), planned=60))
        monkeypatch.setattr(parquet, "GROUP_ROWS", 18)
        apart = list(files.write(SPAN, SPAN, finals(rows, edges), Account(), planned=60))
        assert [part.rows for part in together] == [60]
        # Of these, 18 rows fill the group, in the middle of an answer.
        assert [part.rows for part in apart] == [20, 20, 20]
    with files_in(tmp_path) as files:
        pages = list(files.write(SPAN, SPAN, finals(rows, edges), Account(), planned=60))
        assert [part.rows for part in pages] == [60]


@pytest.mark.parametrize(("answer_rows", "rows"), [(5, [80, 20]), (None, [100])])
def test_so_many_small_answers_are_a_part_that_a_stopped_run_loses_little(
    answer_rows: int | None, rows: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PIECE_ROWS", 1_000)
    ticks, edges = list(range(1_000, 1_100)), list(range(1_005, 1_100, 5))
    with files_in(tmp_path, answer_rows=answer_rows) as files:
        written = list(files.write(SPAN, SPAN, finals(ticks, edges), Account(), planned=100))
        assert [part.rows for part in written] == rows


def written_in_two(files: PartFiles) -> list[Part]:
    return list(files.write(SPAN, SPAN, finals(list(range(1_000, 1_050)), [1_025]), Account(), planned=None))


@pytest.mark.parametrize("small", [0, 1 << 40])
def test_a_part_that_cannot_be_read_back_is_a_store_error_and_no_file(
    tmp_path: Path, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_LEAST_ROWS", small)
    with files_in(tmp_path) as files:
        written = written_in_two(files)
        written[1].file.path.write_bytes(b"PAR1 no more")
        with pytest.raises(StoreError, match="cannot read"):
            _ = files.assemble(SPAN, written).file
    assert set(tmp_path.iterdir()) == {part.file.path for part in written}


def test_parts_that_cannot_be_removed_are_a_store_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    with files_in(tmp_path) as files:
        written = written_in_two(files)
        path = written[0].file.path
        monkeypatch.setattr(Path, "unlink", read_only)
        files.remove(written)
        with pytest.raises(StoreError) as told:
            _ = [files.empty(SPAN).file for _ in range(3)]
    assert str(told.value) == (
        f"cannot remove {path}: Read-only file system; check the disk it lies on or set TMPDIR, and run again"
    )


def test_parts_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    with files_in(tmp_path) as files:
        written = written_in_two(files)
        with pytest.raises(AssertionError, match="out of order"):
            _ = files.assemble(SPAN, written[::-1]).file


AT = list(range(1_000, 1_100))
STEPS = [1_025, 1_050, 1_075]


def row_hash_of_all(folder: Path) -> str:
    with files_in(folder) as files:
        everything = Window(0, 5_000)
        (whole,) = files.write(everything, everything, finals(AT, []), Account(), planned=len(AT))
        return whole.file.row_hash


@pytest.mark.parametrize("small", [0, 1 << 40])
def test_the_row_hash_runs_on_from_part_to_part_and_nothing_is_read_back_for_it(
    tmp_path: Path, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_LEAST_ROWS", small)
    expected = row_hash_of_all(tmp_path)
    with files_in(tmp_path) as files:
        written = list(files.write(SPAN, SPAN, finals(AT, STEPS), Account(), planned=None))
        assert len(written) == 4
        assert written[0].file.follows is None
        assert [one.file.row_hash for one in written[:-1]] == [two.file.follows for two in written[1:]]
        with monkeypatch.context() as patched:
            if not small:
                patched.setattr(parts, "row_groups", None)
            facts = files.assemble(SPAN, written).file
    assert (facts.row_hash, facts.follows) == (expected, None)
    assert pq.read_metadata(facts.path).metadata[b"logferry.row_hash"].decode() == expected
    assert b"logferry.row_hash" not in pq.read_metadata(written[1].file.path).metadata


def test_a_part_fetched_again_or_by_an_earlier_attempt_does_not_change_the_row_hash(tmp_path: Path) -> None:
    expected = row_hash_of_all(tmp_path)
    with files_in(tmp_path) as files:
        first, second, third, fourth = files.write(SPAN, SPAN, finals(AT, STEPS), Account(), planned=None)
        rows = [tick for tick in AT if tick in second.span]
        (again,) = files.write(SPAN, second.span, one_final(rows, second.span), Account(), planned=None)
        assert again.file.follows is None
        assert files.assemble(SPAN, [first, again, third, fourth]).file.row_hash == expected
    with files_in(tmp_path / "later") as later:
        (tmp_path / "later").mkdir()
        rest = Window(third.span.start, SPAN.end)
        rows = [tick for tick in AT if tick in rest]
        others = list(later.write(SPAN, rest, one_final(rows, rest), Account(), planned=None))
        assert later.assemble(SPAN, [first, second, *others]).file.row_hash == expected


def one_final(ticks: list[int], span: Window) -> Iterator[Final]:
    """The rows of the ticks, all at once."""
    ids = pa.array([f"e{tick - 1_000:04d}" for tick in ticks], pa.string())
    rows = {"id": ids, TICK_COLUMN: pa.array(ticks, pa.int64()), ID_COLUMN: ids}
    yield Final(pa.table(rows), span.end)


def test_a_slice_after_another_begins_its_own_row_hash(tmp_path: Path) -> None:
    before, after = Window(0, 1_000), SPAN
    with files_in(tmp_path) as files:
        empty = Final(None, before.end)
        (one,) = files.write(before, before, [empty], Account(), planned=None)
        (two,) = files.write(after, after, finals([1_001], []), Account(), planned=None)
        assert (one.file.follows, two.file.follows) == (None, None)
        assert one.file.row_hash != two.file.row_hash


def test_a_disk_that_is_full_in_the_background_is_a_store_error_of_a_later_step_or_of_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with files_in(tmp_path) as files, pytest.raises(StoreError, match="No space left"):
        _ = [part.file for part in list(files.write(SPAN, SPAN, finals(AT, STEPS), Account(), planned=None))]
    assert list(tmp_path.iterdir()) == []


def test_a_part_within_which_a_chain_of_a_convoy_stopped_does_not_reach_the_end(tmp_path: Path) -> None:
    account = Account(to_end=False, stopped_at={1_500})
    rows = list(range(1_000, 2_000, 10))
    with files_in(tmp_path) as files:
        written = list(files.write(SPAN, SPAN, finals(rows, [1_200, 1_500, 1_750]), account, planned=None))
    assert [(part.span.end, part.to_end) for part in written] == [
        (1_200, True),
        (1_500, False),
        (1_750, True),
        (2_000, False),
    ]
