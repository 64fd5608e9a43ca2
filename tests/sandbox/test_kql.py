"""The KQL interpreter over small tables whose every row is written out here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry_sandbox.kql import run_query, shuffled
from logferry_sandbox.kql_errors import KqlSemanticError, KqlSyntaxError, ScanTooLarge
from logferry_sandbox.kql_frame import Batch, Column, Vector
from logferry_sandbox.kql_values import format_datetime, parse_datetime

SCHEMA = (
    Column("TimeGenerated", "datetime"),
    Column("Name", "string"),
    Column("level", "string"),
    Column("Level", "string"),
    Column("Count", "long"),
    Column("Ratio", "real"),
    Column("Ok", "bool"),
    Column("Props", "dynamic"),
    Column("odd name", "string"),
    Column("_ResourceId", "string"),
    Column("_ItemId", "string", hidden=True),
)
BASE = parse_datetime("2026-11-20T00:00:00Z") or 0
ROWS: list[tuple[Any, ...]] = [
    (BASE, "GET orders", "info", "Info", 1, 0.5, True, {"a": 1, "tags": ["x", "y"]}, "p", "/r", "i1"),
    (BASE + 1, "GET Orders/42", "warn", "Warn", None, None, None, None, "q", "/r", "i2"),
    (BASE + 1, "POST orders", "", "Info", 9223372036854775807, float("nan"), False, "bare", "p", "/r", "i3"),
    (
        BASE + 36_000_000_000,
        "DELETE cart",
        "info",
        "Error",
        -7,
        2.25,
        True,
        {"a": 2, "tags": []},
        "q",
        "/r",
        "i4",
    ),
]


@dataclass
class ListTable:
    """The rows above, in batches of two."""

    name: str = "T"
    time_column: str = "TimeGenerated"
    schema: tuple[Column, ...] = SCHEMA
    read: int = 0

    def rows_between(self, start: int, stop: int) -> int:
        return sum(start <= row[0] < stop for row in ROWS)

    def scan(self, start: int, stop: int) -> Iterator[Batch]:
        rows = [row for row in ROWS if start <= row[0] < stop]
        self.read += len(rows)
        for at in range(0, len(rows), 2):
            part = rows[at : at + 2]
            yield Batch(
                len(part), {c.name: Vector(c.kind, [r[n] for r in part]) for n, c in enumerate(SCHEMA)}
            )


def rows(pipeline: str, **options: int) -> list[Any]:
    answer = run_query(f"T {pipeline}", {"T": ListTable()}, **options)
    return [json.loads(row) for batch in answer.rows() for row in batch]


def ids(condition: str) -> list[str]:
    return [row[0] for row in rows(f"| where {condition} | project _ItemId")]


def value(expression: str, item: str = "i1") -> Any:
    return rows(f"| where _ItemId == '{item}' | project x = {expression}")[0][0]


def columns(pipeline: str) -> list[str]:
    return [column.name for column in run_query(f"T {pipeline}", {"T": ListTable()}).columns]


def test_a_half_open_time_filter_is_exact_to_the_tick() -> None:
    def between(start: int, stop: int) -> list[str]:
        first, last = format_datetime(start), format_datetime(stop)
        return ids(f"TimeGenerated >= datetime({first}) and TimeGenerated < datetime({last})")

    assert between(BASE, BASE + 1) == ["i1"]
    assert between(BASE + 1, BASE + 2) == ["i2", "i3"]
    assert between(BASE + 2, BASE + 36_000_000_000) == []
    assert between(BASE + 2, BASE + 36_000_000_001) == ["i4"]


@given(st.integers(-3, 3), st.integers(-3, 3))
def test_the_bisected_filter_equals_the_same_filter_tested_row_by_row(low: int, high: int) -> None:
    first, last = format_datetime(BASE + low), format_datetime(BASE + high)
    filtered = f"TimeGenerated >= datetime({first}) and datetime({last}) > TimeGenerated"
    hidden_from_bisection = filtered.replace("TimeGenerated", "t")
    assert ids(filtered) == [
        row[0]
        for row in rows(f"| extend t = TimeGenerated | where {hidden_from_bisection} | project _ItemId")
    ]


def test_between_includes_both_ends() -> None:
    assert ids("TimeGenerated between (datetime(2026-11-20) .. 1tick)") == ["i1", "i2", "i3"]
    assert ids("TimeGenerated between (datetime(2026-11-20) .. datetime(2026-11-20T01:00:00Z))") == [
        "i1",
        "i2",
        "i3",
        "i4",
    ]
    assert ids("TimeGenerated !between (datetime(2026-11-20) .. 1tick)") == ["i4"]


def test_the_time_filter_limits_what_is_read() -> None:
    table = ListTable()
    answer = run_query("T | where TimeGenerated < datetime(2026-11-20T00:00:00.0000001Z)", {"T": table})
    assert sum(len(batch) for batch in answer.rows()) == 1
    assert table.read == 1


def test_the_request_timespan_narrows_the_query_further() -> None:
    assert [row[0] for row in rows("| project _ItemId", start=BASE + 1, stop=BASE + 2)] == ["i2", "i3"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("Ok == false", ["i3"]),
        ("Ok != false", ["i1", "i2", "i4"]),
        ("not(Ok)", ["i3"]),
        ("Count > 0 or Name startswith 'delete'", ["i1", "i3", "i4"]),
        ("Count >= 9223372036854775807", ["i3"]),
        ("Name contains 'ORDERS'", ["i1", "i2", "i3"]),
        ("Name !contains 'orders'", ["i4"]),
        ("Name contains_cs 'Orders'", ["i2"]),
        ("Name has 'order'", []),
        ("Name has 'orders'", ["i1", "i2", "i3"]),
        ("Name endswith '42'", ["i2"]),
        ("Name =~ 'get ORDERS'", ["i1"]),
        ("Name == 'get orders'", []),
        ("Name in ('GET orders', \"DELETE cart\")", ["i1", "i4"]),
        ("Name in~ ('get ORDERS')", ["i1"]),
        ("Name !in ('GET orders')", ["i2", "i3", "i4"]),
        ("Level == 'Info' and level == 'info'", ["i1"]),
        ("['odd name'] == 'q'", ["i2", "i4"]),
        ("isempty(level)", ["i3"]),
        ("isnull(Count)", ["i2"]),
        ("isnotnull(Count) and isnotempty(level)", ["i1", "i4"]),
        ("Props.a == 2", ["i4"]),
        ("Props['a'] == 1", ["i1"]),
        ("Props.tags[1] == 'y'", ["i1"]),
        ("Props == 'bare'", ["i3"]),
        ("Ratio between (0.4 .. 3.0)", ["i1", "i4"]),
        ("Name matches regex @'\\d+$'", ["i2"]),
        ("(Count < 0) == true", ["i4"]),
    ],
)
def test_where_keeps_the_rows_for_which_it_is_true(condition: str, expected: list[str]) -> None:
    assert ids(condition) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("strcat(Name, '-', Count)", "GET orders-1"),
        ("strlen(Name)", 10),
        ("iff(Ok, 'yes', 'no')", "yes"),
        ("case(Count > 5, 'many', Count > 0, 'some', 'none')", "some"),
        ("coalesce(long(null), Count)", 1),
        ("tostring(Props)", '{"a":1,"tags":["x","y"]}'),
        ("tostring(Props.tags[0])", "x"),
        ("toint('12')", 12),
        ("tolong('twelve')", None),
        ("todouble('NaN')", "NaN"),
        ("tobool('true')", True),
        ("bin(TimeGenerated, 1h)", "2026-11-20T00:00:00Z"),
        ("bin(datetime(2026-11-20T10:59:59.9999999Z), 1h)", "2026-11-20T10:00:00Z"),
        # Bins of seven days count from 0001-01-01, a Monday.
        ("bin(datetime(2026-11-20), 7d)", "2026-11-16T00:00:00Z"),
        (
            "bin_at(datetime(2026-11-20T10:07:00Z), 10m, datetime(2026-11-20T00:05:00Z))",
            "2026-11-20T10:05:00Z",
        ),
        ("bin(-7, 5)", -10),
        ("floor(7.5, 2)", 6.0),
        ("datetime(2026-11-20) + 1h - 1tick", "2026-11-20T00:59:59.9999999Z"),
        ("datetime(2026-11-21) - datetime(2026-11-20)", "1.00:00:00"),
        ("7 / 2", 3),
        ("7 / 2.0", 3.5),
        ("7 % 4 + 2 * 3", 9),
        ("-Count", -1),
        ("@'C:\\logs\\new'", "C:\\logs\\new"),
        ("'tab\\tquote\\' end'", "tab\tquote' end"),
        ('dynamic({"k": [1, null]})', '{"k":[1,null]}'),
        ("guid(00112233-4455-6677-8899-AABBCCDDEEFF)", "00112233-4455-6677-8899-aabbccddeeff"),
        ("timespan(1.02:03:04.5)", "1.02:03:04.5000000"),
    ],
)
def test_expressions_give_what_kusto_gives(expression: str, expected: Any) -> None:
    assert value(expression) == expected


def test_hash_with_a_modulus_puts_each_row_into_exactly_one_part() -> None:
    parts = [ids(f"hash(_ItemId, 3) == {part}") for part in range(3)]
    assert sorted(item for part in parts for item in part) == ["i1", "i2", "i3", "i4"]


def test_a_hash_of_all_columns_tells_apart_rows_without_an_id() -> None:
    parts = [ids(f"hash(tostring(pack_all()), 5) == {part}") for part in range(5)]
    assert sorted(item for part in parts for item in part) == ["i1", "i2", "i3", "i4"]
    assert len([part for part in parts if part]) > 1


def test_the_size_of_rows_is_estimated_from_types_and_values() -> None:
    """https://learn.microsoft.com/kusto/query/estimate-data-size-function: a long is 8, a text its length."""
    pipeline = "| project x = tolong(1), text = '1234567890' | take 3 | summarize sum(estimate_data_size(*))"
    assert rows(pipeline) == [[54]]
    assert value("estimate_data_size(true, 'abcd')") == 5


def test_all_columns_are_packed_with_times_and_numbers_as_json_writes_them() -> None:
    (bag,) = rows("| where _ItemId == 'i1' | project TimeGenerated, Count, Ok | project All = pack_all()")[0]
    assert json.loads(bag) == {"TimeGenerated": "2026-11-20T00:00:00.0000000Z", "Count": 1, "Ok": True}


def test_a_running_sum_follows_the_order_of_the_last_sort() -> None:
    counts = "| summarize n = count() by Level | sort by Level asc | extend up = row_cumsum(n)"
    assert rows(f"{counts} | sort by Level desc | extend down = row_cumsum(n)") == [
        ["Warn", 1, 4, 1],
        ["Info", 2, 3, 3],
        ["Error", 1, 1, 4],
    ]


@pytest.mark.parametrize("before", ["", "| sort by Level asc | summarize Count = count() by Level"])
def test_a_running_sum_needs_rows_in_order(before: str) -> None:
    with pytest.raises(KqlSemanticError, match="must be serialized"):
        rows(f"{before} | extend up = row_cumsum(Count)")


def test_hidden_columns_are_not_returned_but_can_be_named() -> None:
    assert "_ItemId" not in columns("")
    assert "_ResourceId" in columns("")
    assert "_ItemId" not in [row[0] for row in rows("| getschema")]
    assert columns("| extend _lf_item = _ItemId | project-away Props")[-1] == "_lf_item"
    assert columns("| project-keep _ItemId, Name") == ["Name", "_ItemId"]


def test_getschema_names_ordinals_and_types() -> None:
    schema = rows("| project TimeGenerated, Ok, Props | getschema")
    assert schema == [
        ["TimeGenerated", 0, "System.DateTime", "datetime"],
        ["Ok", 1, "System.SByte", "bool"],
        ["Props", 2, "System.Object", "dynamic"],
    ]


def test_the_projections_shape_the_columns() -> None:
    assert columns("| project-away *evel, _*, Props") == [
        "TimeGenerated",
        "Name",
        "Count",
        "Ratio",
        "Ok",
        "odd name",
    ]
    assert columns("| project-rename Title = Name | project-keep T*") == ["TimeGenerated", "Title"]
    assert columns("| project-reorder Ok, C*")[:3] == ["Ok", "Count", "TimeGenerated"]
    assert columns("| extend Name = 1, New = 2")[1] == "Name"
    assert columns("| project Props.a, bin(TimeGenerated, 1h), 1 + 1") == [
        "Props_a",
        "TimeGenerated",
        "Column1",
    ]


def test_parse_fills_columns_and_parse_where_drops_what_does_not_match() -> None:
    pattern = "Name with verb ' Orders/' number:long"
    assert rows(f"| parse {pattern} | project verb, number") == [
        ["", None],
        ["GET", 42],
        ["", None],
        ["", None],
    ]
    assert rows(f"| parse-where {pattern} | project verb, number") == [["GET", 42]]
    assert rows("| parse Name with * 'T ' rest | project rest")[0] == ["orders"]


def test_mv_expand_repeats_the_row_for_each_element() -> None:
    expanded = rows("| mv-expand tag = Props.tags to typeof(string) | project _ItemId, tag")
    assert expanded == [["i1", "x"], ["i1", "y"], ["i2", ""], ["i3", ""], ["i4", ""]]


def test_summarize_counts_per_bin_across_batches() -> None:
    counted = rows("| extend t = TimeGenerated | summarize rows = count() by bin = bin(t, 1h)")
    assert sorted(counted) == [["2026-11-20T00:00:00Z", 3], ["2026-11-20T01:00:00Z", 1]]


def test_summarize_without_keys_always_gives_one_row() -> None:
    assert rows("| where false | summarize count(), max(Count)") == [[0, None]]
    assert rows("| where false | summarize count() by Name") == []


def test_the_aggregates() -> None:
    aggregates = "count(), dcount(Level), countif(Ok), min(Count), m = max(TimeGenerated)"
    assert rows(f"| summarize {aggregates}, sum(strlen(level)), avg(1.0)") == [
        [4, 3, 2, -7, "2026-11-20T01:00:00Z", 12, 1.0]
    ]


def test_sort_puts_nulls_last_when_descending_and_first_when_ascending() -> None:
    assert [row[0] for row in rows("| sort by Count | project _ItemId")] == ["i3", "i1", "i4", "i2"]
    assert [row[0] for row in rows("| order by Count asc | project _ItemId")] == ["i2", "i4", "i1", "i3"]
    by_two = "| sort by TimeGenerated desc, Name asc | project _ItemId"
    assert [row[0] for row in rows(by_two)] == ["i4", "i2", "i3", "i1"]
    assert [row[0] for row in rows("| top 1 by Ratio asc nulls last | project _ItemId")] == ["i1"]


def test_count_take_and_distinct() -> None:
    assert rows("| count") == [[4]]
    assert len(rows("| take 3")) == 3
    assert len(rows("| limit 0")) == 0
    assert sorted(rows("| distinct ['odd name']")) == [["p"], ["q"]]


def test_take_ends_the_scan_early_but_a_count_of_too_much_is_refused() -> None:
    assert len(rows("| take 1", scan_limit=1)) == 1
    assert len(rows("| getschema", scan_limit=1)) == 10
    with pytest.raises(ScanTooLarge):
        rows("| count", scan_limit=3)


@pytest.mark.parametrize(
    ("query", "line", "pos", "token"),
    [
        ("T | where", 1, 9, "<EOF>"),
        ("T | where Name = 'x'", 1, 15, "="),
        ("let x = 1; T", 1, 0, "let"),
        ("set notruncation; T", 1, 0, "set"),
        ("T\n| join (U) on Name", 2, 2, "join"),
        ("T | project-nothing x", 1, 20, "x"),
        ("T | where Name == 'open", 1, 18, "'"),
        ("T | where TimeGenerated > datetime(soon)", 1, 26, "datetime(soon)"),
        ("T | take 5 5", 1, 11, "5"),
        ("T; U", 1, 3, "U"),
    ],
)
def test_a_syntax_error_names_the_place_and_the_token(query: str, line: int, pos: int, token: str) -> None:
    with pytest.raises(KqlSyntaxError) as caught:
        run_query(query, {"T": ListTable()})
    assert (caught.value.line, caught.value.pos, caught.value.token) == (line, pos, token)


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        (
            "Nope | where x == 1",
            "SEM0100",
            "'where' operator: Failed to resolve table or column expression named 'Nope'",
        ),
        (
            "T | where Nope == 1",
            "SEM0100",
            "'where' operator: Failed to resolve column or scalar expression named 'Nope'",
        ),
        (
            "T | project name",
            "SEM0100",
            "'project' operator: Failed to resolve column or scalar expression named 'name'",
        ),
        ("T | project Name | where Ok", "SEM0100", "named 'Ok'"),
        ("T | where TimeGenerated > '2026-11-20'", "SEM0064", "datetime and string"),
        ("T | where TimeGenerated > datetime(2026-11-20) and Nope == 1", "SEM0100", "named 'Nope'"),
        ("T | where Count", "SEM0024", "must be of type bool"),
        ("T | extend x = frobnicate(Name)", "SEM0260", "Unknown function: 'frobnicate'"),
        ("T | summarize by Props", "SEM0101", "dynamic"),
        ("T | project a = Name, a = Level", "SEM0103", "'a' is defined twice"),
        ("T | extend x = Name + 1", "SEM0026", "not defined for string and long"),
    ],
)
def test_a_semantic_error_carries_code_and_stage(query: str, code: str, text: str) -> None:
    with pytest.raises(KqlSemanticError) as caught:
        run_query(query, {"T": ListTable()})
    assert caught.value.code == code
    assert text in caught.value.message


@given(st.lists(st.integers(), max_size=40), st.text(max_size=5))
def test_shuffling_loses_nothing_and_repeats_itself(numbers: list[int], seed: str) -> None:
    texts = [str(number).encode() for number in numbers]
    assert sorted(shuffled(texts, seed)) == sorted(texts)
    assert shuffled(texts, seed) == shuffled(texts, seed)
