"""What every column of every row must be, from the sandbox's generator and without a line of Logferry's own code.

``.venv/bin/python -m benchmarks.truth API ROWS EVENT_BYTES FROM TO FOLDER`` writes two Parquet files that
``contents`` compares a result with. A prepared history repeats a block of rows that differ in id and time only, so
``places.parquet`` tells the other columns of each place of a block, and ``rows.parquet`` the id, the time and the
place of each row. Texts are there as numbers: the first half of their MD5 (see ``contents``).
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.contents import PLACES, ROWS
from logferry_sandbox.azure_prepared import PreparedTable
from logferry_sandbox.datadog_prepared import PreparedEvents
from logferry_sandbox.prepared import PreparedHistory

END_OF_TAG = "\x1f"
"""Tags are compared as one text, with this after each of them."""
_AT_ONCE = 50_000
_US_PER_MS, _TICKS_PER_US = 1000, 10
_TEXTS = ("status", "service", "host", "message")
_KNOWN = (*_TEXTS, "tags", "attributes", "timestamp")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_BETWEEN = re.compile(r"[\s:,]*")
_NUMBERS = {"int": pa.int64(), "long": pa.int64(), "real": pa.float64(), "bool": pa.bool_()}
_decode = json.JSONDecoder().raw_decode


def main(arguments: Sequence[str]) -> int:
    api, rows, event_bytes, start, end, folder = arguments
    held = (datetime.fromisoformat(start), datetime.fromisoformat(end))
    write_truth(api, PreparedHistory(int(rows), *held, row_bytes=int(event_bytes)), Path(folder))
    return 0


def write_truth(api: str, history: PreparedHistory, folder: Path) -> None:
    """Write the truth of the whole history into ``folder``."""
    batches: Iterator[tuple[Sequence[str | bytes], list[int]]]
    if api == "datadog":
        events = history.datadog()
        places, batches = datadog_places(events), _datadog_rows(events)
    else:
        table = history.azure()
        places, batches = azure_places(table), _azure_rows(table)
    pq.write_table(places, folder / PLACES)
    block = places.num_rows
    kinds = {"id": pa.uint64(), "time_us": pa.int64(), "ticks": pa.int64(), "place": pa.int32()}
    with pq.ParquetWriter(folder / ROWS, pa.schema(kinds)) as writer:
        first = 0
        for ids, ticks in batches:
            place = [(first + ahead) % block for ahead in range(len(ids))]
            times = [tick // _TICKS_PER_US for tick in ticks]
            columns = (map(number_of, ids), times, ticks, place)
            arrays = [pa.array(list(one), kind) for one, kind in zip(columns, kinds.values(), strict=True)]
            writer.write_batch(pa.record_batch(arrays, names=list(kinds)))
            first += len(ids)


def number_of(text: str | bytes) -> int:
    """DuckDB's ``md5_number_upper``."""
    raw = text if isinstance(text, bytes) else text.encode()
    return int.from_bytes(hashlib.md5(raw, usedforsecurity=False).digest()[:8], "little")


def datadog_places(events: PreparedEvents) -> pa.Table:
    """The columns of the events of a block, but for id and time."""
    rows = [_datadog_row(body.decode()) for body in events.bodies(0, events.block_rows)]
    return pa.table(
        {"place": pa.array(range(len(rows)), pa.int32())}
        | {name: _texts(row[name] for row in rows) for name in (*_TEXTS, "tags", "attributes", "extra")}
    )


def _datadog_row(body: str) -> dict[str, str | None]:
    outer = members(body)
    inner = members(outer["attributes"])
    row: dict[str, str | None] = dict.fromkeys((*_TEXTS, "tags", "attributes", "extra"))
    left = {name: raw for name, raw in outer.items() if name not in ("id", "type", "attributes")}
    left_inside = {name: raw for name, raw in inner.items() if name not in _KNOWN}
    for name in _TEXTS:
        if name in inner:
            text = json.loads(inner[name])
            row[name] = _HALF_CHARACTER.sub("\ufffd", text)
            if row[name] != text:
                left_inside[name] = inner[name]
    if "tags" in inner:
        row["tags"] = "".join(tag + END_OF_TAG for tag in json.loads(inner["tags"]))
    row["attributes"] = inner.get("attributes")
    if left_inside:
        left["attributes"] = _object(left_inside)
    row["extra"] = _object(left) if left else None
    return row


def members(text: str) -> dict[str, str]:
    """The members of a JSON object, each as the text it is written in."""
    found = {}
    at = text.index("{") + 1
    while text[at] != "}":
        name, at = _decode(text, _beyond(text, at))
        start = _beyond(text, at)
        _, end = _decode(text, start)
        found[name] = text[start:end]
        at = _beyond(text, end)
    return found


def _beyond(text: str, at: int) -> int:
    """Where the next token begins."""
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _object(raw: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{text}" for name, text in raw.items()) + "}"


def azure_places(table: PreparedTable) -> pa.Table:
    """The columns of the rows of a block as an answer holds them, but for id and time."""
    columns = [one for one in table.schema if not one.hidden and one.name != table.time_column]
    text = table.written([one.name for one in columns]).text(0, table.block_rows)
    rows: list[list[Any]] = json.loads(b"[" + text.removesuffix(b",") + b"]")
    places = {"place": pa.array(range(len(rows)), pa.int32())}
    for column, values in zip(columns, zip(*rows, strict=True), strict=True):
        if column.kind in _NUMBERS:
            read = float if column.kind == "real" else _as_it_is  # NaN comes as text
            known = [None if value is None else read(value) for value in values]
            places[column.name] = pa.array(known, _NUMBERS[column.kind])
        else:
            places[column.name] = _texts(values)
    return pa.table(places)


def _as_it_is(value: Any) -> Any:
    return value


def _texts(values: Iterable[str | None]) -> pa.Array:
    return pa.array([None if value is None else number_of(value) for value in values], pa.uint64())


def _datadog_rows(events: PreparedEvents) -> Iterator[tuple[Sequence[bytes], list[int]]]:
    """Ids and ticks of 100 ns since 1970."""
    for start in range(0, events.rows, _AT_ONCE):
        end = min(start + _AT_ONCE, events.rows)
        ticks = [ms * _US_PER_MS * _TICKS_PER_US for ms in events.times(start, end)]
        yield events.ids(start, end), ticks


def _azure_rows(table: PreparedTable) -> Iterator[tuple[Sequence[str], list[int]]]:
    for start in range(0, table.rows, _AT_ONCE):
        found = [table.row(number) for number in range(start, min(start + _AT_ONCE, table.rows))]
        yield [one for one, _ in found], [tick for _, tick in found]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
