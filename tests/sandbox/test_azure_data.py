"""The generated tables: deterministic, uneven, with rows where exporters go wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logferry_sandbox.azure_data import EMPTY_HOUR, FIRST_DAY, LAST_DAY, TICKS_PER_HOUR, DayTable, hour_sizes
from logferry_sandbox.azure_tables import LONG_TEXT, PAYLOADS, build_tables
from logferry_sandbox.kql import run_query
from logferry_sandbox.kql_values import TICKS_PER_DAY, parse_datetime

DAY = parse_datetime("2026-11-20") or 0
TODAY = "where TimeGenerated >= datetime(2026-11-20) and TimeGenerated < datetime(2026-11-21)"
RESOURCE = "/subscriptions/sub/resourcegroups/rg/providers/microsoft.insights/components/shop"


def build(**options: Any) -> dict[str, DayTable]:
    return build_tables(seed=options.pop("seed", 7), workspace="ws", resource=RESOURCE, **options)


def rows(tables: dict[str, DayTable], query: str) -> list[Any]:
    return [json.loads(row) for batch in run_query(query, tables).rows() for row in batch]


def ticks(table: DayTable, start: int = DAY, stop: int = DAY + TICKS_PER_DAY) -> list[int]:
    return [tick for batch in table.scan(start, stop) for tick in batch.columns["TimeGenerated"].values()]


@given(st.integers(0, 99), st.integers(FIRST_DAY, LAST_DAY), st.integers(0, 5000))
def test_the_hours_of_a_day_add_up_and_one_is_empty(seed: int, day: int, count: int) -> None:
    sizes = hour_sizes(seed, "T", day, count)
    assert sum(sizes) == count
    assert sizes[EMPTY_HOUR] == 0
    assert min(sizes) >= 0


def test_the_same_seed_and_day_give_the_same_rows_and_another_seed_others() -> None:
    query = f"AppRequests | {TODAY}"
    assert rows(build(), query) == rows(build(), query)
    assert rows(build(seed=8), query) != rows(build(), query)


def test_item_ids_are_unique_over_days_and_tables() -> None:
    tables = build()
    ids = [
        row[0]
        for name in ("AppRequests", "AppTraces", "FerryTypes_CL")
        for row in rows(
            tables, f"{name} | where TimeGenerated between (datetime(2026-11-19) .. 3d) | project _ItemId"
        )
    ]
    assert len(ids) > 13_000
    assert len(set(ids)) == len(ids)


@given(
    st.integers(0, TICKS_PER_DAY - 1),
    st.integers(0, TICKS_PER_DAY),
    st.sampled_from(["AppTraces", "FerryTypes_CL"]),
)
def test_a_scan_gives_exactly_the_rows_of_its_half_open_range_in_order(
    start: int, length: int, name: str
) -> None:
    table = build()[name]
    every = ticks(table, DAY, DAY + 2 * TICKS_PER_DAY)
    found = ticks(table, DAY + start, DAY + start + length)
    assert found == [tick for tick in every if DAY + start <= tick < DAY + start + length]
    assert found == sorted(found)


def test_rows_lie_on_the_first_and_the_last_tick_of_an_hour() -> None:
    found = ticks(build()["AppRequests"])
    hours = {tick // TICKS_PER_HOUR for tick in found}
    assert len(hours) == 23
    assert DAY // TICKS_PER_HOUR + EMPTY_HOUR not in hours
    for hour in hours:
        assert hour * TICKS_PER_HOUR in found
        assert (hour + 1) * TICKS_PER_HOUR - 1 in found


@pytest.mark.parametrize("name", ["AppRequests", "FerryTypes_CL"])
def test_some_ticks_carry_three_rows(name: str) -> None:
    found = ticks(build()[name])
    assert any(found.count(tick) >= 3 for tick in found)


def test_a_hot_tick_adds_its_rows_at_one_tick() -> None:
    hot = DAY + 6 * TICKS_PER_HOUR + 1_234_567
    table = build(hot_ticks={hot: 500})["AppRequests"]
    assert ticks(table, hot, hot + 1).count(hot) == 500
    assert len(ticks(table)) == 3500
    assert table.rows_between(DAY, DAY + TICKS_PER_DAY) == 3500


def test_the_types_table_holds_every_awkward_value() -> None:
    tables = build()
    found = rows(
        tables,
        f"FerryTypes_CL | {TODAY} | project Big, Ratio, Amount, Span, When, Payload, Note, Body, Flag, Ident",
    )
    big, ratio, amount, span, when, payload, note, body, flag, ident = map(list, zip(*found, strict=True))
    assert {9223372036854775807, -9223372036854775808, 9007199254740993, None} <= set(big)
    assert {"NaN", "Infinity", "-Infinity", 0.1, None} <= set(ratio)
    assert {"79228162514264337593543950335", "0.1000", None} <= set(amount)
    assert {"00:00:00.0000001", "36500.00:00:00", None} <= set(span)
    assert "2020-09-13T12:26:40.0000001Z" in when
    assert {json.dumps(PAYLOADS[1], separators=(",", ":")), "boundedElastic-1", None} <= set(payload)
    assert any("\n" in text for text in note)
    assert any("🚢" in text for text in note)
    assert "" in note
    assert LONG_TEXT in body
    assert {True, False, None} == set(flag)
    assert None in ident


def test_columns_that_differ_only_by_case_stay_apart() -> None:
    names = [row[0] for row in rows(build(), "FerryTypes_CL | getschema")]
    assert {"Level", "level", "odd name"} <= set(names)


def test_the_special_tables_are_special() -> None:
    tables = build()
    assert rows(tables, "FerryEmpty_CL | count") == [[0]]
    assert "Message" in [row[0] for row in rows(tables, "FerryEmpty_CL | getschema")]
    assert tables["FerryEmpty_CL"].has_item_id
    assert not tables["FerryPlain_CL"].has_item_id
    assert len(ticks(tables["FerryPlain_CL"])) == 480


def test_late_rows_have_a_time_of_their_own_up_to_three_days_earlier() -> None:
    tables = build()
    assert rows(tables, "FerryLate_CL | count") == [[30 * 150]]
    late = "FerryLate_CL | extend late = TimeGenerated - EventTime"
    assert rows(tables, f"{late} | where late < 0s or late > 3d | count") == [[0]]
    assert rows(tables, f"{late} | where late > 2d | count")[0][0] > 1000


def test_late_rows_are_missing_until_released() -> None:
    table = build()["AppRequests"]
    table.state.late_every = 10
    hidden = 3000 - len(ticks(table))
    assert 0 < hidden < 600
    table.state.late_every = 0
    assert len(ticks(table)) == 3000


def test_a_column_added_later_is_in_schema_and_rows() -> None:
    table = build()["AppRequests"]
    table.state.added_column = "NewThing"
    tables = {"AppRequests": table}
    assert rows(tables, "AppRequests | getschema")[-1][0] == "NewThing"
    assert rows(tables, f"AppRequests | {TODAY} | take 1 | project NewThing") == [["added later"]]


def test_a_day_of_a_million_rows_is_counted_from_its_hours() -> None:
    table = build(rows_per_day=1_000_000)["AppRequests"]
    assert table.rows_between(DAY, DAY + TICKS_PER_DAY) == 1_000_000
    assert len(ticks(table, DAY, DAY + 2 * TICKS_PER_HOUR)) == sum(
        hour_sizes(7, "AppRequests", DAY // TICKS_PER_DAY, 1_000_000)[:2]
    )
