"""What a Datadog sandbox can be told: keys, limits, and the undocumented traits of the real API."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

PAGE_ENDS = frozenset({"no_page", "no_meta", "null_data", "page_null", "empty_with_cursor"})


@dataclass(frozen=True, slots=True)
class Credential:
    """One application key or access token of the sandbox org, with what it may see.

    ``restriction``: a search query added silently to everything the key asks, as Datadog's restriction
    queries do (https://docs.datadoghq.com/api/latest/logs-restriction-queries/).
    """

    app_key: str
    bearer: str
    logs_read_data: bool = True
    restriction: str = ""


API_KEY = "sandbox-api-key"
FULL = Credential("sandbox-app-key", "ddpat_sandbox")
NO_LOGS = Credential("sandbox-app-key-no-logs", "ddpat_sandbox_no_logs", logs_read_data=False)
RESTRICTED = Credential(
    "sandbox-app-key-restricted", "ddpat_sandbox_restricted", restriction="env:prod -service:payments"
)


@dataclass(frozen=True, slots=True)
class DatadogSettings:
    """One immutable set of knobs; ``updated`` makes the next one.

    ``inclusive_from``/``inclusive_to``: whether an event exactly on a bound belongs to the answer (the real
    API does not document it). ``page_end``: the shape of the empty answer after the last page, one of
    PAGE_ENDS. ``final_cursor``: the last page with rows still has a cursor (false: it has none and is the
    end). ``short_pages``: never more rows than this in a page, 0 for no cap. ``late_every``: every n-th event
    stays invisible until POST /_sandbox/release_late, 0 for none. ``most_body_bytes``: a larger answer breaks off
    after that many bytes, 0 for no limit. ``mixed_computes``: one aggregation may ask for a
    total beside a timeseries (whether the real API lets it is not documented). ``hide_future``: events later than the
    clock are not there yet. ``compress``: gzip for clients that take it. Rates are requests per ``…_period_s``.
    """

    inclusive_from: bool = True
    inclusive_to: bool = False
    page_end: str = "no_page"
    final_cursor: bool = True
    short_pages: int = 0
    most_body_bytes: int = 0
    mixed_computes: bool = True
    compress: bool = True
    latency_s: float = 0.0
    max_limit: int = 1000
    search_limit: int = 300
    search_period_s: int = 10
    aggregate_limit: int = 300
    aggregate_period_s: int = 10
    flex_enabled: bool = False
    late_every: int = 0
    hide_future: bool = False
    api_key: str = API_KEY
    credentials: tuple[Credential, ...] = (FULL, NO_LOGS, RESTRICTED)

    def __post_init__(self) -> None:
        if self.page_end not in PAGE_ENDS:
            raise ValueError(f"page_end is one of {', '.join(sorted(PAGE_ENDS))}, not {self.page_end!r}")
        if min(self.search_period_s, self.aggregate_period_s, self.max_limit) < 1:
            raise ValueError("max_limit and the rate periods are at least 1")

    def updated(self, changes: Mapping[str, Any]) -> Self:
        """A copy with ``changes`` (JSON values). Raises ValueError for an unknown key or a wrong type."""
        typed: dict[str, Any] = {}
        known = {field.name for field in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"unknown setting {name!r}; known: {', '.join(sorted(known))}")
            present = getattr(self, name)
            if name == "credentials":
                typed[name] = tuple(_credential(one) for one in value)
            elif isinstance(present, float) and isinstance(value, (int, float)):
                typed[name] = float(value)
            elif type(value) is not type(present):
                raise ValueError(f"setting {name} is a {type(present).__name__}, not {value!r}")
            else:
                typed[name] = value
        return replace(self, **typed)


def _credential(raw: Any) -> Credential:
    try:
        return Credential(**raw)
    except TypeError as error:
        raise ValueError(f"credentials is a list of {{app_key, bearer, …}}: {error}") from None
