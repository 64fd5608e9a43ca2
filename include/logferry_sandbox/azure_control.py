"""The control paths of the query server: what a table really holds, late rows, knobs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from logferry_sandbox.azure_data import DayTable
from logferry_sandbox.azure_prepared import PreparedTable
from logferry_sandbox.azure_workspace import AzureKnobs
from logferry_sandbox.faults import json_response
from logferry_sandbox.http_server import HttpRequest, HttpResponse
from logferry_sandbox.kql_values import UNIX_EPOCH_TICKS


def control(
    request: HttpRequest, tables: Mapping[str, DayTable | PreparedTable], knobs: AzureKnobs
) -> HttpResponse:
    """Answer `GET /_sandbox/truth`, `POST /_sandbox/release_late` and `POST /_sandbox/knobs`."""
    try:
        match (request.method, request.path):
            case ("GET", "/_sandbox/truth"):
                return _truth(request, tables)
            case ("POST", "/_sandbox/release_late"):
                for table in tables.values():
                    if isinstance(table, DayTable):
                        table.state.late_every = 0
                return json_response({"released": True})
            case ("POST", "/_sandbox/knobs"):
                knobs.update(json.loads(request.body))
                return json_response(knobs.as_json())
    except (ValueError, KeyError, AttributeError) as error:
        return json_response({"error": str(error)}, 400)
    return json_response({"error": "no such sandbox path"}, 404)


def _truth(request: HttpRequest, tables: Mapping[str, DayTable | PreparedTable]) -> HttpResponse:
    """What a table holds now in [from_tick, to_tick), ticks of 100 ns since 1970-01-01.

    `item_ids_sha256` is the digest of the ids in ascending order, each followed by a newline.
    """
    name = request.query.get("table", [""])[0]
    table = tables.get(name)
    if table is None:
        raise ValueError(f"unknown table {name!r}")
    start, stop = (int(request.query[bound][0]) + UNIX_EPOCH_TICKS for bound in ("from_tick", "to_tick"))
    if isinstance(table, PreparedTable):
        return json_response(_prepared_truth(table, start, stop))
    ids: list[str] = []
    rows = 0
    for batch in table.scan(start, stop):
        rows += batch.size
        if table.has_item_id:
            ids += batch.columns["_ItemId"].values()
    digest = hashlib.sha256("".join(f"{item}\n" for item in sorted(ids)).encode()).hexdigest()
    return json_response({"rows": rows, "item_ids_sha256": digest if table.has_item_id else None})


def _prepared_truth(table: PreparedTable, start: int, stop: int) -> dict[str, object]:
    """The same of a table that is too large to hold its ids, which are in order already."""
    digest = hashlib.sha256()
    for items in table.item_ids(start, stop):
        digest.update("".join(f"{item}\n" for item in items).encode())
    return {"rows": table.rows_between(start, stop), "item_ids_sha256": digest.hexdigest()}
