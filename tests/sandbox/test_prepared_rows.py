"""Row numbers and times of a prepared history: one way and back, for any number of rows and any span."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry_sandbox import prepared_rows
from logferry_sandbox.prepared import PreparedHistory
from logferry_sandbox.prepared_rows import SECOND_WIDTH, Computed, Spread, Template, rows_of_block

START_S = 1_795_132_800  # 2026-11-20T00:00:00Z


def test_the_block_of_large_rows_has_fewer_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [rows_of_block(size) for size in (1_000, 1_000_000, 10**9)] == [20_000, 64, 1]
    monkeypatch.setattr(prepared_rows, "_BLOCK_BYTES", 5_500)
    start, end = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
    history = PreparedHistory(12, start, end, row_bytes=1_100)
    events, table = history.datadog(), history.azure()
    assert (events.block_rows, table.block_rows) == (5, 5)
    assert len({*events.ids(0, 12)}) == len({table.row(number) for number in range(12)}) == 12


@st.composite
def spreads(draw: st.DrawFn) -> Spread:
    rows, block = draw(st.integers(1, 400)), draw(st.integers(1, 60))
    least = -(-rows // min(block, rows))
    return Spread(
        rows,
        START_S,
        draw(st.integers(least, least + 5000)),
        per_second=draw(st.sampled_from([1000, 10_000_000])),
        seed=draw(st.integers(0, 3)),
        block_rows=block,
        never_round=draw(st.booleans()),
    )


@given(spread=spreads(), data=st.data())
def test_a_rows_number_tells_its_time_and_a_time_the_rows_before_it(
    spread: Spread, data: st.DataObject
) -> None:
    times = [spread.time_of(row) for row in range(spread.rows)]
    assert all(before <= after for before, after in pairwise(times))
    at = data.draw(st.sampled_from(times)) + data.draw(st.integers(-2, 2))
    assert spread.rows_before(at) == sum(time < at for time in times)


@given(spread=spreads(), data=st.data())
def test_runs_cover_the_rows_once_and_their_seconds_are_those_of_the_times(
    spread: Spread, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, spread.rows))
    stop = data.draw(st.integers(start, spread.rows))
    rows, texts = [], []
    for block, first, end in spread.runs(start, stop):
        rows += [block * spread.block_rows + place for place in range(first, end)]
        texts += spread.seconds(block, first, end)
    assert rows == list(range(start, stop))
    unit = 10_000_000 if spread.time_of(0) > 10**16 else 1000
    for row, text in zip(rows, texts, strict=True):
        second, fraction = divmod(spread.time_of(row), unit)
        assert text == f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.".encode()
        assert spread.fractions()[row % spread.block_rows] == fraction
    assert {len(text) for text in texts} <= {SECOND_WIDTH}


def test_rows_lie_on_the_first_and_last_unit_of_a_block() -> None:
    spread = Spread(100, START_S, 10, per_second=1000, seed=0, block_rows=50)
    assert spread.time_of(0) == START_S * 1000
    assert spread.time_of(49) == START_S * 1000 + 4999
    assert spread.time_of(50) == START_S * 1000 + 5000


@pytest.mark.parametrize(("rows", "seconds", "words"), [(0, 10, "at least one row"), (301, 3, "at most 300")])
def test_rows_that_find_no_room_are_refused(rows: int, seconds: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Spread(rows, START_S, seconds, per_second=1000, seed=0, block_rows=100)


def test_a_template_fills_its_gaps_and_knows_the_size_of_what_it_fills() -> None:
    rows = [(b"<", b"", b"|", b"", b"%d>," % 10**place) for place in range(3)]
    template = Template(rows, block_gaps=[1], second_gaps=[3], block_width=2)
    seconds = [b"2026-11-20T00:00:0%d." % place for place in range(3)]
    assert template.fill(1, 3, b"07", seconds[1:]) == (
        b"<07|2026-11-20T00:00:01.10>,<07|2026-11-20T00:00:02.100>,"
    )
    assert template.fill_each(0, 1, b"07", seconds[:1]) == [b"<07|2026-11-20T00:00:00.1>"]
    whole = template.fill(0, 3, b"00", seconds)
    assert template.bytes_before(3) == len(whole)
    assert template.bytes_before(7) == 2 * len(whole) + len(template.fill(0, 1, b"02", seconds[:1]))


def test_a_computed_sequence_is_the_sequence() -> None:
    computed = Computed(2500, lambda start, stop: list(range(start, stop)))
    assert list(computed) == list(range(2500))
    assert (computed[3], computed[-1], computed[5:8], computed[8:5]) == (3, 2499, [5, 6, 7], [])
    assert list(reversed(computed)) == list(range(2499, -1, -1))
    with pytest.raises(IndexError):
        computed[2500]
