"""The exports that are defined, without a look at their lakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from logferry.dag_ids import VERIFY_DAG, dag_id
from logferry.spec import (
    AzureLogSearchSourceSpec,
    AzureMonitorSourceSpec,
    DatadogSourceSpec,
    ExportSpec,
    LoadedExports,
    SourceSpec,
)
from logferry.view.plain import cut
from logferry.window import TICK_PER_SECOND, format_duration, format_instant

_MOST_LISTED = 200


def exports(
    loaded: LoadedExports,
    *,
    now: int,
    offset: int = 0,
    limit: int = 50,
    readable: Callable[[str], bool] | None = None,
) -> dict[str, Any]:
    """The body of ``/exports``, of those whose name is ``readable``, without what Airflow knows of them."""
    names = [name for name in sorted(loaded.exports) if readable is None or readable(name)]
    offset, limit = max(0, offset), max(1, min(limit, _MOST_LISTED))
    listed = names[offset : offset + limit]
    return {
        "now": format_instant(now),
        "total": len(names),
        "offset": offset,
        "next": offset + limit if offset + limit < len(names) else None,
        "exports": [_export(loaded.exports[name]) for name in listed],
        "broken": [
            {"file": cut(path.name), "reason": cut(reason.replace(f"{path}: ", ""))}
            for path, reason in sorted(loaded.broken.items())
        ],
        "verify_dag": VERIFY_DAG,
    }


def _export(spec: ExportSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "kind": spec.source.kind,
        "connection": spec.source.connection,
        "query": cut(_query(spec.source)),
        "dag_id": dag_id(spec.name),
        "schedule": spec.schedule,
        "slice": format_duration(spec.slice),
        "slice_s": spec.slice // TICK_PER_SECOND,
        "start": format_instant(spec.start),
        "horizon": format_duration(spec.horizon),
        "settle": format_duration(spec.settle),
        "destination": spec.destination.url or "./lake",
    }


def _query(source: SourceSpec) -> str:
    match source:
        case DatadogSourceSpec():
            return source.query
        case AzureMonitorSourceSpec():
            return source.table if source.pipeline is None else f"{source.table} {source.pipeline}"
        case AzureLogSearchSourceSpec():
            return source.query
