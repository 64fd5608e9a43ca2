"""Numbers for Airflow's own metrics (StatsD, Datadog's, OpenTelemetry), where one of them is on.

https://airflow.apache.org/docs/apache-airflow/stable/administration-and-deployment/logging-monitoring/metrics.html
Metrics are for watching, so nothing that fails here fails a task.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow.sdk.observability import stats

if TYPE_CHECKING:
    from logferry.ferry import Ferry
    from logferry.records.manifest import Manifest
    from logferry.spec import ExportSpec

log = logging.getLogger(__name__)

_KINDS = ("search", "count", "schema")


def count_publication(spec: ExportSpec, manifest: Manifest) -> None:
    """``logferry.rows``, ``.bytes``, ``.short`` (slices) and ``.late_rows`` of one publication.

    Late rows: those that a slice has now beyond what its publication before had.
    """
    counters = {
        "rows": manifest.rows,
        "bytes": sum(file.bytes for file in manifest.files),
        "short": sum(entry.status == "short" for entry in manifest.slices),
        "late_rows": sum(
            max(0, entry.rows - entry.previous_rows)
            for entry in manifest.slices
            if entry.previous_rows is not None
        ),
    }
    for name, count in counters.items():
        _incr(name, count, _tags(spec))


@contextlib.contextmanager
def counting_requests(spec: ExportSpec, ferry: Ferry) -> Iterator[None]:
    """``logferry.requests`` (tag ``kind``) and ``.throttled_seconds`` of all that the ferry sends in here, whether it
    ends well or not: what was sent is spent.

    Throttled seconds are those in which requests waited for the allowance, added up over requests that waited together.
    """
    try:
        yield
    finally:
        for kind in _KINDS:
            if sent := ferry.client.stats[kind]:
                _incr("requests", sent, {**_tags(spec), "kind": kind})
        _incr("throttled_seconds", round(ferry.client.budget.waited_s), _tags(spec))


def _tags(spec: ExportSpec) -> dict[str, str]:
    return {"export": spec.name, "source": spec.source.kind}


def _incr(name: str, count: int, tags: dict[str, str]) -> None:
    try:
        stats.incr(f"logferry.{name}", count, tags=tags)
    except Exception as error:
        log.warning("the metric logferry.%s could not be sent: %s", name, error)
