"""Times by whole columns read what the exact parser reads, and refuse what it refuses."""

from __future__ import annotations

import pytest

from logferry.convert.instants import read_instant, read_instants


@pytest.mark.parametrize("text", ["2026-11-20T00+05:30", "2026-11-20T00+0530", "2026-11-20 00+05:30"])
def test_hours_alone_are_no_time_however_many_usual_ones_are_beside_them(text: str) -> None:
    with pytest.raises(ValueError, match="2026"):
        read_instant(text)
    with pytest.raises(ValueError, match="2026"):
        read_instants(["2026-11-20T00:00:00Z", text])


@pytest.mark.parametrize(
    "text", ["2026-11-20T00:00Z", "2026-11-20T00:00:00.1234567Z", "2026-11-20T00:00+05:30"]
)
def test_one_time_and_a_column_of_it_agree(text: str) -> None:
    assert read_instants([text])[1].to_pylist() == [read_instant(text)]


def test_a_null_beside_times_stays_one() -> None:
    micros, ticks = read_instants(["2026-11-20T00:00:00Z", None])
    assert (micros.null_count, ticks.null_count) == (1, 1)
