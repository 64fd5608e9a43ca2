"""Is every value what the source holds? The columns of a result against what ``truth`` wrote, row by row, in DuckDB.

A row of the result finds its own by the id; whether all ids are there, once, is for ``check`` to say. Texts are
compared by the first half of their MD5, numbers and times as such (a NaN equals a NaN).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROWS, PLACES = "rows.parquet", "places.parquet"
"""Of a folder of ``truth``: id, time and place in its block of each row; the other columns of each place."""
_TIME = "known.time_us"
_TIMES = {"datadog": "timestamp", "azure": "TimeGenerated"}
_IDS = {"datadog": "id", "azure": "_ItemId"}
_OF_PEERS = {"datadog": ("timestamp", "status", "service", "host", "message"), "azure": ()}
"""What a peer's file must hold of the truth: of Datadog's, ``attributes`` and ``tags`` are written anew by each in its
own way, and ``extra`` is Logferry's. Azure's: all columns but the ticks."""
_TICKS = "_ticks"


def differing(
    db: Any, api: str, names: Sequence[str], columns: Mapping[str, str], truth: Path, *, is_product: bool
) -> list[str]:
    """One sentence for each column that is missing, or differs in a row; none when all is as at the source.

    ``names``: the Parquet files; ``columns``: their columns with DuckDB's types. Logferry's files must have exactly
    the columns of the truth, peers may have others and may write their names otherwise. Raises KeyError without ids.
    """
    own = {name if is_product else fold(name): name for name in columns}
    expected = {
        name if is_product else fold(name): sql
        for name, sql in _expected(db, api, truth, is_product=is_product).items()
    }
    id_column = own[_IDS[api] if is_product else fold(_IDS[api])]
    wrong = [f"without the column {name}" for name in expected if name not in own]
    if is_product:
        wrong += [f"with a column {name}" for name in own if name not in expected and name != id_column]
    compared = [name for name in expected if name in own]
    counts = []
    for name in compared:
        value = _as_truth(_quoted(own[name]), columns[own[name]], expected[name])
        wanted = expected[name]
        if columns[own[name]] == "DOUBLE" and not is_product:
            # pandas knows no difference between NaN and nothing.
            value, wanted = (f"nullif({one}, 'nan'::double)" for one in (value, wanted))
        unlike = f"filter ({value} is distinct from {wanted})"
        counts.append(f"count(*) {unlike}, min(own.{_quoted(id_column)}) {unlike}")
    if not counts:
        return wrong
    query = (
        f"select {', '.join(counts)} from read_parquet(?, union_by_name=true, hive_partitioning=false) as own "
        f"join read_parquet(?) as known on md5_number_upper(own.{_quoted(id_column)}) = known.id "
        "join read_parquet(?) as block on block.place = known.place"
    )
    found = db.execute(query, [list(names), str(truth / ROWS), str(truth / PLACES)]).fetchone()
    for name, count, example in zip(compared, found[::2], found[1::2], strict=True):
        if count:
            rows = "1 row," if count == 1 else f"{count:,} rows, such as"
            wrong.append(f"{own[name]} is not as at the source in {rows} {example}")
    return wrong


def fold(name: str) -> str:
    """The name without what loading tools change: ``TimeGenerated`` is ``time_generated``, ``_ItemId`` ``item_id``."""
    return name.replace("_", "").lower()


def _expected(db: Any, api: str, truth: Path, *, is_product: bool) -> dict[str, str]:
    """The columns to compare, each with the SQL of what it should be."""
    described = db.execute("describe select * from read_parquet(?)", [str(truth / PLACES)])
    names = [name for name, *_ in described.fetchall() if name != "place"]
    expected = {_TIMES[api]: _TIME, **{name: f"block.{_quoted(name)}" for name in names}}
    if is_product:
        return {**expected, _TICKS: "known.ticks"} if api == "azure" else expected
    return {name: sql for name, sql in expected.items() if name in (_OF_PEERS[api] or expected)}


def _as_truth(column: str, kind: str, expected: str) -> str:
    """The SQL of a result's value in the form of the truth's."""
    value = f"own.{column}"
    if expected == _TIME:
        return f"epoch_us(cast({value} as timestamptz))"
    if kind.endswith("[]"):
        return f"md5_number_upper(array_to_string(list_transform({value}, lambda tag: tag || chr(31)), ''))"
    return f"md5_number_upper({value})" if kind == "VARCHAR" else value


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
