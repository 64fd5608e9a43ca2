"""The ``filter`` of search and aggregate requests: which events, over which range, and what to warn about.

Source: https://docs.datadoghq.com/api/latest/logs/#search-logs-post
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from logferry_sandbox.datadog_errors import DatadogRefusalError, invalid
from logferry_sandbox.datadog_query import Query, QuerySyntaxError, parse_query
from logferry_sandbox.datadog_settings import DatadogSettings
from logferry_sandbox.datadog_store import Selection
from logferry_sandbox.datadog_time import parse_instant

STORAGE_TIERS = frozenset({"indexes", "online-archives", "flex"})


@dataclass(frozen=True, slots=True)
class Filter:
    """A checked filter: the events of [from_ms, to_ms) in ``selection``; ``warnings`` in the API's words."""

    selection: Selection
    from_ms: int
    to_ms: int
    warnings: tuple[Mapping[str, str], ...]


def read_filter(
    raw: Any, settings: DatadogSettings, known_indexes: Sequence[str], restriction: Query, now_ms: int
) -> Filter:
    """Check ``raw`` (the ``filter`` member, None if absent). Raises DatadogRefusalError."""
    if raw is None:
        raw = {}
    if not isinstance(raw, Mapping):
        raise invalid("filter", "must be an object")
    from_ms = _instant(raw, "from", "now-15m", now_ms)
    to_ms = _instant(raw, "to", "now", now_ms)
    if from_ms > to_ms:
        raise invalid("filter.from", "'from' must be before 'to'")
    indexes, warnings = _indexes(raw.get("indexes"), known_indexes)
    selection = Selection(
        query=_query(raw.get("query", "*")),
        restriction=restriction,
        indexes=indexes,
        flex=_tier(raw.get("storage_tier", "indexes"), settings) == "flex",
        late_every=settings.late_every,
    )
    # Half-open inside; the knobs say which bounds the answer includes.
    from_ms += not settings.inclusive_from
    to_ms += settings.inclusive_to
    if settings.hide_future:
        to_ms = min(to_ms, now_ms + 1)
    return Filter(selection, from_ms, max(from_ms, to_ms), warnings)


def _instant(raw: Mapping[str, Any], name: str, default: str, now_ms: int) -> int:
    value = raw.get(name, default)
    try:
        return parse_instant(value, now_ms)
    except ValueError:
        raise invalid(f"filter.{name}", f"unable to parse date {value!r}") from None


def _query(text: Any) -> Query:
    if not isinstance(text, str):
        raise invalid("filter.query", "must be a string")
    try:
        return parse_query(text)
    except QuerySyntaxError as error:
        raise invalid("filter.query", f"invalid query: {error}") from None


def _tier(tier: Any, settings: DatadogSettings) -> str:
    if not isinstance(tier, str) or tier not in STORAGE_TIERS:
        raise invalid("filter.storage_tier", f"must be one of {', '.join(sorted(STORAGE_TIERS))}")
    if tier == "flex" and not settings.flex_enabled:
        raise DatadogRefusalError(403, "Forbidden: storage_tier flex is not enabled for this organization")
    return tier


def _indexes(raw: Any, known: Sequence[str]) -> tuple[frozenset[str] | None, tuple[Mapping[str, str], ...]]:
    if raw is None or raw == ["*"]:
        return None, ()
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise invalid("filter.indexes", "must be a list of strings")
    unknown = [name for name in raw if name not in known and name != "*"]
    warning = {
        "code": "unknown_index",
        "detail": f"indexes: {', '.join(unknown)}",
        "title": "One or several indexes are missing or invalid, results hold data from the other indexes",
    }
    chosen = None if "*" in raw else frozenset(raw) & frozenset(known)
    return chosen, (warning,) if unknown else ()
