"""The tables the Azure sandbox serves: two of Application Insights, one with every KQL type, four special
cases.

Standard columns: https://learn.microsoft.com/azure/azure-monitor/logs/log-standard-columns ; names that
begin with an underscore are hidden, save `_ResourceId`.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

from logferry_sandbox.azure_data import (
    ColumnMaker,
    DayTable,
    TableDefinition,
    computed,
    earlier,
    event_time,
    in_turn,
    item_id,
    one_of,
    same_everywhere,
)
from logferry_sandbox.kql_frame import Column
from logferry_sandbox.kql_values import TICKS_PER_DAY, TICKS_PER_SECOND, UNIX_EPOCH_TICKS

TYPES_ROWS_PER_DAY = 240
PLAIN_ROWS_PER_DAY = 480
LATE_ROWS_PER_DAY = 150
LATE_DAYS = (date(2026, 11, 1).toordinal() - 1, date(2026, 11, 30).toordinal() - 1)
"""The only days with rows in the table whose rows arrive late: a query by another time reads them all."""
LATEST_ARRIVAL = 3 * TICKS_PER_DAY
_MASK = (1 << 128) - 1
_NAMES = [
    "GET Home/Index",
    "GET api/orders/{id}",
    "POST api/orders",
    "GET api/products",
    "PUT api/cart/items",
    "DELETE api/cart/items/{id}",
    "GET /santé",
    "POST api/支払い",
]
_ROLES = ["web-store", "order-service", "payment-gateway"]
_SHAPES: list[Any] = [
    {"region": "westeurope", "retry": 0, "cart": {"items": 3, "total": "42.50"}},
    {"region": "northeurope", "retry": 1, "tags": ["beta", "größe"]},
    {"region": "eastus", "message": 'He said "no"\nand left', "trace": 9007199254740993},
    {},
    None,
]
LONG_TEXT = "".join(f"{number:07d} Ünïcödé;" for number in range(4096))[:65_536]
"""A string of 65,536 characters, in the first row of hour 12 of every day."""

PAYLOADS: list[Any] = [
    {"a": 123, "nested": {"b": [1, 2.5, None, True], "text": "line\nbreak"}},
    [1, "two", {"three": 3}, []],
    "boundedElastic-1",
    None,
    {"big": 9223372036854775807, "empty": {}},
    42,
    {"json": '{"inner":"{\\"deeper\\":1}"}'},
    "",
]
NOTES: list[Any] = [
    "plain",
    "",
    "first line\nsecond line\r\n\ttabbed",
    "Grüße, 你好, 🚢⚓",
    'quote " backslash \\ slash / control \x01 separator \u2028 end',
    json.dumps({"level": 1, "inner": json.dumps({"level": 2, "text": 'a "b" c'})}),
    "NaN",
    "null",
]


def _visible(name: str, kind: str, make: ColumnMaker) -> tuple[Column, ColumnMaker]:
    return Column(name, kind), make


def _fixed(name: str, value: str, *, hidden: bool = False) -> tuple[Column, ColumnMaker]:
    return Column(name, "string", hidden), same_everywhere("string", value)


def _standard(table: str, resource: str, number: int | None) -> tuple[tuple[Column, ColumnMaker], ...]:
    subscription = resource.split("/")[2]
    ids = () if number is None else ((Column("_ItemId", "string", True), item_id(number)),)
    return (
        _fixed("Type", table),
        _fixed("_ResourceId", resource),
        *ids,
        _fixed("_SubscriptionId", subscription, hidden=True),
        _fixed("_IsBillable", "True", hidden=True),
        (Column("_BilledSize", "real", True), computed("real", lambda bits: 400.0 + bits % 900)),
    )


def app_requests(workspace: str, resource: str) -> TableDefinition:
    outcomes = [("200", True)] * 15 + [
        ("201", True),
        ("304", True),
        ("404", False),
        ("500", False),
        ("503", False),
    ]
    return TableDefinition(
        "AppRequests",
        (
            _fixed("TenantId", workspace),
            _visible("TimeGenerated", "datetime", event_time()),
            _visible("Id", "string", computed("string", lambda bits: f"{bits:016x}")),
            _fixed("Source", ""),
            _visible("Name", "string", one_of("string", _NAMES, 7)),
            _visible(
                "Url",
                "string",
                computed(
                    "string", lambda bits: f"https://shop.example/{_NAMES[(bits >> 7) % 8]}?n={bits >> 40}"
                ),
            ),
            _visible("Success", "bool", one_of("bool", [good for _, good in outcomes], 20)),
            _visible("ResultCode", "string", one_of("string", [code for code, _ in outcomes], 20)),
            _visible("DurationMs", "real", computed("real", lambda bits: (bits >> 11 & 0xFFFFF) / 256)),
            _visible(
                "PerformanceBucket", "string", one_of("string", ["<250ms", "250ms-500ms", "1sec-3sec"], 30)
            ),
            _visible("Properties", "dynamic", one_of("dynamic", _SHAPES, 3)),
            _visible("Measurements", "dynamic", one_of("dynamic", [None, {"queue": 1.5}], 17)),
            _visible("OperationName", "string", one_of("string", _NAMES, 7)),
            _visible(
                "OperationId",
                "string",
                computed("string", lambda b: f"{b * 0x9E3779B97F4A7C15F39CC0605 & _MASK:032x}"),
            ),
            _visible("AppVersion", "string", one_of("string", ["1.4.0", "1.4.1", ""], 13)),
            _visible("AppRoleName", "string", one_of("string", _ROLES, 41)),
            _visible("AppRoleInstance", "string", one_of("string", [f"node-{n}" for n in range(12)], 23)),
            _fixed("ClientType", "PC"),
            _fixed("ClientIP", "0.0.0.0"),
            _visible(
                "ClientCountryOrRegion", "string", one_of("string", ["France", "Côte d’Ivoire", "日本"], 9)
            ),
            _visible("ItemCount", "int", one_of("int", [1, 1, 1, 2, 5], 33)),
            _fixed("SourceSystem", "Azure"),
            *_standard("AppRequests", resource, 1),
        ),
        3000,
    )


def _app_traces(workspace: str, resource: str) -> TableDefinition:
    messages = [
        "Order {} accepted",
        "Payment for {} declined: insufficient funds",
        "Cache miss for key {}\n  at Cart.Load()\n  at Cart.Show()",
        "Retrying {} – attempt 2",
    ]
    return TableDefinition(
        "AppTraces",
        (
            _fixed("TenantId", workspace),
            _visible("TimeGenerated", "datetime", event_time()),
            _visible(
                "Message", "string", computed("string", lambda bits: messages[bits % 4].format(bits >> 32))
            ),
            _visible("SeverityLevel", "int", one_of("int", [0, 1, 1, 1, 2, 3, 4], 5)),
            _visible("Properties", "dynamic", one_of("dynamic", _SHAPES, 9)),
            _visible("OperationId", "string", computed("string", lambda bits: f"{bits * 0x9E3779B1:032x}")),
            _visible("AppRoleName", "string", one_of("string", _ROLES, 41)),
            _visible("ItemCount", "int", same_everywhere("int", 1)),
            *_standard("AppTraces", resource, 2),
        ),
        1500,
    )


def _ferry_types(workspace: str, resource: str) -> TableDefinition:
    when = UNIX_EPOCH_TICKS + 16_000_000_000_000_000
    spans = [1, 0, -(TICKS_PER_DAY + 7384 * TICKS_PER_SECOND + 5_000_000), 36_500 * TICKS_PER_DAY, None]
    guid = "00112233-4455-6677-8899-aabbccddeeff"
    return TableDefinition(
        "FerryTypes_CL",
        (
            _fixed("TenantId", workspace),
            _visible("TimeGenerated", "datetime", event_time()),
            _visible("Level", "string", one_of("string", ["Info", "Warn", "Error"], 3)),
            _visible("level", "string", one_of("string", ["info", "warn", "error", ""], 11)),
            _visible("Flag", "bool", in_turn("bool", [True, False, None])),
            _visible("Small", "int", in_turn("int", [0, -1, 2147483647, -2147483648, None])),
            _visible(
                "Big",
                "long",
                in_turn("long", [0, -1, 9223372036854775807, -9223372036854775808, 9007199254740993, None]),
            ),
            _visible(
                "Ratio",
                "real",
                in_turn("real", [0.5, float("nan"), float("inf"), float("-inf"), None, 1e-300, 5.0, 0.1]),
            ),
            _visible(
                "Amount",
                "decimal",
                in_turn(
                    "decimal",
                    [Decimal("79228162514264337593543950335"), Decimal("0.1000"), Decimal("-1.5"), None],
                ),
            ),
            _visible("Ident", "guid", in_turn("guid", [guid, None])),
            _visible("Span", "timespan", in_turn("timespan", spans)),
            _visible("When", "datetime", in_turn("datetime", [when + 1, when, when + 1_234_500, None, 0])),
            _visible("Payload", "dynamic", in_turn("dynamic", PAYLOADS)),
            _visible("Note", "string", in_turn("string", NOTES)),
            _visible("Body", "string", in_turn("string", ["short", "", "a body"], noon=LONG_TEXT)),
            _visible("odd name", "string", in_turn("string", ["a", "b"])),
            *_standard("FerryTypes_CL", resource, 3),
        ),
        TYPES_ROWS_PER_DAY,
        tied_every=4,
    )


def _ferry_plain(workspace: str, resource: str) -> TableDefinition:
    return TableDefinition(
        "FerryPlain_CL",
        (
            _fixed("TenantId", workspace),
            _visible("TimeGenerated", "datetime", event_time()),
            _visible("Message", "string", computed("string", lambda bits: f"message {bits >> 20}")),
            _visible("Code", "int", computed("int", lambda bits: bits % 100)),
            *_standard("FerryPlain_CL", resource, None),
        ),
        PLAIN_ROWS_PER_DAY,
    )


def _ferry_empty(workspace: str, resource: str) -> TableDefinition:
    return TableDefinition(
        "FerryEmpty_CL",
        (
            _fixed("TenantId", workspace),
            _visible("TimeGenerated", "datetime", event_time()),
            _fixed("Message", ""),
            *_standard("FerryEmpty_CL", resource, 5),
        ),
        0,
    )


def _ferry_late(workspace: str, resource: str) -> TableDefinition:
    return TableDefinition(
        "FerryLate_CL",
        (
            _fixed("TenantId", workspace),
            _visible("TimeGenerated", "datetime", event_time()),
            _visible("EventTime", "datetime", earlier(LATEST_ARRIVAL)),
            _visible("Message", "string", computed("string", lambda bits: f"message {bits >> 20}")),
            *_standard("FerryLate_CL", resource, 6),
        ),
        LATE_ROWS_PER_DAY,
        days=LATE_DAYS,
    )


def build_tables(
    *,
    seed: int,
    workspace: str,
    resource: str,
    rows_per_day: int | None = None,
    hot_ticks: dict[int, int] | None = None,
) -> dict[str, DayTable]:
    """The tables by name. `rows_per_day` and `hot_ticks` (ticks since 0001-01-01: rows) are those of
    AppRequests.

    `FerryEmpty_CL` exists and is empty, `FerryPlain_CL` has no `_ItemId`, the rows of `FerryLate_CL` carry a
    time of their own, up to three days before `TimeGenerated`; any other name was never filled: SEM0100.
    """
    definitions = [
        make(workspace, resource)
        for make in (app_requests, _app_traces, _ferry_types, _ferry_plain, _ferry_empty, _ferry_late)
    ]
    tables = {d.name: DayTable(d, seed, d.rows_per_day) for d in definitions}
    requests = tables["AppRequests"]
    if rows_per_day is not None:
        requests.rows_per_day = rows_per_day
    requests.hot_ticks = hot_ticks or {}
    return tables
