"""Keys: a pure function of export, run and slice."""

from __future__ import annotations

import pytest

from logferry.layout import (
    checkpoint_key,
    head_key,
    journal_key,
    journal_prefix,
    lease_key,
    manifest_key,
    number_of,
    piece_key,
    slice_key,
    slice_of,
    staged_key,
    staged_span,
    staging_prefix,
)
from logferry.stores.base import check_key
from logferry.window import TICK_PER_DAY, TICK_PER_HOUR, TICK_PER_MINUTE, Window, parse_instant

SHA256 = "sha256:" + "0123456789abcdef" * 4
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
    assert checkpoint_key("web", 48) == "_manifests/web/checkpoints/000000000048.json.gz"
    assert lease_key("web") == "_manifests/web/lease.json"


def test_a_record_or_checkpoint_tells_its_number() -> None:
    assert number_of(journal_key("web", 42)) == 42
    assert number_of(checkpoint_key("web", 42)) == 42
    assert number_of(journal_prefix("web") + "42.json") is None
    assert number_of(head_key("web")) is None


@pytest.mark.parametrize(
    "run", ["r1", "scheduled__2026-11-20T00:00:00+00:00", "a/b", "..", ".", "", "é x", "a\\b\0"]
)
def test_a_staged_part_has_a_safe_key_that_no_reader_takes_for_data(run: str) -> None:
    key = staged_key("web", run, Window(START, START + TICK_PER_HOUR), SHA256)
    assert check_key(key) == key
    assert key.startswith("_staging/web/")
    assert len(key.split("/")) == 4
    assert not key.endswith(".parquet")


def test_other_bytes_of_the_same_slice_lie_under_another_key() -> None:
    window = Window(START, START + TICK_PER_HOUR)
    other = "sha256:" + "1" * 64
    assert staged_key("web", "r1", window, SHA256) != staged_key("web", "r1", window, other)
    assert piece_key("web", "r1", 1, 2, SHA256) != piece_key("web", "r1", 1, 2, other)


def test_run_ids_that_differ_only_in_odd_characters_share_no_part() -> None:
    window = Window(START, START + TICK_PER_HOUR)
    runs = ["a:b", "a+b", "a-b", "a/b", "a.b"]
    assert len({staged_key("web", run, window, SHA256) for run in runs}) == len(runs)


def test_a_slice_is_read_back_from_its_key() -> None:
    for start, length in ((0, TICK_PER_HOUR), (20_000 * TICK_PER_DAY, TICK_PER_DAY)):
        slice_ = Window(start, start + length)
        assert slice_of(slice_key("web", slice_)) == slice_
    assert slice_of("web/dt=2026-11-20/other.parquet") is None


def test_all_that_a_run_stages_lies_under_one_prefix_and_tells_its_time() -> None:
    window = Window(START, START + TICK_PER_HOUR)
    for run in ("r1", "scheduled__2026-11-20T00:00:00+00:00"):
        part = staged_key("web", run, window, SHA256)
        piece = piece_key("web", run, START + 1, START + 10_001, SHA256)
        for key in (part, piece):
            assert key.startswith(staging_prefix("web", run))
            assert key.startswith(staging_prefix("web"))
            assert check_key(key) == key
            assert not key.endswith(".parquet")
        assert staged_span(part) == window
        assert staged_span(piece) == Window(START + 1, START + 10_001)
    assert not staged_key("web", "r10", window, SHA256).startswith(staging_prefix("web", "r1"))


@pytest.mark.parametrize(
    "name", ["part-1.staged", "piece-5-5.staged", "piece-7-5.staged", "piece-1-2.parquet"]
)
def test_other_objects_in_the_staging_folder_tell_no_time(name: str) -> None:
    assert staged_span(staging_prefix("web", "r1") + name) is None


def test_the_longest_run_ids_fit_a_name_on_a_disk_and_stay_apart() -> None:
    runs = ["scheduled__" + "x" * 239, "scheduled__" + "x" * 238 + "y", "ü" * 250]
    names = [staging_prefix("web", run).split("/")[2] for run in runs]
    assert max(len(name.encode()) for name in names) <= 255
    assert len(set(names)) == 3
