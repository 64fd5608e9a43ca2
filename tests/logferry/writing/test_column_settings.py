"""Column settings: a dictionary where values repeat, statistics where readers look, and nothing depends on luck."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from logferry.sources.base import ID_COLUMN, TICK_COLUMN
from logferry.writing.column_settings import column_settings
from logferry.writing.encoder import Encoder
from logferry.writing.parquet import SliceFile

ROWS = 1_000
LOGS = pa.table(
    {
        "id": [f"AwAAA{number:08d}" for number in range(ROWS)],
        "time": pa.array(range(ROWS), pa.timestamp("us", tz="UTC")),
        "status": ["error", "info"] * (ROWS // 2),
        "message": [
            f"user {number} could not be found in the directory of the company " * 2 for number in range(ROWS)
        ],
        "resource": ["/subscriptions/0000/resourceGroups/production/providers/Microsoft.Web/sites/shop"]
        * ROWS,
        "tags": pa.array([["env:prod", "team:web"]] * ROWS, pa.list_(pa.string())),
        "free": pa.array([[f"trace:{number}"] for number in range(ROWS)], pa.list_(pa.string())),
        "extra": pa.nulls(ROWS, pa.string()),
        "flag": [True, False] * (ROWS // 2),
        "code": pa.array([200, 404] * (ROWS // 2), pa.int64()),
        "share": [number / 7 for number in range(ROWS)],
    }
)


def test_values_that_repeat_get_a_dictionary_and_others_none() -> None:
    assert column_settings(LOGS).dictionary == ["status", "resource", "tags.list.element", "extra", "code"]


def test_names_that_are_many_but_come_again_get_a_dictionary() -> None:
    # Four in five of the first few hundred are new, and only one in seven of all.
    dice = random.Random(1)
    pods = pa.table({"pod": [f"shop-{dice.randrange(600)}" for _ in range(4_096)]})
    assert column_settings(pods).dictionary == ["pod"]


def test_texts_that_all_differ_at_first_are_not_looked_at_any_further() -> None:
    texts = pa.table({"text": [f"text {min(number, 300)}" for number in range(4_096)]})
    assert column_settings(texts).dictionary == []


def test_of_a_column_that_clearly_repeats_only_the_first_values_are_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[int] = []
    count_distinct = pc.count_distinct

    def noting(values: pa.ChunkedArray) -> pa.Scalar:
        compared.append(len(values))
        return count_distinct(values)

    monkeypatch.setattr(pc, "count_distinct", noting)
    levels = pa.table({"level": [f"level {number % 16}" for number in range(4_096)]})
    assert column_settings(levels).dictionary == ["level"]
    assert compared == [256]


def test_few_values_and_nulls_at_first_are_not_enough_to_tell() -> None:
    rare = [None] * 250 + ["first"] * 6 + [f"other {number}" for number in range(3_840)]
    assert column_settings(pa.table({"note": pa.array(rare, pa.string())})).dictionary == []


def test_a_text_is_as_long_as_its_own_rows_say_wherever_they_begin() -> None:
    texts = [f"{number:0100d}" for number in range(300)] + [f"{number}" for number in range(300)]
    for short in (texts, [*texts[:450], None, *texts[451:]]):
        table = pa.table({"text": pa.array(short, pa.string())})
        assert column_settings(table.slice(300)).statistics == ["text"]
        assert column_settings(table.slice(0, 300)).statistics == []


def test_of_long_lists_only_the_first_values_count() -> None:
    alike, free = [f"t:{number % 9}" for number in range(20)], [f"f:{number}" for number in range(20)]
    lists = [[f"{tag}:{row}" for tag in free] if row >= 300 else alike for row in range(600)]
    assert column_settings(pa.table({"tags": pa.array(lists, pa.list_(pa.string()))})).dictionary == [
        "tags.list.element"
    ]


def test_readers_can_skip_by_numbers_times_ids_and_names_but_not_by_long_texts() -> None:
    wanted = ["id", "time", "status", "resource", "extra", "flag", "code", "share"]
    assert column_settings(LOGS).statistics == wanted


def test_the_same_rows_are_written_the_same_however_they_came() -> None:
    pages = pa.concat_tables([LOGS.slice(at, 37) for at in range(0, ROWS, 37)])
    assert column_settings(pages) == column_settings(LOGS)


def test_a_table_without_rows_has_settings() -> None:
    assert column_settings(LOGS.slice(0, 0)).statistics


def test_the_file_is_written_so(tmp_path: Path) -> None:
    engine = {TICK_COLUMN: pa.array(range(ROWS), pa.int64()), ID_COLUMN: LOGS["id"]}
    with Encoder() as encoder, SliceFile(tmp_path / "part", LOGS.schema, encoder=encoder) as file:
        file.write(LOGS.append_column(TICK_COLUMN, engine[TICK_COLUMN]).append_column(ID_COLUMN, LOGS["id"]))
        file.close().result()
    group = pq.read_metadata(tmp_path / "part").row_group(0)
    columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    settings = column_settings(LOGS)
    assert [path for path, column in columns.items() if column.has_dictionary_page] == settings.dictionary
    assert [path for path, column in columns.items() if column.is_stats_set] == settings.statistics
    assert pq.read_table(tmp_path / "part").equals(LOGS)


def test_texts_too_long_for_a_dictionary_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    count_distinct = pc.count_distinct

    def noting(values: pa.ChunkedArray) -> pa.Scalar:
        compared.append(values.nbytes)
        return count_distinct(values)

    monkeypatch.setattr(pc, "count_distinct", noting)
    settings = column_settings(pa.table({"message": ["x" * 1_000_000] * 20, "status": ["info"] * 20}))
    assert settings.dictionary == ["status"]
    assert max(compared) < 1_000
