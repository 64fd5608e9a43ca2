"""KQL types to Arrow types, and the output columns of a query.

Types: https://learn.microsoft.com/kusto/query/scalar-data-types/. ``guid``, ``dynamic``, ``decimal`` and
``timespan`` stay text as received: Arrow has no type that holds every value of theirs exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from logferry.sources.base import ID_COLUMN, TICK_COLUMN, SourceColumn, SourceSchema

TIME_TYPE = pa.timestamp("us", tz="UTC")
ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "guid": pa.string(),
    "dynamic": pa.string(),
    "decimal": pa.string(),
    "timespan": pa.string(),
    "datetime": TIME_TYPE,
    "long": pa.int64(),
    "int": pa.int32(),
    "real": pa.float64(),
    "bool": pa.bool_(),
}
_ALIASES = {
    "boolean": "bool",
    "date": "datetime",
    "double": "real",
    "time": "timespan",
    "uniqueid": "guid",
    "uuid": "guid",
}

QUERY_TIME = "_lf_time"
"""The name under which every query carries the row's time past the user's pipeline."""
QUERY_ITEM = "_lf_item"
"""The name under which every query carries ``_ItemId``, where the table has one."""
ITEM_COLUMN = "_ItemId"
TICKS_COLUMN = "_ticks"
_ENGINE = (TICK_COLUMN, ID_COLUMN)


def canonical(kql_type: str) -> str:
    """The type under its main name: ``double`` is ``real``."""
    return _ALIASES.get(kql_type, kql_type)


def arrow_type(kql_type: str) -> pa.DataType:
    """The column's type in the file; a type that KQL may get one day is kept as text."""
    return ARROW_TYPES.get(canonical(kql_type), pa.string())


def output_schema(columns: Iterable[tuple[str, str]], *, has_id: bool) -> SourceSchema:
    """The output columns for the query's own ``(name, type)`` columns, in their order.

    Then ``_ItemId`` (where ``has_id``, unless the query itself gives it) and ``_ticks``. Their
    ``source_name`` is the reserved name that carries them through the query. Names that differ only in
    case, or that clash with those two, get the first free suffix ``_2``, ``_3``…: most readers of Parquet
    fold case.
    """
    source = [(name, kind) for name, kind in columns if name not in (QUERY_TIME, QUERY_ITEM)]
    adds_item = has_id and all(name != ITEM_COLUMN for name, _ in source)
    appended = []
    if adds_item:
        appended.append(SourceColumn(ITEM_COLUMN, str(pa.string()), QUERY_ITEM, "string"))
    appended.append(SourceColumn(TICKS_COLUMN, str(pa.int64()), QUERY_TIME, "datetime"))
    names = _distinct([name for name, _ in source], reserved=[*(c.name for c in appended), *_ENGINE])
    pinned = [
        SourceColumn(name, str(arrow_type(kind)), source_name, kind)
        for name, (source_name, kind) in zip(names, source, strict=True)
    ]
    return SourceSchema((*pinned, *appended), has_id)


def query_columns(schema: SourceSchema) -> list[tuple[str, str]]:
    """The ``(name, type)`` columns that a page's query asks for and its answer must have, in order."""
    own = [(c.source_name, canonical(c.source_type)) for c in pinned_columns(schema)]
    own.append((QUERY_TIME, "datetime"))
    if schema.has_id:
        own.append((QUERY_ITEM, "string"))
    return own


def pinned_columns(schema: SourceSchema) -> list[SourceColumn]:
    """The output columns that are the query's own."""
    return [c for c in schema.columns if c.source_name not in (QUERY_TIME, QUERY_ITEM)]


def _distinct(names: Sequence[str], *, reserved: Sequence[str]) -> list[str]:
    every = {name.casefold() for name in (*names, *reserved)}
    taken = {name.casefold() for name in reserved}
    distinct = []
    for name in names:
        chosen, number = name, 1
        while chosen.casefold() in taken or (number > 1 and chosen.casefold() in every):
            number += 1
            chosen = f"{name}_{number}"
        taken.add(chosen.casefold())
        distinct.append(chosen)
    return distinct
