"""Log analytics: counts and statistics, in total or over wall-clock buckets, optionally grouped by facets.

Source: https://docs.datadoghq.com/api/latest/logs/#aggregate-events
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from logferry_sandbox.datadog_errors import invalid
from logferry_sandbox.datadog_filter import Filter, read_filter
from logferry_sandbox.datadog_groups import GroupBy, ordered_buckets, read_group_by
from logferry_sandbox.datadog_query import Query, as_number, facet_values
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import DatadogStore, parse_event
from logferry_sandbox.datadog_time import format_instant, parse_interval
from logferry_sandbox.faults import FaultPlan
from logferry_sandbox.http_server import HttpRequest

_DEFAULT_POINTS = 150
_PERCENTILES = {"pc50": 50, "pc75": 75, "pc90": 90, "pc95": 95, "pc98": 98, "pc99": 99}


@dataclass(frozen=True, slots=True)
class Compute:
    """One measure. ``interval_ms`` None: a total. ``metric`` None: counts events."""

    aggregation: str
    metric: str | None
    interval_ms: int | None


@dataclass(slots=True)
class Group:
    """What one group of events adds up to: per compute and bucket start, the count or the values."""

    by: dict[str, Any]
    counts: list[dict[int, int]] = field(default_factory=list)
    values: list[dict[int, list[Any]]] = field(default_factory=list)


class AggregateEndpoint:
    """Answers aggregations over ``store``. Thread-safe."""

    def __init__(self, store: DatadogStore, plan: FaultPlan) -> None:
        self._store = store
        self._plan = plan

    def answer(
        self,
        raw: Mapping[str, Any],
        request: HttpRequest,
        settings: DatadogSettings,
        restriction: Query,
        now_ms: int,
        request_id: str,
    ) -> bytes:
        """The body of the answer to the aggregation ``raw``. Raises DatadogRefusalError."""
        found = read_filter(raw.get("filter"), settings, self._store.indexes, restriction, now_ms)
        computes = read_computes(raw.get("compute"), found)
        if not settings.mixed_computes and len({compute.interval_ms is None for compute in computes}) > 1:
            raise invalid("compute", "cannot mix types")
        group_by = read_group_by(raw.get("group_by"))
        groups = self._groups(found, computes, group_by)
        meta: dict[str, Any] = {"elapsed": 12, "request_id": request_id, "status": "done"}
        warnings = list(found.warnings)
        if self._plan.take("datadog:status_timeout", request) is not None:
            meta["status"] = "timeout"
            for group in groups:
                group.counts = [{at: n // 2 for at, n in counts.items()} for counts in group.counts]
        if (warning := self._plan.take("datadog:warnings", request)) is not None:
            default = {"code": "partial", "title": "Partial results", "detail": "a shard did not answer"}
            warnings.append({**default, **warning})
        if warnings:
            meta["warnings"] = warnings
        series = [number for number, compute in enumerate(computes) if compute.interval_ms is not None]
        if series and (params := self._plan.take("datadog:truncated_series", request)) is not None:
            for group in groups:
                for number in series:
                    group.counts[number] = _first_points(group.counts[number], params.get("points", 2))
        results = [(group.by, _results(group, computes)) for group in groups]
        buckets, after = ordered_buckets(results, group_by, raw.get("page"))
        if after is not None:
            meta["page"] = {"after": after}
        return json.dumps({"meta": meta, "data": {"buckets": buckets}}, separators=(",", ":")).encode()

    def _groups(self, found: Filter, computes: Sequence[Compute], group_by: Sequence[GroupBy]) -> list[Group]:
        if not group_by and all(compute.metric is None for compute in computes):
            return self._plain_counts(found, computes)
        groups: dict[tuple[str, ...], Group] = {}
        for at_ms, attributes in self._events(found):
            for path in _paths(attributes, group_by):
                group = groups.get(path)
                if group is None:
                    by = {one.facet: value for one, value in zip(group_by, path, strict=True)}
                    group = groups[path] = Group(by, [{} for _ in computes], [{} for _ in computes])
                for number, compute in enumerate(computes):
                    _add(group, number, compute, at_ms, attributes)
        return list(groups.values())

    def _plain_counts(self, found: Filter, computes: Sequence[Compute]) -> list[Group]:
        """Counts that need nothing of an event but its time: no event is even made."""
        group = Group({}, [{} for _ in computes], [{} for _ in computes])
        for segment in self._store.segments(found.selection, found.from_ms, found.to_ms):
            view = segment.view
            for counts, compute in zip(group.counts, computes, strict=True):
                row = segment.start
                while row < segment.end:
                    bucket, end = 0, segment.end
                    if compute.interval_ms is not None:
                        bucket = view.times[row] // compute.interval_ms * compute.interval_ms
                        end = min(segment.end, view.rows_before(bucket + compute.interval_ms))
                    counts[bucket] = counts.get(bucket, 0) + end - row
                    row = end
        return [group] if any(group.counts) else []

    def _events(self, found: Filter) -> Iterator[tuple[int, Mapping[str, Any]]]:
        for segment in self._store.segments(found.selection, found.from_ms, found.to_ms):
            bodies = segment.view.bodies(segment.start, segment.end)
            for at_ms, body in zip(segment.view.times[segment.start : segment.end], bodies, strict=True):
                yield at_ms, parse_event(body)["attributes"]


def read_computes(raw: Any, found: Filter) -> list[Compute]:
    """Check ``compute`` (absent: one total count). Raises DatadogRefusalError."""
    if raw is None or raw == []:
        return [Compute("count", None, None)]
    if not isinstance(raw, list) or not all(isinstance(one, Mapping) for one in raw):
        raise invalid("compute", "must be a list of objects")
    return [_read_compute(one, found) for one in raw]


def _read_compute(raw: Mapping[str, Any], found: Filter) -> Compute:
    aggregation, metric = raw.get("aggregation"), raw.get("metric")
    if aggregation not in _REDUCTIONS and aggregation != "count":
        # "median" is documented, and refused by the real API all the same; pc50 works.
        raise invalid("aggregation", "Unrecognized parameter")
    if metric is not None and not isinstance(metric, str):
        raise invalid("metric", "must be a string")
    if aggregation != "count" and metric is None:
        raise invalid("metric", f"{aggregation} needs a metric")
    kind = raw.get("type", "total")
    if kind == "total":
        return Compute(aggregation, metric, None)
    if kind != "timeseries":
        raise invalid("type", "must be total or timeseries")
    if "interval" not in raw:
        return Compute(aggregation, metric, max(1, -(-(found.to_ms - found.from_ms) // _DEFAULT_POINTS)))
    try:
        return Compute(aggregation, metric, parse_interval(raw["interval"]))
    except ValueError as error:
        raise invalid("interval", str(error)) from None


def _paths(attributes: Mapping[str, Any], group_by: Sequence[GroupBy]) -> list[tuple[str, ...]]:
    """The groups an event belongs to; none if it lacks a facet that has no ``missing``."""
    paths: list[tuple[str, ...]] = [()]
    for one in group_by:
        values = list(dict.fromkeys(_as_text(value) for value in facet_values(attributes, one.facet)))
        if not values and one.missing is not None:
            values = [one.missing]
        paths = [(*path, value) for path in paths for value in values]
    return paths


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _add(group: Group, number: int, compute: Compute, at_ms: int, attributes: Mapping[str, Any]) -> None:
    bucket = 0 if compute.interval_ms is None else at_ms // compute.interval_ms * compute.interval_ms
    if compute.metric is None:
        counts = group.counts[number]
        counts[bucket] = counts.get(bucket, 0) + 1
        return
    found = facet_values(attributes, compute.metric)
    if compute.aggregation == "count":
        counts = group.counts[number]
        counts[bucket] = counts.get(bucket, 0) + bool(found)
        return
    if compute.aggregation != "cardinality":
        found = [value for value in map(as_number, found) if value is not None and value.is_finite()]
    if found:
        group.values[number].setdefault(bucket, []).extend(found)


def _results(group: Group, computes: Sequence[Compute]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for number, compute in enumerate(computes):
        if compute.aggregation == "count":
            reduced: dict[int, Any] = group.counts[number]
        else:
            reduce = _REDUCTIONS[compute.aggregation]
            reduced = {at: reduce(values) for at, values in group.values[number].items()}
        if compute.interval_ms is None:
            results[f"c{number}"] = reduced.get(0, 0 if compute.aggregation == "count" else None)
        else:
            points = sorted(reduced.items())
            results[f"c{number}"] = [{"time": format_instant(at), "value": value} for at, value in points]
    return results


def _first_points(counts: dict[int, int], points: int) -> dict[int, int]:
    """A series that breaks off after some points, without a word about it."""
    return {at: counts[at] for at in sorted(counts)[:points]}


def _percentile(share: int) -> Callable[[list[Any]], float]:
    return lambda values: float(sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)])


_REDUCTIONS: dict[str, Callable[[list[Any]], float]] = {
    "cardinality": lambda values: len({_as_text(value) for value in values}),
    "sum": lambda values: float(sum(values, Decimal(0))),
    "min": lambda values: float(min(values)),
    "max": lambda values: float(max(values)),
    "avg": lambda values: float(sum(values, Decimal(0)) / len(values)),
    **{name: _percentile(share) for name, share in _PERCENTILES.items()},
}
