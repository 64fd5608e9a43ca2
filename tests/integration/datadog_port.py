"""A sandbox's Datadog and a lake: one ferry run after the other, over real sockets, without waiting."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from logferry.connection import Connection
from logferry.ferry import Ferry
from logferry.opening import open_ferry
from logferry.records.manifest import Manifest
from logferry.spec import ExportSpec, export_from
from logferry.stores.base import Store
from logferry.window import TICK_PER_HOUR, TICK_PER_MS, TICK_PER_SECOND, Window, parse_instant
from logferry_sandbox.datadog_sandbox import DatadogSandbox

DAY = Window(parse_instant("2026-11-20T00:00:00Z"), parse_instant("2026-11-21T00:00:00Z"))
HOURS = Window(DAY.start + 9 * TICK_PER_HOUR, DAY.start + 12 * TICK_PER_HOUR)


class ManualClock:
    """One time for the ferry and the sandbox, which passes only by sleeping."""

    def __init__(self) -> None:
        self.tick = parse_instant("2026-11-22T12:00:00Z")

    def now(self) -> int:
        return self.tick

    def sleep(self, seconds: float) -> None:
        self.tick += round(seconds * TICK_PER_SECOND)


class DatadogPort:
    """A sandbox and a lake; ``ferry`` opens one run after the other. ``keys`` go into the connection."""

    def __init__(self, sandbox: DatadogSandbox, clock: ManualClock, url: str, s3: Connection | None) -> None:
        self.sandbox, self.clock, self.url, self.s3 = sandbox, clock, url, s3
        self.runs = 0
        self.app_key = "app_key"
        self.keys: dict[str, str] | None = None
        self.host: str | None = None
        self.in_flight: int | None = None

    def spec(self, **source: Any) -> ExportSpec:
        return export_from(
            {
                "name": "web",
                "source": {"kind": "datadog", "connection": "dd", "query": "*", **source},
                "schedule": "@daily",
                "start": "2026-01-01T00:00:00Z",
                "destination": {"url": self.url, **({"connection": "s3"} if self.s3 else {})},
                "columns": {"http_status": {"path": "http.status_code", "type": "int64"}},
            },
            where="test",
        )

    def connect(self, conn_id: str, kind: str) -> Connection:
        if kind == "aws":
            assert self.s3 is not None
            return self.s3
        place = self.sandbox.describe()
        keys = self.keys or {"api_key": place["api_key"], "app_key": place[self.app_key]}
        return Connection(
            conn_id,
            "datadog_logs",
            host=self.host or place["base_url"],
            extra={**keys, "sandbox": True, "in_flight": self.in_flight},
        )

    def ferry(self, **source: Any) -> Ferry:
        self.runs += 1
        return open_ferry(self.spec(**source), self.connect, run_id=f"run:{self.runs}", clock=self.clock)

    def carry(self, window: Window = HOURS, **source: Any) -> Manifest:
        with self.ferry(**source) as ferry:
            return ferry.carry(window)

    def store(self) -> Store:
        return self.ferry().store

    def faults(self, *rules: dict[str, Any]) -> None:
        self.sandbox.api.plan.replace(rules)

    def fired(self) -> dict[str, int]:
        faults: dict[str, int] = self.sandbox.api.plan.stats()["faults"]
        return faults

    def settings(self, **changes: Any) -> None:
        self.sandbox.api.settings = self.sandbox.api.settings.updated(changes)

    def truth(self, window: Window, query: str = "*") -> list[str]:
        return self.sandbox.store.truth(window.start // TICK_PER_MS, window.end // TICK_PER_MS, query)

    def table(self, manifest: Manifest) -> pa.Table:
        store = self.store()
        parts = [
            pq.read_table(pa.BufferReader(store.read(file.key)), partitioning=None) for file in manifest.files
        ]
        return pa.concat_tables(parts)

    def hashes(self, manifest: Manifest) -> list[str]:
        return [file.row_hash for file in manifest.files]


def assert_is_the_truth(
    port: DatadogPort, manifest: Manifest, window: Window = HOURS, query: str = "*"
) -> None:
    truth = port.truth(window, query)
    assert manifest.status == "proven"
    assert manifest.rows == manifest.source_rows == len(truth) > 0
    assert port.table(manifest)["id"].to_pylist() == truth
