"""Keys: a pure function of export, run and slice."""

from __future__ import annotations

import pytest

from logferry.layout import head_key, journal_key, manifest_key, slice_key, slice_of, staged_key
from logferry.stores.base import check_key
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, TICK_PER_MINUTE, Window, parse_instant

START = parse_instant("2026-11-20T03:00:00Z")


@pytest.mark.parametrize(
    ("ticks", "key"),
    [
        (TICK_PER_HOUR, "web/dt=2026-11-20/hr=03/part-20261120T030000Z-20261120T040000Z.parquet"),
        (TICK_PER_MINUTE, "web/dt=2026-11-20/hr=03/part-20261120T030000Z-20261120T030100Z.parquet"),
        (2 * TICK_PER_HOUR, "web/dt=2026-11-20/part-20261120T030000Z-20261120T050000Z.parquet"),
        (TICK_PER_DAY, "web/dt=2026-11-20/part-20261120T030000Z-20261121T030000Z.parquet"),
    ],
)
def test_a_slice_has_one_key(ticks: int, key: str) -> None:
    assert slice_key("web", Window(START, START + ticks)) == key


def test_manifests_lie_outside_the_table() -> None:
    window = Window(START, START + TICK_PER_HOUR)
    assert manifest_key("web", window) == "_manifests/web/20261120T030000Z-20261120T040000Z.json"
    assert journal_key("web", 42) == "_manifests/web/journal/000000000042.json"
    assert head_key("web") == "_manifests/web/HEAD.json"


@pytest.mark.parametrize(
    "run", ["r1", "scheduled__2026-11-20T00:00:00+00:00", "a/b", "..", ".", "", "é x", "a\\b\0"]
)
def test_a_staged_part_has_a_safe_key_that_no_reader_takes_for_data(run: str) -> None:
    key = staged_key("web", run, Window(START, START + TICK_PER_HOUR))
    assert check_key(key) == key
    assert key.startswith("_staging/web/")
    assert len(key.split("/")) == 4
    assert not key.endswith(".parquet")


def test_run_ids_that_differ_only_in_odd_characters_share_no_part() -> None:
    window = Window(START, START + TICK_PER_HOUR)
    runs = ["a:b", "a+b", "a-b", "a/b", "a.b"]
    assert len({staged_key("web", run, window) for run in runs}) == len(runs)


def test_a_slice_is_read_back_from_its_key() -> None:
    for start, length in ((0, TICK_PER_HOUR), (20_000 * TICK_PER_DAY, TICK_PER_DAY)):
        slice_ = Window(start, start + length)
        assert slice_of(slice_key("web", slice_)) == slice_
    assert slice_of("web/dt=2026-11-20/other.parquet") is None
