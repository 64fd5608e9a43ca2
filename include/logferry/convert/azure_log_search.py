"""Rows of the legacy Log Search API to record batches: four columns, and each row's JSON as received.

Shape: https://learn.microsoft.com/previous-versions/azure/azure-monitor/log-query/log-search-api
(``value[]``).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pyarrow as pa

from logferry.convert.instants import read_instants
from logferry.convert.kql_cells import read_cell
from logferry.convert.kql_types import TIME_TYPE
from logferry.convert.repair import readable_text, repair_surrogates
from logferry.errors import FailedAnswer
from logferry.sources.base import ID_COLUMN, TICK_COLUMN

OUTPUT_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("id", pa.string()),
    ("type", pa.string()),
    ("time", TIME_TYPE),
    ("row", pa.string()),
)
_ARROW_SCHEMA = pa.schema([*OUTPUT_FIELDS, (TICK_COLUMN, pa.int64()), (ID_COLUMN, pa.string())])
_ABSENT = msgspec.Raw(b"null")


class _Metadata(msgspec.Struct):
    type: msgspec.Raw = msgspec.field(name="Type", default=_ABSENT)
    time: msgspec.Raw = msgspec.field(name="TimeGenerated", default=_ABSENT)


class _Row(msgspec.Struct):
    id: msgspec.Raw = _ABSENT
    type: msgspec.Raw = msgspec.field(name="Type", default=_ABSENT)
    time: msgspec.Raw = msgspec.field(name="TimeGenerated", default=_ABSENT)
    metadata: _Metadata | None = msgspec.field(name="__metadata", default=None)


_decode = msgspec.json.Decoder(_Row).decode


def read_rows(rows: Sequence[bytes]) -> tuple[pa.RecordBatch, dict[str, int]]:
    """The batch of one answer (``rows``: each row's JSON object as received) and notes.

    ``id`` and ``type`` are null where a row has none. Raises FailedAnswer for a row without a readable
    time: it would belong to no slice.
    """
    ids: list[str | None] = []
    types: list[str | None] = []
    times: list[str | None] = []
    texts: list[str] = []
    invalid = 0
    for raw in rows:
        text, broken = readable_text(raw)
        repaired, halves = repair_surrogates(text.encode())
        invalid += broken + halves
        try:
            row = _decode(repaired)
        except (msgspec.DecodeError, RecursionError) as error:
            raise FailedAnswer(f"the Log Search API sent a row that is no object: {error}") from error
        meta = row.metadata or _Metadata()
        ids.append(read_cell(bytes(row.id), "string")[0])
        types.append(_first(row.type, meta.type, "string"))
        times.append(_first(row.time, meta.time, "datetime"))
        texts.append(text)
    if None in times:
        raise FailedAnswer(
            "the Log Search API sent a row without TimeGenerated, which belongs to no slice; "
            "an aggregating query (measure) cannot be exported by time"
        )
    try:
        moments, ticks = read_instants(times)
    except ValueError:
        raise _no_time() from None
    own_ids = pa.array(ids, pa.string())
    arrays = [own_ids, pa.array(types, pa.string()), moments, pa.array(texts, pa.string()), ticks, own_ids]
    notes = {"invalid_text": invalid} if invalid else {}
    return pa.RecordBatch.from_arrays(arrays, schema=_ARROW_SCHEMA), notes


def _first(own: msgspec.Raw, meta: msgspec.Raw, kind: str) -> str | None:
    try:
        value = read_cell(bytes(own), kind)[0]
        found: str | None = read_cell(bytes(meta), kind)[0] if value is None else value
    except ValueError:
        raise _no_time() from None
    return found


def _no_time() -> FailedAnswer:
    return FailedAnswer("the Log Search API sent a row whose TimeGenerated is no time")
