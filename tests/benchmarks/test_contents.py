"""One wrong value in one row is found and named; what Logferry makes of the server's bytes holds none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.check import read_output
from benchmarks.truth import write_truth

from logferry.convert.azure_monitor import read_rows
from logferry.convert.datadog import read_events
from logferry.convert.kql_types import output_schema, query_columns
from logferry.sources.azure_query import read_answer
from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.window import Window, from_datetime
from logferry_sandbox.prepared import PreparedHistory

START, END = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 2, 1, tzinfo=UTC)
HISTORY = PreparedHistory(300, START, END, odd_every=7)
"""Of every awkward shape there is one."""
ROW = 123
IDS = {"datadog": "id", "azure": "_ItemId"}


@dataclass
class Result:
    """Logferry's files of the history, to be read and to be spoiled."""

    api: str
    table: pa.Table
    truth: Path
    output: Path

    def differing(self, *, is_product: bool = True) -> list[str]:
        self.output.mkdir(exist_ok=True)
        pq.write_table(self.table, self.output / "rows.parquet")
        found: list[str] = read_output(self.api, self.output, self.truth, is_product=is_product)["differing"]
        return found

    def change(self, name: str, change: Callable[[Any], Any], *, row: int = ROW) -> str:
        """Another value in one row; the row's id."""
        values = self.table[name].to_pylist()
        values[row] = change(values[row])
        at = self.table.column_names.index(name)
        kind = self.table.schema.field(name).type
        self.table = self.table.set_column(at, name, pa.array(values, kind))
        return str(self.table[IDS[self.api]][row].as_py())


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[pa.Table, Path]]:
    found = {}
    for api, batch in (("datadog", datadog()), ("azure", azure())):
        truth = tmp_path_factory.mktemp(api)
        write_truth(api, HISTORY, truth)
        found[api] = (pa.table(batch).drop_columns([TICK_COLUMN, ID_COLUMN]), truth)
    return found


def datadog() -> pa.RecordBatch:
    return read_events(b"[" + bytes(HISTORY.datadog().joined(0, HISTORY.rows)) + b"]", {})[0]


def azure() -> pa.RecordBatch:
    table = HISTORY.azure()
    own = [(one.name, one.kind) for one in table.schema if not one.hidden]
    schema = output_schema(own, has_id=True)
    names = [*(name for name, _ in own), table.time_column, "_ItemId"]
    columns = [{"name": name, "type": kind} for name, kind in query_columns(schema)]
    head = json.dumps({"tables": [{"name": "PrimaryResult", "columns": columns, "rows": []}]}).encode()
    rows = table.written(names).text(0, HISTORY.rows).removesuffix(b",")
    body = head.replace(b'"rows": []', b'"rows": [' + rows + b"]")
    window = Window(from_datetime(START), from_datetime(END))
    return read_rows(read_answer(body).rows, schema, window)[0]


@pytest.fixture
def result(
    request: pytest.FixtureRequest, converted: dict[str, tuple[pa.Table, Path]], tmp_path: Path
) -> Result:
    return Result(request.param, *converted[request.param], tmp_path / "output")


for_datadog = pytest.mark.parametrize("result", ["datadog"], indirect=True)
for_azure = pytest.mark.parametrize("result", ["azure"], indirect=True)
for_both = pytest.mark.parametrize("result", ["datadog", "azure"], indirect=True)


@for_both
@pytest.mark.parametrize("is_product", [True, False])
def test_what_logferry_makes_of_the_bytes_is_as_at_the_source(result: Result, is_product: bool) -> None:
    assert result.differing(is_product=is_product) == []


@for_datadog
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("message", lambda text: text[:-1] + "!"),
        ("message", lambda text: None),
        ("attributes", lambda text: text.replace(":", ": ", 1)),
        ("timestamp", lambda at: at.replace(microsecond=(at.microsecond + 1) % 1_000_000)),
        ("tags", lambda tags: tags[1:]),
        ("status", lambda status: status.upper()),
        ("extra", lambda nothing: "{}"),
    ],
)
def test_one_wrong_value_of_an_event_is_named(
    result: Result, name: str, change: Callable[[Any], Any]
) -> None:
    wrong = result.change(name, change)
    assert result.differing() == [f"{name} is not as at the source in 1 row, {wrong}"]


@for_azure
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Properties", lambda text: text + " "),
        ("Name", lambda text: ""),
        ("DurationMs", lambda number: number + 2**-8),
        ("Success", lambda good: not good),
        ("ItemCount", lambda count: count + 1),
        ("TimeGenerated", lambda at: at.replace(microsecond=(at.microsecond + 1) % 1_000_000)),
        ("_ticks", lambda tick: tick + 1),
    ],
)
def test_one_wrong_value_of_a_row_is_named(result: Result, name: str, change: Callable[[Any], Any]) -> None:
    wrong = result.change(name, change)
    assert result.differing() == [f"{name} is not as at the source in 1 row, {wrong}"]


@for_azure
def test_a_nan_is_not_nothing_to_logferry_and_is_to_a_peer(result: Result) -> None:
    row = next(row for row, value in enumerate(result.table["DurationMs"].to_pylist()) if math.isnan(value))
    wrong = result.change("DurationMs", lambda nan: None, row=row)
    assert result.differing(is_product=False) == []
    assert result.differing() == [f"DurationMs is not as at the source in 1 row, {wrong}"]


@for_azure
def test_a_number_where_there_is_a_nan_is_found(result: Result) -> None:
    row = next(row for row, value in enumerate(result.table["DurationMs"].to_pylist()) if math.isnan(value))
    result.change("DurationMs", lambda nan: 0.0, row=row)
    assert [one.partition(" ")[0] for one in result.differing(is_product=False)] == ["DurationMs"]


@for_datadog
def test_values_that_changed_places_are_found_in_both_rows(result: Result) -> None:
    messages = result.table["message"].to_pylist()
    result.change("message", lambda text: messages[ROW + 2])
    result.change("message", lambda text: messages[ROW], row=ROW + 2)
    assert [one.partition(", such as")[0] for one in result.differing()] == [
        "message is not as at the source in 2 rows"
    ]


@for_both
def test_logferrys_columns_are_those_of_the_source_and_no_others(result: Result) -> None:
    gone = "status" if result.api == "datadog" else "Url"
    result.table = result.table.drop_columns([gone]).append_column(
        "_lf_time", pa.nulls(HISTORY.rows, pa.int64())
    )
    assert result.differing() == [f"without the column {gone}", "with a column _lf_time"]


@for_azure
def test_a_peer_may_write_names_in_its_own_way_and_add_columns(result: Result) -> None:
    names = {"TimeGenerated": "time_generated", "_ItemId": "item_id", "DurationMs": "duration_ms"}
    result.table = result.table.rename_columns([names.get(name, name) for name in result.table.column_names])
    result.table = result.table.append_column("_dlt_id", pa.nulls(HISTORY.rows, pa.string()))
    assert result.differing(is_product=False) == []


@for_datadog
def test_a_peer_may_hold_time_as_text_and_attributes_in_its_own_way(result: Result) -> None:
    texts = [at.isoformat().replace("+00:00", "Z") for at in result.table["timestamp"].to_pylist()]
    at = result.table.column_names.index("timestamp")
    result.table = result.table.set_column(at, "timestamp", pa.array(texts)).drop_columns(["extra", "tags"])
    result.change("attributes", lambda text: text.replace(":", ": "))
    assert result.differing(is_product=False) == []
    result.change("host", lambda host: host + "x")
    assert [one.partition(" ")[0] for one in result.differing(is_product=False)] == ["host"]
