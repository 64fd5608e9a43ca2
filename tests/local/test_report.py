"""The final table and the samples, from a real lake in a folder."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console
from tests.local.conftest import MakeSpec
from tests.local.lake import DAY, put_window

from logferry.stores.base import Store
from logferry.stores.opening import open_store
from logferry_local.report import Exported, print_samples, print_windows, read_manifest, sample_rows

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("status", pa.string()),
        ("service", pa.string()),
        ("message", pa.string()),
        ("attributes", pa.string()),
        ("code", pa.int64()),
    ]
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store((tmp_path / "lake").as_uri(), None)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=120)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def a_row(number: int, message: str = "fine") -> dict[str, Any]:
    return {
        "id": f"id-{number}",
        "timestamp": datetime(2026, 11, 21, 7, 8, number, 123_999, tzinfo=UTC),
        "status": "info",
        "service": None,
        "message": message,
        "attributes": "{}",
        "code": 200,
    }


def test_a_proven_window_shows_both_counts_and_where_the_proof_is(
    console: Console, store: Store, tmp_path: Path, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put_window(
        store,
        tmp_path,
        "shop",
        [[a_row(second) for second in range(60)]] * 20,
        schema=SCHEMA,
        source_rows=1_200,
    )
    manifest = read_manifest(store, "shop", DAY)
    print_windows(console, [Exported(make_spec("shop"), DAY, store, manifest)])
    lines = text_of(console).splitlines()
    (line,) = [line.split() for line in lines if line.strip().startswith("shop ")]
    assert line == [
        "shop",
        "[2026-11-21T00:00:00Z,",
        "2026-11-22T00:00:00Z)",
        "1,200",
        "1,200",
        "proven",
        "20",
    ]
    assert "  manifest  lake/_manifests/shop/20261121T000000Z-20261122T000000Z.json" in lines


def test_a_lake_elsewhere_is_named_whole(
    console: Console, store: Store, tmp_path: Path, make_spec: MakeSpec
) -> None:
    manifest = put_window(store, tmp_path, "shop", [[]], schema=SCHEMA)
    print_windows(console, [Exported(make_spec("shop"), DAY, store, manifest)])
    assert f"  manifest  {tmp_path}/lake/_manifests/shop/" in text_of(console)


def test_a_source_that_cannot_count_is_not_shown_as_zero(
    console: Console, store: Store, tmp_path: Path, make_spec: MakeSpec
) -> None:
    manifest = put_window(
        store, tmp_path, "shop", [[a_row(1)]], schema=SCHEMA, status="unproven", source_rows=None
    )
    print_windows(console, [Exported(make_spec("shop"), DAY, store, manifest)])
    assert "not countable" in text_of(console)
    assert "unproven" in text_of(console)


def test_an_export_that_never_published_is_failed(
    console: Console, store: Store, make_spec: MakeSpec
) -> None:
    assert read_manifest(store, "shop", DAY) is None
    print_windows(console, [Exported(make_spec("shop"), DAY, store, None, failed=True)])
    assert text_of(console).split()[-5:] == ["2026-11-22T00:00:00Z)", "-", "-", "failed", "-"]


def test_an_earlier_proof_does_not_hide_that_this_run_failed(
    console: Console, store: Store, tmp_path: Path, make_spec: MakeSpec
) -> None:
    manifest = put_window(store, tmp_path, "shop", [[a_row(1)]], schema=SCHEMA, source_rows=1)
    print_windows(console, [Exported(make_spec("shop"), DAY, store, manifest, failed=True)])
    assert "failed, proven before" in text_of(console)


def test_the_sample_is_read_back_from_the_first_files_that_hold_rows(store: Store, tmp_path: Path) -> None:
    files = [[], [a_row(1), a_row(2)], [], [a_row(3), a_row(4)]]
    manifest = put_window(store, tmp_path, "shop", files, schema=SCHEMA)
    assert [row["id"] for row in sample_rows(store, manifest)] == ["id-1", "id-2", "id-3"]


def test_a_sample_shows_times_whole_and_the_telling_columns(console: Console, make_spec: MakeSpec) -> None:
    spec = make_spec("shop", columns={"code": {"path": "http.code", "type": "int64"}})
    print_samples(console, spec, [a_row(1, "GET /login\n 200"), a_row(2)])
    lines = [line.split("  ") for line in text_of(console).splitlines() if "07:08" in line]
    shown = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert shown == [
        ["2026-11-21 07:08:01.123", "info", "200", "GET /login 200"],
        ["2026-11-21 07:08:02.123", "info", "200", "fine"],
    ]
    assert "shop: 2 rows read back from Parquet" in text_of(console)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_long_message_is_cut_and_the_time_is_not(width: int, make_spec: MakeSpec) -> None:
    console = Console(file=io.StringIO(), width=width)
    print_samples(console, make_spec("shop"), [a_row(1, "x" * 100_000)])
    (line,) = [line for line in text_of(console).splitlines() if "2026" in line]
    assert "2026-11-21 07:08:01.123" in line
    assert line.rstrip().endswith("x…")
    assert len(line) <= width


def test_escape_sequences_of_a_message_do_not_reach_the_terminal(
    console: Console, make_spec: MakeSpec
) -> None:
    print_samples(console, make_spec("shop"), [a_row(1, "\x1b]0;owned\x07 [red]not markup[/red]")])
    assert "\x1b" not in text_of(console)
    assert "[red]not markup[/red]" in text_of(console)


def test_an_empty_window_says_so(console: Console, make_spec: MakeSpec) -> None:
    print_samples(console, make_spec("shop"), [])
    assert text_of(console) == "shop: no rows in this window\n"


def test_an_azure_sample_begins_with_the_time_and_leaves_ids_out(
    console: Console, make_spec: MakeSpec
) -> None:
    row = {
        "TenantId": "7a1c",
        "Name": "GET /",
        "TimeGenerated": datetime(2026, 11, 21, tzinfo=UTC),
        "_ticks": 1,
    }
    print_samples(console, make_spec("requests", "azure_monitor"), [row])
    assert text_of(console).split()[7:9] == ["TimeGenerated", "Name"]
    assert "7a1c" not in text_of(console)
