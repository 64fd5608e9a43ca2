"""``group_by`` of an aggregation: which facets, how many groups, in which order, page by page.

Source: https://docs.datadoghq.com/api/latest/logs/#aggregate-events
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from logferry_sandbox.datadog_errors import invalid

_MOST_GROUPS = 10_000
_GROUPS_PER_PAGE = 1000
_DEFAULT_LIMIT = 10


@dataclass(frozen=True, slots=True)
class GroupBy:
    """One facet. ``missing``: the group of events without it (None: they are left out).

    ``measure``: groups are ordered by the first compute, else by name.
    """

    facet: str
    limit: int
    missing: str | None
    measure: bool
    descending: bool


def read_group_by(raw: Any) -> list[GroupBy]:
    """Check ``group_by`` (None if absent). Raises DatadogRefusalError."""
    if raw is None:
        return []
    if not isinstance(raw, list) or not all(isinstance(one, Mapping) for one in raw):
        raise invalid("group_by", "must be a list of objects")
    groups = [_read_one(one) for one in raw]
    most = 1
    for group in groups:
        most *= group.limit
    if most > _MOST_GROUPS:
        raise invalid("group_by", f"Cannot generate more than {_MOST_GROUPS} groups")
    return groups


def ordered_buckets(
    results: Sequence[tuple[dict[str, Any], dict[str, Any]]], group_by: Sequence[GroupBy], page: Any
) -> tuple[list[dict[str, Any]], str | None]:
    """The buckets of one page, each facet cut to its limit, and the cursor to the next page if any."""
    kept = list(results)
    for one in group_by:
        totals: dict[Any, float] = {}
        for by, computes in kept:
            totals[by[one.facet]] = totals.get(by[one.facet], 0) + _weight(computes)
        ranked = sorted(totals, key=str)
        if one.measure:
            ranked.sort(key=totals.__getitem__, reverse=one.descending)
        elif one.descending:
            ranked.reverse()
        rank = {value: place for place, value in enumerate(ranked[: one.limit])}
        kept = [result for result in kept if result[0][one.facet] in rank]
        kept.sort(key=lambda result: rank[result[0][one.facet]])
    first = _offset(page)
    buckets = [{"by": by, "computes": computes} for by, computes in kept[first : first + _GROUPS_PER_PAGE]]
    following = first + _GROUPS_PER_PAGE
    if following >= len(kept):
        return buckets, None
    return buckets, base64.urlsafe_b64encode(json.dumps({"offset": following}).encode()).decode()


def _read_one(raw: Mapping[str, Any]) -> GroupBy:
    facet, limit, missing = raw.get("facet"), raw.get("limit", _DEFAULT_LIMIT), raw.get("missing")
    if not isinstance(facet, str) or not facet:
        raise invalid("group_by.facet", "must be a facet name")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise invalid("group_by.limit", "must be a positive integer")
    sort = raw.get("sort", {"type": "measure", "aggregation": "count", "order": "desc"})
    if not isinstance(sort, Mapping):
        raise invalid("group_by.sort", "must be an object")
    kind, order = sort.get("type", "alphabetical"), sort.get("order", "asc")
    if kind not in {"alphabetical", "measure"} or order not in {"asc", "desc"}:
        raise invalid("group_by.sort", "type is alphabetical or measure, order is asc or desc")
    if (kind == "measure") != ("aggregation" in sort):
        raise invalid("group_by.sort", "aggregation goes with type measure")
    return GroupBy(
        facet, limit, None if missing is None else str(missing), kind == "measure", order == "desc"
    )


def _weight(computes: Mapping[str, Any]) -> float:
    """How a group ranks: its first compute, a timeseries by its sum."""
    first = computes["c0"]
    if isinstance(first, list):
        return sum(point["value"] or 0 for point in first)
    return first or 0


def _offset(page: Any) -> int:
    if not isinstance(page, Mapping) or page.get("cursor") is None:
        return 0
    try:
        return int(json.loads(base64.urlsafe_b64decode(page["cursor"]))["offset"])
    except (ValueError, KeyError, TypeError):
        raise invalid("page.cursor", "invalid cursor") from None
