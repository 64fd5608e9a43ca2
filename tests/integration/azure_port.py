"""A sandbox's Log Analytics and a lake: one ferry run after the other, signed in through MSAL, without waiting."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tests.integration.datadog_port import DAY, ManualClock

from logferry.connection import Connection
from logferry.ferry import Ferry
from logferry.opening import open_ferry
from logferry.progress import Progress
from logferry.records.manifest import Manifest
from logferry.spec import ExportSpec, export_from
from logferry.window import TICK_PER_HOUR, Window
from logferry_sandbox.azure_sandbox import AzureSandbox
from logferry_sandbox.kql_values import UNIX_EPOCH_TICKS

MORNING = Window(DAY.start + 9 * TICK_PER_HOUR, DAY.start + 11 * TICK_PER_HOUR)


class AzurePort:
    """A sandbox and a lake; ``ferry`` opens one run after the other."""

    def __init__(self, sandbox: AzureSandbox, clock: ManualClock, lake: Path) -> None:
        self.sandbox, self.clock, self.lake = sandbox, clock, lake
        self.runs = 0
        self.query_endpoint: str | None = None
        self.in_flight: int | None = None

    def spec(self, **source: Any) -> ExportSpec:
        workspace = self.sandbox.describe()["workspace"]
        return export_from(
            {
                "name": "requests",
                "source": {
                    "kind": "azure_monitor",
                    "connection": "az",
                    "workspace": workspace,
                    "table": "AppRequests",
                    **source,
                },
                "schedule": "@daily",
                "start": "2026-01-01T00:00:00Z",
                "destination": {"url": self.lake.as_uri()},
            },
            where="test",
        )

    def connect(self, conn_id: str, kind: str) -> Connection:
        place = self.sandbox.describe()
        extra = {
            "tenantId": place["tenant_id"],
            "authority": place["authority"].rsplit("/", 1)[0],
            "query_endpoint": self.query_endpoint or place["query_endpoint"],
            "arm_endpoint": place["arm_endpoint"],
            "ca_bundle": place["ca_bundle"],
            "sandbox": True,
            "in_flight": self.in_flight,
        }
        return Connection(
            conn_id,
            "azure_log_analytics",
            login=place["client_id"],
            password=place["client_secret"],
            extra=extra,
        )

    def ferry(self, *, progress: Progress | None = None, **source: Any) -> Ferry:
        self.runs += 1
        spec = self.spec(**source)
        return open_ferry(spec, self.connect, run_id=f"run:{self.runs}", clock=self.clock, progress=progress)

    def carry(self, window: Window = MORNING, *, progress: Progress | None = None, **source: Any) -> Manifest:
        with self.ferry(progress=progress, **source) as ferry:
            return ferry.carry(window)

    def faults(self, *rules: dict[str, Any]) -> None:
        self.sandbox.plan.replace(rules)

    def fired(self) -> dict[str, int]:
        faults: dict[str, int] = self.sandbox.plan.stats()["faults"]
        return faults

    def knobs(self, **changes: Any) -> None:
        self.sandbox.query.knobs.update(changes)

    def truth(self, window: Window, column: str, table: str = "AppRequests") -> list[tuple[int, Any]]:
        """``(tick, value)`` of every row the table holds in the window."""
        rows: list[tuple[int, Any]] = []
        start, end = window.start + UNIX_EPOCH_TICKS, window.end + UNIX_EPOCH_TICKS
        for batch in self.sandbox.tables[table].scan(start, end):
            ticks = (tick - UNIX_EPOCH_TICKS for tick in batch.columns["TimeGenerated"].values())
            rows += zip(ticks, batch.columns[column].values(), strict=True)
        return rows

    def table(self, manifest: Manifest) -> pa.Table:
        parts = [pq.read_table(self.lake / file.key, partitioning=None) for file in manifest.files]
        return pa.concat_tables(parts)

    def published(self) -> list[Path]:
        return list(self.lake.rglob("*.parquet")) if self.lake.exists() else []


def assert_is_the_truth(
    port: AzurePort,
    manifest: Manifest,
    window: Window = MORNING,
    *,
    column: str = "_ItemId",
    table: str = "AppRequests",
) -> None:
    truth = port.truth(window, column, table)
    assert manifest.status == "proven"
    assert manifest.rows == manifest.source_rows == len(truth) > 0
    written = port.table(manifest)
    got = list(zip(written["_ticks"].to_pylist(), written[column].to_pylist(), strict=True))
    assert Counter(got) == Counter(truth)
    assert (
        got == sorted(got)
        if column == "_ItemId"
        else written["_ticks"].to_pylist() == sorted(tick for tick, _ in truth)
    )
