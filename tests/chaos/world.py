"""The world a chaos run happens in: small uneven days, a hot tick, empty hours, windows and late hours.

Everything here is a pure function of the seed, so that the sandbox process and the judge see the same rows.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tests.chaos.arrivals import ArrivingDays, HeldBack, arriving

from logferry.window import TICK_PER_HOUR, Window, parse_instant
from logferry_sandbox.azure_data import DayTable
from logferry_sandbox.azure_sandbox import WORKSPACE
from logferry_sandbox.azure_tables import build_tables
from logferry_sandbox.datadog_data import GeneratedDays
from logferry_sandbox.kql_values import UNIX_EPOCH_TICKS

FIRST = parse_instant("2026-03-02T00:00:00Z")
HOURS_PER_WINDOW = 4
ROWS_PER_DAY = 900
BURST = 170
"""Datadog events within one millisecond of each day: several pages of one tick."""
HOT_TICK = FIRST + TICK_PER_HOUR * 9 + 1_234_567
HOT_ROWS = 450
"""Azure rows on one tick of 100 ns: more than one answer may hold."""
PAGE_ROWS = 25
ANSWER_ROWS = 200
TABLE = "AppRequests"
EXPORTS = {"events": "datadog", "requests": "azure_monitor"}
"""The two exports and the kinds of their sources."""


@dataclass(frozen=True)
class World:
    """``windows`` per export, one after the other from FIRST."""

    seed: int
    windows: int

    @property
    def whole(self) -> Window:
        return Window(FIRST, FIRST + self.windows * HOURS_PER_WINDOW * TICK_PER_HOUR)

    def window(self, number: int) -> Window:
        ticks = HOURS_PER_WINDOW * TICK_PER_HOUR
        return Window(FIRST + number * ticks, FIRST + (number + 1) * ticks)

    @property
    def late_hours(self) -> frozenset[int]:
        """The hours (since the epoch) some of whose rows arrive late: one or two in most windows."""
        choose = random.Random(f"late:{self.seed}")
        found: set[int] = set()
        for number in range(self.windows):
            hours = hours_of(self.window(number))
            found.update(choose.sample(hours, choose.choice([0, 1, 1, 2])))
        return frozenset(found)

    def datadog(self, held_back: HeldBack) -> ArrivingDays:
        return ArrivingDays(
            GeneratedDays(seed=self.seed, events_per_day=ROWS_PER_DAY, burst=BURST), held_back
        )

    def azure(self, held_back: HeldBack) -> DayTable:
        tables = build_tables(
            seed=self.seed,
            workspace=WORKSPACE.guid,
            resource=WORKSPACE.component_id,
            rows_per_day=ROWS_PER_DAY,
            hot_ticks={HOT_TICK + UNIX_EPOCH_TICKS: HOT_ROWS},
        )
        return arriving(tables[TABLE], held_back)


def hours_of(window: Window) -> list[int]:
    """The hours (since the epoch) of a window; every slice here is one of them."""
    return list(range(window.start // TICK_PER_HOUR, window.end // TICK_PER_HOUR))


@lru_cache
def definition(export: str, url: str, destination: str | None) -> dict[str, Any]:
    """The export definition as a file would write it."""
    source: dict[str, Any] = {"kind": EXPORTS[export], "connection": export}
    if source["kind"] == "azure_monitor":
        source |= {"workspace": WORKSPACE.guid, "table": TABLE}
    return {
        "name": export,
        "source": source,
        "schedule": f"0 */{HOURS_PER_WINDOW} * * *",
        "start": "2026-01-01T00:00:00Z",
        "slice": "1h",
        "destination": {"url": url, **({"connection": destination} if destination else {})},
    }


def connection_fields(described: dict[str, Any], export: str) -> dict[str, Any]:
    """The fields of the Airflow connection to the sandbox that ``described`` itself."""
    if EXPORTS[export] == "datadog":
        place = described["datadog"]
        keys = {"api_key": place["api_key"], "app_key": place["app_key"], "sandbox": True}
        return {"conn_type": "datadog_logs", "host": place["base_url"], "extra": keys}
    place = described["azure"]
    return {
        "conn_type": "azure_log_analytics",
        "login": place["client_id"],
        "password": place["client_secret"],
        "extra": {
            "tenantId": place["tenant_id"],
            "authority": place["authority"],
            "query_endpoint": place["query_endpoint"],
            "ca_bundle": place["ca_bundle"],
            "sandbox": True,
        },
    }
