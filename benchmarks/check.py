"""Is everything there, once, and as at the source? Reads a contestant's Parquet files with DuckDB, prints JSON of it.

``.venv-bench/bin/python -m benchmarks.check API FOLDER TRUTH product|peer``: ``{"rows", "ids", "ids_sha256", "files",
"bytes", "unordered", "differing"}``; ``unordered`` counts the files in which time goes back, ``differing`` says which
columns are not what the folder TRUTH (of ``truth``) tells.
``ids`` counts different ids; the digest is the one the sandbox tells for its truth, so an equal one means the same
ids: for Datadog over the ids by time, then id; for Azure over the ids in ascending order.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contents import differing

ID_COLUMNS = ("_ItemId", "ItemId", "item_id", "id")
TIME_COLUMNS = ("timestamp", "attributes__timestamp", "TimeGenerated", "time_generated")
_FILES = "read_parquet(?, union_by_name=true, hive_partitioning=false)"
_IDS_AT_ONCE = 100_000


def main(arguments: Sequence[str]) -> int:
    api, folder, truth, whose = arguments
    print(json.dumps(read_output(api, Path(folder), Path(truth), is_product=whose == "product")))
    return 0


def read_output(api: str, folder: Path, truth: Path, *, is_product: bool) -> dict[str, Any]:
    """What lies under ``folder``. Raises ValueError where ids or times are missing."""
    import duckdb

    files = data_files(folder)
    size = sum(path.stat().st_size for path in files)
    if not files:
        return {
            "rows": 0,
            "ids": 0,
            "ids_sha256": digest(api, ()),
            "files": 0,
            "bytes": 0,
            "unordered": 0,
            "differing": [],
        }
    names = [str(path) for path in files]
    with duckdb.connect() as db:
        # Parquet's statistics leave NaN out, from which DuckDB 2.0 concludes that no value is NaN.
        db.execute("set disabled_optimizers = 'statistics_propagation'")
        described = db.execute(f"describe select * from {_FILES}", [names])
        columns = {name: kind for name, kind, *_ in described.fetchall()}
        present = list(columns)
        named = _first(ID_COLUMNS, present)
        order = f'"{_first(TIME_COLUMNS, present)}", one_id' if api == "datadog" else "one_id"
        source = f'(select "{named}" as one_id, * from {_FILES})'
        rows, ids = db.execute(
            f"select count(*), count(distinct one_id) from {source}", [names]
        ).fetchone() or (0, 0)
        ordered = db.execute(
            f"select one_id from {source} where one_id is not null order by {order}", [names]
        )

        def batches() -> Iterable[list[str]]:
            while batch := ordered.fetchmany(_IDS_AT_ONCE):
                yield [one for (one,) in batch]

        found = digest(api, batches())
        unordered = sum(_goes_back(db, name, present) for name in names)
        unlike = differing(db, api, names, columns, truth, is_product=is_product)
    return {
        "rows": rows,
        "ids": ids,
        "ids_sha256": found,
        "files": len(files),
        "bytes": size,
        "unordered": unordered,
        "differing": unlike,
    }


def _goes_back(db: Any, name: str, present: Sequence[str]) -> bool:
    """Whether a row of the file is earlier than the one before it; without a time nothing can be said."""
    time = next((one for one in TIME_COLUMNS if one in present), None)
    if time is None:
        return False
    found = db.execute(
        f'select count(*) from (select "{time}" as own, lag("{time}") over (order by file_row_number) as earlier '
        "from read_parquet(?, file_row_number=true)) where own < earlier",
        [name],
    ).fetchone()
    return bool(found and found[0])


def digest(api: str, batches: Iterable[list[str]]) -> str:
    """SHA-256 of ids in the order given: Datadog's are joined by newlines, Azure's each followed by one."""
    found = hashlib.sha256()
    between = b""
    for batch in batches:
        if api == "datadog":
            found.update(between + "\n".join(batch).encode())
            between = b"\n"
        else:
            found.update("".join(f"{one}\n" for one in batch).encode())
    return found.hexdigest()


def _first(wanted: Sequence[str], present: Sequence[str]) -> str:
    for name in wanted:
        if name in present:
            return name
    raise ValueError(f"none of the columns {', '.join(wanted)} among {', '.join(present)}")


def data_files(folder: Path) -> list[Path]:
    """The Parquet files a reader of the output would read: tables' bookkeeping (``_dlt…``) is none."""
    return sorted(
        path
        for path in folder.rglob("*.parquet")
        if not any(part.startswith("_") for part in path.relative_to(folder).parts)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
