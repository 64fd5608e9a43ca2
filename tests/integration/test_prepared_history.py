"""Exports of a prepared history: what arrives is what the row numbers say, for both APIs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from tests.integration.azure_port import AzurePort
from tests.integration.datadog_port import DatadogPort

from logferry.window import Window, parse_instant
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore
from logferry_sandbox.prepared import PreparedHistory

pytestmark = pytest.mark.integration

HISTORY = PreparedHistory(
    20_000, datetime(2026, 11, 20, 9, tzinfo=UTC), datetime(2026, 11, 20, 11, tzinfo=UTC), odd_every=500
)
WINDOW = Window(parse_instant("2026-11-20T09:00:00Z"), parse_instant("2026-11-20T11:00:00Z"))


def test_every_event_arrives_once(make_port: Callable[..., DatadogPort]) -> None:
    events = HISTORY.datadog()
    settings = DatadogSettings(search_limit=10**9, aggregate_limit=10**9, compress=False)
    port = make_port(store=DatadogStore(events), settings=settings)
    manifest = port.carry(WINDOW)
    assert (manifest.status, manifest.rows) == ("proven", HISTORY.rows)
    ids, times = zip(*map(events.row, range(HISTORY.rows)), strict=True)
    table = port.table(manifest)
    assert tuple(table["id"].to_pylist()) == ids
    assert tuple(table["timestamp"].cast("int64").to_pylist()) == tuple(at_ms * 1000 for at_ms in times)
    digest = port.sandbox.store.digest(times[0], times[-1] + 1)
    assert digest == (HISTORY.rows, events.ids_sha256(range(HISTORY.rows)))
    assert manifest.requests["count"] == 2
    assert manifest.requests["search"] == 20


def test_a_day_of_a_few_pages_an_hour_costs_no_page_more_than_its_rows_must(
    make_port: Callable[..., DatadogPort],
) -> None:
    day = Window(parse_instant("2026-11-20T00:00:00Z"), parse_instant("2026-11-21T00:00:00Z"))
    history = PreparedHistory(
        50_000, datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC), odd_every=0
    )
    settings = DatadogSettings(search_limit=10**9, aggregate_limit=10**9, compress=False)
    port = make_port(store=DatadogStore(history.datadog()), settings=settings)
    manifest = port.carry(day)
    assert (manifest.status, manifest.rows) == ("proven", history.rows)
    assert manifest.requests["count"] == 2
    assert manifest.requests["search"] == sum(-(-entry.rows // 1_000) for entry in manifest.slices) == 72


def test_every_row_arrives_once(make_azure_port: Callable[..., AzurePort]) -> None:
    rows = HISTORY.azure()
    port = make_azure_port(prepared=rows)
    manifest = port.carry(WINDOW)
    assert (manifest.status, manifest.rows) == ("proven", HISTORY.rows)
    table = port.table(manifest)
    arrived = zip(table["_ItemId"].to_pylist(), table["_ticks"].to_pylist(), strict=True)
    assert list(arrived) == [rows.row(number) for number in range(HISTORY.rows)]
    assert port.sandbox.plan.stats()["purposes"]["search"] <= 4


def test_a_smaller_most_of_an_answer_that_the_service_names_is_kept_to(
    make_azure_port: Callable[..., AzurePort],
) -> None:
    port = make_azure_port(prepared=HISTORY.azure())
    port.knobs(max_rows=1_250, rate_limit=10**9)
    manifest = port.carry(WINDOW)
    assert (manifest.status, manifest.rows) == ("proven", HISTORY.rows)
    fewest = 2 * 8
    assert manifest.requests["search"] <= 1.2 * fewest
    # The sized count is too much and names the limit; by then the window is counted in three parts, then at once.
    assert manifest.requests["count"] == 1 + 3 + 1
